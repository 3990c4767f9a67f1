package watcher

import (
	"math"
	"slices"
)

// Evidence is what has left its normal, since when and by how much, in the signal's unit.
type Evidence struct {
	Rows      int64 // seen in the regime, run-in included
	Since     int64 // Unix ns; 0 = not known
	Signal    string
	Observed  float64
	Normal    float64
	Limit     float64 // smallest deviation that would have been flagged
	Deviation float64
	Sigma     float64 // of a single value
	Causes    []Cause // earliest departure first
	Unless    *Unless // nil = no single value says it
	Line      *Line   // what Normal was computed with; nil = no line says it
}

// Cause is one signal's part in a departure; shares add up to 1.
type Cause struct {
	Signal string
	Share  float64
	Away   float64 // from its normal, smoothed, in standard deviations of a single value; 0 = not told
	Since  int64   // Unix ns; 0 = not told apart
}

// Unless is a counterfactual about the signal: what it would have had to stay below, or
// above, the others being where they are.
type Unless struct {
	Below bool
	Value float64
}

// Line is a level at mean contexts, and what each of the contexts adds.
type Line struct {
	Level       float64
	Mean, Slope []float64
}

// first is the channel that departed first: the largest strain is often that of a
// consequence. Channels that have not clearly departed come by their strain.
func (w *Watcher) first() int {
	if ranked := w.ranked(); len(ranked) > 0 {
		return ranked[0]
	}
	return -1
}

// ranked lists the channels under strain, earliest departure first.
func (w *Watcher) ranked() []int {
	var list []int
	for i := range w.channels {
		if c := &w.channels[i]; c.state == watching && c.stress() > 0 {
			list = append(list, i)
		}
	}
	slices.SortStableFunc(list, func(i, j int) int {
		a, b := &w.channels[i], &w.channels[j]
		switch {
		case a.struck != 0 && b.struck == 0:
			return -1
		case a.struck == 0 && b.struck != 0:
			return 1
		case a.struck < b.struck:
			return -1
		case a.struck > b.struck:
			return 1
		case a.stress() > b.stress():
			return -1
		case a.stress() < b.stress():
			return 1
		}
		return 0
	})
	return list
}

// Evidence says how things stand.
func (w *Watcher) Evidence() Evidence {
	e := Evidence{Rows: w.rows, Since: w.onset, Causes: w.causes()}
	lead := w.lead
	if lead < 0 && w.novel.open {
		w.surprise(&e)
		return e
	}
	if lead < 0 {
		lead = w.first()
	}
	if lead < 0 {
		return e
	}
	c := &w.channels[lead]
	e.Signal = c.name
	e.Deviation, e.Sigma = c.away, c.sigma
	e.Observed, e.Normal = c.value, c.value-e.Deviation
	// Alone, the signal would have had to bring the whole strain.
	alone := math.Sqrt(2 * (unsurprising + math.Min(w.limit, surprising)) * c.spread)
	e.Limit = math.Max(alone, leastEffect) * c.sigma
	e.Unless = w.unless(c, e.Normal)
	if c.modes == nil { // else one level a regime
		e.Line = &Line{c.level, c.fit.Mean[:c.fit.K], c.fit.Slope[:c.fit.K]}
	}
	return e
}

// causes shares the strain out.
func (w *Watcher) causes() []Cause {
	ranked := w.ranked()
	ranked = ranked[:min(len(ranked), maxCauses)]
	sum := 0.0
	for _, i := range ranked {
		sum += w.channels[i].stress()
	}
	var list []Cause
	if len(ranked) == 0 && w.novel.open {
		return []Cause{{Signal: w.channels[w.novel.lead].name, Share: 1}}
	}
	for _, i := range ranked {
		c := &w.channels[i]
		cause := Cause{Signal: c.name, Share: c.stress() / sum, Away: c.smooth}
		if c.struck != 0 {
			cause.Since = c.onset
		}
		list = append(list, cause)
	}
	return list
}

// unless is how far the signal could have gone with the others where they are: nil
// where they are enough without it.
func (w *Watcher) unless(c *channel, normal float64) *Unless {
	left, others := w.limit-(w.strain-c.stress()), 0.0
	for i := range w.channels {
		if o := &w.channels[i]; o != c && o.state == watching && o.strain > 0.5 {
			others = math.Max(others, math.Abs(o.smooth))
		}
	}
	bound := 0.0
	if left > 0 {
		bound = math.Sqrt(2 * (unsurprising + math.Min(left, surprising)) * c.spread)
	}
	if others < leastEffect {
		bound = math.Max(bound, leastEffect)
	}
	if bound == 0 || c.away == 0 {
		return nil
	}
	return &Unless{c.away > 0, normal + math.Copysign(bound*c.sigma, c.away)}
}

// surprise is the evidence of a signal that is unlike its past, as it was then.
func (w *Watcher) surprise(e *Evidence) {
	v := &w.novel
	e.Signal, e.Observed, e.Deviation, e.Sigma = w.channels[v.lead].name, v.observed, v.away, v.sigma
	e.Normal, e.Limit = v.observed-v.away, 3*v.sigma
}

// Band is the normal band of a signal, in its unit, at typical contexts; ok is false while
// it is not known.
func (w *Watcher) Band(signal string) (low, normal, high float64, ok bool) {
	if c := w.known(signal); c != nil {
		half := 3 * c.sigma
		return c.level - half, c.level, c.level + half, true
	}
	return 0, 0, 0, false
}

// Away is how far a signal's smoothed value is from its normal, in standard deviations of
// a single value; ok is false while its normal is not known.
func (w *Watcher) Away(signal string) (sigma float64, ok bool) {
	if c := w.known(signal); c != nil {
		return c.smooth, true
	}
	return 0, false
}

// known is the channel of a signal with a baseline, nil where there is none.
func (w *Watcher) known(signal string) *channel {
	for i := range w.channels {
		if c := &w.channels[i]; c.name == signal && c.state == watching {
			return c
		}
	}
	return nil
}
