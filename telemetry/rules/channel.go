package rules

import "math"

// A channel's run-in: what it keeps, and when it has seen enough.
const (
	keptElements = 256 // at most; beyond it neighbours are averaged
	leastRunIn   = 40  // elements
	leastIndep   = 45  // elements worth, after autocorrelation
	widest       = 64  // rows averaged into one element at most
	tooAlike     = 0.8 // lag-1 autocorrelation above which neighbours are averaged
)

// channel watches one signal of a watcher. Its element is the mean of size rows:
// a signal whose rows hang together is looked at more coarsely.
type channel struct {
	name   string
	size   int
	state  channelState
	sum    [maxContext + 1]float64 // of the element being filled: value, contexts
	filled int

	kept []float64 // run-in: value and contexts of each element, one after another

	fit    regression
	level  float64
	sigma  float64
	lag    float64 // lag-1 autocorrelation
	spread float64 // variance of the control statistic at rest, in sigma²
	smooth float64 // control statistic, in sigma
	value  float64 // smoothed signal
	away   float64 // smoothed distance from normal, in the signal's unit; wild values count in full
	strain float64 // surprise that it adds to the sum
	onset  int64   // when the strain was small last, Unix ns
	struck int64   // when the strain became large, 0 = it is not
}

type channelState uint8

const (
	learningRunIn channelState = iota
	watching
	counting // it only grows, as an hour meter: nothing to see
)

// element adds one row and says whether an element is complete in c.sum.
func (c *channel) element(y float64, x []float64) bool {
	if c.filled == 0 {
		c.sum = [maxContext + 1]float64{}
	}
	c.sum[0] += y
	for i, v := range x {
		c.sum[i+1] += v
	}
	c.filled++
	if c.filled < c.size {
		return false
	}
	for i := range len(x) + 1 {
		c.sum[i] /= float64(c.filled)
	}
	c.filled = 0
	return true
}

// keep adds the complete element to the run-in.
func (c *channel) keep() {
	k := c.fit.k + 1
	if n := len(c.kept); n >= k && c.kept[n-k] != c.sum[0] && c.still() && n/k >= leastRunIn/2 {
		c.kept = c.kept[:0] // a signal that never moved has moved: its run-in begins now
	}
	c.kept = append(c.kept, c.sum[:k]...)
	if len(c.kept)/k >= keptElements {
		if c.still() {
			c.kept = c.kept[:len(c.kept)/2/k*k]
			return
		}
		c.halve()
	}
}

func (c *channel) still() bool {
	for i := 0; i < len(c.kept); i += c.fit.k + 1 {
		if c.kept[i] != c.kept[0] {
			return false
		}
	}
	return true
}

// halve averages neighbouring elements.
func (c *channel) halve() {
	k := c.fit.k + 1
	n := len(c.kept) / k / 2
	for i := range n {
		for j := range k {
			c.kept[i*k+j] = (c.kept[2*i*k+j] + c.kept[(2*i+1)*k+j]) / 2
		}
	}
	c.kept = c.kept[:n*k]
	c.size *= 2
}

// settle ends the run-in when it has seen enough, or, with must, as it is.
func (c *channel) settle(lambda float64, must bool) {
	n := len(c.kept) / (c.fit.k + 1)
	if n < leastRunIn/2 || !must && n < leastRunIn || c.still() {
		return
	}
	if c.grows() {
		c.state, c.kept = counting, nil
		return
	}
	s := c.study()
	enough := float64(len(s.rests))/s.kappa >= leastIndep || c.size >= widest
	if !must && !enough {
		return
	}
	for s.lag > tooAlike && len(s.rests) >= leastRunIn {
		c.halve()
		s = c.study()
	}
	c.freeze(s, lambda)
}

// grows says whether the signal is a counter.
func (c *channel) grows() bool {
	k, rises := c.fit.k+1, 0
	for i := k; i < len(c.kept); i += k {
		if c.kept[i] < c.kept[i-k] {
			return false
		}
		if c.kept[i] > c.kept[i-k] {
			rises++
		}
	}
	return rises > len(c.kept)/k/2
}

// runIn is what a run-in says.
type runIn struct {
	rests         []float64
	middle, sigma float64
	lag           float64 // lag-1 autocorrelation
	kappa         float64 // how many elements are worth one independent one
}

func (c *channel) study() runIn {
	k := c.fit.k + 1
	c.fit = regression{k: c.fit.k}
	for i := 0; i < len(c.kept); i += k {
		c.fit.add(c.kept[i+1:i+k], c.kept[i])
	}
	c.fit.solve()
	s := runIn{rests: make([]float64, 0, len(c.kept)/k)}
	for i := 0; i < len(c.kept); i += k {
		s.rests = append(s.rests, c.kept[i]-c.fit.explained(c.kept[i+1:i+k]))
	}
	s.middle, s.sigma = spread(s.rests)
	mean, square := moments(s.rests)
	plain := math.Sqrt(square / math.Max(float64(len(s.rests)-1-c.fit.k), 1))
	s.sigma = math.Max(s.sigma, 0.8*plain)
	s.lag = lagOne(s.rests, mean, square)
	s.kappa = math.Max((1+s.lag)/(1-s.lag), batches(s.rests, plain*plain))
	return s
}

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

// freeze makes the baseline. The spread of the control statistic is that of an
// EWMA of autocorrelated elements, and the run-in's own error on top: a level
// learnt from few elements is a guess.
func (c *channel) freeze(s runIn, lambda float64) {
	c.level, c.sigma, c.lag = s.middle, s.sigma, s.lag
	if c.sigma == 0 {
		c.sigma = math.SmallestNonzeroFloat32
	}
	slow := s.kappa * (1 - s.lag) / (1 + s.lag) // 1 where the lag says it all
	kappa := (1 + s.lag*(1-lambda)) / (1 - s.lag*(1-lambda)) * slow
	c.spread = kappa*lambda/(2-lambda) + s.kappa/float64(len(s.rests))
	c.state, c.kept, c.value = watching, nil, c.level
}

// follow moves the control statistic by the complete element.
func (c *channel) follow(lambda float64) {
	rest := c.sum[0] - c.fit.explained(c.sum[1:c.fit.k+1]) - c.level
	z := math.Max(-farthest, math.Min(farthest, rest/c.sigma))
	c.smooth += lambda * (z - c.smooth)
	c.away += lambda * (rest - c.away)
	c.value += lambda * (c.sum[0] - c.value)
	c.strain = math.Max(0, math.Min(c.smooth*c.smooth/c.spread/2-unsurprising, surprising))
}

// farthest bounds what one element can say, in sigma; unsurprising is taken off
// every channel's surprise (half the square of a normal variable), and surprising
// is the most that one channel adds.
const (
	farthest     = 8.0
	unsurprising = 4.0
	surprising   = 25.0
)
