// Package observation holds the one thing that everyone who deals with
// telemetry may know: what one machine reported at one instant. It imports
// nothing of ours.
package observation

import "time"

// Quality says how far a value may be trusted. The zero value is Good.
type Quality uint8

// Qualities in the order of how they are stored (one byte a value).
const (
	Good        Quality = iota
	Unmapped            // stored as it came: no unit known for this signal yet
	Implausible         // outside the physically possible range; never evaluated
	Stale               // the source itself said that the value is old or not to be trusted
)

var qualityNames = [...]string{"good", "unmapped", "implausible", "stale"}

func (q Quality) String() string {
	if int(q) < len(qualityNames) {
		return qualityNames[q]
	}
	return "unknown"
}

// Value is one signal of an observation, in the signal's canonical UCUM unit.
type Value struct {
	Signal  string
	Value   float64
	Quality Quality
}

// Flag marks what is unusual about the time of an observation.
type Flag uint8

// Flags of an observation; they can be combined.
const (
	ClockAhead Flag = 1 << iota // device time was > 2 min in the future; receive time is used
	NoTime                      // the payload had no time; receive time is used
	Historical                  // measured earlier and sent now, as the source says: stored, and no news of now
)

// Observation is one machine at one instant with some signals.
type Observation struct {
	Machine  string    // the machine's key
	At       time.Time // event time, UTC
	Received time.Time // program clock when it arrived
	Boot     string    // the device's boot id, "" when the payload has none
	Seq      uint64    // the device's sequence number within Boot
	Flags    Flag
	Values   []Value
}

// Get returns the good or unmapped value of a signal.
func (o *Observation) Get(signal string) (float64, bool) {
	for i := range o.Values {
		if v := &o.Values[i]; v.Signal == signal && v.Quality <= Unmapped {
			return v.Value, true
		}
	}
	return 0, false
}
