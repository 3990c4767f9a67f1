package watcher

import (
	"math"

	"github.com/thirdstate/thirdstate/telemetry/rules/statistics"
)

// A channel's run-in: what it keeps, and when it has seen enough.
const (
	keptElements = 256 // at most; beyond it neighbours are averaged
	leastRunIn   = 40  // elements
	leastIndep   = 45  // elements worth, after autocorrelation
	firstIndep   = 18  // for a first baseline
	longestRunIn = 200 // rows, then what is known must do
	widest       = 64  // rows averaged into one element at most
	tooAlike     = 0.8 // lag-1 autocorrelation above which neighbours are averaged
)

// channel watches one signal of a watcher. Its element is the mean of size rows:
// a signal whose rows hang together is looked at more coarsely.
type channel struct {
	name    string
	size    int
	state   channelState
	wanders bool                               // the run-in shows no level
	sum     [statistics.MaxContext + 1]float64 // of the element being filled: value, contexts
	filled  int

	kept []float64 // run-in, until it is over: value and contexts of each element, one after another
	rows int       // of the run-in

	past   *novelty
	group  *group // nil = it is in none
	seat   int    // in it
	fit    statistics.Regression
	modes  *regimes // in place of fit, where the contexts jump
	level  float64
	sigma  float64
	lag    float64 // lag-1 autocorrelation
	worth  float64 // independent elements that the spread was learnt from; 0 = enough to take it as known
	spread float64 // variance of the control statistic at rest, in sigma²
	taught float64 // elements that level and spread were learnt from
	most   float64 // of them, where they are only known to be calm
	smooth float64 // control statistic, in sigma
	value  float64 // smoothed signal
	away   float64 // smoothed distance from normal, in the signal's unit; wild values count in full
	strain float64 // surprise that it adds to the sum
	joint  float64 // surprise of its group that falls to it
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
		c.sum = [statistics.MaxContext + 1]float64{}
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
	k := c.fit.K + 1
	if n := len(c.kept); n >= k && c.kept[n-k] != c.sum[0] && c.still() && n/k >= leastRunIn/2 {
		c.kept = c.kept[:0] // a signal that never moved has moved: its run-in begins now
	}
	c.kept = append(c.kept, c.sum[:k]...)
	if len(c.kept)/k >= keptElements {
		if c.still() {
			c.kept = c.kept[:len(c.kept)/2/k*k]
			return
		}
		if findRegimes(c.kept, c.fit.K) != nil {
			c.kept = c.kept[:len(c.kept)-k] // an element of two regimes means nothing
			return
		}
		c.halve()
	}
}

func (c *channel) still() bool {
	for i := 0; i < len(c.kept); i += c.fit.K + 1 {
		if c.kept[i] != c.kept[0] {
			return false
		}
	}
	return true
}

// halve averages neighbouring elements.
func (c *channel) halve() {
	k := c.fit.K + 1
	n := len(c.kept) / k / 2
	for i := range n {
		for j := range k {
			c.kept[i*k+j] = (c.kept[2*i*k+j] + c.kept[(2*i+1)*k+j]) / 2
		}
	}
	c.kept = c.kept[:n*k]
	c.size *= 2
}

// settle makes the baseline once the run-in has seen enough, or, with must, as it is. With
// early a first one is made sooner, and again while the run-in goes on.
func (c *channel) settle(lambda float64, must, early bool) {
	n := len(c.kept) / (c.fit.K + 1)
	must = must || c.rows >= longestRunIn && (n >= leastRunIn || c.state == watching)
	if n < leastRunIn/2 || !must && (!early && n < leastRunIn || jumps(c.kept, c.fit.K)) || c.still() {
		return
	}
	if c.grows() {
		if must || n >= leastRunIn {
			c.state, c.kept = counting, nil
		}
		return
	}
	before, known := c.normal()
	s := c.study()
	worth := float64(len(s.rests)) / s.kappa
	switch {
	case must, n >= leastRunIn && (worth >= leastIndep || c.size >= widest):
		for s.lag > tooAlike && len(s.rests) >= leastRunIn && c.modes == nil {
			c.halve()
			s = c.study()
		}
		c.freeze(s, lambda)
		c.kept, c.worth = nil, 0
	case early && (worth >= firstIndep || c.state == watching):
		c.freeze(s, lambda)
		c.worth = worth
	}
	if after, now := c.normal(); known && now {
		c.smooth += (before - after) / c.sigma
	}
}

// normal is what would be normal in the circumstances of the complete element; without ok
// there is no baseline of before, or none for them.
func (c *channel) normal() (float64, bool) {
	if c.state != watching {
		return 0, false
	}
	explained, ok := c.explained(c.sum[1 : c.fit.K+1])
	return explained + c.level, ok
}

// grows says whether the signal is a counter.
func (c *channel) grows() bool {
	k, rises := c.fit.K+1, 0
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

// freeze makes the baseline. The spread of the control statistic is that of an
// EWMA of autocorrelated elements, and the run-in's own error on top: a level
// learnt from few elements is a guess.
func (c *channel) freeze(s runIn, lambda float64) {
	was := c.sigma
	c.level, c.sigma, c.lag = s.middle, s.sigma, s.lag
	if c.sigma == 0 {
		c.sigma = math.SmallestNonzeroFloat32
	}
	slow := s.kappa * (1 - s.lag) / (1 + s.lag) // 1 where the lag says it all
	kappa := (1 + s.lag*(1-lambda)) / (1 - s.lag*(1-lambda)) * slow
	c.spread = kappa*lambda/(2-lambda) + s.kappa/float64(len(s.rests))
	c.taught = float64(len(s.rests))
	c.most = calmLearns * c.taught
	c.wanders = c.taught < wanders*s.kappa
	if c.state == watching {
		c.smooth *= was / c.sigma
		return
	}
	c.state, c.value = watching, c.level
}

// explained is what the contexts say about the signal, apart from the level; without
// ok they are too far from what the run-in saw to say anything.
func (c *channel) explained(x []float64) (float64, bool) {
	if c.modes != nil {
		r := c.modes.find(x)
		if r == nil || r.n < leastInRegime {
			return 0, false
		}
		return r.level, true
	}
	if !c.runsIn() && c.fit.Slope == [statistics.MaxContext]float64{} {
		return 0, true
	}
	return c.fit.Explained(x), c.fit.Knows(x)
}

// explainedIn is the same in the rows of the run-in.
func (c *channel) explainedIn(x []float64) float64 {
	if c.modes != nil {
		return c.modes.find(x).level
	}
	return c.fit.Explained(x)
}

// meet learns a new regime, as far as the signal is from its normal now.
func (c *channel) meet(x []float64, y float64) {
	r := c.modes.find(x)
	if r == nil && len(c.modes.list) < laterRegimes {
		r = c.modes.add(x)
	}
	if r != nil {
		r.learn(y - c.level - c.smooth*c.sigma)
	}
}

// runsIn says whether the run-in still goes on, under a first baseline or before one.
func (c *channel) runsIn() bool { return c.state == learningRunIn || len(c.kept) > 0 }

// follow moves the control statistic by the complete element, and says whether it could.
func (c *channel) follow(lambda float64, teach lesson) bool {
	x := c.sum[1 : c.fit.K+1]
	explained, ok := c.explained(x)
	if !ok {
		if c.modes != nil {
			c.meet(x, c.sum[0])
		}
		return false
	}
	rest := c.sum[0] - explained - c.level
	z := math.Max(-farthest, math.Min(farthest, rest/c.sigma))
	c.smooth += lambda * (z - c.smooth)
	c.away += lambda * (rest - c.away)
	c.value += lambda * (c.sum[0] - c.value)
	c.learn(z, teach)
	c.strain = math.Max(0, math.Min(c.surprise()-unsurprising, surprising))
	return true
}

// surprise is that of the control statistic. A spread learnt from few is a guess too.
func (c *channel) surprise() float64 {
	if c.worth > 0 {
		return student(math.Abs(c.smooth)/math.Sqrt(c.spread), c.worth)
	}
	return c.smooth * c.smooth / c.spread / 2
}

// stress is all the surprise that the channel adds.
func (c *channel) stress() float64 { return c.strain + c.joint }

// date notes when the channel was calm last, and when it departed.
func (c *channel) date(at int64) {
	switch stress := c.stress(); {
	case stress < 1:
		c.onset, c.struck = at, 0
	case stress >= struckStrain && c.struck == 0:
		c.struck = at
	}
}

// lesson is what a row still teaches after the run-in.
type lesson uint8

const (
	noLesson  lesson = iota
	itsLevel         // it is calm
	itsSpread        // it is stated to be healthy
)

// calmLearns is how many times the run-in a level is worth at most where calm rows add
// to it: with more it would not follow, with fewer it would go with a slow fault.
const calmLearns = 4

// learn takes what a row teaches. The spread learnt from rows that the level was not
// fitted on is the true one: it holds wander that a short run-in cannot show.
func (c *channel) learn(z float64, what lesson) {
	switch what {
	case noLesson:
		return
	case itsLevel:
		c.taught = min(c.taught+1, c.most)
	case itsSpread:
		c.taught++
		c.worth = c.taught * (1 - c.lag) / (1 + c.lag)
		c.spread += (c.smooth*c.smooth - c.spread) / c.taught
	}
	c.level += z * c.sigma / c.taught
}

// farthest bounds what one element can say, in sigma; unsurprising is taken off
// every channel's surprise (half the square of a normal variable), and surprising
// is the most that one channel adds.
const (
	farthest     = 8.0
	unsurprising = 4.0
	surprising   = 50.0
)
