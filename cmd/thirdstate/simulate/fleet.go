package simulate

import (
	"sync"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// Fleet is machines that speak when they are asked. It is safe for concurrent use.
type Fleet struct {
	start time.Time
	units []*unit
	byKey map[string]*unit
}

// unit is one machine with its own character.
type unit struct {
	Machine
	mu      sync.Mutex
	seed    uint64 // of the machine
	site    uint64 // of its site: weather is shared
	start   int64
	day0    int64 // local day of the start
	kind    string
	repairs []repair
	meters  meters
	memos   [memos]memo
	known   reading // at MeterAt, as if nobody repaired anything
}

// NewFleet makes a fleet; counters count from start.
func NewFleet(start time.Time, machines []Machine, seed uint64) *Fleet {
	f := &Fleet{start: start, byKey: map[string]*unit{}}
	kinds := map[string]string{}
	for _, m := range Models() {
		kinds[m.Name] = m.Kind
	}
	for _, m := range machines {
		u := &unit{Machine: m, start: start.Unix(), kind: kinds[m.Model]}
		u.seed, u.site = named(seed, m.Key), named(seed, m.Site)
		_, u.day0, _ = localSlot(u.start)
		if !m.MeterAt.IsZero() {
			u.known = u.read(m.MeterAt.Unix())
		}
		f.units = append(f.units, u)
		f.byKey[m.Key] = u
	}
	return f
}

// named mixes a name into a seed.
func named(seed uint64, name string) uint64 {
	for i := range len(name) {
		seed = mix(seed ^ uint64(name[i]))
	}
	return seed
}

// Machines lists the machines in the order in which they were given.
func (f *Fleet) Machines() []Machine {
	list := make([]Machine, len(f.units))
	for i, u := range f.units {
		list[i] = u.Machine
	}
	return list
}

// Message gives what a machine says at an instant, as it goes over the wire; ok is
// false when it says nothing: no device, off, no coverage.
func (f *Fleet) Message(key string, at time.Time) (topic string, payload []byte, ok bool) {
	o, ok := f.Observation(key, at)
	if !ok {
		return "", nil, false
	}
	topic, payload = encode(f.byKey[key].Format, &o)
	return topic, payload, true
}

// Observation is what a machine says at an instant.
func (f *Fleet) Observation(key string, at time.Time) (observation.Observation, bool) {
	u := f.byKey[key]
	if u == nil || !u.HasDevice {
		return observation.Observation{}, false
	}
	at = at.UTC().Truncate(time.Second)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.unheard(at.Unix()) || !u.speaks(at.Unix()) {
		return observation.Observation{}, false
	}
	return observation.Observation{
		Machine: key, At: at, Received: at,
		Values: u.values(at.Unix()), // unnumbered: what is said at an instant does not depend on what was said before
	}, true
}

func (u *unit) unheard(at int64) bool {
	for i := range u.Gaps {
		if g := &u.Gaps[i]; g.Kind == NoCoverage && g.holds(at) {
			return true
		}
	}
	return false
}

// speaks says whether the gateway sends: while the machine is on, for a quarter of
// an hour after that, and then for ten minutes of each hour.
func (u *unit) speaks(at int64) bool {
	return u.slot(at).on || u.slot(at-slotSeconds).on || at%3600 < 600
}

// Repair tells that a work order on a machine has been completed: of everything,
// or of one failure mode. Quality 1 takes the fault's whole effect away, 0.24 (a
// bad repair) a quarter of it, and the rest goes on growing.
func (f *Fleet) Repair(key, mode string, at time.Time, quality float64) {
	u := f.byKey[key]
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.repairs = append(u.repairs, repair{mode, at.Unix(), quality})
	u.meters.forget(at.Unix())
	u.memos = [memos]memo{}
}

// Labels lists the faults of the fleet.
func (f *Fleet) Labels() []Label {
	var list []Label
	for _, u := range f.units {
		u.mu.Lock()
		for i := range u.Faults {
			list = append(list, Label{Machine: u.Key, Model: u.Model, Fault: u.Faults[i], RepairedAt: u.repairedAt(&u.Faults[i])})
		}
		u.mu.Unlock()
	}
	return list
}
