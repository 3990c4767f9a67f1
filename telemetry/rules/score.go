package rules

import (
	"math"
	"sort"
)

// weights is what a finding of each severity takes off the health score at its
// limit; at half as much again as the limit it takes half as much again.
func weight(s Severity) float64 {
	switch s {
	case Info:
		return 5
	case Advice:
		return 15
	case Warning:
		return 30
	case Alarm:
		return 60
	}
	return 15
}

// Score is the health score, 100 = nothing to see, with what takes points off it.
// A rule takes points from half of its way to the limit on, and at least its
// weight while its finding is open. Contributors come by loss, the greatest first.
func (m *Machine) Score() (score float64, contributors []Contributor) {
	lost := 0.0
	for i := range m.slots {
		s := &m.slots[i]
		share := math.Max(0, 2*(math.Min(s.nearness, 1.25)-0.5))
		if s.dwell.open {
			share = math.Max(1, share)
		} else {
			share = math.Min(share, 0.9) // not before it has lasted
		}
		if !(share > 0) {
			continue
		}
		w := weight(s.severity())
		lost += w * share
		contributors = append(contributors, Contributor{Signal: m.evidence(s).Signal, Rule: s.rule.ID, Weight: w, Loss: w * share})
	}
	sort.SliceStable(contributors, func(i, j int) bool { return contributors[i].Loss > contributors[j].Loss })
	return math.Max(0, 100-lost), contributors
}

// Nearness is how near the worst rule is to its limit: 0 at normal, 1 at the limit.
func (m *Machine) Nearness() float64 {
	worst := 0.0
	for i := range m.slots {
		worst = math.Max(worst, m.slots[i].nearness)
	}
	return worst
}
