package watcher

import (
	"math"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// tail turns values of a statistic into surprise: how many earlier values there were
// for each that was at least as large. The body is a histogram of logarithms; beyond
// the largest few the tail is taken as exponential, so that what was never seen is
// told apart from what was far from ever being seen. The statistic needs no
// distribution of its own, and what a machine does now and then surprises nobody.
type tail struct {
	n    uint32
	bins [tailBins]uint16
	top  [tailTop]float32 // largest values, the largest first
}

const (
	tailBins  = 32  // two an octave
	tailFloor = -10 // octave of the first
	tailTop   = 32
	tailLeast = 50    // values before anything surprises
	tailMost  = 22026 // e^10: no statistic alone says more
)

func tailBin(r float32) int {
	i := int(math.Float32bits(r)>>22) - (127+tailFloor)<<1 // exponent and the first bit of the fraction
	return max(0, min(i, tailBins-1))
}

// odds of a value that is not negative, 1 (usual) to tailMost.
func (t *tail) odds(r float32) float64 {
	if t.n < tailLeast {
		return 1
	}
	n := float64(t.n)
	if m := int(min(max(t.n/50, 10), tailTop)); r > t.top[m-1] {
		u, beta := t.top[m-1], 0.0
		for _, v := range t.top[:m] {
			beta += float64(v - u)
		}
		beta = math.Max(beta/float64(m), 0.02*float64(u)+1e-6)
		return math.Min((n+1)/float64(m)*math.Exp(math.Min(float64(r-u)/beta, 20)), tailMost)
	}
	bins, b := t.bins, tailBin(r) // a copy: the race detector looks at it once, not at each bin
	above := int(bins[b] / 2)
	for i := b + 1; i < len(bins); i++ {
		above += int(bins[i])
	}
	return (n + 1) / float64(above+1)
}

func (t *tail) learn(r float32) {
	b := tailBin(r)
	t.bins[b]++
	t.n++
	if r > t.top[tailTop-1] {
		i := tailTop - 1
		for ; i > 0 && t.top[i-1] < r; i-- {
			t.top[i] = t.top[i-1]
		}
		t.top[i] = r
	}
	if t.bins[b] == math.MaxUint16 {
		t.halve()
	}
}

// halve forgets every second value.
func (t *tail) halve() {
	t.n = 0
	for i := range t.bins {
		t.bins[i] /= 2
		t.n += uint32(t.bins[i])
	}
	for i := range t.top[:tailTop/2] {
		t.top[i] = t.top[2*i]
	}
	clear(t.top[tailTop/2:])
}

func (t *tail) snapshot(w *snapshot.Writer) {
	w.Uint(uint64(t.n))
	for _, c := range t.bins {
		w.Uint(uint64(c))
	}
	for _, v := range t.top {
		w.Uint(uint64(math.Float32bits(v)))
	}
}

func (t *tail) restore(r *snapshot.Reader) {
	t.n = uint32(r.Uint()) //nolint:gosec // written from one
	for i := range t.bins {
		t.bins[i] = uint16(r.Uint()) //nolint:gosec // written from one
	}
	for i := range t.top {
		t.top[i] = math.Float32frombits(uint32(r.Uint())) //nolint:gosec // written from one
	}
}
