// Package watchfile finds the third state in a table: a CSV file, one row an
// instant, one column a signal. It is the engine of package rules without a
// server; it knows files and no machines.
package watchfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// Bounds of a file.
const (
	maxMachines = 10_000
	maxLine     = 1 << 20 // bytes
	maxColumns  = 2_000
	maxEpisodes = 100_000
	maxName     = 200 // bytes of a machine's name
)

// putBack is how far a clock may go back, as at the end of summer time: the rows of
// an hour that comes twice follow one another.
const putBack = 2 * time.Hour

// Options of a run. Columns are given by their names or by their numbers from 1.
type Options struct {
	Time     string        // column of the time; "" = look for one, "none" = rows are Every apart
	Every    time.Duration // distance of rows without a time; default one minute
	Signals  []string      // columns that are watched; empty = all numbers
	Context  []string      // columns that explain (load, ambient)
	Ignore   []string      // columns that are not looked at
	Healthy  int           // rows of each machine that are known to be healthy, and are learnt; 0 = decides itself
	Group    string        // column whose value names the machine
	Pack     *rules.Pack   // rules to use instead of the default watcher
	Table    bool          // write a table of episodes instead of one JSON object a row
	Language string        // of the table: "en" (default) or "zh"
}

// Episode is one finding of a run.
type Episode struct {
	Machine  string
	Number   int // from 1, per machine
	Rule     string
	Opened   int // row of the machine, from 1
	Closed   int // 0 = still open at the end
	OpenedAt time.Time
	ClosedAt time.Time
	Evidence rules.Evidence
}

// Summary is what a run came to.
type Summary struct {
	Rows     int
	Machines int
	Learning int // machines that had too few rows to learn what is normal
	Timed    bool
	Signals  []string
	Context  []string
	Ignored  []string // columns that are no numbers, or were to be ignored
	Episodes []Episode
}

// Run watches a file to its end and writes what it sees to w. An error about the
// file is one line with its name and the line number.
func Run(ctx context.Context, r io.Reader, name string, opts Options, w io.Writer) (Summary, error) {
	t, err := openTable(r, name, opts)
	if err != nil {
		return Summary{}, err
	}
	run := &run{opts: opts, table: t, out: newWriter(w, opts, t.timed), machines: map[string]*watched{}}
	run.summary.Signals, run.summary.Context, run.summary.Ignored = t.chosen()
	run.summary.Timed = t.timed
	if len(run.summary.Signals) == 0 {
		return Summary{}, fmt.Errorf("%s: no column of numbers is left to watch", name)
	}
	run.pack = pack(opts, run.summary)
	for {
		if run.summary.Rows%1024 == 0 && ctx.Err() != nil {
			return run.summary, ctx.Err()
		}
		row, err := t.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = run.row(row)
		}
		if err != nil {
			return run.summary, err
		}
	}
	return run.end()
}

// pack is the given one, evaluated without waiting for late rows, or one that
// holds only the default watcher.
func pack(opts Options, s Summary) *rules.Pack {
	if opts.Pack != nil {
		p := *opts.Pack
		p.Lateness = 0
		return &p
	}
	rule := *rules.Builtin(rules.WatcherID)
	rule.ID, rule.Severity, rule.Context, rule.Learn.Rows = "watch", rules.Warning, s.Context, opts.Healthy
	p := &rules.Pack{Model: "file", Rules: []rules.Rule{rule}}
	for _, name := range s.Signals {
		p.Signals = append(p.Signals, rules.SignalSpec{Name: name, Role: rules.Condition})
	}
	for _, name := range s.Context {
		p.Signals = append(p.Signals, rules.SignalSpec{Name: name, Role: rules.Context})
	}
	return p
}

type run struct {
	opts     Options
	table    *table
	pack     *rules.Pack
	out      *writer
	machines map[string]*watched
	order    []*watched
	summary  Summary
}

// watched is one machine of the file.
type watched struct {
	name     string
	rules    *rules.Machine
	rows     int
	last     time.Time
	episodes int
	open     []int // indexes of open episodes
	current  int   // number of the newest open one, 0 = none
}

func (r *run) row(row row) error {
	m, err := r.machine(row.machine)
	if err != nil {
		return r.table.fault(row.line, "%v", err)
	}
	m.rows++
	r.summary.Rows++
	at := row.at
	if !r.table.timed {
		at = epoch.Add(time.Duration(m.rows) * r.every())
	}
	switch {
	case at.Before(m.last.Add(-putBack)):
		return r.table.fault(row.line, "time goes back to %s: sort the file by time", at.Format(time.RFC3339))
	case !at.After(m.last):
		at = m.last.Add(1) // several rows of one second, or of an hour that comes twice
	}
	m.last = at
	found := m.rules.Observe(observation.Observation{Machine: m.name, At: at, Received: at, Values: row.values})
	if err := r.take(m, found); err != nil {
		return r.table.fault(row.line, "%v", err)
	}
	return r.out.row(m, at)
}

// epoch is where rows without a time begin.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (r *run) every() time.Duration {
	if r.opts.Every > 0 {
		return r.opts.Every
	}
	return time.Minute
}

func (r *run) machine(name string) (*watched, error) {
	if m := r.machines[name]; m != nil {
		return m, nil
	}
	if len(name) > maxName {
		return nil, fmt.Errorf("column %s: %q is too long: is it the machine's name?", r.opts.Group, short(name))
	}
	if len(r.machines) == maxMachines {
		return nil, fmt.Errorf("more than %d machines in column %s: is it the machine's name?", maxMachines, r.opts.Group)
	}
	m := &watched{name: name, rules: rules.New(name, r.pack)}
	r.machines[name] = m
	r.order = append(r.order, m)
	return m, nil
}

// take notes what a row has changed.
func (r *run) take(m *watched, found []rules.Finding) error {
	for _, f := range found {
		at := slices.IndexFunc(m.open, func(i int) bool { return r.summary.Episodes[i].Rule == f.Rule })
		switch {
		case f.Propose:
		case f.Change == rules.Opened:
			if len(r.summary.Episodes) == maxEpisodes {
				return fmt.Errorf("more than %d episodes", maxEpisodes)
			}
			m.episodes++
			m.open = append(m.open, len(r.summary.Episodes))
			r.summary.Episodes = append(r.summary.Episodes, Episode{
				Machine: m.name, Number: m.episodes, Rule: f.Rule, Opened: m.rows, OpenedAt: f.OpenedAt, Evidence: f.Evidence,
			})
		case f.Change == rules.Closed && at >= 0:
			e := &r.summary.Episodes[m.open[at]]
			e.Closed, e.ClosedAt = m.rows, f.At
			m.open = slices.Delete(m.open, at, at+1)
		}
	}
	m.number(r.summary.Episodes)
	return nil
}

// number keeps the newest open episode's number for the rows.
func (m *watched) number(all []Episode) {
	m.current = 0
	if n := len(m.open); n > 0 {
		m.current = all[m.open[n-1]].Number
	}
}

func (r *run) end() (Summary, error) {
	for _, m := range r.order {
		if err := r.take(m, m.rules.Flush()); err != nil {
			return r.summary, err
		}
		if m.rules.Learning() {
			r.summary.Learning++
		}
	}
	r.summary.Machines = len(r.order)
	if r.summary.Rows == 0 {
		return r.summary, fmt.Errorf("%s: holds no rows", r.table.name)
	}
	return r.summary, r.out.end(r.summary)
}
