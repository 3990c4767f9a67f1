package bundle

import (
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
)

// Recorder keeps of one machine what a bundle needs: its state of some time ago and
// what it was shown since. It holds at most twice Every events.
type Recorder struct {
	Every int // events from one state to the next

	machine     *rules.Machine
	before, now stretch
}

// stretch is a state and the events behind it.
type stretch struct {
	state  []byte
	events []Event
}

// Record keeps an observation. It is called before the machine is shown it.
func (r *Recorder) Record(m *rules.Machine, o observation.Observation) {
	r.keep(m, Event{At: o.At, Flags: o.Flags, Values: slices.Clone(o.Values)})
}

// Beside keeps how sisters stood. It is called before the machine is told.
func (r *Recorder) Beside(m *rules.Machine, c *sisters.Cohort, at time.Time) {
	r.keep(m, Event{At: at, Cohort: c})
}

func (r *Recorder) keep(m *rules.Machine, e Event) {
	if r.machine != m || r.now.state == nil {
		r.Restart(m)
	}
	if len(r.now.events) >= r.Every {
		r.before, r.now = r.now, stretch{state: m.Snapshot(r.before.state[:0]), events: r.before.events[:0]}
	}
	r.now.events = append(r.now.events, e)
}

// Restart forgets what was kept, as when the machine goes on under another pack.
func (r *Recorder) Restart(m *rules.Machine) {
	r.machine, r.before, r.now = m, stretch{}, stretch{state: m.Snapshot(nil)}
}

// Bundle makes a bundle of a finding that the last event has opened.
func (r *Recorder) Bundle(f rules.Finding, pack *rules.Pack, flushed bool) *Bundle {
	b := &Bundle{Finding: f, Pack: pack, State: r.now.state, Events: r.now.events, Flushed: flushed}
	if r.before.state != nil {
		b.State, b.Events = r.before.state, slices.Concat(r.before.events, r.now.events)
	}
	return b
}
