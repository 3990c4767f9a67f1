package rules

import (
	"math"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/statistics"
)

// Defaults of a deviation rule.
const (
	defaultLearn  = 48 * time.Hour
	defaultSmooth = 30 * time.Minute
	defaultSigma  = 5.0
)

// releaseShare of the limit is where calm begins; onsetShare is where a later
// departure is dated from.
const (
	releaseShare = 0.6
	onsetShare   = 0.5
)

// deviation: value away from this machine's own normal. The run-in learns, row by
// row inside the regime, how the contexts explain the signal, and on further rows
// how far the unexplained rest strays by itself; then both are frozen. Afterwards
// the rest is smoothed (EWMA control statistic; Roberts 1959) and judged against
// the larger of Sigma times its own spread, corrected for autocorrelation
// (Montgomery), and MinEffect: being significant is not being a fault.
type deviation struct {
	rule    *Rule
	in      input
	context []int

	learn    *learning // nil when the baseline is ready
	baseline baseline
	smooth   statistics.Smoothing
	dev      float64 // smoothed rest
	observed float64 // smoothed signal
	onset    int64
	line     trend
	rows     int64
	kin      *kin // what sisters have in common is taken off; nil = they do not matter
	scratch  [statistics.MaxContext]float64
}

// baseline is what the run-in leaves.
type baseline struct {
	ready     bool
	fit       statistics.Regression
	level     float64 // of the judged number at mean contexts
	minusMean float64 // mean of what is subtracted
	sigma     float64 // spread of a single rest
	limit     float64
}

func newDeviation(r *Rule, numbers Numbers) Evaluator {
	d := &deviation{rule: r, in: newInput(r, numbers), learn: &learning{span: r.Learn}, smooth: statistics.Smoothing{Span: r.Smooth}}
	for _, name := range r.Context[:min(len(r.Context), statistics.MaxContext)] {
		d.context = append(d.context, numbers(name))
	}
	if d.smooth.Span == (Span{}) {
		d.smooth.Span.For = defaultSmooth
	}
	d.line.width = int64(max(d.smooth.Span.For, defaultSmooth))
	d.baseline.fit.K = len(d.context)
	if d.learn.span == (Span{}) {
		d.learn.span.For = defaultLearn
	}
	return d
}

func (d *deviation) Observe(row *Row) Judgement {
	y, s := d.in.read(row)
	if s == Calm {
		s = d.contexts(row)
	}
	if s != Calm {
		if s == Outside {
			d.smooth.Paused = true
		}
		return Judgement{State: s}
	}
	x := d.scratch[:len(d.context)]
	if !d.baseline.ready {
		if row.Flagged(d.in.signal) {
			return Judgement{State: Nothing}
		}
		d.rows++
		d.study(row, x, y)
		return Judgement{State: Nothing}
	}
	if !d.baseline.fit.Knows(x) {
		d.smooth.Paused = true
		return Judgement{State: Outside}
	}
	d.rows++
	return d.follow(row, y-d.baseline.level-d.baseline.fit.Explained(x))
}

func (d *deviation) contexts(row *Row) State {
	for i, n := range d.context {
		v := row.Held(n)
		if v != v {
			return Nothing
		}
		d.scratch[i] = v
	}
	return Calm
}

// follow smooths one rest and judges it.
func (d *deviation) follow(row *Row, rest float64) Judgement {
	b := &d.baseline
	bound := 3*b.limit + 4*b.sigma // one wild value must not decide
	rest = math.Max(-bound, math.Min(bound, rest))
	alpha := d.smooth.Weight(row.at)
	d.dev += alpha * (rest - d.dev)
	d.observed += alpha * (d.in.shown - d.observed)
	away, limit, ok := d.apart(row.at)
	if !ok {
		return Judgement{State: Nothing}
	}
	near := d.side(away) / limit
	if near < onsetShare {
		d.onset = row.at
		d.line.reset()
	}
	d.line.add(row.at, rest-(d.dev-away))
	switch {
	case near > 1:
		return Judgement{State: Trouble, Nearness: near}
	case near > releaseShare:
		return Judgement{State: Doubt, Nearness: near}
	}
	return Judgement{State: Calm, Nearness: math.Max(near, 0)}
}

// side is a deviation counted towards where it would be a fault.
func (d *deviation) side(away float64) float64 {
	switch d.rule.Direction {
	case Up:
		return away
	case Down:
		return -away
	case Both:
	}
	return math.Abs(away)
}

func (d *deviation) Tick(time.Time, bool) Judgement { return Judgement{} }

// forget drops the smoothed state after a repair; the baseline stays.
func (d *deviation) forget() {
	d.dev, d.onset = 0, 0
	d.smooth.Paused = true
	d.line.reset()
}

// band is the normal band at typical contexts.
func (d *deviation) band() (low, normal, high float64, ok bool) {
	b := &d.baseline
	normal = b.level + b.minusMean
	half := math.Max(b.limit, 2.5*b.sigma)
	return normal - half, normal, normal + half, b.ready
}

func (d *deviation) Evidence(e *Evidence) {
	b := &d.baseline
	if d.onset != 0 {
		e.Since = unix(d.onset)
	}
	last, _ := d.smooth.Pace()
	away, limit, ok := d.apart(last)
	if !ok {
		away, limit = d.dev, b.limit
	}
	e.Observed, e.Deviation, e.Normal = d.observed, away, d.observed-away
	e.Low, e.High = e.Normal-limit, e.Normal+limit
	e.Limit, e.Sigma, e.RegimeRows = limit, b.sigma, int(d.rows)
	e.Model = &Model{Level: b.level}
	for i := range d.context {
		e.Model.Terms = append(e.Model.Terms, Term{Signal: d.rule.Context[i], Mean: b.fit.Mean[i], Slope: b.fit.Slope[i]})
	}
	for _, name := range d.rule.Minus {
		e.Model.Terms = append(e.Model.Terms, Term{Signal: name, Slope: 1})
	}
	d.line.tell(e, d.rule.StopAt)
}
