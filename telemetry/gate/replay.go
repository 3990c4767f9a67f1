package gate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/backtest"
	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
)

// Bounds of one back-test.
const (
	replayYears  = 5
	replayRows   = 20_000 // at once
	mostRows     = 200_000_000
	mostFlags    = 1_000_000
	mostMachines = 5_000
)

// Machine is one whose history is looked at.
type Machine struct {
	ID    uuid.UUID `db:"id"`
	Key   string    `db:"key"`
	No    int       `db:"no"`
	Model string    `db:"model"` // whose pack is asked for it; "" = of no model
}

// kind is whose sisters a machine has: those of its model, as live.
func (s Subject) kind(m Machine) string { return cmp.Or(s.model(), m.Model) }

// Fault is one that people have confirmed: At is when they saw it.
type Fault struct {
	MachineID   uuid.UUID
	FailureMode string
	At          time.Time
}

// Subject is what is judged: a pack, nil for the default watcher, or with Rule one
// rule of it alone.
type Subject struct {
	Pack *rules.Pack
	Rule string
}

// WatcherHash stands for the default watcher where a pack is named by its hash.
const WatcherHash = rules.WatcherID

func (s Subject) hash() string {
	if s.Pack == nil {
		return WatcherHash
	}
	return s.Pack.Hash
}

func (s Subject) model() string {
	if s.Pack == nil {
		return ""
	}
	return s.Pack.Model
}

// rules lists what may flag: the pack's own rules; what is beside every pack is none
// of its merit.
func (s Subject) rules() (list []*rules.Rule) {
	if s.Pack == nil {
		list = []*rules.Rule{rules.Builtin(rules.WatcherID), rules.Builtin(rules.SensorsID)}
	} else {
		for i := range s.Pack.Rules {
			list = append(list, &s.Pack.Rules[i])
		}
	}
	if s.Rule == "" {
		return list
	}
	return slices.DeleteFunc(list, func(r *rules.Rule) bool { return r.ID != s.Rule })
}

// Rows gives what a machine reported in [from, to), in the order of time.
type Rows func(ctx context.Context, machine history.Ref, from, to time.Time, limit int) ([]observation.Observation, error)

// replay is one run of a subject over the histories of machines.
type replay struct {
	subject Subject
	own     map[string]bool // rules that may flag
	ticks   bool            // a rule waits for nothing to happen
	rows    Rows
	seen    int64

	spans []backtest.Span
	flags map[string][]backtest.Flag // by rule
	count int
	took  time.Duration // in the rules alone

	sisters comparison
}

func newReplay(s Subject, rows Rows) *replay {
	r := &replay{subject: s, rows: rows, own: map[string]bool{}, flags: map[string][]backtest.Flag{}}
	for _, rule := range s.rules() {
		r.own[rule.ID] = true
		r.ticks = r.ticks || rule.Kind == "silence"
	}
	return r
}

// machine lets the rules see the history of one machine up to an instant, by the
// engine that runs live.
func (r *replay) machine(ctx context.Context, m Machine, until time.Time) error {
	one := course{replay: r, rules: rules.New(m.Key, r.subject.Pack), cohorts: r.sisters.cohorts[r.subject.kind(m)], span: backtest.Span{Machine: m.Key}, open: map[string]int{}}
	if err := r.read(ctx, m, until, one.observe); err != nil || one.span.From.IsZero() {
		return err
	}
	if err := one.take(one.rules.Flush()); err != nil {
		return err
	}
	r.spans = append(r.spans, one.span)
	return nil
}

// read shows the history of a machine up to an instant, some rows at once.
func (r *replay) read(ctx context.Context, m Machine, until time.Time, see func([]observation.Observation) error) error {
	ref, from := history.Ref{Key: m.Key, No: m.No}, until.AddDate(-replayYears, 0, 0)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		list, err := r.rows(ctx, ref, from, until, replayRows)
		if err != nil {
			return fmt.Errorf("read the history of %s: %w", m.Key, err)
		}
		began := time.Now()
		if crash := formats.Contain(func() { err = see(list) }); crash != nil {
			return problem.New(problem.Conflict, "the rules fail over the history of %s: %s", m.Key, crash.Detail)
		}
		r.took += time.Since(began)
		if r.seen += int64(len(list)); err == nil && r.seen > mostRows {
			err = problem.New(problem.TooLarge, "the history has more than %d rows: name fewer machines", int64(mostRows))
		}
		if err != nil {
			return err
		}
		if len(list) < replayRows {
			return nil
		}
		from = list[len(list)-1].At.Add(time.Microsecond) // histories are no finer
	}
}

// course is the history of one machine as it passes.
type course struct {
	*replay
	rules   *rules.Machine
	span    backtest.Span
	ticked  time.Time
	cohorts []*sisters.Cohort // of its kind
	told    int               // of them
	open    map[string]int    // rule and component to its flag among those of the rule
}

func (c *course) observe(list []observation.Observation) error {
	for i := range list {
		o := list[i]
		o.Machine = c.span.Machine
		if c.span.From.IsZero() {
			c.span.From, c.ticked = o.At, o.At.Truncate(detection.TickEvery)
		}
		c.span.To = o.At
		if err := c.tick(o.At); err != nil {
			return err
		}
		if err := c.beside(o.At); err != nil {
			return err
		}
		if err := c.take(c.rules.Observe(o)); err != nil {
			return err
		}
	}
	return nil
}

// tick lets the time pass on the grid of the live engine. A history does not say when
// we were away ourselves: nothing excuses a silence.
func (c *course) tick(to time.Time) error {
	if !c.ticks {
		return nil
	}
	for at := c.ticked.Add(detection.TickEvery); !at.After(to); at = at.Add(detection.TickEvery) {
		c.ticked = at
		if err := c.take(c.rules.Tick(at, false)); err != nil {
			return err
		}
	}
	return nil
}

// take keeps flags. What is only worth a note opens no case and is none; it becomes
// one when it rises to advice.
func (c *course) take(found []rules.Finding) error {
	for i := range found {
		f := &found[i]
		if !c.own[f.Rule] || f.Propose {
			continue
		}
		key := f.Rule + "\x00" + f.Component
		at, flagged := c.open[key]
		switch {
		case f.Change == rules.Closed && flagged:
			c.flags[f.Rule][at].Closed = f.At
			delete(c.open, key)
		case f.Change != rules.Closed && !flagged && f.Severity != rules.Info:
			if c.count++; c.count > mostFlags {
				return problem.New(problem.TooLarge, "the rules flag more than %d times", mostFlags)
			}
			c.open[key] = len(c.flags[f.Rule])
			c.flags[f.Rule] = append(c.flags[f.Rule], backtest.Flag{Machine: c.span.Machine, Opened: c.within(f.At)})
		}
	}
	return nil
}

// within keeps an instant inside the history: a tick may be a little before it.
func (c *course) within(at time.Time) time.Time {
	if at.Before(c.span.From) {
		return c.span.From
	}
	return at
}
