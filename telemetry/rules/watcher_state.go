package rules

import (
	"math"
	"slices"
)

// first is the channel that departed first: the largest strain is often that of a
// consequence. Channels that have not clearly departed come by their strain.
func (w *watcher) first() int {
	if ranked := w.ranked(); len(ranked) > 0 {
		return ranked[0]
	}
	return -1
}

// ranked lists the channels under strain, earliest departure first.
func (w *watcher) ranked() []int {
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

// causes shares the strain out.
func (w *watcher) causes() []Cause {
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
		if c.struck != 0 && c.onset != 0 {
			cause.Since = unix(c.onset)
		}
		list = append(list, cause)
	}
	return list
}

func (w *watcher) Evidence(e *Evidence) {
	e.RegimeRows, e.Causes = int(w.rows), w.causes()
	if w.onset != 0 {
		e.Since = unix(w.onset)
	}
	lead := w.lead
	if lead < 0 && w.novel.open {
		w.surprise(e)
		return
	}
	if lead < 0 {
		lead = w.first()
	}
	if lead < 0 {
		return
	}
	c := &w.channels[lead]
	e.Signal = c.name
	e.Deviation, e.Sigma = c.away, c.sigma
	e.Observed, e.Normal = c.value, c.value-e.Deviation
	// Alone, the signal would have had to bring the whole strain.
	alone := math.Sqrt(2 * (unsurprising + math.Min(w.limit, surprising)) * c.spread)
	e.Limit = math.Max(alone, leastEffect) * c.sigma
	e.Low, e.High = e.Normal-e.Limit, e.Normal+e.Limit
	e.Unless = w.unless(c, e.Normal)
	if c.modes != nil {
		return // one level a regime: no line says it
	}
	e.Model = &Model{Level: c.level}
	for i, name := range w.rule.Context[:c.fit.k] {
		e.Model.Terms = append(e.Model.Terms, Term{Signal: name, Mean: c.fit.mean[i], Slope: c.fit.slope[i]})
	}
}

// unless is how far the signal could have gone with the others where they are: nil
// where they are enough without it.
func (w *watcher) unless(c *channel, normal float64) *Unless {
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
	return &Unless{c.name, c.away > 0, normal + math.Copysign(bound*c.sigma, c.away)}
}

// surprise is the evidence of a signal that is unlike its past, as it was then.
func (w *watcher) surprise(e *Evidence) {
	v := &w.novel
	e.Signal, e.Observed, e.Deviation, e.Sigma = w.channels[v.lead].name, v.observed, v.away, v.sigma
	e.Normal, e.Limit = v.observed-v.away, 3*v.sigma
	e.Low, e.High = e.Normal-e.Limit, e.Normal+e.Limit
}

// band is the normal band of a signal at typical contexts.
func (w *watcher) band(signal string) (low, normal, high float64, ok bool) {
	for i := range w.channels {
		if c := &w.channels[i]; c.name == signal && c.state == watching {
			half := 3 * c.sigma
			return c.level - half, c.level, c.level + half, true
		}
	}
	return 0, 0, 0, false
}

// awayFrom is how far a signal's smoothed value is from its normal, in sigma.
func (w *watcher) awayFrom(signal string) (float64, bool) {
	for i := range w.channels {
		if c := &w.channels[i]; c.name == signal && c.state == watching {
			return c.smooth, true
		}
	}
	return 0, false
}

func (w *watcher) Snapshot(dst []byte) []byte {
	s := writer{dst}
	w.clock.snapshot(&s)
	s.float(w.passed)
	s.int(w.rows)
	s.int(w.learnt)
	d, v := &w.departure, &w.novel
	s.floats([]float64{w.strain, w.limit, w.effect, d.reach, d.most, d.usual, v.observed, v.away, v.sigma})
	s.int(d.rows)
	s.int(int64(v.lead))
	s.bool(v.open)
	if s.bool(v.onset != nil); v.onset != nil {
		v.onset.snapshot(&s)
	}
	s.int(int64(w.trouble))
	s.int(int64(w.calm))
	s.bool(w.alarmed)
	s.int(int64(w.lead))
	s.int(w.onset)
	s.uint(uint64(len(w.channels)))
	for i := range w.channels {
		w.channels[i].snapshot(&s)
	}
	s.uint(uint64(len(w.groups)))
	for _, g := range w.groups {
		g.snapshot(&s)
	}
	return s.b
}

func (w *watcher) Restore(_ int, b []byte) error {
	r := reader{b: b}
	w.clock.restore(&r)
	w.passed, w.rows, w.learnt = r.float(), r.int(), r.int()
	d, v := &w.departure, &w.novel
	if f := r.floats(9); len(f) == 9 {
		w.strain, w.limit, w.effect, d.reach, d.most, d.usual = f[0], f[1], f[2], f[3], f[4], f[5]
		v.observed, v.away, v.sigma = f[6], f[7], f[8]
	}
	d.rows, v.lead, v.open = r.int(), int(r.int()), r.bool()
	if v.onset = nil; r.bool() {
		v.onset = &onset{}
		v.onset.restore(&r)
	}
	w.trouble, w.calm, w.alarmed, w.lead, w.onset = int(r.int()), int(r.int()), r.bool(), int(r.int()), r.int()
	w.channels, w.groups, w.byNumber = nil, nil, nil
	for range r.count(maxSignals) {
		c := channel{}
		c.fit.k = len(w.context)
		c.restore(&r)
		if r.err != nil {
			break
		}
		w.channels = append(w.channels, c)
	}
	for range r.count(maxSignals / 2) {
		g := &group{}
		if g.restore(&r, len(w.channels)); r.err != nil {
			break
		}
		w.seat(g)
	}
	if w.lead >= len(w.channels) || w.lead < -1 {
		w.lead = -1
	}
	if v.lead < 0 || v.lead >= len(w.channels) {
		v.lead, v.open = 0, false
	}
	return r.err
}

func (c *channel) snapshot(s *writer) {
	s.text(c.name)
	s.int(int64(c.size))
	s.uint(uint64(c.state))
	s.floats(c.sum[:])
	s.int(int64(c.filled))
	s.floats(c.kept)
	s.int(int64(c.rows))
	s.bool(c.past != nil)
	if c.past != nil {
		c.past.snapshot(s)
	}
	if c.state == watching {
		c.fit.snapshot(s)
		s.bool(c.modes != nil)
		if c.modes != nil {
			c.modes.snapshot(s)
		}
		s.floats([]float64{c.level, c.sigma, c.lag, c.spread, c.smooth, c.value, c.away, c.strain, c.joint, c.taught, c.most})
		s.bool(c.wanders)
		s.int(c.onset)
		s.int(c.struck)
	}
}

func (c *channel) restore(r *reader) {
	c.name, c.size, c.state = r.text(), int(r.int()), channelState(r.uint()) //nolint:gosec // three states
	copy(c.sum[:], r.floats(maxContext+1))
	c.filled = int(r.int())
	c.kept = r.floats((keptElements + 1) * (maxContext + 1))
	c.rows = int(r.int())
	if r.bool() {
		c.past = &novelty{}
		c.past.restore(r)
	}
	if c.state == watching {
		c.fit.restore(r)
		if r.bool() {
			c.modes = &regimes{}
			c.modes.restore(r)
		}
		if v := r.floats(11); len(v) == 11 {
			c.level, c.sigma, c.lag, c.spread = v[0], v[1], v[2], v[3]
			c.smooth, c.value, c.away, c.strain, c.joint, c.taught, c.most = v[4], v[5], v[6], v[7], v[8], v[9], v[10]
		}
		c.wanders, c.onset, c.struck = r.bool(), r.int(), r.int()
	}
	if c.size < 1 || c.sigma <= 0 && c.state == watching {
		r.take(-1)
	}
}
