package rules

import (
	"encoding/json"
	"fmt"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// snapshotVersion is of the format below and of what the evaluators write. Those from
// snapshotOldest on are read: what they do not have is left as it is at a start.
const (
	snapshotVersion = 6
	withSisters     = 5 // and from here on
	snapshotOldest  = 4
)

// Snapshot appends the machine's state to dst. A machine restored from it goes on
// exactly as this one would.
func (m *Machine) Snapshot(dst []byte) []byte {
	w := snapshot.Writer{B: dst}
	w.Uint(snapshotVersion)
	w.Int(m.watermark)
	w.Int(m.done)
	w.Uint(m.ignored)
	w.Uint(uint64(len(m.row.names)))
	for i, name := range m.row.names {
		w.Text(name)
		w.Float(m.row.held[i])
		w.Int(m.row.heldAt[i])
		w.Float(m.row.now[i])
		w.Bool(m.row.bad[i])
	}
	m.waiting.snapshot(&w)
	w.Uint(uint64(len(m.slots)))
	for i := range m.slots {
		m.slots[i].snapshot(&w)
	}
	w.Bool(m.lane != nil)
	if m.lane != nil {
		w.Int(m.lane.touched)
		w.Block(m.lane.machine.Snapshot)
	}
	w.Block(func(dst []byte) []byte {
		if text, err := json.Marshal(m.pending); err == nil && len(m.pending) > 0 {
			return append(dst, text...)
		}
		return dst
	})
	return w.B
}

func (s *slot) snapshot(w *snapshot.Writer) {
	w.Text(s.rule.ID)
	w.Text(s.hash)
	w.Text(s.rule.Component)
	w.Text(s.rule.FailureMode)
	w.Text(string(s.rule.Severity))
	w.Bool(s.noted)
	s.dwell.snapshot(w)
	w.Int(s.openedAt)
	w.Int(s.since)
	w.Int(s.closedAt)
	w.Int(s.toldAt)
	w.Float(s.told)
	w.Float(s.nearness)
	w.Block(s.eval.Snapshot)
	s.kin.snapshot(w)
}

// Restore replaces the machine's state by a snapshot's, under the given pack. Rules
// that are the same go on; changed ones start anew and removed ones end, and their
// open findings close with RuleChanged at the next call. After an error the
// machine is as New makes it.
func (m *Machine) Restore(pack *Pack, b []byte) error {
	fresh := New(m.name, pack)
	r := snapshot.Reader{B: b}
	version := r.Uint()
	if r.Err == nil && (version < snapshotOldest || version > snapshotVersion) {
		r.Err = fmt.Errorf("snapshot has version %d, this program reads %d to %d", version, snapshotOldest, snapshotVersion)
	}
	if r.Err == nil {
		fresh.restore(&r, int(version)) //nolint:gosec // one of a few
	}
	if r.Err != nil {
		*m = *New(m.name, pack)
		return fmt.Errorf("restore rules of machine %s: %w", m.name, r.Err)
	}
	*m = *fresh
	return nil
}

func (m *Machine) restore(r *snapshot.Reader, version int) {
	m.watermark, m.done, m.ignored = r.Int(), r.Int(), r.Uint()
	var numbers []int
	m.row.at = m.done
	for range r.Count(maxSignals) {
		n := m.number(r.Text())
		held, at, now, bad := r.Float(), r.Int(), r.Float(), r.Bool()
		numbers = append(numbers, n)
		if n < 0 || r.Err != nil {
			continue
		}
		m.row.held[n], m.row.heldAt[n], m.row.now[n], m.row.bad[n] = held, at, now, bad
		if bad || now == now {
			m.row.set = append(m.row.set, uint16(n)) //nolint:gosec // below maxSignals
		}
	}
	m.waiting.restore(r, func(n uint64) int {
		if n >= uint64(len(numbers)) {
			return -1
		}
		return numbers[n]
	})
	for range r.Count(maxRules + maxBuiltin) {
		m.restoreSlot(r, version)
	}
	if r.Bool() {
		m.restoreLane(r)
	}
	if text := r.Block(); len(text) > 0 && r.Err == nil {
		var pending []Finding
		if json.Unmarshal(text, &pending) == nil {
			m.pending = append(pending, m.pending...)
		}
	}
}

func (m *Machine) restoreSlot(r *snapshot.Reader, version int) {
	var s slot
	old := Rule{ID: r.Text()}
	s.rule, s.hash = &old, r.Text()
	old.Component, old.FailureMode, old.Severity = r.Text(), r.Text(), Severity(r.Text())
	s.noted = r.Bool()
	s.dwell.restore(r)
	s.openedAt, s.since, s.closedAt, s.toldAt = r.Int(), r.Int(), r.Int(), r.Int()
	s.told, s.nearness = r.Float(), r.Float()
	state := r.Block()
	kin := &kin{}
	known := version >= withSisters && r.Bool()
	if known {
		kin.restore(r)
	}
	if r.Err != nil {
		return
	}
	for i := range m.slots {
		now := &m.slots[i]
		if now.rule.ID != old.ID || now.hash != s.hash {
			continue
		}
		if err := now.eval.Restore(version, state); err != nil {
			r.Err = err
			return
		}
		s.dwell.Hold, s.dwell.Clear, s.dwell.Patient = now.dwell.Hold, now.dwell.Clear, now.dwell.Patient
		s.rule, s.kind, s.eval, s.uses = now.rule, now.kind, now.eval, now.uses
		if s.kin = now.kin; known && s.kin == nil {
			s.kin = kin
		} else if known {
			*s.kin = *kin // which the evaluator knows
		}
		*now = s
		m.mark(now)
		return
	}
	if s.dwell.open {
		m.pending = append(m.pending, ended(m, &s))
	}
}

// ended closes the finding of a rule that is no longer there as it was.
func ended(m *Machine, s *slot) Finding {
	at := max(m.done, s.openedAt)
	return Finding{
		Change: Closed, Machine: m.name, Rule: s.rule.ID, RuleHash: s.hash, Component: s.rule.Component,
		FailureMode: s.rule.FailureMode, Severity: s.severity(),
		OpenedAt: unix(s.openedAt), At: unix(at), CloseReason: RuleChanged,
	}
}

func (m *Machine) restoreLane(r *snapshot.Reader) {
	touched, state := r.Int(), r.Block()
	limits := m.laneRules()
	if r.Err != nil || limits == nil {
		return
	}
	l := &lane{machine: New(m.name, limits), touched: touched}
	if l.machine.Restore(limits, state) == nil {
		l.machine.pending = nil
		m.lane = l
	}
}
