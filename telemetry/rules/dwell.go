package rules

import (
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
	"github.com/thirdstate/thirdstate/telemetry/rules/statistics"
)

// Dwell turns a flickering condition into one finding: it opens after Hold of
// uninterrupted trouble and closes after Clear of uninterrupted calm, both in
// event time inside the rule's regime. Time outside the regime is not counted and
// interrupts nothing. A gap in the data interrupts, except when Patient.
type Dwell struct {
	Hold, Clear time.Duration
	Patient     bool

	open    bool
	running bool // a run of trouble (open: of calm) is going on
	paused  bool // the machine has left the regime since last
	since   int64
	run     int64 // its length so far, ns
	last    int64 // last row that counted, Unix ns; 0 = none yet
	period  int64 // usual distance of rows, ns
}

// step takes one row's state and says whether a finding opens or closes.
func (d *Dwell) step(at int64, s State) (opened, closed bool) {
	switch s {
	case Nothing:
		return false, false
	case Outside:
		d.paused = true
		return false, false
	case Calm, Doubt, Trouble:
	}
	passed, broken := d.passed(at)
	need := int64(d.Hold)
	met := s == Trouble
	if d.open {
		need, met = int64(d.Clear), s == Calm
	}
	if !met {
		d.running, d.run = false, 0
		return false, false
	}
	if !d.running || broken {
		d.running, d.run, d.since = true, 0, at
	} else {
		d.run += passed
	}
	if d.run < need {
		return false, false
	}
	d.open, d.running, d.run = !d.open, false, 0
	return d.open, !d.open
}

// passed is the time since the last row that counts, and whether the rows in
// between are missing.
func (d *Dwell) passed(at int64) (passed int64, broken bool) {
	passed = at - d.last
	first, paused := d.last == 0, d.paused
	d.last, d.paused = at, false
	if first || paused || passed <= 0 {
		return 0, false
	}
	need := int64(d.Hold)
	if d.open {
		need = int64(d.Clear)
	}
	gap := d.period > 0 && passed > max(need, statistics.GapPeriods*d.period)
	if d.period == 0 {
		d.period = passed
	} else {
		d.period += (min(passed, 8*d.period) - d.period) / 16
	}
	if gap {
		return 0, !d.Patient
	}
	return passed, false
}

// reset closes without waiting for calm.
func (d *Dwell) reset() { d.open, d.running, d.run = false, false, 0 }

func (d *Dwell) snapshot(w *snapshot.Writer) {
	w.Bool(d.open)
	w.Bool(d.running)
	w.Bool(d.paused)
	w.Int(d.since)
	w.Int(d.run)
	w.Int(d.last)
	w.Int(d.period)
}

func (d *Dwell) restore(r *snapshot.Reader) {
	d.open, d.running, d.paused = r.Bool(), r.Bool(), r.Bool()
	d.since, d.run, d.last, d.period = r.Int(), r.Int(), r.Int(), r.Int()
}
