package statistics

import (
	"math"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// MaxContext bounds the context signals of one rule.
const MaxContext = 4

// ridge is the share of each context signal's own variance that is added to the
// normal equations: it keeps slopes finite where the run-in saw little of it.
const ridge = 1e-3

// Regression explains y by context signals. It takes rows one by one in constant
// memory (Welford's sums), is solved once and then frozen.
type Regression struct {
	K     int                     // contexts
	Mean  [MaxContext + 1]float64 // contexts, then y
	sums  *sums                   // until it is solved
	low   [MaxContext]float64
	high  [MaxContext]float64
	Slope [MaxContext]float64
}

// sums are what the normal equations are made of.
type sums struct {
	n     float64
	cross [MaxContext + 1][MaxContext + 1]float64 // centred sums of products
}

// Add takes a row: its contexts and the signal.
func (g *Regression) Add(x []float64, y float64) {
	if g.sums == nil {
		g.sums = &sums{}
	}
	s := g.sums
	var v, d [MaxContext + 1]float64
	copy(v[:], x[:g.K])
	v[g.K] = y
	s.n++
	for i := range g.K + 1 {
		d[i] = v[i] - g.Mean[i]
		g.Mean[i] += d[i] / s.n
	}
	for i := range g.K + 1 {
		for j := i; j <= g.K; j++ {
			s.cross[i][j] += d[i] * (v[j] - g.Mean[j])
		}
	}
	for i := range g.K {
		if s.n == 1 {
			g.low[i], g.high[i] = v[i], v[i]
		}
		g.low[i], g.high[i] = math.Min(g.low[i], v[i]), math.Max(g.high[i], v[i])
	}
}

// Solve finds the slopes. A context that did not move explains nothing.
func (g *Regression) Solve() {
	if g.sums == nil {
		return // no rows
	}
	s := g.sums
	g.sums = nil
	var a [MaxContext][MaxContext + 1]float64
	for i := range g.K {
		for j := range g.K {
			a[i][j] = s.cross[min(i, j)][max(i, j)]
		}
		a[i][i] *= 1 + ridge
		if g.high[i]-g.low[i] <= 1e-9*math.Max(math.Abs(g.low[i]), math.Abs(g.high[i])) {
			for j := range g.K {
				a[i][j], a[j][i] = 0, 0
			}
			a[i][i] = 1
			continue
		}
		a[i][g.K] = s.cross[i][g.K]
	}
	eliminate(&a, g.K)
	for i := range g.K {
		g.Slope[i] = a[i][g.K]
		if math.IsNaN(g.Slope[i]) || math.IsInf(g.Slope[i], 0) {
			g.Slope[i] = 0
		}
	}
}

// eliminate solves a symmetric positive system of size k in place (Gauss-Jordan).
func eliminate(a *[MaxContext][MaxContext + 1]float64, k int) {
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

// Explained is what the contexts say about y, apart from the level.
func (g *Regression) Explained(x []float64) float64 {
	sum := 0.0
	for i := range g.K {
		sum += g.Slope[i] * (x[i] - g.Mean[i])
	}
	return sum
}

// Knows says whether the contexts are near enough to what the run-in saw.
func (g *Regression) Knows(x []float64) bool {
	for i := range g.K {
		slack := (g.high[i] - g.low[i]) / 2
		if x[i] < g.low[i]-slack || x[i] > g.high[i]+slack {
			return false
		}
	}
	return true
}

// Snapshot appends the state.
func (g *Regression) Snapshot(w *snapshot.Writer) {
	w.Floats(g.Mean[:g.K+1])
	w.Bool(g.sums != nil)
	if g.sums != nil {
		w.Float(g.sums.n)
		for i := range g.K + 1 {
			w.Floats(g.sums.cross[i][:g.K+1])
		}
	}
	w.Floats(g.low[:g.K])
	w.Floats(g.high[:g.K])
	w.Floats(g.Slope[:g.K])
}

// Restore takes the state back, with K as it was.
func (g *Regression) Restore(r *snapshot.Reader) {
	copy(g.Mean[:], r.Floats(MaxContext+1))
	g.sums = nil
	if r.Bool() {
		g.sums = &sums{n: r.Float()}
		for i := range g.K + 1 {
			copy(g.sums.cross[i][:], r.Floats(MaxContext+1))
		}
	}
	copy(g.low[:], r.Floats(MaxContext))
	copy(g.high[:], r.Floats(MaxContext))
	copy(g.Slope[:], r.Floats(MaxContext))
}
