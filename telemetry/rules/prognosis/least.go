package prognosis

// least is a linear least-squares fit in constant memory, of y on k values and a constant.
type least struct {
	k     int
	n     float64
	mean  []float64 // k values, then y
	cross [][]float64
	apart []float64 // scratch: of a row from the mean, before and after the mean has learnt it
}

func newLeast(k int) *least {
	l := &least{k: k, mean: make([]float64, k+1), cross: make([][]float64, k+1), apart: make([]float64, 2*(k+1))}
	for i := range l.cross {
		l.cross[i] = make([]float64, k+1)
	}
	return l
}

// add takes one row (Welford's sums).
func (l *least) add(x []float64, y float64) {
	l.n++
	before, after := l.apart[:l.k+1], l.apart[l.k+1:]
	for i := range before {
		v := y
		if i < l.k {
			v = x[i]
		}
		before[i] = v - l.mean[i]
		l.mean[i] += before[i] / l.n
		after[i] = v - l.mean[i]
	}
	for i, d := range before {
		cross := l.cross[i]
		for j := i; j <= l.k; j++ {
			cross[j] += d * after[j]
		}
	}
}

// solve gives the slopes and the constant. Ridge is the share of each value's own
// variance that is added to it; a value that does not move has slope 0.
func (l *least) solve(ridge float64) (slope []float64, level float64) {
	k := l.k
	slope, level = make([]float64, k), l.mean[k]
	a := make([][]float64, k)
	for i := range a {
		a[i] = make([]float64, k+1)
		for j := range k {
			a[i][j] = l.cross[min(i, j)][max(i, j)]
		}
		a[i][i] *= 1 + ridge
		a[i][k] = l.cross[i][k]
	}
	for i := range k { // Gauss-Jordan; symmetric and positive, so it needs no pivoting
		pivot := a[i][i]
		if !(pivot > 1e-12*(1+l.mean[i]*l.mean[i])*l.n) {
			for j := range k {
				a[j][i] = 0
			}
			clear(a[i])
			continue
		}
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
	for i := range k {
		slope[i] = a[i][k]
		level -= slope[i] * l.mean[i]
	}
	return slope, level
}
