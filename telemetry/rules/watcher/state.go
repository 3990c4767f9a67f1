package watcher

import (
	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
	"github.com/thirdstate/thirdstate/telemetry/rules/statistics"
)

// withFirstBaselines is the version of snapshots from which on a run-in goes on under one.
const withFirstBaselines = 6

// mostChannels bounds what is read.
const mostChannels = 256

// Snapshot appends the state.
func (w *Watcher) Snapshot(dst []byte) []byte {
	s := snapshot.Writer{B: dst}
	w.clock.Snapshot(&s)
	s.Float(w.passed)
	s.Int(w.rows)
	s.Int(w.learnt)
	d, v := &w.departure, &w.novel
	s.Floats([]float64{w.strain, w.limit, w.effect, d.reach, d.most, d.usual, v.observed, v.away, v.sigma})
	s.Int(d.rows)
	s.Int(int64(v.lead))
	s.Bool(v.open)
	if s.Bool(v.onset != nil); v.onset != nil {
		v.onset.snapshot(&s)
	}
	s.Int(int64(w.trouble))
	s.Int(int64(w.calm))
	s.Bool(w.alarmed)
	s.Int(int64(w.lead))
	s.Int(w.onset)
	s.Uint(uint64(len(w.channels)))
	for i := range w.channels {
		w.channels[i].snapshot(&s)
	}
	s.Uint(uint64(len(w.groups)))
	for _, g := range w.groups {
		g.snapshot(&s)
	}
	return s.B
}

// Restore takes the state back, of a watcher with the same settings.
func (w *Watcher) Restore(version int, b []byte) error {
	r := snapshot.Reader{B: b, Version: version}
	w.clock.Restore(&r)
	w.passed, w.rows, w.learnt = r.Float(), r.Int(), r.Int()
	d, v := &w.departure, &w.novel
	if f := r.Floats(9); len(f) == 9 {
		w.strain, w.limit, w.effect, d.reach, d.most, d.usual = f[0], f[1], f[2], f[3], f[4], f[5]
		v.observed, v.away, v.sigma = f[6], f[7], f[8]
	}
	d.rows, v.lead, v.open = r.Int(), int(r.Int()), r.Bool()
	if v.onset = nil; r.Bool() {
		v.onset = &onset{}
		v.onset.restore(&r)
	}
	w.trouble, w.calm, w.alarmed, w.lead, w.onset = int(r.Int()), int(r.Int()), r.Bool(), int(r.Int()), r.Int()
	w.channels, w.groups = nil, nil
	for range r.Count(mostChannels) {
		c := channel{}
		c.fit.K = w.contexts
		c.restore(&r)
		if r.Err != nil {
			break
		}
		w.channels = append(w.channels, c)
	}
	for range r.Count(mostChannels / 2) {
		g := &group{}
		if g.restore(&r, len(w.channels)); r.Err != nil {
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
	return r.Err
}

func (c *channel) snapshot(s *snapshot.Writer) {
	s.Text(c.name)
	s.Int(int64(c.size))
	s.Uint(uint64(c.state))
	s.Floats(c.sum[:])
	s.Int(int64(c.filled))
	s.Floats(c.kept)
	s.Int(int64(c.rows))
	s.Bool(c.past != nil)
	if c.past != nil {
		c.past.snapshot(s)
	}
	if c.state == watching {
		c.fit.Snapshot(s)
		s.Bool(c.modes != nil)
		if c.modes != nil {
			c.modes.snapshot(s)
		}
		s.Floats([]float64{c.level, c.sigma, c.lag, c.spread, c.smooth, c.value, c.away, c.strain, c.joint, c.taught, c.most})
		s.Bool(c.wanders)
		s.Float(c.worth)
		s.Int(c.onset)
		s.Int(c.struck)
	}
}

func (c *channel) restore(r *snapshot.Reader) {
	c.name, c.size, c.state = r.Text(), int(r.Int()), channelState(r.Uint()) //nolint:gosec // three states
	copy(c.sum[:], r.Floats(statistics.MaxContext+1))
	c.filled = int(r.Int())
	c.kept = r.Floats((keptElements + 1) * (statistics.MaxContext + 1))
	c.rows = int(r.Int())
	if r.Bool() {
		c.past = &novelty{}
		c.past.restore(r)
	}
	if c.state == watching {
		c.fit.Restore(r)
		if r.Bool() {
			c.modes = &regimes{}
			c.modes.restore(r)
		}
		if v := r.Floats(11); len(v) == 11 {
			c.level, c.sigma, c.lag, c.spread = v[0], v[1], v[2], v[3]
			c.smooth, c.value, c.away, c.strain, c.joint, c.taught, c.most = v[4], v[5], v[6], v[7], v[8], v[9], v[10]
		}
		if c.wanders = r.Bool(); r.Version >= withFirstBaselines {
			c.worth = r.Float()
		}
		c.onset, c.struck = r.Int(), r.Int()
	}
	if c.size < 1 || c.sigma <= 0 && c.state == watching {
		r.Take(-1)
	}
}
