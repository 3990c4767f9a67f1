// Package sisters says how machines of one kind stand to one another at an instant of
// event time: the middle and the spread of their distances from their own normal. It
// knows neither rules nor machines, and where the instants come from is not its business.
package sisters

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Step is the grid of event time on which machines are compared; Fresh is how many steps,
// or of a machine that speaks more seldom how many of its usual distances of rows, what
// is known of them is worth something.
const (
	Step  = 15 * time.Minute
	Fresh = 3
)

// Lately is for how long a machine that is no longer at work counts among those that one
// is ranked with: a fleet that takes turns by day and by night is one fleet.
const Lately = 7 * 24 * time.Hour

// Bounds of a cohort. Of a larger fleet the first machines, at work and not, stand for the
// others: the middle of 200 is known to a tenth of their spread.
const (
	Least     = 5 // machines, so that each has four others
	Most      = 200
	MaxPoints = 256 // subjects
	MaxBytes  = 256 << 10
	maxName   = 512 // bytes
)

// Subject is what machines are compared in: a signal as one rule sees it.
type Subject struct {
	Rule   string `json:"rule"` // hash
	Signal string `json:"signal"`
}

// Compare orders subjects.
func (s Subject) Compare(o Subject) int {
	return cmp.Or(cmp.Compare(s.Rule, o.Rule), cmp.Compare(s.Signal, o.Signal))
}

// Standing is how far a machine is from its own normal, smoothed, in the rule's measure.
type Standing struct {
	Subject
	Away  float32
	Rests bool // it is not at work: that is how far it was lately
}

// marks are what is kept of the distances' distribution: every eighth of it.
const marks = 9

// Crowd is what machines at work have in common.
type Crowd struct {
	Machines int     `json:"machines"` // 0 = too few to say anything
	Middle   float64 `json:"middle"`   // median of the distances
	Spread   float64 `json:"spread"`   // 1.4826 MAD, corrected for few machines (Croux and Rousseeuw 1992)
}

// Ranks is how far machines are from their own normals, those at work and those that were lately.
type Ranks struct {
	Machines int            `json:"machines"`
	Marks    [marks]float32 `json:"marks"` // distances without their sides, from the least to the greatest
}

// Point is how machines stand in one subject.
type Point struct {
	Subject
	Crowd
	Ranks Ranks `json:"ranks"`
}

// Cohort is how the machines of a kind stand at an instant, its points in the order of
// their subjects. It is read-only.
type Cohort struct {
	Of     string    `json:"of"`
	At     time.Time `json:"at"`
	Points []Point   `json:"points"`
}

// Find gives the point of a subject, nil where it has none.
func (c *Cohort) Find(s Subject) *Point {
	i, ok := slices.BinarySearchFunc(c.Points, s, func(p Point, s Subject) int { return p.Compare(s) })
	if !ok {
		return nil
	}
	return &c.Points[i]
}

// Census gathers how machines stand at one instant.
type Census struct {
	machines, resting int
	away              map[Subject]*gathered
}

// gathered are the distances of one subject.
type gathered struct{ now, lately []float32 }

// Full says whether more machines would tell nothing.
func (c *Census) Full() bool { return c.machines == Most }

// Add adds one machine; one that stands nowhere is not counted.
func (c *Census) Add(list []Standing) {
	if len(list) == 0 {
		return
	}
	count := &c.resting
	if slices.ContainsFunc(list, func(s Standing) bool { return !s.Rests }) {
		count = &c.machines
	}
	if *count == Most {
		return
	}
	*count++
	if c.away == nil {
		c.away = map[Subject]*gathered{}
	}
	for _, s := range list {
		g := c.away[s.Subject]
		if g == nil {
			g = &gathered{}
			c.away[s.Subject] = g
		}
		if g.lately = append(g.lately, s.Away); !s.Rests {
			g.now = append(g.now, s.Away)
		}
	}
}

// Cohort is what was gathered, nil where there are too few machines to say anything. Its
// numbers do not depend on the order in which machines were added.
func (c *Census) Cohort(of string, at time.Time) *Cohort {
	out := Cohort{Of: of, At: at}
	for subject, g := range c.away {
		if len(g.lately) >= Least {
			out.Points = append(out.Points, Point{subject, crowdOf(g.now), ranksOf(g.lately)})
		}
	}
	if len(out.Points) == 0 {
		return nil
	}
	slices.SortFunc(out.Points, func(a, b Point) int { return a.Compare(b.Subject) })
	out.Points = out.Points[:min(len(out.Points), MaxPoints)]
	return &out
}

func crowdOf(away []float32) Crowd {
	if len(away) < Least {
		return Crowd{}
	}
	sorted := slices.Clone(away)
	slices.Sort(sorted)
	c := Crowd{Machines: len(away), Middle: middle(sorted)}
	for i, v := range sorted {
		sorted[i] = float32(math.Abs(float64(v) - c.Middle))
	}
	slices.Sort(sorted)
	c.Spread = fewer(len(away)) * 1.4826 * middle(sorted)
	return c
}

func ranksOf(away []float32) Ranks {
	r, sorted := Ranks{Machines: len(away)}, slices.Clone(away)
	for i, v := range sorted {
		sorted[i] = float32(math.Abs(float64(v)))
	}
	slices.Sort(sorted)
	for i := range r.Marks {
		at := float64(i) / (marks - 1) * float64(len(sorted)-1)
		below := int(at)
		above := min(below+1, len(sorted)-1)
		r.Marks[i] = sorted[below] + float32(at-float64(below))*(sorted[above]-sorted[below])
	}
	return r
}

func middle(sorted []float32) float64 {
	n := len(sorted)
	return (float64(sorted[(n-1)/2]) + float64(sorted[n/2])) / 2
}

// fewer is by how much the median deviation of n machines is too small.
func fewer(n int) float64 {
	few := [...]float64{5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}
	if n < len(few) {
		return few[n]
	}
	return float64(n) / (float64(n) - 0.8)
}

// Percentile is the share, 0 to 100, of the other machines that are less far from their own
// normal than one of them that is this far now.
func (r *Ranks) Percentile(away float64) float64 {
	x := float32(math.Abs(away))
	i, found := slices.BinarySearch(r.Marks[:], x)
	if i == 0 || i == marks {
		return 100 * float64(i) / marks
	}
	rank := float64(i)
	if !found {
		rank -= float64((r.Marks[i] - x) / (r.Marks[i] - r.Marks[i-1]))
	}
	others := float64(r.Machines - 1)
	return 100 * math.Ceil(rank/(marks-1)*others-1e-6) / others // who is behind one is before it
}

// Place is where a machine stood among its sisters at work in one subject when it was told
// of them last: like is compared with like, though all of them move on.
type Place struct {
	At   int64   // event time, Unix ns
	Away float64 // the machine itself
	Crowd
}

// Rank is the same among those that were at work lately.
type Rank struct {
	At   int64
	Away float64
	Ranks
}

// Apart is how far the machine was from their middle.
func (p *Place) Apart() float64 { return p.Away - p.Middle }

// Ahead is the share, 0 to 100, of the other machines that were less far from their own normal.
func (r *Rank) Ahead() float64 { return r.Percentile(r.Away) }

// Take takes a newer word; an older one, the same one again and one that says nothing
// change nothing.
func (p *Place) Take(crowd *Crowd, at int64, away float64) {
	if at > p.At && crowd.Machines > 0 {
		p.At, p.Away, p.Crowd = at, away, *crowd
	}
}

// Take is that of Place.
func (r *Rank) Take(ranks *Ranks, at int64, away float64) {
	if at > r.At {
		r.At, r.Away, r.Ranks = at, away, *ranks
	}
}

// Recent says whether what was known then still counts at an instant, Unix ns, for who
// speaks once in a period, ns.
func Recent(then, at, period int64) bool { return at-then <= Fresh*max(int64(Step), period) }

// Due says whether the grid has a point after one instant up to another, Unix ns.
func Due(after, upTo int64) bool { return upTo/int64(Step) > after/int64(Step) }
