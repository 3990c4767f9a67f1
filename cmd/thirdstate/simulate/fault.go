package simulate

import (
	"math"
	"time"
)

// goodRepair is the quality from which a fault no longer grows.
const goodRepair = 0.9

// repair is a completed work order, as far as a machine feels it.
type repair struct {
	mode    string // "" = everything
	at      int64
	quality float64
}

// effect is what the faults of a mode do to a signal at an instant, in the unit of
// their Reach.
func (u *unit) effect(mode string, at int64) float64 {
	sum := 0.0
	for i := range u.Faults {
		if f := &u.Faults[i]; f.Mode == mode {
			sum += u.share(f, at) * f.Reach
		}
	}
	return sum
}

// share is how far a fault has come: 0 before its onset, 1 at the failure.
func (u *unit) share(f *Fault, at int64) float64 {
	if at < f.Onset.Unix() || !f.Passes.IsZero() && at >= f.Passes.Unix() {
		return 0
	}
	left := 1.0
	for _, r := range u.repairs {
		if r.at > at || r.at < f.Onset.Unix() || r.mode != "" && r.mode != f.Mode {
			continue
		}
		if r.quality >= goodRepair {
			return left * (1 - r.quality) * f.growth(r.at)
		}
		left *= 1 - r.quality
	}
	return left * f.growth(at)
}

func (f *Fault) growth(at int64) float64 {
	onset := f.Onset.Unix()
	life := float64(f.Failure.Unix() - onset)
	if life <= 0 {
		return 1
	}
	shape := f.Shape
	if shape == 0 {
		shape = 1
	}
	return math.Pow(math.Min(float64(at-onset)/life, 1.1), shape)
}

// down says whether a fault has stopped the machine.
func (u *unit) down(at int64) bool {
	for i := range u.Faults {
		f := &u.Faults[i]
		if f.Mild || !f.Passes.IsZero() || at < f.Failure.Unix() {
			continue
		}
		if u.share(f, at) > 0.5 {
			return true
		}
	}
	return false
}

// onset gives when a fault of a mode began that is there now; 0 = none.
func (u *unit) onset(mode string, at int64) int64 {
	for i := range u.Faults {
		if f := &u.Faults[i]; f.Mode == mode && u.share(f, at) > 0.5*f.growth(at) && at > f.Onset.Unix() {
			return f.Onset.Unix()
		}
	}
	return 0
}

// repairedAt is the last good repair of a fault.
func (u *unit) repairedAt(f *Fault) time.Time {
	var at time.Time
	for _, r := range u.repairs {
		if r.quality >= goodRepair && r.at >= f.Onset.Unix() && (r.mode == "" || r.mode == f.Mode) {
			at = time.Unix(r.at, 0).UTC()
		}
	}
	return at
}
