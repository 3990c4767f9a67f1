package watcher

import (
	"math"

	"github.com/thirdstate/thirdstate/telemetry/rules/statistics"
)

// runIn is what a run-in says.
type runIn struct {
	rests         []float64
	middle, sigma float64
	lag           float64 // lag-1 autocorrelation
	kappa         float64 // how many elements are worth one independent one
}

func (c *channel) study() runIn {
	k, known := c.fit.K+1, c.fit.K
	if c.modes = findRegimes(c.kept, c.fit.K); c.modes != nil {
		known = len(c.modes.list)
	}
	c.explain()
	s := runIn{rests: make([]float64, 0, len(c.kept)/k)}
	for i := 0; i < len(c.kept); i += k {
		s.rests = append(s.rests, c.kept[i]-c.explainedIn(c.kept[i+1:i+k]))
	}
	s.middle, s.sigma = statistics.Spread(s.rests)
	mean, square := moments(s.rests)
	plain := math.Sqrt(square / math.Max(float64(len(s.rests)-1-known), 1))
	s.sigma = math.Max(s.sigma, 0.8*plain)
	s.lag = lagOne(s.rests, mean, square)
	s.kappa = math.Max((1+s.lag)/(1-s.lag), batches(s.rests, plain*plain))
	return s
}

// explain fits the contexts, where they say more of the signal than chance would: two
// signals that both wander go together for a while, and then part.
func (c *channel) explain() {
	k := c.fit.K + 1
	c.fit = statistics.Regression{K: c.fit.K}
	if c.fit.K == 0 {
		return
	}
	plain, rests := make([]float64, 0, len(c.kept)/k), make([]float64, 0, len(c.kept)/k)
	for i := 0; i < len(c.kept); i += k {
		c.fit.Add(c.kept[i+1:i+k], c.kept[i])
		plain = append(plain, c.kept[i])
	}
	c.fit.Solve()
	for i := 0; i < len(c.kept); i += k {
		rests = append(rests, c.kept[i]-c.fit.Explained(c.kept[i+1:i+k]))
	}
	mean, all := moments(plain)
	_, left := moments(rests)
	kappa := math.Max(1, batches(plain, all/math.Max(float64(len(plain)-1), 1)))
	lag := lagOne(plain, mean, all)
	independent := float64(len(plain)) / math.Max(kappa, (1+lag)/(1-lag))
	if (all-left)*math.Max(independent-float64(k), 1) < leastExplained*float64(c.fit.K)*left {
		c.fit.Slope = [statistics.MaxContext]float64{}
	}
}

// leastExplained is the F ratio from which contexts explain a signal.
const leastExplained = 4.0

func moments(v []float64) (mean, square float64) {
	for _, x := range v {
		mean += x
	}
	mean /= float64(len(v))
	for _, x := range v {
		square += (x - mean) * (x - mean)
	}
	return mean, square
}

// lagOne is the lag-1 autocorrelation, corrected for the bias of short series
// (Kendall 1954) and kept within 0 and 0.98.
func lagOne(v []float64, mean, square float64) float64 {
	if square == 0 {
		return 0
	}
	sum := 0.0
	for i := 1; i < len(v); i++ {
		sum += (v[i] - mean) * (v[i-1] - mean)
	}
	r := sum / square
	r += (1 + 4*r) / float64(len(v))
	return math.Max(0, math.Min(r, 0.98))
}

// batches is the variance of means of ever longer stretches, against what
// independent elements would give: slow movement hides from the lag-1 autocorrelation.
func batches(v []float64, variance float64) float64 {
	worst := 1.0
	if variance == 0 {
		return worst
	}
	for w := 2; w <= len(v)/6; w *= 2 {
		n := len(v) / w
		sum, square := 0.0, 0.0
		for i := range n {
			m := 0.0
			for j := range w {
				m += v[i*w+j]
			}
			m /= float64(w)
			sum += m
			square += m * m
		}
		between := (square - sum*sum/float64(n)) / float64(n-1)
		worst = math.Max(worst, between*float64(w)/variance)
	}
	return worst
}
