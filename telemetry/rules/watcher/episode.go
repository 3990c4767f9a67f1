package watcher

import "math"

// How an episode ends; see docs/detection.md for how the figures came about.
const (
	novelLimit  = 28.0 // surprise that is trouble with one signal: three each of nine
	novelChoice = 3.0  // times ln of the signals is added: each is one more chance, at several statistics
	growth      = 1.44 // of the reach, a square: a departure that grows less has come to rest
	acceptTimes = 50   // as long as it took to learn: then what does not grow is normal
)

// novel is how unlike its past the machine is: the greatest surprise of a row's signals.
type novel struct {
	onset  *onset // nil before the first look: many a machine has nothing to watch
	open   bool
	looked bool // this row has a value that could surprise
	score  float64
	signal int     // channel that surprises most
	value  float64 // its

	lead     int // channel that opened the episode, and what it was then, in its unit
	observed float64
	away     float64
	sigma    float64
}

func (v *novel) begin() { v.score, v.signal, v.looked = 0, -1, false }

func (v *novel) add(channel int, value, surprise float64) {
	v.looked = true
	if surprise > v.score || surprise == v.score && channel < v.signal {
		v.score, v.signal, v.value = surprise, channel, value
	}
}

// end judges the row and says whether an episode opens. With mute it only learns.
func (v *novel) end(signals int, mute bool) bool {
	if !v.looked {
		return false
	}
	if v.onset == nil {
		v.onset = &onset{}
	}
	limit := novelLimit + novelChoice*math.Log(float64(max(signals, 1)))
	opens := v.onset.step(v.score) && v.score > limit && !mute
	v.open = opens || v.open && v.score > limit/2
	return opens
}

// departure follows an episode of strain. Reach is the square sum of the smoothed
// departures, in sigma².
type departure struct {
	reach float64
	most  float64 // since the episode opened
	rows  int64   // since it grew last
	usual float64 // most that went by itself: a machine that returns was never ill
}

// settle says whether it takes a departure that has not grown for long as the machine's new normal:
// the episode ends, and a further departure opens another.
func (w *Watcher) settle() (accepted bool) {
	if !w.alarmed {
		return false
	}
	d := &w.departure
	if d.rows++; d.reach > growth*d.most {
		d.most, d.rows = d.reach, 0
	}
	if d.rows < acceptTimes*w.learnt {
		return false
	}
	for i := range w.channels {
		if c := &w.channels[i]; c.state == watching {
			c.level += c.smooth * c.sigma
			c.rest()
		}
	}
	for _, g := range w.groups {
		g.usual.mean *= math.Cbrt(max(g.ratio, 1))
		g.rest()
	}
	w.calmDown()
	return true
}

// rest is where a channel stands when it is at its level.
func (c *channel) rest() { c.smooth, c.away, c.strain, c.joint, c.struck = 0, 0, 0, 0, 0 }

// calmDown ends an episode of strain.
func (w *Watcher) calmDown() {
	w.alarmed, w.trouble = false, 0
	w.departure.most, w.departure.rows = 0, 0
}
