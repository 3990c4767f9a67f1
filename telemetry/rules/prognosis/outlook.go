package prognosis

import "math"

// Where a machine counts as unlike those that were learnt from.
const (
	ownVariance = 0.05 // of a signal's, beside what it shares with others
	farFrom     = 1.5  // of the farthest that a machine was which the measure had not seen, squared
)

// outlook is where the fleet's signals were, together, over a thirtieth of a life: mean and
// covariance (as its Cholesky factor, by rows), and how far a machine may be away.
type outlook struct {
	mean   []float64
	factor []float64
	limit  float64 // square of Mahalanobis' distance
}

// learnOutlook measures each life by what the others show, so that the limit holds for
// machines that were not seen.
func learnOutlook(samples ...*sample) outlook {
	var o outlook
	signals := len(samples[0].tracks[0])
	from := newOutlook(signals)
	for k := range folds {
		part := newOutlook(signals)
		part.learn(samples[0], samples[0].fold(k, false))
		for _, s := range samples {
			for _, r := range s.fold(k, true) {
				if s.settled[r] {
					o.limit = math.Max(o.limit, part.away(s.tracks[r], make([]float64, signals)))
				}
			}
		}
	}
	from.learn(samples[0], nil)
	from.limit = math.Max(farFrom*o.limit, 1e-9)
	return from
}

func newOutlook(signals int) outlook {
	return outlook{mean: make([]float64, signals), factor: make([]float64, signals*(signals+1)/2)}
}

// learn takes mean and covariance of rows, nil = all.
func (o *outlook) learn(s *sample, rows []int32) {
	l := newLeast(len(o.mean))
	x := make([]float64, len(o.mean))
	add := func(r int) {
		if !s.settled[r] {
			return
		}
		for i := range x {
			x[i] = s.tracks[r][i].fast
		}
		l.add(x, 0)
	}
	if rows == nil {
		for r := range s.tracks {
			add(r)
		}
	}
	for _, r := range rows {
		add(int(r))
	}
	copy(o.mean, l.mean)
	o.decompose(l)
}

// decompose writes the covariance as a lower triangle times itself; what does not move
// has no place in it.
func (o *outlook) decompose(l *least) {
	row := func(i int) []float64 { return o.factor[i*(i+1)/2:] }
	for i := range o.mean {
		for j := range i + 1 {
			sum := l.cross[j][i] / math.Max(1, l.n)
			if i == j {
				sum *= 1 + ownVariance
			}
			for k := range j {
				sum -= row(i)[k] * row(j)[k]
			}
			switch {
			case i == j && sum > 1e-12:
				row(i)[i] = math.Sqrt(sum)
			case i == j:
				row(i)[i] = 0
			case row(j)[j] > 0:
				row(i)[j] = sum / row(j)[j]
			default:
				row(i)[j] = 0
			}
		}
	}
}

// away is the square of the distance; scratch has a place for each signal. Signals that
// have no value yet are taken to be where the fleet was.
func (o *outlook) away(tracks []track, scratch []float64) float64 {
	sum, at := 0.0, 0
	for i := range o.mean {
		v := 0.0
		if tracks[i].n > 0 {
			v = tracks[i].fast - o.mean[i]
		}
		for _, w := range scratch[:i] {
			v -= o.factor[at] * w
			at++
		}
		if pivot := o.factor[at]; pivot > 0 {
			scratch[i] = v / pivot
		} else {
			scratch[i] = 0
		}
		at++
		sum += scratch[i] * scratch[i]
	}
	return sum
}

func (w *writer) outlook(o *outlook) {
	w.floats(o.mean...)
	w.floats(o.factor...)
	w.floats(o.limit)
}

func (r *reader) outlook(signals int) outlook {
	if r.need(8*(signals*(signals+3)/2+1) <= len(r.b)); r.bad {
		return newOutlook(signals)
	}
	o := newOutlook(signals)
	for i := range o.mean {
		o.mean[i] = r.within(-2*farthest, 2*farthest)
	}
	at := 0
	for i := range signals {
		for range i {
			o.factor[at] = r.within(-1e6, 1e6)
			at++
		}
		o.factor[at] = r.within(0, 1e6)
		at++
	}
	o.limit = r.above(0)
	return o
}
