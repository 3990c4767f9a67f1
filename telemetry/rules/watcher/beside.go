package watcher

import "math"

// Stand is how far a signal is from its normal, smoothed, and how far that strays by
// itself: both in standard deviations of a single value, of which Sigma is one.
type Stand struct {
	Signal              string
	Away, Strays, Sigma float64
}

// Stands tells of each signal whose normal is known.
func (w *Watcher) Stands(each func(Stand)) {
	for i := range w.channels {
		if c := &w.channels[i]; c.state == watching {
			each(Stand{c.name, c.away / c.sigma, math.Sqrt(c.spread), c.sigma})
		}
	}
}

// Pace is the event time of the last row in the regime and the usual distance of rows, ns.
func (w *Watcher) Pace() (last, period int64) { return w.clock.Pace() }

// answers is the share by which machines differ in how they answer to one and the same
// cause, told in standard deviations that each has learnt from few rows.
const answers = 0.2

// Beside is the strain that is left when what other machines have in common is taken off
// each signal's distance, and the limit. Common gives the middle and the spread of
// their distances, in the measure of Stands; 0 and 0 where nothing is known of them.
func (w *Watcher) Beside(common func(signal string) (middle, spread float64)) (strain, limit float64) {
	for i := range w.channels {
		c := &w.channels[i]
		if c.state != watching || c.stress() == 0 {
			continue
		}
		middle, spread := common(c.name)
		away := c.away / c.sigma // wild values count in full: of what is cut off all look alike
		rest := (away - middle) * (away - middle)
		strain += math.Max(0, math.Min(rest/(c.spread+spread*spread+answers*answers*middle*middle)/2-unsurprising, surprising))
		strain += c.joint * math.Min(1, rest/math.Max(away*away, math.SmallestNonzeroFloat64))
	}
	return strain, w.limit
}
