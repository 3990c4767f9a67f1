// Package statistics holds what several evaluators learn with: a regression on contexts, a
// robust spread, an exponential mean in event time. It is pure, and knows no rules.
package statistics

import (
	"fmt"
	"math"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// Span is a length in rows or, with Rows 0, in event time. Both count rows inside
// the rule's regime only.
type Span struct {
	Rows int
	For  time.Duration
}

// String is a span in words, such as "500 rows".
func (s Span) String() string {
	if s.Rows > 0 {
		return fmt.Sprintf("%d rows", s.Rows)
	}
	return s.For.String()
}

// GapPeriods is how many usual distances of rows make a gap.
const GapPeriods = 3

// Smoothing turns distances in time into weights of an exponential mean, so that
// half the rate of rows gives the same mean. Time outside the regime and gaps do
// not count.
type Smoothing struct {
	Span   Span
	last   int64
	period int64
	Paused bool    // the time until the next row does not count
	passed int64   // of the cached weight
	alpha  float64 // of the cached weight
}

// Step is the time since the last row, gaps cut to the usual distance.
func (s *Smoothing) Step(at int64) int64 {
	passed := at - s.last
	first := s.last == 0
	s.last = at
	if first || s.Paused {
		s.Paused = false
		return s.period
	}
	if s.period == 0 {
		s.period = passed
	}
	passed = min(passed, GapPeriods*s.period)
	s.period += (passed - s.period) / 16
	return passed
}

// Pace is the time of the last row and the usual distance of rows, ns.
func (s *Smoothing) Pace() (last, period int64) { return s.last, s.period }

// Weight is that of the row at this time.
func (s *Smoothing) Weight(at int64) float64 {
	passed := s.Step(at)
	if s.Span.Rows > 0 {
		return 2 / float64(s.Span.Rows+1)
	}
	if passed != s.passed || s.alpha == 0 {
		s.passed = passed
		s.alpha = 1 - math.Exp(-float64(passed)/float64(s.Span.For))
	}
	return s.alpha
}

// Snapshot appends the state.
func (s *Smoothing) Snapshot(w *snapshot.Writer) {
	w.Int(s.last)
	w.Int(s.period)
	w.Bool(s.Paused)
	w.Int(s.passed)
	w.Float(s.alpha)
}

// Restore takes the state back.
func (s *Smoothing) Restore(r *snapshot.Reader) {
	s.last, s.period, s.Paused, s.passed, s.alpha = r.Int(), r.Int(), r.Bool(), r.Int(), r.Float()
}
