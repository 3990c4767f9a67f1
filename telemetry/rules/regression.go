package rules

import (
	"math"
	"slices"
)

// maxContext bounds the context signals of one rule.
const maxContext = 4

// ridge is the share of each context signal's own variance that is added to the
// normal equations: it keeps slopes finite where the run-in saw little of it.
const ridge = 1e-3

// regression explains y by context signals. It takes rows one by one in constant
// memory (Welford's sums), is solved once and then frozen.
type regression struct {
	k     int
	mean  [maxContext + 1]float64 // contexts, then y
	sums  *sums                   // until it is solved
	low   [maxContext]float64
	high  [maxContext]float64
	slope [maxContext]float64
}

// sums are what the normal equations are made of.
type sums struct {
	n     float64
	cross [maxContext + 1][maxContext + 1]float64 // centred sums of products
}

func (g *regression) add(x []float64, y float64) {
	if g.sums == nil {
		g.sums = &sums{}
	}
	s := g.sums
	var v, d [maxContext + 1]float64
	copy(v[:], x[:g.k])
	v[g.k] = y
	s.n++
	for i := range g.k + 1 {
		d[i] = v[i] - g.mean[i]
		g.mean[i] += d[i] / s.n
	}
	for i := range g.k + 1 {
		for j := i; j <= g.k; j++ {
			s.cross[i][j] += d[i] * (v[j] - g.mean[j])
		}
	}
	for i := range g.k {
		if s.n == 1 {
			g.low[i], g.high[i] = v[i], v[i]
		}
		g.low[i], g.high[i] = math.Min(g.low[i], v[i]), math.Max(g.high[i], v[i])
	}
}

// solve finds the slopes. A context that did not move explains nothing.
func (g *regression) solve() {
	if g.sums == nil {
		return // no rows
	}
	s := g.sums
	g.sums = nil
	var a [maxContext][maxContext + 1]float64
	for i := range g.k {
		for j := range g.k {
			a[i][j] = s.cross[min(i, j)][max(i, j)]
		}
		a[i][i] *= 1 + ridge
		if g.high[i]-g.low[i] <= 1e-9*math.Max(math.Abs(g.low[i]), math.Abs(g.high[i])) {
			for j := range g.k {
				a[i][j], a[j][i] = 0, 0
			}
			a[i][i] = 1
			continue
		}
		a[i][g.k] = s.cross[i][g.k]
	}
	eliminate(&a, g.k)
	for i := range g.k {
		g.slope[i] = a[i][g.k]
		if math.IsNaN(g.slope[i]) || math.IsInf(g.slope[i], 0) {
			g.slope[i] = 0
		}
	}
}

// eliminate solves a symmetric positive system of size k in place (Gauss-Jordan).
func eliminate(a *[maxContext][maxContext + 1]float64, k int) {
	for i := range k {
		if a[i][i] == 0 {
			continue
		}
		pivot := a[i][i]
		for j := i; j <= k; j++ {
			a[i][j] /= pivot
		}
		for r := range k {
			if f := a[r][i]; r != i && f != 0 {
				for j := i; j <= k; j++ {
					a[r][j] -= f * a[i][j]
				}
			}
		}
	}
}

// explained is what the contexts say about y, apart from the level.
func (g *regression) explained(x []float64) float64 {
	sum := 0.0
	for i := range g.k {
		sum += g.slope[i] * (x[i] - g.mean[i])
	}
	return sum
}

// knows says whether the contexts are near enough to what the run-in saw.
func (g *regression) knows(x []float64) bool {
	for i := range g.k {
		slack := (g.high[i] - g.low[i]) / 2
		if x[i] < g.low[i]-slack || x[i] > g.high[i]+slack {
			return false
		}
	}
	return true
}

func (g *regression) snapshot(w *writer) {
	w.floats(g.mean[:g.k+1])
	w.bool(g.sums != nil)
	if g.sums != nil {
		w.float(g.sums.n)
		for i := range g.k + 1 {
			w.floats(g.sums.cross[i][:g.k+1])
		}
	}
	w.floats(g.low[:g.k])
	w.floats(g.high[:g.k])
	w.floats(g.slope[:g.k])
}

func (g *regression) restore(r *reader) {
	copy(g.mean[:], r.floats(maxContext+1))
	g.sums = nil
	if r.bool() {
		g.sums = &sums{n: r.float()}
		for i := range g.k + 1 {
			copy(g.sums.cross[i][:], r.floats(maxContext+1))
		}
	}
	copy(g.low[:], r.floats(maxContext))
	copy(g.high[:], r.floats(maxContext))
	copy(g.slope[:], r.floats(maxContext))
}

// median sorts v and gives its middle; 0 for none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// spread is the robust standard deviation of v around its median: 1.4826 MAD, or
// the plain one where more than half of the values are (nearly) equal.
func spread(v []float64) (middle, sigma float64) {
	if len(v) == 0 {
		return 0, 0
	}
	away := slices.Clone(v)
	middle = median(away)
	mean, square := 0.0, 0.0
	for i, x := range v {
		away[i] = math.Abs(x - middle)
		mean += x
	}
	mean /= float64(len(v))
	for _, x := range v {
		square += (x - mean) * (x - mean)
	}
	plain := math.Sqrt(square / float64(len(v)))
	sigma = 1.4826 * median(away)
	if sigma < 0.3*plain {
		sigma = plain
	}
	return middle, sigma
}
