package datasets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/scoring"
)

const nabWindows = "combined_windows.json"

// windows are the labelled spans of the benchmark's files, by their paths.
type windows map[string][][2]string

// findNAB finds the files that the benchmark's windows name.
func findNAB(d *folder) ([]set, error) {
	known := map[string]windows{}
	var runs []run
	for _, f := range d.files {
		if f.head != "timestamp,value" {
			continue
		}
		root, key := path.Dir(path.Dir(f.path)), strings.TrimSuffix(f.path, ".gz")
		if known[root] == nil {
			w, err := readWindows(d, path.Join(root, nabWindows))
			if err != nil {
				return nil, err
			}
			known[root] = w
		}
		if root != "." {
			key = strings.TrimPrefix(key, root+"/")
		}
		spans, named := known[root][key]
		if !named {
			continue
		}
		truth, err := nabTruth(d, f, spans)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run{name: f.path, open: func() (io.ReadCloser, error) { return d.open(f.path) }, truth: only(truth)})
	}
	if len(runs) == 0 {
		return nil, nil
	}
	return []set{{name: fmt.Sprintf("NAB, %d files", len(runs)), runs: runs, figures: nabFigures()}}, nil
}

// readWindows gives an empty map where there is no such file.
func readWindows(d *folder, name string) (windows, error) {
	f, err := d.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return windows{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var w windows
	if err := json.NewDecoder(io.LimitReader(f, maxLabel)).Decode(&w); err != nil {
		return nil, fmt.Errorf("%s: is not a list of windows: %w", name, err)
	}
	return w, nil
}

// nabTruth turns times into rows.
func nabTruth(d *folder, f file, spans [][2]string) (scoring.Record, error) {
	limits, err := limits(spans)
	if err != nil {
		return scoring.Record{}, fmt.Errorf("windows of %s: %w", f.path, err)
	}
	events := make([]scoring.Event, len(limits))
	var began, last time.Time
	rows := 0
	err = d.lines(f.path, func(n int, line string) error {
		if n == 1 {
			return nil
		}
		text, _, _ := strings.Cut(line, ",")
		if last, err = time.Parse(time.DateTime, text); err != nil {
			return fmt.Errorf("%q is not a time", text)
		}
		if rows++; rows == 1 {
			began = last
		}
		for i, limit := range limits {
			if last.Before(limit[0]) || last.After(limit[1]) {
				continue
			}
			if events[i].From == 0 {
				events[i].From = rows
			}
			events[i].To, events[i].At = rows, rows
		}
		return nil
	})
	first := scoring.Probation(rows) + 1
	hours := last.Sub(began).Hours() * float64(rows+1-first) / float64(max(1, rows))
	return scoring.Record{First: first, End: rows + 1, Hours: hours, Events: events}, err
}

func limits(spans [][2]string) ([][2]time.Time, error) {
	var all [][2]time.Time
	for _, span := range spans {
		from, err := time.Parse(time.DateTime, span[0])
		if err != nil {
			return nil, err
		}
		to, err := time.Parse(time.DateTime, span[1])
		if err != nil {
			return nil, err
		}
		all = append(all, [2]time.Time{from, to})
	}
	return all, nil
}

func nabFigures() []figure {
	of := func(p scoring.Profile) func([]scoring.Record) float64 {
		return func(r []scoring.Record) float64 { return scoring.NAB(r, p) }
	}
	return []figure{
		{name: "score, standard", of: of(scoring.Standard), published: "70.5", goal: 71, aim: atLeast},
		{name: "score, low FP", of: of(scoring.LowFP), published: "62.6"},
		{name: "score, low FN", of: of(scoring.LowFN), published: "75.2"},
		{name: "windows found, %", of: percent(counted(scoring.Table.Recall))},
		{name: "precision of episodes, %", of: percent(counted(scoring.Table.Precision))},
		{name: "false episodes a month", of: counted(scoring.Table.FalsePerMonth)},
		{name: "time in alarm outside, %", of: percent(counted(scoring.Table.TimeInAlarm))},
	}
}
