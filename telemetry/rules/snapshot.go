package rules

import (
	"encoding/json"
	"fmt"
)

// snapshotVersion is of the format below and of what the evaluators write.
const snapshotVersion = 4

// Snapshot appends the machine's state to dst. A machine restored from it goes on
// exactly as this one would.
func (m *Machine) Snapshot(dst []byte) []byte {
	w := writer{dst}
	w.uint(snapshotVersion)
	w.int(m.watermark)
	w.int(m.done)
	w.uint(m.ignored)
	w.uint(uint64(len(m.row.names)))
	for i, name := range m.row.names {
		w.text(name)
		w.float(m.row.held[i])
		w.int(m.row.heldAt[i])
		w.float(m.row.now[i])
		w.bool(m.row.bad[i])
	}
	m.waiting.snapshot(&w)
	w.uint(uint64(len(m.slots)))
	for i := range m.slots {
		m.slots[i].snapshot(&w)
	}
	w.bool(m.lane != nil)
	if m.lane != nil {
		w.int(m.lane.touched)
		w.block(m.lane.machine.Snapshot)
	}
	w.block(func(dst []byte) []byte {
		if text, err := json.Marshal(m.pending); err == nil && len(m.pending) > 0 {
			return append(dst, text...)
		}
		return dst
	})
	return w.b
}

func (s *slot) snapshot(w *writer) {
	w.text(s.rule.ID)
	w.text(s.hash)
	w.text(s.rule.Component)
	w.text(s.rule.FailureMode)
	w.text(string(s.rule.Severity))
	w.bool(s.noted)
	s.dwell.snapshot(w)
	w.int(s.openedAt)
	w.int(s.since)
	w.int(s.closedAt)
	w.int(s.toldAt)
	w.float(s.told)
	w.float(s.nearness)
	w.block(s.eval.Snapshot)
}

// Restore replaces the machine's state by a snapshot's, under the given pack. Rules
// that are the same go on; changed ones start anew and removed ones end, and their
// open findings close with RuleChanged at the next call. After an error the
// machine is as New makes it.
func (m *Machine) Restore(pack *Pack, b []byte) error {
	fresh := New(m.name, pack)
	r := reader{b: b}
	if v := r.uint(); r.err == nil && v != snapshotVersion {
		r.err = fmt.Errorf("snapshot has version %d, this program reads %d", v, snapshotVersion)
	}
	if r.err == nil {
		fresh.restore(&r)
	}
	if r.err != nil {
		*m = *New(m.name, pack)
		return fmt.Errorf("restore rules of machine %s: %w", m.name, r.err)
	}
	*m = *fresh
	return nil
}

func (m *Machine) restore(r *reader) {
	m.watermark, m.done, m.ignored = r.int(), r.int(), r.uint()
	var numbers []int
	m.row.at = m.done
	for range r.count(maxSignals) {
		n := m.number(r.text())
		held, at, now, bad := r.float(), r.int(), r.float(), r.bool()
		numbers = append(numbers, n)
		if n < 0 || r.err != nil {
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
	for range r.count(maxRules + maxBuiltin) {
		m.restoreSlot(r)
	}
	if r.bool() {
		m.restoreLane(r)
	}
	if text := r.block(); len(text) > 0 && r.err == nil {
		var pending []Finding
		if json.Unmarshal(text, &pending) == nil {
			m.pending = append(pending, m.pending...)
		}
	}
}

func (m *Machine) restoreSlot(r *reader) {
	var s slot
	old := Rule{ID: r.text()}
	s.rule, s.hash = &old, r.text()
	old.Component, old.FailureMode, old.Severity = r.text(), r.text(), Severity(r.text())
	s.noted = r.bool()
	s.dwell.restore(r)
	s.openedAt, s.since, s.closedAt, s.toldAt = r.int(), r.int(), r.int(), r.int()
	s.told, s.nearness = r.float(), r.float()
	state := r.block()
	if r.err != nil {
		return
	}
	for i := range m.slots {
		now := &m.slots[i]
		if now.rule.ID != old.ID || now.hash != s.hash {
			continue
		}
		if err := now.eval.Restore(snapshotVersion, state); err != nil {
			r.err = err
			return
		}
		s.dwell.Hold, s.dwell.Clear, s.dwell.Patient = now.dwell.Hold, now.dwell.Clear, now.dwell.Patient
		s.rule, s.kind, s.eval, s.uses = now.rule, now.kind, now.eval, now.uses
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

func (m *Machine) restoreLane(r *reader) {
	touched, state := r.int(), r.block()
	limits := m.laneRules()
	if r.err != nil || limits == nil {
		return
	}
	l := &lane{machine: New(m.name, limits), touched: touched}
	if l.machine.Restore(limits, state) == nil {
		l.machine.pending = nil
		m.lane = l
	}
}
