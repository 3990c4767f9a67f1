// Package history keeps what machines reported and gives it back: in PostgreSQL, or
// in InfluxDB beside it. It knows instants, signals and who owned a machine when; it
// must not know where a value came from, what it means, or how far the intake log
// has been read.
package history

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// Limits of a query for a chart.
const (
	maxPoints     = 5_000
	defaultPoints = 1_000
	maxRows       = 200_000 // of Rows
	maxSignals    = 200     // of one query
)

// Ref names a machine in the history.
type Ref struct {
	Key string // the machine's key
	No  int    // its number, see machine.no
}

// Point is what one machine reported at one instant.
type Point struct {
	Machine   string // the machine's key
	MachineNo int
	Model     string // "" without one
	At        time.Time
	Values    []observation.Value
}

// Finite gives the values that a history can hold, and refuses the others of the
// point with this index; where there are none it is the point's own slice.
func (p *Point) Finite(index int) (values []observation.Value, refused []Refusal) {
	for i, v := range p.Values {
		if !math.IsNaN(v.Value) && !math.IsInf(v.Value, 0) {
			if refused != nil {
				values = append(values, v)
			}
			continue
		}
		if refused == nil {
			values = append(make([]observation.Value, 0, len(p.Values)), p.Values[:i]...)
		}
		refused = append(refused, Refusal{Point: index, Signal: v.Signal, Fault: formats.Fault{Reason: formats.NumberRange, Path: v.Signal, Detail: "is not a finite number"}})
	}
	if refused == nil {
		return p.Values, nil
	}
	return values, refused
}

// Query asks for the signals of one machine in [From, To). Where more is stored
// than MaxPoints a signal, it is reduced to buckets with mean, lowest and highest.
type Query struct {
	Machine   Ref
	Signals   []string // empty: all
	From, To  time.Time
	MaxPoints int // at most 5,000; 0 means 1,000

	Width time.Duration // of buckets from From on: all values are reduced to them, however few; 0 = as MaxPoints says
}

// Series is one signal of a machine over time. Low and High equal Mean where
// nothing was reduced; At is then the instant itself, else the bucket's start.
type Series struct {
	Signal          string
	At              []time.Time
	Mean, Low, High []float64
}

// A Store keeps what machines reported and gives it back to whoever may see it: every method acts for the principal in ctx, and an owner sees a machine
// from the day it became his until the day it was sold.
type Store interface {
	// Write stores points; the signals of one machine and instant are merged, the
	// later value wins. Points that can never be stored come back as *RefusedError
	// after all others have been stored.
	Write(ctx context.Context, points []Point) error
	// Range gives one series a signal, by name.
	Range(ctx context.Context, q Query) ([]Series, error)
	// Rows gives what was reported in [from, to) in the order of time, at most limit rows.
	Rows(ctx context.Context, machine Ref, from, to time.Time, limit int) ([]observation.Observation, error)
	// Latest gives the newest instant; problem.NotFound where there is none.
	Latest(ctx context.Context, machine Ref) (observation.Observation, error)
	// Prune removes whole days before an instant and says how many.
	Prune(ctx context.Context, before time.Time) (days int, err error)
}

// Refusal is a value or point that a history will never take.
type Refusal struct {
	Point  int    // index in the points of the call
	Signal string // "" for the whole point
	Fault  formats.Fault
}

// RefusedError lists what a history would not take; the rest is stored.
type RefusedError struct{ Refused []Refusal }

func (e *RefusedError) Error() string {
	if len(e.Refused) == 0 {
		return "nothing was refused"
	}
	return fmt.Sprintf("%d points or values refused, the first: %v", len(e.Refused), &e.Refused[0].Fault)
}

// LaterError says when the other side wants to be asked again.
type LaterError struct {
	After time.Duration
	Err   error
}

func (e *LaterError) Error() string { return e.Err.Error() }

// Unwrap returns what the other side said.
func (e *LaterError) Unwrap() error { return e.Err }

// caller is the principal in whose name a history acts.
func caller(ctx context.Context) (identity.Principal, error) {
	who, ok := identity.From(ctx)
	if !ok {
		return who, problem.New(problem.Unauthenticated, "nobody has signed in")
	}
	return who, nil
}

// checked fills in defaults and refuses what makes no sense.
func (q Query) checked() (Query, error) {
	if q.MaxPoints == 0 {
		q.MaxPoints = defaultPoints
	}
	if !q.From.Before(q.To) {
		return q, problem.New(problem.Invalid, "from must be before to").WithFields(problem.Field{Pointer: "/from", Detail: "must be before to"})
	}
	if q.Width != 0 && (q.Width < time.Second || q.Width%time.Millisecond != 0 || q.To.Sub(q.From) > maxPoints*q.Width) {
		return q, problem.New(problem.Invalid, "buckets must be of a second or more, and at most %d", maxPoints).WithFields(problem.Field{Pointer: "/width", Detail: "out of range"})
	}
	if q.MaxPoints < 1 || q.MaxPoints > maxPoints {
		return q, problem.New(problem.Invalid, "points must be 1 to %d", maxPoints).WithFields(problem.Field{Pointer: "/points", Detail: "out of range"})
	}
	if len(q.Signals) > maxSignals {
		return q, problem.New(problem.Invalid, "at most %d signals in one query", maxSignals)
	}
	q.From, q.To = q.From.UTC(), q.To.UTC()
	return q, nil
}

// bucket is the width that was asked for, or gives at most MaxPoints buckets, in whole
// milliseconds.
func (q Query) bucket() time.Duration {
	if q.Width > 0 {
		return q.Width
	}
	width := q.To.Sub(q.From) / time.Duration(q.MaxPoints)
	return width.Truncate(time.Millisecond) + time.Millisecond
}

// add appends a point to a series.
func (s *Series) add(at time.Time, mean, low, high float64) {
	s.At = append(s.At, at.UTC())
	s.Mean, s.Low, s.High = append(s.Mean, mean), append(s.Low, low), append(s.High, high)
}

// seriesSet collects points by signal and lists the series by name.
type seriesSet map[string]*Series

func (set seriesSet) of(signal string) *Series {
	s := set[signal]
	if s == nil {
		s = &Series{Signal: signal}
		set[signal] = s
	}
	return s
}

func (set seriesSet) list() []Series {
	out := make([]Series, 0, len(set))
	for _, signal := range slices.Sorted(maps.Keys(set)) {
		out = append(out, *set[signal])
	}
	return out
}

// boundedLimit keeps the number of rows of one call within bounds.
func boundedLimit(limit int) int {
	if limit <= 0 || limit > maxRows {
		return maxRows
	}
	return limit
}
