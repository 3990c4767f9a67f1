package watcher

import (
	"math"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
	"github.com/thirdstate/thirdstate/telemetry/rules/statistics"
)

// Operating regimes: contexts that jump between a few settings instead of moving.
const (
	mostRegimes    = 8    // learnt in the run-in; with more the contexts are taken as moving
	laterRegimes   = 16   // at most, with those met later
	leastInRegime  = 5    // elements before one is judged in it
	regimeWidth    = 0.05 // of the range of a context
	regimeConstant = 1e-6 // of its size: a context that does not move
)

// regimes are a signal's levels at a few settings of its contexts. A setting that was
// not seen before is learnt, and does not alarm.
type regimes struct {
	width [statistics.MaxContext]float64
	list  []regime
}

type regime struct {
	at    [statistics.MaxContext]float64
	n     float64
	level float64
}

// findRegimes looks for a few settings in rows of y and its k contexts; nil = there
// are none, or too many.
func findRegimes(kept []float64, k int) *regimes {
	if g := settings(kept, k); g != nil && g.known(len(kept)/(k+1)) {
		return g
	}
	return nil
}

// jumps says whether there are a few settings, of which not enough has been seen.
func jumps(kept []float64, k int) bool {
	g := settings(kept, k)
	return g != nil && !g.known(len(kept)/(k+1))
}

// known says whether n elements are enough for as many settings.
func (g *regimes) known(n int) bool { return n >= leastInRegime*len(g.list) }

// settings are those that the contexts have had; nil = one, or too many.
func settings(kept []float64, k int) *regimes {
	if k == 0 {
		return nil
	}
	var g regimes
	n := len(kept) / (k + 1)
	for j := range k {
		low, high := math.Inf(1), math.Inf(-1)
		for i := range n {
			v := kept[i*(k+1)+1+j]
			low, high = min(low, v), max(high, v)
		}
		g.width[j] = max(regimeWidth*(high-low), regimeConstant*max(math.Abs(low), math.Abs(high)))
	}
	for i := range n {
		row := kept[i*(k+1) : (i+1)*(k+1)]
		r := g.find(row[1:])
		if r == nil {
			if len(g.list) == mostRegimes {
				return nil
			}
			r = g.add(row[1:])
		}
		r.learn(row[0])
	}
	if len(g.list) < 2 {
		return nil
	}
	return &g
}

func (g *regimes) find(x []float64) *regime {
search:
	for i := range g.list {
		for j, v := range x {
			if math.Abs(v-g.list[i].at[j]) > g.width[j] {
				continue search
			}
		}
		return &g.list[i]
	}
	return nil
}

func (g *regimes) add(x []float64) *regime {
	g.list = append(g.list, regime{})
	r := &g.list[len(g.list)-1]
	copy(r.at[:], x)
	return r
}

func (r *regime) learn(y float64) {
	r.n++
	r.level += (y - r.level) / r.n
}

func (g *regimes) snapshot(w *snapshot.Writer) {
	w.Floats(g.width[:])
	w.Uint(uint64(len(g.list)))
	for i := range g.list {
		w.Floats(g.list[i].at[:])
		w.Float(g.list[i].n)
		w.Float(g.list[i].level)
	}
}

func (g *regimes) restore(r *snapshot.Reader) {
	copy(g.width[:], r.Floats(statistics.MaxContext))
	for range r.Count(laterRegimes) {
		var one regime
		copy(one.at[:], r.Floats(statistics.MaxContext))
		one.n, one.level = r.Float(), r.Float()
		g.list = append(g.list, one)
	}
}
