package rules

import (
	"cmp"
	"math"
	"slices"
)

// What takes points off a health score.
const (
	ByStrain  = "strain"  // on the way to a limit
	ByNovelty = "novelty" // unlike its past
	ByFinding = "finding" // open
	ByCode    = "code"    // a trouble code, or its lamp
	BySensor  = "sensor"  // measuring that is at fault
	ByTrend   = "trend"   // where it goes: the machine stops by itself before long
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

// A trend takes points where the sooner end of the days until the machine stops by
// itself is less than trendFar; from trendNear on it takes all.
const (
	trendWeight = 20.0
	trendNear   = 7.0
	trendFar    = 90.0
)

// maxShown is how many signals share what one rule takes.
const maxShown = 4

// strained is the share of its weight that a rule takes. It takes points from half of
// its way to the limit on, and at least its weight while its finding is open.
func strained(nearness float64, open bool) float64 {
	share := math.Max(0, 2*(math.Min(nearness, 1.25)-0.5))
	if open {
		return math.Max(1, share)
	}
	return math.Min(share, 0.9) // not before it has lasted
}

// urgent is the share of its weight that a trend takes, by the days that are left.
func urgent(days float64) float64 {
	return math.Max(0, math.Min(1, (trendFar-days)/(trendFar-trendNear)))
}

// Score is the health score, 100 = nothing to see, with what takes points off it: 100
// less all losses, and not below 0. Contributors come by loss, the greatest first. More
// of any of them never makes the score better.
func (m *Machine) Score() (score float64, contributors []Contributor) { return m.ScoreWithout(nil) }

// ScoreWithout is the score without the rules of which mute (nil = of none) says so.
func (m *Machine) ScoreWithout(mute func(rule, hash string) bool) (score float64, contributors []Contributor) {
	for i := range m.slots {
		s := &m.slots[i]
		share := strained(s.nearness, s.dwell.open)
		if !(share > 0) || mute != nil && mute(s.rule.ID, s.hash) {
			continue
		}
		e := m.evidence(s)
		contributors = s.contribute(contributors, &e, share)
		if d := e.DaysToLimit; s.dwell.open && d != nil && urgent(d[0]) > 0 {
			contributors = append(contributors, Contributor{e.Signal, s.rule.ID, ByTrend, trendWeight, trendWeight * urgent(d[0])})
		}
	}
	score = 100
	for i := range contributors {
		score -= contributors[i].Loss
	}
	slices.SortStableFunc(contributors, func(a, b Contributor) int { return cmp.Compare(b.Loss, a.Loss) })
	return math.Max(0, score), contributors
}

// contribute shares what a rule takes among the signals that it names as causes.
func (s *slot) contribute(list []Contributor, e *Evidence, share float64) []Contributor {
	w := weight(s.severity())
	causes := e.Causes[:min(len(e.Causes), maxShown)]
	sum := 0.0
	for _, c := range causes {
		sum += c.Share
	}
	if !(sum > 0) {
		return append(list, Contributor{e.Signal, s.rule.ID, s.by(), w, w * share})
	}
	for _, c := range causes {
		if part := c.Share / sum; part > 0 {
			list = append(list, Contributor{c.Signal, s.rule.ID, s.by(), w * part, w * part * share})
		}
	}
	return list
}

// by is what a rule's points are for.
func (s *slot) by() string {
	switch {
	case s.kind.remembers:
		return ByCode
	case s.kind.sensor:
		return BySensor
	case s.noted && s.dwell.open:
		return ByNovelty
	case s.dwell.open:
		return ByFinding
	}
	return ByStrain
}

// Nearness is how near the worst rule is to its limit: 0 at normal, 1 at the limit.
func (m *Machine) Nearness() float64 {
	worst := 0.0
	for i := range m.slots {
		worst = math.Max(worst, m.slots[i].nearness)
	}
	return worst
}
