// Package watchfile finds the third state in a table: a CSV file, a row an instant
// with a column a signal, or a row a value. It is the engine of package rules without
// a server; it knows files and no machines. What it says of a row depends on no row
// behind it.
package watchfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/bundle"
	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
)

// Bounds of a file.
const (
	maxMachines = 10_000
	maxLine     = 1 << 20 // bytes
	maxColumns  = 2_000
	maxEpisodes = 100_000
	maxName     = 200 // bytes of a name
	maxNotes    = 100
)

// putBack is how far a clock may go back, as at the end of summer time: the rows of
// an hour that comes twice follow one another.
const putBack = 2 * time.Hour

// Format is what is written of a run.
type Format string

// The formats: one JSON object a row, a table of episodes, a page with charts.
const (
	NDJSON Format = "ndjson"
	Table  Format = "table"
	HTML   Format = "html"
)

// Options of a run. Columns are given by their names or by their numbers from 1. In a
// table of one value a row, roles are those of the signals that its rows name.
type Options struct {
	Time         string           // column of the time; "" = look for one, "none" = rows are Every apart
	TimeFormat   string           // one of TimeFormats; "" = look how it is written
	Every        time.Duration    // distance of rows without a time; default one minute
	Signals      []string         // columns that are watched; empty = all numbers
	Context      []string         // columns that explain (load, ambient)
	Ignore       []string         // columns that are not looked at
	Healthy      int              // rows of each machine that are known to be healthy, and are learnt; 0 = decides itself
	Group        string           // column whose value names the machine; "" = look for one, "none" = one machine
	SignalColumn string           // column that names the signal of a row with one value; "" = look for one
	ValueColumn  string           // column that holds its value
	SkipBad      bool             // leave out what cannot be read and count it, instead of ending
	Model        *prognosis.Model // says what remains of each machine's life; nil = nothing does
	Pack         *rules.Pack      // rules to use instead of the default watcher
	Format       Format           // default NDJSON
	Language     string           // of the table and the page: "en" (default) or "zh"

	// Bundle, if it is there, is given a bundle of evidence for each episode as it opens:
	// the name of its file, without a folder, and its bytes.
	Bundle func(name string, data []byte) error
}

func (o *Options) every() time.Duration {
	if o.Every > 0 {
		return o.Every
	}
	return time.Minute
}

// Episode is one finding of a run.
type Episode struct {
	Machine  string
	Number   int // from 1, per machine
	Rule     string
	Severity rules.Severity
	Opened   int // row of the machine, from 1
	Warned   int // row at which it was more than a note (severity info); 0 = it never was
	Closed   int // 0 = still open at the end
	OpenedAt time.Time
	ClosedAt time.Time
	Evidence rules.Evidence
}

// Span is what a file holds of one machine: Every apart where its rows have no time.
type Span struct {
	Machine  string
	Rows     int
	From, To time.Time
}

// Summary is what a run came to.
type Summary struct {
	Rows      int
	Machines  int
	Learning  int // machines that had too few rows to learn what is normal
	Timed     bool
	Signals   []string
	Context   []string
	Ignored   []string // columns that are no numbers, or were to be ignored
	Episodes  []Episode
	Spans     []Span     // in the order of the file
	Standings []Standing // in the order of the file
	Notes     []string   // what was taken for what, and what was left out, a line each
}

// Run watches a file to its end and writes what it sees to w. An error about the
// file is one line with its name and the line number.
func Run(ctx context.Context, r io.Reader, name string, opts Options, w io.Writer) (Summary, error) {
	t, err := openTable(r, name, opts)
	if err != nil {
		return noted(t), err
	}
	run := &run{opts: opts, table: t, machines: map[string]*watched{}}
	run.summary.Signals, run.summary.Context, run.summary.Ignored = t.chosen()
	run.summary.Timed = t.timed
	if len(run.summary.Signals) == 0 && !t.long {
		return noted(t), fmt.Errorf("%s: no column of numbers is left to watch", name)
	}
	if err := fits(t, opts.Model); err != nil {
		return noted(t), err
	}
	if run.pack, err = pack(name, opts, run.summary, t.long); err != nil {
		return noted(t), err
	}
	run.out = newWriter(w, name, opts, t.timed)
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return run.summary, ctx.Err()
		}
		row, err := t.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = run.row(row)
		}
		if bad := (badRow{}); errors.As(err, &bad) && opts.SkipBad {
			t.left.add(bad)
			err = nil
		}
		if err != nil {
			run.summary.Notes = run.notes()
			return run.summary, err
		}
	}
	return run.end()
}

// noted is what a file came to that could not be begun.
func noted(t *table) Summary {
	if t == nil {
		return Summary{}
	}
	return Summary{Notes: t.notes}
}

// pack is the given one, evaluated without waiting for late rows, or one that
// holds only the default watcher.
func pack(name string, opts Options, s Summary, long bool) (*rules.Pack, error) {
	if opts.Pack != nil {
		p := *opts.Pack
		p.Lateness = 0
		known := func(column string) bool { _, ok := p.Signal(column); return ok }
		if !long && !slices.ContainsFunc(s.Signals, known) && !slices.ContainsFunc(s.Context, known) {
			return nil, fmt.Errorf("%s: no column is a signal of the rule pack %s; its signals are: %s", name, p.Model, short200(specs(p.Signals)))
		}
		return &p, nil
	}
	rule := *rules.Builtin(rules.WatcherID)
	rule.ID, rule.Severity, rule.Context, rule.Learn.Rows = "watch", rules.Warning, opts.Context, opts.Healthy
	if !long {
		rule.Context = s.Context
	}
	p := &rules.Pack{Model: "file", Rules: []rules.Rule{rule}}
	for _, name := range s.Signals {
		p.Signals = append(p.Signals, rules.SignalSpec{Name: name, Role: rules.Condition})
	}
	for _, name := range rule.Context {
		p.Signals = append(p.Signals, rules.SignalSpec{Name: name, Role: rules.Context})
	}
	return p, nil
}

func specs(list []rules.SignalSpec) string {
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.Name
	}
	return strings.Join(names, ", ")
}

type run struct {
	opts     Options
	table    *table
	pack     *rules.Pack
	out      *writer
	machines map[string]*watched
	order    []*watched
	summary  Summary
	doubled  tally // rows or values that had come before
	behind   tally // rows that are not after the one before them
	bundles  int
	same     int // rows with the time of the one before them
	counters []counter
	clock    int64 // newest time of a row, Unix ns
	stands   []sisters.Standing
}

// watched is one machine of the file.
type watched struct {
	name     string
	rules    *rules.Machine
	pack     *rules.Pack
	rows     int
	first    time.Time // as evaluated, as last
	last     time.Time
	written  time.Time // as the file has it
	values   []observation.Value
	waiting  bool // long: values are those of an instant that may go on
	line     int
	recorder *bundle.Recorder // nil = no bundles are wanted
	episodes int
	open     []int // indexes of open episodes
	current  int   // number of the newest open one, 0 = none
	life     *life // nil = no model is asked
}

func (r *run) row(row row) error {
	m, err := r.machine(row.machine)
	if err != nil {
		return r.table.fault(row.line, "%v", err)
	}
	if r.table.long {
		return r.join(m, row)
	}
	at := row.at
	if !r.table.timed {
		at = epoch.Add(time.Duration(m.rows+1) * r.opts.every())
	} else if m.rows > 0 && at.Equal(m.written) && slices.Equal(row.values, m.values) {
		m.rows++
		r.summary.Rows++
		r.doubled.add(r.table.fault(row.line, "the same row as the one before"))
		return r.out.row(m, m.last)
	}
	r.count(row.values)
	m.values = append(m.values[:0], row.values...)
	return r.observe(m, at, row.line)
}

// join collects the values of one instant of a table of one value a row; the first
// value of the next one ends it.
func (r *run) join(m *watched, row row) error {
	if m.waiting && !row.at.Equal(m.written) {
		if err := r.flush(m); err != nil {
			return err
		}
		if row.at.Before(m.written) {
			return r.back(row.line, row.at)
		}
	}
	if !m.waiting {
		m.waiting, m.written, m.line, m.values = true, row.at, row.line, m.values[:0]
	}
	for _, v := range row.values {
		var doubled bool
		if m.values, doubled = add(m.values, v); doubled {
			r.doubled.add(r.table.fault(row.line, "signal %s has a value of this instant already; the first stays", short(v.Signal)))
		}
	}
	return nil
}

func (r *run) flush(m *watched) error {
	m.waiting = false
	r.learnNames(m)
	return r.observe(m, m.written, m.line)
}

// learnNames lets a machine of a table of one value a row go on under a pack that
// knows the signals which have come since.
func (r *run) learnNames(m *watched) {
	if r.opts.Pack != nil {
		return
	}
	unknown := func(p *rules.Pack) (names []string) {
		for _, v := range m.values {
			if _, ok := p.Signal(v.Signal); !ok {
				names = append(names, v.Signal)
			}
		}
		return names
	}
	if len(unknown(m.pack)) == 0 {
		return
	}
	if more := unknown(r.pack); len(more) > 0 {
		p := *r.pack
		p.Signals = slices.Clone(p.Signals)
		for _, name := range more {
			p.Signals = append(p.Signals, rules.SignalSpec{Name: name, Role: rules.Condition})
		}
		r.pack = &p
	}
	state := m.rules.Snapshot(nil)
	m.pack = r.pack
	_ = m.rules.Restore(m.pack, state) // of our own state, a moment old
	if m.recorder != nil {
		m.recorder.Restart(m.rules)
	}
}

// back is the error of a time before the one before it.
func (r *run) back(line int, at time.Time) error {
	hint := ""
	if r.opts.Group == "" && len(r.machines) == 1 {
		hint = ", or name the column of the machines (--group)"
	}
	return r.table.fault(line, "time goes back to %s: sort the file by time%s", at.Format(time.RFC3339), hint)
}

// observe shows one instant of a machine to the rules and writes what they say.
func (r *run) observe(m *watched, at time.Time, line int) error {
	switch {
	case m.rows == 0:
	case at.Before(m.last.Add(-putBack)):
		return r.back(line, at)
	case at.Before(m.written):
		r.behind.add(r.table.fault(line, "time %s is before that of the row above", at.Format(time.RFC3339)))
	case at.Equal(m.written):
		r.same++
	}
	m.rows++
	r.summary.Rows++
	m.written = at
	if !at.After(m.last) {
		at = m.last.Add(1) // several rows of one second, or of an hour that comes twice
	}
	if m.last = at; m.first.IsZero() {
		m.first = at
	}
	if err := r.compare(at); err != nil {
		return r.table.fault(line, "%v", err)
	}
	seen := observation.Observation{Machine: m.name, At: at, Received: at, Values: m.values}
	if m.recorder != nil {
		m.recorder.Record(m.rules, seen)
	}
	found := m.rules.Observe(seen)
	if m.life != nil {
		m.life.observe(m, r.table.timed)
	}
	if err := r.take(m, found, false); err != nil {
		return r.table.fault(line, "%v", err)
	}
	return r.out.row(m, at)
}

// epoch is where rows without a time begin.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

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
	name = strings.Clone(name)
	m := &watched{name: name, pack: r.pack, rules: rules.New(name, r.pack)}
	if r.opts.Model != nil {
		m.life = newLife(r.opts.Model)
	}
	if r.opts.Bundle != nil {
		m.recorder = &bundle.Recorder{Every: window(len(r.order))}
	}
	r.machines[name] = m
	r.order = append(r.order, m)
	return m, nil
}

// take notes what a row has changed, or, flushed, the end of the file.
func (r *run) take(m *watched, found []rules.Finding, flushed bool) error {
	for _, f := range found {
		at := slices.IndexFunc(m.open, func(i int) bool { return r.summary.Episodes[i].Rule == f.Rule })
		switch {
		case f.Propose:
		case f.Change == rules.Opened:
			if len(r.summary.Episodes) == maxEpisodes {
				return fmt.Errorf("more than %d episodes", maxEpisodes)
			}
			m.episodes++
			if err := r.bundle(m, f, flushed); err != nil {
				return err
			}
			m.open = append(m.open, len(r.summary.Episodes))
			r.summary.Episodes = append(r.summary.Episodes, Episode{
				Machine: m.name, Number: m.episodes, Rule: f.Rule, Severity: f.Severity, Opened: m.rows, OpenedAt: f.OpenedAt, Evidence: f.Evidence,
			})
			if f.Severity != rules.Info {
				r.summary.Episodes[len(r.summary.Episodes)-1].Warned = m.rows
			}
		case f.Change == rules.Updated && at >= 0:
			if e := &r.summary.Episodes[m.open[at]]; e.Severity != f.Severity { // what was a note is a fault now
				e.Severity, e.Evidence, e.Warned = f.Severity, f.Evidence, m.rows
			}
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
		if m.waiting {
			if err := r.flush(m); err != nil {
				return r.summary, err
			}
		}
		if err := r.take(m, m.rules.Flush(), true); err != nil {
			return r.summary, err
		}
		if m.rules.Learning() {
			r.summary.Learning++
		}
		r.summary.Spans = append(r.summary.Spans, Span{m.name, m.rows, m.first, m.last})
		r.summary.Standings = append(r.summary.Standings, m.standing())
	}
	r.summary.Machines = len(r.order)
	if r.table.long {
		r.summary.Signals, r.summary.Context, r.summary.Ignored = r.table.chosen()
	}
	r.summary.Notes = slices.Concat(r.notes(), r.stepped())
	if r.summary.Rows == 0 {
		return r.summary, fmt.Errorf("%s: holds no rows that can be read", r.table.name)
	}
	return r.summary, r.out.end(r.summary)
}

// notes says what was taken for what, and what was left out.
func (r *run) notes() []string {
	notes := slices.Concat(r.table.notes, r.several())
	if 2*r.same > r.summary.Rows {
		notes = append(notes, r.table.fault(1, "%d of %d rows have the time of the row before them: is it the whole time, and one machine?", r.same, r.summary.Rows).Error())
	}
	for _, of := range []struct {
		tally
		one, many string
	}{
		{r.table.cells, "it was taken as missing", "%d such cells were taken as missing"},
		{r.table.left, "the row was left out", "%d rows were left out that could not be read"},
		{r.doubled, "it was left out", "%d such doubles were left out"},
		{tally{max(0, r.bundles-maxBundles), fmt.Errorf("%s: more than %d episodes", r.table.name, maxBundles)}, "one has no bundle of evidence", "%d have no bundle of evidence"},
		{r.behind, "it was taken in the order of the file", "%d such rows were taken in the order of the file"},
	} {
		switch {
		case of.n == 1:
			notes = append(notes, of.first.Error()+": "+of.one)
		case of.n > 1:
			notes = append(notes, of.first.Error()+": "+fmt.Sprintf(of.many, of.n))
		}
	}
	return notes
}
