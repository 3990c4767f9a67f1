package rules

import (
	"math"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// z80 is half the width of an 80 % interval in standard errors.
const z80 = 1.2816

// trendLeast is how many means a slope needs before it is told.
const trendLeast = 6

const dayNS = 24 * 3600 * 1e9

// trend is a straight line through means of one stretch of time each (single rows hang
// together too much to be counted one by one), by least squares in which a stretch counts
// the less the older it is.
type trend struct {
	width int64 // ns of one stretch

	part int64 // the stretch being filled, 0 = none
	sum  float64
	rows float64

	last                    int64   // middle of the stretch that was closed last, Unix ns
	n, nn, t, y, tt, ty, yy float64 // weighted sums over closed stretches, t in days after last; nn of squared weights
}

// trendKeeps is the weight of a stretch when the next one comes: about 128 of them count.
const trendKeeps = 1 - 1.0/128

func (l *trend) reset() { *l = trend{width: l.width} }

func (l *trend) add(at int64, y float64) {
	part := at/l.width + 1
	if part != l.part {
		l.closePart()
		l.part, l.sum, l.rows = part, 0, 0
	}
	l.sum += y
	l.rows++
}

func (l *trend) closePart() {
	if l.part == 0 || l.rows == 0 {
		return
	}
	at := (l.part-1)*l.width + l.width/2
	dt, y := float64(at-l.last)/dayNS, l.sum/l.rows
	l.last = at
	if l.n == 0 {
		dt = 0
	}
	// The older stretches are now dt days farther back.
	l.tt += dt * (dt*l.n - 2*l.t)
	l.ty -= dt * l.y
	l.t -= dt * l.n
	for _, sum := range []*float64{&l.n, &l.t, &l.y, &l.tt, &l.ty, &l.yy} {
		*sum *= trendKeeps
	}
	l.nn = l.nn*trendKeeps*trendKeeps + 1
	l.n++ // at t = 0
	l.y += y
	l.yy += y * y
}

// perDay is the slope with its standard error; ok says that it is more than twice that.
func (l *trend) perDay() (slope, se float64, ok bool) {
	if l.n == 0 {
		return 0, 0, false
	}
	count := l.n * l.n / l.nn // what the weighted stretches are worth
	if count < trendLeast-0.5 {
		return 0, 0, false
	}
	stt := l.tt - l.t*l.t/l.n
	sty := l.ty - l.t*l.y/l.n
	syy := l.yy - l.y*l.y/l.n
	if stt <= 0 {
		return 0, 0, false
	}
	slope = sty / stt
	se = math.Sqrt(math.Max(syy-slope*sty, 0) / l.n * count / (count - 2) / (stt / l.n * count))
	return slope, se, math.Abs(slope) > 2*se
}

// tell fills in how fast the value moves and, from where it is, when it reaches stop.
func (l *trend) tell(e *Evidence, stop *float64) {
	if slope, se, ok := l.perDay(); ok {
		e.PerDay = slope
		e.DaysToLimit = daysTo(stop, e.Observed, slope, z80*se)
	}
}

// daysTo is the 80 % interval of the days until value reaches stop when it moves
// by perDay; lean is half of the interval of perDay. nil = it does not get there.
func daysTo(stop *float64, value, perDay, lean float64) *[2]float64 {
	if stop == nil || perDay == 0 {
		return nil
	}
	left := *stop - value
	slow, fast := perDay-lean, perDay+lean
	if perDay < 0 {
		left, slow, fast = -left, -perDay-lean, -perDay+lean
	}
	if left <= 0 || slow <= 0 {
		return nil
	}
	return &[2]float64{left / fast, left / slow}
}

func (l *trend) snapshot(w *snapshot.Writer) {
	w.Int(l.part)
	w.Float(l.sum)
	w.Float(l.rows)
	w.Int(l.last)
	w.Floats([]float64{l.n, l.nn, l.t, l.y, l.tt, l.ty, l.yy})
}

func (l *trend) restore(r *snapshot.Reader) {
	l.part, l.sum, l.rows, l.last = r.Int(), r.Float(), r.Float(), r.Int()
	if v := r.Floats(7); len(v) == 7 {
		l.n, l.nn, l.t, l.y, l.tt, l.ty, l.yy = v[0], v[1], v[2], v[3], v[4], v[5], v[6]
	}
}
