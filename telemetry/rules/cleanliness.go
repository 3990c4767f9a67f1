package rules

import (
	"math"
	"strconv"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// maxSizes is how many sizes of particles ISO 4406 counts: above 4, 6 and 14 um.
const maxSizes = 3

// cleanliness: more particles in the oil than its target code of ISO 4406 allows,
// by so many codes in one of the sizes.
type cleanliness struct {
	rule   *Rule
	sizes  []int // signals of counts
	regime []bound
	last   [maxSizes]float64 // counts in the signals' units
	known  [maxSizes]bool
	rows   int64
}

func newCleanliness(r *Rule, numbers Numbers) Evaluator {
	c := &cleanliness{rule: r, regime: bounds(r, numbers)}
	for _, s := range r.Signals {
		c.sizes = append(c.sizes, numbers(s))
	}
	return c
}

func (c *cleanliness) Observe(row *Row) Judgement {
	some := false
	for _, n := range c.sizes {
		some = some || row.now[n] == row.now[n]
	}
	switch {
	case !some:
		return Judgement{}
	case !within(row, c.regime):
		return Judgement{State: Outside}
	}
	c.rows++
	for i, n := range c.sizes {
		v := row.Held(n)
		c.known[i] = v == v
		c.last[i] = v
	}
	near := c.share(c.worst())
	if near > 1 {
		return Judgement{State: Trouble, Nearness: 1}
	}
	return Judgement{State: Calm, Nearness: math.Max(0, 1+math.Log2(math.Max(near, 1e-9))/float64(1+c.rule.Excess))} // a code is a doubling
}

// share is a count in shares of its limit; a size that is not looked at has none.
func (c *cleanliness) share(i int) float64 {
	if i >= len(c.sizes) || !c.known[i] || c.rule.Target[i] < 0 {
		return 0
	}
	return c.last[i] / c.rule.Limits[i]
}

// worst is the size that is farthest beyond its limit.
func (c *cleanliness) worst() int {
	worst := 0
	for i := range c.sizes {
		if c.share(i) > c.share(worst) {
			worst = i
		}
	}
	return worst
}

func (c *cleanliness) Tick(time.Time, bool) Judgement { return Judgement{} }

func (c *cleanliness) Evidence(e *Evidence) {
	w := c.worst()
	e.Signal, e.RegimeRows = c.rule.Signals[w], int(c.rows)
	e.Observed, e.Limit = c.last[w], c.rule.Limits[w]
	e.Normal, e.High, e.Deviation = e.Limit, e.Limit, e.Observed-e.Limit
	e.Sign = c.code()
}

// code writes the code of the oil as ISO 4406 does: 18/16/13.
func (c *cleanliness) code() string {
	var b []byte
	for i := range c.sizes {
		if i > 0 {
			b = append(b, '/')
		}
		if !c.known[i] || c.rule.Target[i] < 0 {
			b = append(b, '*')
			continue
		}
		inMillilitres := mostParticles(c.rule.Target[i]+c.rule.Excess-1) / c.rule.Limits[i]
		b = strconv.AppendInt(b, int64(cleanlinessCode(c.last[i]*inMillilitres)), 10)
	}
	return string(b)
}

func (c *cleanliness) Snapshot(dst []byte) []byte {
	w := snapshot.Writer{B: dst}
	for i := range c.last {
		w.Float(c.last[i])
		w.Bool(c.known[i])
	}
	w.Int(c.rows)
	return w.B
}

func (c *cleanliness) Restore(_ int, b []byte) error {
	r := snapshot.Reader{B: b}
	for i := range c.last {
		c.last[i], c.known[i] = r.Float(), r.Bool()
	}
	c.rows = r.Int()
	return r.Err
}
