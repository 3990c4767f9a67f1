package rules

import (
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// expression: a condition written as a formula, such as
// oil_temp - ambient_temp > 30 and engine_speed > 1500.
type expression struct {
	rule *Rule
	in   input
	last float64 // the signal that stands for it
	so   bool
	rows int64
}

func newExpression(r *Rule, numbers Numbers) Evaluator {
	return &expression{rule: r, in: newInput(r, numbers)}
}

func (x *expression) Observe(row *Row) Judgement {
	v, s := x.in.read(row)
	if s != Calm {
		return Judgement{State: s}
	}
	x.rows++
	x.so = v == 1
	if shown := row.Held(x.in.signal); shown == shown {
		x.last = shown
	}
	if x.so {
		return Judgement{State: Trouble, Nearness: 1}
	}
	return Judgement{State: Calm}
}

func (x *expression) Tick(time.Time, bool) Judgement { return Judgement{} }

func (x *expression) Evidence(e *Evidence) {
	e.Observed, e.RegimeRows = x.last, int(x.rows)
	for _, s := range x.rule.formula.signals {
		if len(e.Causes) < maxCauses {
			e.Causes = append(e.Causes, Cause{Signal: s})
		}
	}
	for i := range e.Causes {
		e.Causes[i].Share = 1 / float64(len(e.Causes))
	}
}

func (x *expression) Snapshot(dst []byte) []byte {
	w := snapshot.Writer{B: dst}
	w.Float(x.last)
	w.Bool(x.so)
	w.Int(x.rows)
	return w.B
}

func (x *expression) Restore(_ int, b []byte) error {
	r := snapshot.Reader{B: b}
	x.last, x.so, x.rows = r.Float(), r.Bool(), r.Int()
	return r.Err
}
