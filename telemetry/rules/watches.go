package rules

import "time"

// Watches tells of each rule on the machine when it was last told what it needs: the
// oldest last word, in event time, of the signals without which it can say nothing,
// and the name of that signal; a zero time where one never came. A rule that needs no
// signal in particular is told with each row, and missing is "".
func (m *Machine) Watches(each func(rule, hash string, heard time.Time, missing string)) {
	for i := range m.slots {
		s := &m.slots[i]
		heard, missing := m.done, ""
		for _, n := range s.uses {
			if at := m.row.heldAt[n]; at < heard || missing == "" {
				heard, missing = at, m.row.names[n]
			}
		}
		var at time.Time
		if heard != 0 {
			at = unix(heard)
		}
		each(s.rule.ID, s.hash, at, missing)
	}
}
