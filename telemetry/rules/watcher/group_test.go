package watcher

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The inverse is kept up row by row: it stays that of the sum of products.
func TestGroup_KeepsTheInverse(t *testing.T) {
	t.Parallel()
	const p, rows = 5, 3000
	random := rand.New(rand.NewPCG(1, 5)) //nolint:gosec // noise, no secrets
	channels := make([]channel, p)
	g := newGroup(channels, []int{0, 1, 2, 3, 4})
	var sum [p][p]float64
	for i := range p {
		sum[i][i] = float64(p) / 2
	}
	for range rows {
		load := random.NormFloat64()
		for i := range p {
			g.take(i, load*float64(i)+random.NormFloat64())
		}
		turn := int(g.n+1) % p
		g.step(0.15, true)
		for i := range p {
			for j := range p {
				sum[i][j] += g.members[i].now * g.members[j].now
			}
		}
		sum[turn][turn] += groupLoose * p * g.members[turn].square / g.n
	}
	for i := range p {
		for j := range p {
			product, want := 0.0, 0.0
			for k := range p {
				product += g.inverse[i*p+k] * sum[k][j]
			}
			if i == j {
				want = 1
			}
			if math.Abs(product-want) > 1e-9 {
				t.Errorf("inverse times sum has %v at %d, %d", product, i, j)
			}
		}
	}
	energy := 0.0
	for _, m := range g.members {
		energy += m.share
	}
	if energy < 0.3 || energy > 2 {
		t.Errorf("the energy of usual rows is %v, want about 1", energy)
	}
}
