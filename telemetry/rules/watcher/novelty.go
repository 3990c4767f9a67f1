package watcher

import (
	"math"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// Statistics of novelty. None has a unit, so that gain and offset of a signal do not matter.
const (
	beyondRange = iota // how far outside of all values so far
	step               // from the last value
	shift              // of the level, against the slow level
	unrest             // variance of late, against the slow one
	unlikeHour         // distance from what is usual at this hour of the day
	unlikeWeek         // the same of the week
	driftFast          // distance from the hour's usual, smoothed
	driftSlow          // the same, longer
	noveltyStats
)

const (
	noveltyLeast = 200 // values before anything is said
	noveltyYoung = 50  // values after which a surprise counts half: few say little of rare ones
	hoursApart   = 3   // of the week's stretches
	habitHours   = 48  // before habits of the week are looked at
	hourNS       = int64(3600e9)
)

// novelty looks at one signal in time, and says how unlike its own past a value is.
// It is made for what a level learnt in a run-in cannot see: spikes, bursts, odd
// hours, slow turns of a signal that has no level.
type novelty struct {
	n               uint32
	since           int64      // first value
	origin          float64    // first value, from which all are counted: offsets cost no digits
	before          [2]float64 // the two values before this one
	last            float64    // value
	fast, mid, slow float64    // EWMA: 0.3, 0.05, 0.005
	away            float64    // mean distance from fast
	lately, ever    float64    // variance around mid: 0.05, 0.005
	low, high       float64    // of all values
	drift           float64    // EWMA of the distance from the hour's usual: 0.1
	turn            float64    // 0.02
	hours           [24]habit
	week            *week
	tails           [noveltyStats]tail
}

// week is what is usual in its stretches.
type week [7 * 24 / hoursApart]habit

// habit is what is usual in one stretch of the day or week.
type habit struct {
	n              uint32
	mean, variance float32
}

// z is the distance from what is usual, in standard deviations.
func (h *habit) z(x, least float64) float64 {
	if h.n < 3 {
		return 0
	}
	return (x - float64(h.mean)) / math.Max(math.Sqrt(float64(h.variance)), least)
}

func (h *habit) learn(x float64) {
	h.n++
	d, r := x-float64(h.mean), max(0.02, 1/float64(h.n))
	h.mean += float32(r * d)
	h.variance += float32(r * (d*d*(1-r) - float64(h.variance)))
}

// step gives the sum of the surprises of a value, and learns it.
func (v *novelty) step(x float64, at int64, company bool) float64 {
	if v.n == 0 {
		v.since, v.origin = at, x
	}
	x -= v.origin
	y := x
	if company {
		y = ofThree(x, v.before[0], v.before[1])
	}
	v.before[0], v.before[1] = v.before[1], x
	x = y
	v.n = min(v.n+1, math.MaxUint32-1)
	r := v.statistics(x, at)
	odds := 1.0
	for i := range r {
		if t := &v.tails[i]; r[i] > 0 {
			o := t.odds(r[i])
			if odds *= o; i == beyondRange {
				odds *= o // what never was counts twice: it needs no comparison with what is rare
			}
		}
		v.tails[i].learn(r[i])
	}
	return math.Log(odds)
}

// statistics moves everything but the tails by one value.
func (v *novelty) statistics(x float64, at int64) [noveltyStats]float32 {
	var r [noveltyStats]float32
	span := v.high - v.low
	least := 0.02*span + math.SmallestNonzeroFloat32
	early := 1 / float64(v.n)
	r[beyondRange] = float32(max(x-v.high, v.low-x, 0) / (span + math.SmallestNonzeroFloat32))
	v.low, v.high = min(v.low, x), max(v.high, x)

	hour := at / hourNS
	day := &v.hours[hour%24]
	z := day.z(x, least)
	r[unlikeHour] = float32(math.Abs(z))
	z = max(-6, min(6, z))
	v.drift += 0.1 * (z - v.drift)
	v.turn += 0.02 * (z - v.turn)
	r[driftFast], r[driftSlow] = float32(math.Abs(v.drift)), float32(math.Abs(v.turn))
	day.learn(x)
	if v.week == nil && at-v.since > habitHours*hourNS {
		v.week = new(week)
	}
	if v.week != nil {
		stretch := &v.week[hour%(7*24)/hoursApart]
		r[unlikeWeek] = float32(math.Abs(stretch.z(x, least)))
		stretch.learn(x)
	}

	d := x - v.fast
	if v.away == 0 {
		v.away = math.Abs(d)
	}
	r[step] = float32(math.Abs(x-v.last) / (v.away + 1e-9*span + math.SmallestNonzeroFloat32))
	v.away += 0.01 * (min(math.Abs(d), 8*v.away) - v.away)
	v.fast += 0.3 * d
	d = x - v.mid
	v.lately += max(0.05, early) * (d*d - v.lately)
	v.ever += max(0.005, early) * (d*d - v.ever)
	v.mid += max(0.05, early) * d
	v.slow += max(0.005, early) * (x - v.slow)
	none := 1e-6*span*span + math.SmallestNonzeroFloat32
	r[unrest] = float32(math.Abs(math.Log((v.lately + none) / (v.ever + none))))
	r[shift] = float32(math.Abs(v.mid-v.slow) / (math.Sqrt(v.ever) + least))
	v.last = x
	return r
}

// level is where the signal has been of late.
func (v *novelty) level() float64 { return v.origin + v.mid }

// figures is every figure of a novelty but its habits and tails.
func (v *novelty) figures() []*float64 {
	return []*float64{&v.origin, &v.last, &v.fast, &v.mid, &v.slow, &v.away, &v.lately, &v.ever, &v.low, &v.high, &v.drift, &v.turn, &v.before[0], &v.before[1]}
}

func (v *novelty) snapshot(w *snapshot.Writer) {
	w.Uint(uint64(v.n))
	w.Int(v.since)
	for _, f := range v.figures() {
		w.Float(*f)
	}
	for i := range v.hours {
		v.hours[i].snapshot(w)
	}
	w.Bool(v.week != nil)
	if v.week != nil {
		for i := range v.week {
			v.week[i].snapshot(w)
		}
	}
	for i := range v.tails {
		v.tails[i].snapshot(w)
	}
}

func (v *novelty) restore(r *snapshot.Reader) {
	v.n, v.since = uint32(r.Uint()), r.Int() //nolint:gosec // written from one
	for _, f := range v.figures() {
		*f = r.Float()
	}
	for i := range v.hours {
		v.hours[i].restore(r)
	}
	if r.Bool() {
		v.week = new(week)
		for i := range v.week {
			v.week[i].restore(r)
		}
	}
	for i := range v.tails {
		v.tails[i].restore(r)
	}
}

func (h *habit) snapshot(w *snapshot.Writer) {
	w.Uint(uint64(h.n))
	if h.n > 0 {
		w.Uint(uint64(math.Float32bits(h.mean)))
		w.Uint(uint64(math.Float32bits(h.variance)))
	}
}

func (h *habit) restore(r *snapshot.Reader) {
	if h.n = uint32(r.Uint()); h.n > 0 { //nolint:gosec // written from one
		h.mean = math.Float32frombits(uint32(r.Uint()))     //nolint:gosec // written from one
		h.variance = math.Float32frombits(uint32(r.Uint())) //nolint:gosec // written from one
	}
}

// ofThree is the median of three.
func ofThree(a, b, c float64) float64 { return max(min(a, b), min(max(a, b), c)) }
