package rules

import (
	"math"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/statistics"
)

// learnLeast is the least number of rows of a run-in.
const learnLeast = 40

// fitShare of the run-in is used to fit, the rest to see how far the unexplained
// rest strays on rows that were not fitted.
const fitShare = 0.6

// maxRests bounds the rests that are kept; beyond it every second one is.
const maxRests = 256

// learning is the state of a run-in; it is dropped when the baseline is ready.
type learning struct {
	span   Span
	clock  statistics.Smoothing // counts time in the regime
	passed float64              // rows, or hours in the regime
	rows   int64
	fitted bool

	rests  []float64
	stride int64
	skip   int64
	last   float64 // previous rest
	pairs  float64 // sums for the lag-1 autocorrelation and the spread
	lag    float64
	square float64
	dev    float64 // the control statistic as it strays in the run-in
	strays float64 // sum of its squares
	alphas float64
	minus  float64 // mean of what is subtracted
}

func (l *learning) share() float64 {
	if l.rows < learnLeast {
		return math.Min(fitShare*float64(l.rows)/learnLeast, 0.99)
	}
	if l.span.Rows > 0 {
		return float64(l.rows) / float64(l.span.Rows)
	}
	return l.passed / l.span.For.Hours()
}

// study takes one row of the run-in.
func (d *deviation) study(row *Row, x []float64, y float64) {
	l := d.learn
	l.passed += time.Duration(l.clock.Step(row.at)).Hours()
	l.rows++
	l.minus += (d.in.shown - y - l.minus) / float64(l.rows)
	if !l.fitted {
		d.baseline.fit.Add(x, y)
		if l.share() >= fitShare {
			d.baseline.fit.Solve()
			d.baseline.level = d.baseline.fit.Mean[d.baseline.fit.K]
			l.fitted, l.stride = true, 1
		}
		d.smooth.Weight(row.at)
		return
	}
	l.rest(y-d.baseline.level-d.baseline.fit.Explained(x), d.smooth.Weight(row.at))
	if l.share() >= 1 && len(l.rests) >= learnLeast/4 {
		d.freeze(row)
	}
}

// rest takes one unexplained rest of the second part of the run-in.
func (l *learning) rest(v, alpha float64) {
	if l.pairs > 0 {
		l.lag += v * l.last
	}
	l.last = v
	l.pairs++
	l.square += v * v
	l.dev += alpha * (v - l.dev)
	l.strays += l.dev * l.dev
	l.alphas += alpha
	if l.skip++; l.skip < l.stride {
		return
	}
	l.skip = 0
	l.rests = append(l.rests, v)
	if len(l.rests) == maxRests {
		for i := range maxRests / 2 {
			l.rests[i] = l.rests[2*i+1]
		}
		l.rests = l.rests[:maxRests/2]
		l.stride *= 2
	}
}

// freeze ends the run-in.
func (d *deviation) freeze(row *Row) {
	l, b := d.learn, &d.baseline
	middle, sigma := statistics.Spread(l.rests)
	// The level moves by half of what the later rows say: each part is a guess.
	b.level += middle / 2
	b.sigma = sigma
	alpha := l.alphas / l.pairs
	r1 := 0.0
	if l.square > 0 {
		r1 = math.Max(0, math.Min(0.999, l.lag/l.square))
	}
	kappa := (1 + r1*(1-alpha)) / (1 - r1*(1-alpha))
	theory := sigma * math.Sqrt(alpha/(2-alpha)*kappa)
	strayed := math.Sqrt(l.strays / l.pairs)
	b.limit = math.Max(d.rule.MinEffect, d.sigma()*math.Max(theory, strayed))
	if b.limit <= 0 { // a signal that never moved and no effect asked for
		b.limit = math.SmallestNonzeroFloat32
	}
	b.minusMean, b.ready = l.minus, true
	d.observed, d.onset = d.in.shown, row.at
	d.line.reset()
	d.learn = nil
}
