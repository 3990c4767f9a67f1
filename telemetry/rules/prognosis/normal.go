package prognosis

import "math"

// How circumstances are told apart.
const (
	maxContext     = 4
	mostRegimes    = 16   // with more settings the contexts are taken as moving
	regimeWidth    = 0.05 // of the range of a context
	regimeConstant = 1e-6 // of its size: a context that does not move
	leastInRegime  = 20   // rows
	stillness      = 1e-9 // of its size: a signal that does not move says nothing
	farthest       = 8.0  // standard deviations that one value can be away
)

// normal is what the fleet's signals are like in the circumstances of a row: at one of a
// few settings, or, where the contexts move, on a plane through them.
type normal struct {
	width  []float64 // of a regime, by context; nil = contexts move, and there is one regime
	mean   []float64 // of moving contexts
	low    []float64
	high   []float64
	slope  [][]float64 // of a signal by moving context
	regime []regime
}

type regime struct {
	at     []float64 // setting of each context
	level  []float64 // of each signal
	spread []float64 // 0 = it does not move here
}

// learnNormal looks at all rows of all lives.
func learnNormal(lives []Life, signals, contexts int) *normal {
	n := &normal{}
	if contexts > 0 && !n.settings(lives, signals, contexts) {
		n.plane(lives, signals, contexts)
	}
	if len(n.regime) == 0 {
		n.regime = []regime{{}}
	}
	n.measure(lives, signals)
	return n
}

// settings looks for a few that the contexts jump between.
func (n *normal) settings(lives []Life, signals, contexts int) bool {
	n.low, n.high = filled(contexts, math.Inf(1)), filled(contexts, math.Inf(-1))
	each(lives, func(r *Row) {
		for j, v := range r.Values[signals:] {
			n.low[j], n.high[j] = math.Min(n.low[j], v), math.Max(n.high[j], v) // NaN stays out below
		}
	})
	n.width = make([]float64, contexts)
	for j := range n.width {
		n.width[j] = max(regimeWidth*(n.high[j]-n.low[j]), regimeConstant*max(math.Abs(n.low[j]), math.Abs(n.high[j])))
	}
	few := true
	each(lives, func(r *Row) {
		x := r.Values[signals:]
		if !few || !known(x) || n.find(x) != nil {
			return
		}
		if few = len(n.regime) < mostRegimes; few {
			n.regime = append(n.regime, regime{at: append([]float64(nil), x...)})
		}
	})
	if few && len(n.regime) > 1 {
		n.low, n.high = nil, nil
		return true
	}
	n.width, n.regime = nil, nil
	return false
}

// plane fits each signal to contexts that move.
func (n *normal) plane(lives []Life, signals, contexts int) {
	n.mean, n.slope = make([]float64, contexts), make([][]float64, signals)
	rows := 0.0
	each(lives, func(r *Row) {
		if x := r.Values[signals:]; known(x) {
			rows++
			for j, v := range x {
				n.mean[j] += (v - n.mean[j]) / rows
			}
		}
	})
	for s := range signals {
		g := newLeast(contexts)
		x := make([]float64, contexts)
		each(lives, func(r *Row) {
			if v := r.Values[s]; v == v && known(r.Values[signals:]) {
				for j := range x {
					x[j] = r.Values[signals+j] - n.mean[j]
				}
				g.add(x, v)
			}
		})
		n.slope[s], _ = g.solve(1e-3)
	}
}

// measure learns level and spread of each signal in each regime.
func (n *normal) measure(lives []Life, signals int) {
	for i := range n.regime {
		n.regime[i].level, n.regime[i].spread = make([]float64, signals), make([]float64, signals)
	}
	rows := make(map[*regime][]float64, len(n.regime))
	each(lives, func(r *Row) {
		g := n.find(r.Values[signals:])
		if g == nil {
			return
		}
		if rows[g] == nil {
			rows[g] = make([]float64, signals)
		}
		for s := range signals {
			v := r.Values[s] - n.explained(s, r.Values[signals:])
			if v != v {
				continue
			}
			rows[g][s]++
			d := v - g.level[s]
			g.level[s] += d / rows[g][s]
			g.spread[s] += d * (v - g.level[s])
		}
	})
	for i := range n.regime {
		g := &n.regime[i]
		for s := range signals {
			g.spread[s] = math.Sqrt(g.spread[s] / math.Max(1, at(rows[g], s)))
			if !(g.spread[s] > stillness*math.Abs(g.level[s])) || at(rows[g], s) < leastInRegime {
				g.spread[s] = 0
			}
		}
	}
}

func at(list []float64, i int) float64 {
	if i < len(list) {
		return list[i]
	}
	return 0
}

// find is the regime of a row's contexts, nil where none is known.
func (n *normal) find(x []float64) *regime {
	if n.width == nil {
		if len(n.regime) == 0 || !known(x) {
			return nil
		}
		return &n.regime[0]
	}
search:
	for i := range n.regime {
		for j, v := range x {
			if !(math.Abs(v-n.regime[i].at[j]) <= n.width[j]) {
				continue search
			}
		}
		return &n.regime[i]
	}
	return nil
}

// explained is what moving contexts say about a signal, apart from its level. Beyond what
// was seen they say no more than at its edge.
func (n *normal) explained(signal int, x []float64) float64 {
	if n.slope == nil {
		return 0
	}
	sum := 0.0
	for j, v := range x {
		sum += n.slope[signal][j] * (math.Max(n.low[j], math.Min(n.high[j], v)) - n.mean[j])
	}
	return sum
}

// away is how far a value is from the fleet's normal, in standard deviations; NaN where
// nothing is known.
func (n *normal) away(g *regime, signal int, v float64, x []float64) float64 {
	if !(g.spread[signal] > 0) {
		return math.NaN()
	}
	z := (v - n.explained(signal, x) - g.level[signal]) / g.spread[signal]
	if z != z {
		return z
	}
	return math.Max(-farthest, math.Min(farthest, z))
}

func known(x []float64) bool {
	for _, v := range x {
		if v != v {
			return false
		}
	}
	return true
}

func filled(n int, v float64) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = v
	}
	return list
}

func each(lives []Life, look func(*Row)) {
	for i := range lives {
		for j := range lives[i].Rows {
			look(&lives[i].Rows[j])
		}
	}
}
