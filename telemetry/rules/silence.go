package rules

import (
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// silence: no data though the machine, when last heard of, was in the regime in
// which it should send (ignition on). It fires from ticks only: a machine that
// says nothing cannot be asked. Our own or a source's downtime excuses it, and a
// machine that speaks of what is long past, as one that brings what it has kept or
// whose clock is behind, is not silent while it speaks.
type silence struct {
	rule    *Rule
	signal  int // -1 = any
	regime  []bound
	last    int64 // last row, Unix ns
	due     bool  // the machine was in the regime then
	spoke   bool  // since the last tick
	spoken  int64 // tick before which it last spoke of what was long past
	excused int64 // until when silence is excused
	gapFrom int64 // the longest late silence that has ended, for a tick that comes after its end
	gapTo   int64
	gapDue  bool
	hours   float64 // without data, at the last tick that found it
	rows    int64
}

func newSilence(r *Rule, numbers Numbers) Evaluator {
	s := &silence{rule: r, signal: -1, regime: bounds(r, numbers)}
	if r.Signal != "" {
		s.signal = numbers(r.Signal)
	}
	return s
}

func (s *silence) Observe(row *Row) Judgement {
	if s.signal >= 0 && row.now[s.signal] != row.now[s.signal] {
		return Judgement{}
	}
	if s.last != 0 && row.at-s.last > int64(s.rule.After) {
		s.gapFrom, s.gapTo, s.gapDue = s.last, row.at, s.due
	}
	s.last, s.spoke = max(s.last, row.at), true
	s.due = within(row, s.regime)
	s.rows++
	return Judgement{State: Calm}
}

func (s *silence) Tick(at time.Time, excused bool) Judgement {
	t := at.UnixNano()
	if s.spoke && s.silent(s.last, t) {
		s.spoken = t
	}
	s.spoke = false
	if excused {
		s.excused = max(s.excused, t)
		return Judgement{}
	}
	if last := max(s.last, s.spoken); s.due && s.silent(last, t) {
		s.hours = time.Duration(t - last).Hours()
		return Judgement{State: Trouble, Nearness: 1}
	}
	if s.gapDue && t < s.gapTo && s.silent(s.gapFrom, t) {
		return Judgement{State: Trouble, Nearness: 1, Until: unix(s.gapTo)}
	}
	return Judgement{}
}

func (s *silence) silent(since, now int64) bool {
	return since != 0 && now-max(since, s.excused) > int64(s.rule.After)
}

func (s *silence) Evidence(e *Evidence) {
	e.RegimeRows, e.Observed = int(s.rows), s.hours
	e.Limit, e.Unit = s.rule.After.Hours(), "h"
}

func (s *silence) Snapshot(dst []byte) []byte {
	w := snapshot.Writer{B: dst}
	w.Int(s.last)
	w.Bool(s.due)
	w.Bool(s.spoke)
	w.Int(s.spoken)
	w.Int(s.excused)
	w.Int(s.gapFrom)
	w.Int(s.gapTo)
	w.Bool(s.gapDue)
	w.Float(s.hours)
	w.Int(s.rows)
	return w.B
}

func (s *silence) Restore(_ int, b []byte) error {
	r := snapshot.Reader{B: b}
	s.last, s.due, s.spoke, s.spoken, s.excused = r.Int(), r.Bool(), r.Bool(), r.Int(), r.Int()
	s.gapFrom, s.gapTo, s.gapDue = r.Int(), r.Int(), r.Bool()
	s.hours, s.rows = r.Float(), r.Int()
	return r.Err
}
