package rules

import "math"

// z80 is half the width of an 80 % interval in standard errors.
const z80 = 1.2816

// trendLeast is how many means a slope needs before it is told.
const trendLeast = 6

const dayNS = 24 * 3600 * 1e9

// trend is a straight line through means of one stretch of time each (single rows
// hang together too much to be counted one by one), by least squares.
type trend struct {
	width int64 // ns of one stretch

	part  int64 // the stretch being filled, 0 = none
	sum   float64
	rows  float64
	start int64 // Unix ns of the origin

	n, t, y, tt, ty, yy float64 // sums over closed stretches, t in days since start
}

func (l *trend) reset(at int64) { *l = trend{width: l.width, start: at} }

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
	t := (float64(l.part-1)*float64(l.width) + float64(l.width)/2 - float64(l.start)) / dayNS
	y := l.sum / l.rows
	l.n++
	l.t += t
	l.y += y
	l.tt += t * t
	l.ty += t * y
	l.yy += y * y
}

// perDay is the slope with its standard error; ok says that it is more than twice that.
func (l *trend) perDay() (slope, se float64, ok bool) {
	if l.n < trendLeast {
		return 0, 0, false
	}
	stt := l.tt - l.t*l.t/l.n
	sty := l.ty - l.t*l.y/l.n
	syy := l.yy - l.y*l.y/l.n
	if stt <= 0 {
		return 0, 0, false
	}
	slope = sty / stt
	se = math.Sqrt(math.Max(syy-slope*sty, 0) / (l.n - 2) / stt)
	return slope, se, math.Abs(slope) > 2*se
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

func (l *trend) snapshot(w *writer) {
	w.int(l.part)
	w.float(l.sum)
	w.float(l.rows)
	w.int(l.start)
	w.floats([]float64{l.n, l.t, l.y, l.tt, l.ty, l.yy})
}

func (l *trend) restore(r *reader) {
	l.part, l.sum, l.rows, l.start = r.int(), r.float(), r.float(), r.int()
	if v := r.floats(6); len(v) == 6 {
		l.n, l.t, l.y, l.tt, l.ty, l.yy = v[0], v[1], v[2], v[3], v[4], v[5]
	}
}
