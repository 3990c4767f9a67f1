package rules

import (
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// laneIdle is how long, on the main line's event time, a lane may rest before its
// open proposals close.
const laneIdle = int64(time.Hour)

// lane evaluates what came too late for its place: a device's backlog sent after
// its newest data. Limits are looked at, on fresh state; what is learnt is not,
// for the main line has gone on. It can only propose.
type lane struct {
	machine *Machine
	touched int64 // main line's event time
}

// late shows one late observation to the lane.
func (m *Machine) late(o *observation.Observation) []Finding {
	rules := m.laneRules()
	if rules == nil {
		return nil
	}
	var found []Finding
	if m.lane != nil && o.At.UnixNano() < m.lane.machine.done {
		found = m.lane.end(m)
	}
	if m.lane == nil {
		m.lane = &lane{machine: New(m.name, rules)}
	}
	m.lane.touched = m.done
	return append(found, m.propose(m.lane.machine.Observe(*o))...)
}

// laneRules is the pack's limits, nil when it has none.
func (m *Machine) laneRules() *Pack {
	if m.pack == nil {
		return nil
	}
	limits := &Pack{Model: m.pack.Model, Signals: m.pack.Signals, lane: true}
	for i := range m.pack.Rules {
		if k := kindOf(m.pack.Rules[i].Kind); k != nil && k.limit {
			limits.Rules = append(limits.Rules, m.pack.Rules[i])
		}
	}
	if len(limits.Rules) == 0 {
		return nil
	}
	return limits
}

// propose marks the lane's findings and leaves out what the main line has found itself.
func (m *Machine) propose(list []Finding) []Finding {
	kept := list[:0]
	for _, f := range list {
		if !m.foundBefore(f) {
			f.Propose = true
			kept = append(kept, f)
		}
	}
	return kept
}

func (m *Machine) foundBefore(f Finding) bool {
	at := f.OpenedAt.UnixNano()
	for i := range m.slots {
		s := &m.slots[i]
		if s.rule.ID == f.Rule && s.openedAt != 0 && at >= s.openedAt && (s.dwell.open || at <= s.closedAt) {
			return true
		}
	}
	return false
}

// retire ends a lane that has rested long enough.
func (m *Machine) retire(found []Finding) []Finding {
	if m.lane == nil || m.done-m.lane.touched < laneIdle {
		return found
	}
	return append(found, m.lane.end(m)...)
}

// end closes what the lane has open: late data say nothing of now.
func (l *lane) end(m *Machine) []Finding {
	var found []Finding
	for i := range l.machine.slots {
		if s := &l.machine.slots[i]; s.dwell.open {
			found = append(found, l.machine.finding(s, Closed, max(l.machine.done, s.openedAt), Cleared))
		}
	}
	m.lane = nil
	return m.propose(found)
}
