package lifespan

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
)

// Ending is of the files that hold what was learnt.
const Ending = ".life"

// Bounds of a folder of models.
const (
	mostModels = 100
	leastEvery = time.Second
	mostEvery  = 7 * 24 * time.Hour
)

// Learnt is a file of the folder: what it says of itself, or what is wrong with it.
type Learnt struct {
	Name      string  `json:"name" doc:"of its file, without the ending"`
	Hash      string  `json:"hash"`
	For       string  `json:"for" doc:"model of the machines that it is of"`
	Component string  `json:"component" doc:"code of the component that failed; empty: the whole machine"`
	Unit      string  `json:"unit" doc:"of what remains"`
	Age       string  `json:"age" doc:"signal that says the age; empty: it is counted from the day of the installation or handing over"`
	Every     float64 `json:"everySeconds" doc:"from row to row: machines are averaged to it"`
	Typical   float64 `json:"typical" doc:"life, the median"`
	Cap       float64 `json:"cap" doc:"what remains is not told apart beyond it"`
	Lives     int     `json:"lives" doc:"that it was learnt from"`
	Error     float64 `json:"error" doc:"RMSE on lives that it had not seen"`
	LateError float64 `json:"lateError" doc:"the same of machines that are heard first in the middle of their lives; 0: nothing is said of them"`
	Fault     string  `json:"fault" doc:"why it is not applied, in English; empty: it is"`
	learnt    *prognosis.Model
}

// Shelf is the folder of models. It is looked at again and again; while a file is bad, what
// was read of it before goes on.
type Shelf struct {
	Dir string
	Log *slog.Logger

	mu    sync.Mutex
	files map[string]shelved
}

type shelved struct {
	size    int64
	changed time.Time
	model   Learnt
}

// Models lists what is in the folder, by name, as it was read last.
func (s *Shelf) Models() []Learnt {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Learnt, 0, len(s.files))
	for _, f := range s.files {
		list = append(list, f.model)
	}
	slices.SortFunc(list, func(a, b Learnt) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// read looks for files that have come, changed or gone. A file that is bad is told of once.
func (s *Shelf) read() []Learnt {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !os.IsNotExist(err) {
		s.Log.Error("the models of remaining life cannot be listed", "folder", s.Dir, "error", err)
		return s.Models()
	}
	s.mu.Lock()
	seen := map[string]bool{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.IsDir() || filepath.Ext(e.Name()) != Ending || len(seen) == mostModels {
			continue
		}
		seen[e.Name()] = true
		before, known := s.files[e.Name()]
		if known && before.size == info.Size() && before.changed.Equal(info.ModTime()) {
			continue
		}
		if s.files == nil {
			s.files = map[string]shelved{}
		}
		m := readModel(filepath.Join(s.Dir, e.Name()))
		if m.Fault != "" {
			s.Log.Error("a model of remaining life is not applied", "file", e.Name(), "error", m.Fault)
			if before.model.learnt != nil {
				fault := m.Fault
				m = before.model
				m.Fault = fault + "; what was read of it before goes on"
			}
		}
		s.files[e.Name()] = shelved{info.Size(), info.ModTime(), m}
	}
	for name := range s.files {
		if !seen[name] {
			delete(s.files, name)
		}
	}
	s.mu.Unlock()
	s.settle()
	return s.Models()
}

// settle lets the first by name be applied of those that are of the same machines.
func (s *Shelf) settle() {
	first := map[string]string{}
	for _, m := range s.Models() {
		key := strings.ToLower(m.For) + "\x00" + m.Component
		if _, taken := first[key]; !taken && m.learnt != nil {
			first[key] = m.Name
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, f := range s.files {
		winner := first[strings.ToLower(f.model.For)+"\x00"+f.model.Component]
		second := fmt.Sprintf("the file %s is of the same machines, and comes first", winner)
		switch {
		case f.model.learnt == nil:
		case winner != f.model.Name:
			f.model.Fault = second
		case strings.HasSuffix(f.model.Fault, "and comes first"):
			f.model.Fault = ""
		}
		s.files[name] = f
	}
}

// applied are the models that machines are followed by.
func applied(list []Learnt) []Learnt {
	return slices.DeleteFunc(slices.Clone(list), func(m Learnt) bool {
		return m.learnt == nil || strings.HasSuffix(m.Fault, "and comes first")
	})
}

// readModel reads a file; what is wrong with it is its fault.
func readModel(file string) Learnt {
	base := strings.TrimSuffix(filepath.Base(file), Ending)
	m := Learnt{Name: base}
	if name, err := url.PathUnescape(base); err == nil {
		m.Name = name
	}
	f, err := os.Open(file) //nolint:gosec // of our folder
	if err != nil {
		m.Fault = "cannot be read"
		return m
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, prognosis.MaxBytes+1))
	if err != nil {
		m.Fault = "cannot be read"
		return m
	}
	learnt, err := prognosis.Decode(data)
	if err != nil {
		m.Fault = err.Error()
		return m
	}
	m.Hash, m.For, m.Component, m.Unit, m.Age, m.Every = learnt.Hash(), cmp.Or(strings.TrimSpace(learnt.For), m.Name), learnt.Component, learnt.Unit, learnt.Age, learnt.Every
	m.Typical, m.Cap, m.Lives, m.Error, m.LateError = learnt.Typical, learnt.Cap, learnt.Lives, learnt.Accuracy.RMSE, learnt.Late.RMSE
	switch every := m.every(); {
	case m.Every == 0, m.Age == "" && m.Unit != prognosis.Hours:
		m.Fault = "its rows have no time, so that nobody knows how far apart a machine's should be (train --time, or --age with --every)"
	case every < leastEvery || every > mostEvery:
		m.Fault = fmt.Sprintf("its rows are %v apart: %v to %v can be followed", every, leastEvery, mostEvery)
	default:
		m.learnt = learnt
	}
	return m
}

// every is the distance of rows, in whole seconds.
func (m *Learnt) every() time.Duration {
	return (time.Duration(m.Every*1000) * time.Millisecond).Round(time.Second)
}
