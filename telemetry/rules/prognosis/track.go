package prognosis

import "math"

// track is what a signal of a machine has been like, in standard deviations of the fleet,
// over four stretches of its past.
type track struct {
	n       float64 // values so far
	initial float64 // mean of the first ones
	fast    float64
	mid     float64
	slow    float64
}

// memory is how many rows each of them looks back on: shares of a typical life.
type memory struct{ initial, fast, mid, slow float64 }

// shareInitial of a typical life is what counts as its beginning.
const shareInitial = 20

func remember(typical float64) memory {
	share := func(of float64) float64 { return math.Max(1, typical/of) }
	return memory{initial: share(shareInitial), fast: share(30), mid: share(10), slow: share(4)}
}

// add takes one value. The first ones are averaged evenly.
func (t *track) add(z float64, m *memory) {
	if z != z {
		return
	}
	t.n++
	if t.n <= m.initial {
		t.initial += (z - t.initial) / t.n
	}
	t.fast += (z - t.fast) / math.Min(t.n, m.fast)
	t.mid += (z - t.mid) / math.Min(t.n, m.mid)
	t.slow += (z - t.slow) / math.Min(t.n, m.slow)
}

// perTrack is how many features a track gives.
const perTrack = 6

// put writes the features: where the signal is over three stretches, where it goes to,
// and how far it is from where it began.
func (t *track) put(f []float32) {
	if t.n == 0 {
		for i := range perTrack {
			f[i] = float32(math.NaN())
		}
		return
	}
	f[0], f[1], f[2] = float32(t.fast), float32(t.mid), float32(t.slow)
	f[3], f[4], f[5] = float32(t.fast-t.slow), float32(t.mid-t.slow), float32(t.fast-t.initial)
}

// index is the health index: the line through the signals that best says what remains.
type index struct {
	slope []float64 // by signal
	level float64
}

// of is the index's own track: it is linear, and so are its signals' memories.
func (x *index) of(tracks []track) track {
	h := track{n: 1, initial: x.level, fast: x.level, mid: x.level, slow: x.level}
	for s := range tracks {
		t, w := &tracks[s], x.slope[s]
		h.initial += w * t.initial
		h.fast += w * t.fast
		h.mid += w * t.mid
		h.slow += w * t.slow
	}
	return h
}

// The features of a machine are those of its signals, the age, and those of the index.
func features(signals int) int { return perTrack*(signals+1) + 1 }

func ageColumn(signals int) int { return perTrack * signals }

func indexColumn(signals int) int { return perTrack*signals + 1 }
