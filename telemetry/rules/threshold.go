package rules

import (
	"math"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// threshold: value beyond a limit. Between the limit and Release it is in doubt.
type threshold struct {
	rule *Rule
	in   input
	last float64 // last value that counted
	peak float64 // farthest beyond the limit since calm
	rows int64
	line *trend // of the value, where there is one that stops the machine
}

func newThreshold(r *Rule, numbers Numbers) Evaluator {
	t := makeThreshold(r, numbers)
	return &t
}

func makeThreshold(r *Rule, numbers Numbers) threshold {
	t := threshold{rule: r, in: newInput(r, numbers)}
	if r.StopAt != nil {
		t.line = &trend{width: int64(defaultSmooth)}
	}
	return t
}

func (t *threshold) Observe(row *Row) Judgement {
	x, s := t.in.read(row)
	if s != Calm {
		return Judgement{State: s}
	}
	t.last = x
	t.rows++
	if t.line != nil {
		t.line.add(row.at, x)
	}
	over := t.over(x)
	if over > 0 {
		t.peak = math.Max(t.peak, over)
		return Judgement{State: Trouble, Nearness: 1}
	}
	if t.released(x) {
		t.peak = 0
		return Judgement{State: Calm}
	}
	return Judgement{State: Doubt, Nearness: 0.9}
}

// over is how far x is beyond the limit, 0 when it is not.
func (t *threshold) over(x float64) float64 {
	switch {
	case t.rule.Above != nil && x > *t.rule.Above:
		return x - *t.rule.Above
	case t.rule.Below != nil && x < *t.rule.Below:
		return *t.rule.Below - x
	}
	return 0
}

func (t *threshold) released(x float64) bool {
	if t.rule.Release == nil {
		return true
	}
	if t.rule.Above != nil {
		return x <= *t.rule.Release
	}
	return x >= *t.rule.Release
}

func (t *threshold) Tick(time.Time, bool) Judgement { return Judgement{} }

func (t *threshold) Evidence(e *Evidence) {
	e.Observed, e.RegimeRows = t.last, int(t.rows)
	limit := t.limit()
	e.Limit, e.Normal, e.Deviation = limit, limit, t.last-limit
	e.Low, e.High = limit, limit
	switch {
	case t.rule.Above != nil && t.rule.Below != nil:
		e.Low, e.High = *t.rule.Below, *t.rule.Above
	case t.rule.Above != nil && t.rule.Release != nil:
		e.Low = *t.rule.Release
	case t.rule.Below != nil && t.rule.Release != nil:
		e.High = *t.rule.Release
	}
	if t.line != nil {
		t.line.tell(e, t.rule.StopAt)
	}
}

// limit is the one that the last value is beyond, or nearest to.
func (t *threshold) limit() float64 {
	switch {
	case t.rule.Above == nil:
		return *t.rule.Below
	case t.rule.Below == nil:
		return *t.rule.Above
	case math.Abs(t.last-*t.rule.Above) <= math.Abs(t.last-*t.rule.Below):
		return *t.rule.Above
	}
	return *t.rule.Below
}

func (t *threshold) Snapshot(dst []byte) []byte {
	w := snapshot.Writer{B: dst}
	w.Float(t.last)
	w.Float(t.peak)
	w.Int(t.rows)
	if t.line != nil {
		t.line.snapshot(&w)
	}
	return w.B
}

func (t *threshold) Restore(_ int, b []byte) error {
	r := snapshot.Reader{B: b}
	t.last, t.peak, t.rows = r.Float(), r.Float(), r.Int()
	if t.line != nil {
		t.line.restore(&r)
	}
	return r.Err
}
