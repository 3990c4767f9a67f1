package rules

import (
	"math"
	"slices"

	"github.com/thirdstate/thirdstate/telemetry/rules/statistics"
)

// Toward is how far a machine has moved the way of a confirmed finding: its signals in
// their direction. For a deviation it is in rule limits times Sigma, for a watcher the mean, by
// their share in the finding, of the signals' smoothed distances from this machine's own
// normal: both in its own standard deviations. For other kinds it is the nearness to the limit, 0 to
// about 1, and inSigma is false. ok is false where the machine has no such rule or has not learnt its normal.
func (m *Machine) Toward(rule string, e Evidence) (score float64, inSigma, ok bool) {
	for i := range m.slots {
		s := &m.slots[i]
		if s.rule.ID != rule {
			continue
		}
		switch eval := s.eval.(type) {
		case *deviation:
			return eval.toward(e)
		case *watching:
			return eval.toward(e)
		}
		return s.nearness, false, m.done != 0
	}
	return 0, false, false
}

func (d *deviation) toward(e Evidence) (float64, bool, bool) {
	if !d.baseline.ready {
		return 0, true, false
	}
	last, _ := d.smooth.Pace()
	away, limit, known := d.apart(last)
	return math.Copysign(1, e.Deviation) * away / limit * d.sigma(), true, known
}

// Suspect is one machine of a sweep.
type Suspect struct {
	Score   float64
	InSigma bool // Score is in the machine's own standard deviations
	Alike   bool // it shares what the confirmed machine has: it may have the same defect

	P   float64 // chance of such a score on a machine that is not affected
	Q   float64 // least false-discovery level at which it is on the list
	Act bool    // it is on the list
}

// What a p-value rests on.
const (
	ByOthers = "others" // machines that differ, which cannot have the defect
	ByCohort = "cohort" // the middle and spread of the machines that are alike
	ByItself = "itself" // the machine's own learnt spread
)

// SweepLevel is the share of those listed that may be well. A list is made anew each day,
// so that one that has moved too little today is on it tomorrow.
const SweepLevel = 0.01

// Bounds of a sweep.
const (
	leastOthers = 20 // machines that differ, for a rank among them
	leastCohort = 20 // machines that are alike, for their middle and spread
	leastTail   = 40 // of those that differ, before more is said than their number allows
)

// Sweep gives each machine that is alike its p-value and says which are to be acted on, so
// that of those at most a share of level is expected to be well (Benjamini and Hochberg 1995).
//
// A p-value is the rank of the score among the machines that differ (conformal: Vovk 2005),
// with an exponential tail beyond the highest tenth of them. Where too few differ it is from the
// middle and spread (median, 1.4826 MAD) of those that are alike, of which most must be well; where these are too few too, from
// the machine's own spread, less what all have in common.
func Sweep(all []Suspect, level float64) (basis string) {
	var alike, others []float64
	inSigma := true
	for _, s := range all {
		if s.Alike {
			alike = append(alike, s.Score)
		} else {
			others = append(others, s.Score)
		}
		inSigma = inSigma && s.InSigma
	}
	slices.Sort(others)
	chance := func(float64) float64 { return 1 }
	switch {
	case len(others) >= leastOthers:
		basis, chance = ByOthers, func(s float64) float64 { return rankAmong(others, s) }
	case len(alike) >= leastCohort:
		center, sigma := statistics.Spread(alike)
		basis, chance = ByCohort, func(s float64) float64 { return above((s - center) / max(sigma, 1e-9)) }
	default:
		basis = ByItself
		if !inSigma {
			break // how near a limit a well machine comes, nobody knows
		}
		common := 0.0
		if len(others) >= leastPeers {
			common = max(0, statistics.Median(slices.Clone(others)))
		}
		chance = func(s float64) float64 { return above(s - common) }
	}
	for i := range all {
		all[i].P, all[i].Q, all[i].Act = 1, 1, false
		if all[i].Alike {
			all[i].P = chance(all[i].Score)
		}
	}
	discover(all, level)
	return basis
}

// leastPeers is how many machines in the same regime say what they have in common.
const leastPeers = 4

// discover is the step-up procedure of Benjamini and Hochberg over those that are alike.
func discover(all []Suspect, level float64) {
	var order []int
	for i := range all {
		if all[i].Alike {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case all[a].P < all[b].P:
			return -1
		case all[a].P > all[b].P:
			return 1
		}
		return 0
	})
	q := 1.0
	for rank := len(order); rank > 0; rank-- {
		s := &all[order[rank-1]]
		q = min(q, s.P*float64(len(order))/float64(rank))
		s.Q, s.Act = q, q <= level
	}
}

// rankAmong is the chance of a score of at least s among scores in rising order.
func rankAmong(scores []float64, s float64) float64 {
	n := len(scores)
	from, _ := slices.BinarySearch(scores, s)
	p := float64(n-from+1) / float64(n+1)
	if n < leastTail {
		return p
	}
	m := min(max(n/10, 10), 32)
	u := scores[n-m]
	if s <= u {
		return p
	}
	beta := 0.0
	for _, x := range scores[n-m:] {
		beta += (x - u) / float64(m)
	}
	if !(beta > 0) {
		return p
	}
	return min(p, float64(m)/float64(n+1)*math.Exp(-(s-u)/beta))
}

// above is the chance that a standard normal variable exceeds z.
func above(z float64) float64 { return math.Erfc(z/math.Sqrt2) / 2 }
