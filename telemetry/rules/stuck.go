package rules

import (
	"math"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// stuckRows is the least number of equal values that make a frozen sensor.
const stuckRows = 20

// stuck: the sensor is at fault, not the machine. Either its value has not moved
// by more than Tolerance for After (while the machine is in the regime), or it is
// out of what is physically possible.
type stuck struct {
	rule        *Rule
	in          input
	low, high   float64 // of the present run
	rows        int64   // in the present run
	since       int64   // its first row
	passed      int64   // its length inside the regime, ns
	last        int64
	outside     bool
	implausible bool // the present row
	frozen      bool // the last trouble was a frozen value
	value       float64
	seen        int64
}

func newStuck(r *Rule, numbers Numbers) Evaluator {
	return &stuck{rule: r, in: newInput(r, numbers)}
}

func (s *stuck) Observe(row *Row) Judgement {
	if row.Implausible(s.in.signal) {
		s.implausible, s.frozen = true, false
		s.restart(row.at, math.NaN())
		return Judgement{State: Trouble, Nearness: 1}
	}
	x, state := s.in.read(row)
	if state != Calm {
		s.outside = s.outside || state == Outside
		return Judgement{State: state}
	}
	s.seen++
	s.implausible = false
	s.value = x
	s.follow(row.at, x)
	if s.rule.After == 0 || s.rows < stuckRows || s.passed < int64(s.rule.After) {
		return Judgement{State: Calm}
	}
	s.frozen = true
	return Judgement{State: Trouble, Nearness: 1}
}

// follow lengthens the present run, or starts another when the value has moved.
func (s *stuck) follow(at int64, x float64) {
	low, high := math.Min(s.low, x), math.Max(s.high, x)
	if s.rows == 0 || !(high-low <= s.rule.Tolerance) {
		s.restart(at, x)
		s.rows = 1
		return
	}
	s.low, s.high = low, high
	s.rows++
	if !s.outside {
		s.passed += at - s.last
	}
	s.last, s.outside = at, false
}

func (s *stuck) restart(at int64, x float64) {
	s.low, s.high, s.rows, s.since, s.last, s.passed, s.outside = x, x, 0, at, at, 0, false
}

func (s *stuck) Tick(time.Time, bool) Judgement { return Judgement{} }

func (s *stuck) Evidence(e *Evidence) {
	e.Observed, e.RegimeRows, e.Limit = s.value, int(s.seen), s.rule.Tolerance
	e.Sign = "implausible"
	if s.frozen {
		e.Sign = "frozen"
	}
	if s.frozen && s.rows > 1 {
		e.Since = unix(s.since)
	}
}

func (s *stuck) Snapshot(dst []byte) []byte {
	w := snapshot.Writer{B: dst}
	w.Float(s.low)
	w.Float(s.high)
	w.Int(s.rows)
	w.Int(s.since)
	w.Int(s.passed)
	w.Int(s.last)
	w.Bool(s.outside)
	w.Bool(s.implausible)
	w.Bool(s.frozen)
	w.Float(s.value)
	w.Int(s.seen)
	return w.B
}

func (s *stuck) Restore(_ int, b []byte) error {
	r := snapshot.Reader{B: b}
	s.low, s.high, s.rows, s.since, s.passed, s.last = r.Float(), r.Float(), r.Int(), r.Int(), r.Int(), r.Int()
	s.outside, s.implausible, s.frozen = r.Bool(), r.Bool(), r.Bool()
	s.value, s.seen = r.Float(), r.Int()
	return r.Err
}
