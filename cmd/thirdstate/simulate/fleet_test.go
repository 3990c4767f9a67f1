package simulate

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/packs"
)

var fleetStart = time.Date(2026, 5, 4, 22, 10, 0, 0, time.UTC) // 5 May 06:10 on the sites

const every = 10 * time.Minute

// seen is a machine that detection has watched.
type seen struct {
	machine Machine
	rows    int
	found   []rules.Finding
	rules   *rules.Machine
}

func (s *seen) opened() []rules.Finding {
	var list []rules.Finding
	for _, f := range s.found {
		if f.Change == rules.Opened {
			list = append(list, f)
		}
	}
	return list
}

// watch runs a fleet through the rules of its packs, with a tick each hour, as long
// as until says.
func watch(t *testing.T, f *Fleet, days int, visits bool) map[string]*seen {
	t.Helper()
	out, err := watchAll(f, days, visits)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func watchAll(f *Fleet, days int, visits bool) (map[string]*seen, error) {
	all, err := packs.All()
	if err != nil {
		return nil, err
	}
	out := map[string]*seen{}
	var wait sync.WaitGroup
	limit := make(chan struct{}, 4)
	for _, m := range f.Machines() {
		s := &seen{machine: m, rules: rules.New(m.Key, all[m.Model])}
		out[m.Key] = s
		wait.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			s.run(f, days, visits)
		})
	}
	wait.Wait()
	return out, nil
}

func (s *seen) run(f *Fleet, days int, visits bool) {
	var due []Visit
	var about []Fault
	if visits {
		for _, fault := range s.machine.Faults {
			for _, v := range fault.Visits {
				due, about = append(due, v), append(about, fault)
			}
		}
	}
	for at := fleetStart; at.Before(fleetStart.AddDate(0, 0, days)); at = at.Add(every) {
		for len(due) > 0 && !due[0].At.After(at) {
			f.Repair(s.machine.Key, about[0].Mode, due[0].At, due[0].Quality)
			s.found = append(s.found, s.rules.Repaired(about[0].Component, due[0].At)...)
			due, about = due[1:], about[1:]
		}
		if o, ok := f.Observation(s.machine.Key, at); ok {
			s.rows++
			s.found = append(s.found, s.rules.Observe(o)...)
		}
		if at.Minute() == 10 {
			s.found = append(s.found, s.rules.Tick(at, false)...)
		}
	}
}

func day(at time.Time) string { return fmt.Sprintf("day %.2f", at.Sub(fleetStart).Hours()/24) }

// rowsOf gives what a machine says from one instant to another.
func rowsOf(f *Fleet, key string, from, to time.Time) []observation.Observation {
	var rows []observation.Observation
	for at := from.Truncate(every); at.Before(to); at = at.Add(every) {
		if at.Before(from) {
			continue
		}
		if o, ok := f.Observation(key, at); ok {
			rows = append(rows, o)
		}
	}
	return rows
}
