package rules

import (
	"math"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
	"github.com/thirdstate/thirdstate/telemetry/rules/watcher"
)

// newSisters: value away from where the machines of its kind have gone. Each is looked
// at as by a rule of kind deviation, apart from its own normal; what half of them have
// in common, such as the weather, is taken off. What remains is trouble beyond Sigma
// times what it strays by itself, Sigma times the sisters' own spread, and MinEffect. While
// nothing that counts is known of sisters the rule says nothing.
func newSisters(r *Rule, numbers Numbers) Evaluator {
	d, _ := newDeviation(r, numbers).(*deviation)
	d.kin = &kin{}
	return d
}

// apart is the smoothed deviation that is judged, and its limit; ok is false while it is
// not known what sisters have in common.
func (d *deviation) apart(at int64) (away, limit float64, ok bool) {
	if d.kin == nil {
		return d.dev, d.baseline.limit, true
	}
	_, period := d.smooth.Pace()
	p := d.kin.of(d.rule.Signal, at, period)
	if p == nil {
		return 0, 0, false
	}
	return p.Apart(), math.Max(d.baseline.limit, d.sigma()*p.Spread), true
}

func (d *deviation) sigma() float64 {
	if d.rule.Sigma == 0 {
		return defaultSigma
	}
	return d.rule.Sigma
}

func (d *deviation) stands(each func(stand)) {
	if b := &d.baseline; b.ready {
		last, period := d.smooth.Pace()
		each(stand{d.rule.Signal, d.dev, b.limit / d.sigma(), 1, last, period})
	}
}

func (w *watching) stands(each func(stand)) {
	last, period := w.Pace()
	w.Stands(func(is watcher.Stand) { each(stand{is.Signal, is.Away, is.Strays, is.Sigma, last, period}) })
}

// excusedFor is how long what sisters had in common excuses a machine when nothing more is
// heard of them: over a night, not over a season.
const excusedFor = int64(24 * time.Hour)

// judgeBeside judges a watcher's trouble a second time when it is told of its sisters: it
// is theirs too where nothing is left of it without what they have in common.
func (s *slot) judgeBeside(told int64) {
	w, ok := s.eval.(*watching)
	if k := s.kin; ok && k != nil && k.since != 0 && told > k.since && told == k.at {
		_, period := w.Pace()
		strain, limit := w.Beside(func(signal string) (middle, spread float64) {
			if p := k.of(signal, told, period); p != nil {
				return p.Middle, p.Spread
			}
			return 0, 0
		})
		k.common = strain <= limit
	}
}

// beside makes a note of a watcher's trouble that is that of its sisters too. Trouble in
// which sisters were not looked at yet waits for that, as a note. While nothing that counts
// is known of them, what was said last holds, for a day.
func (s *slot) beside(at int64, j Judgement) Judgement {
	w, ok := s.eval.(*watching)
	if !ok || j.State < Calm {
		return j
	}
	k := s.kin
	if j.State != Trouble || j.Noted {
		k.since, k.common = 0, false
		return j
	}
	if k.since == 0 {
		k.since = at
	}
	_, period := w.Pace()
	j.Noted = k.common && at-k.at <= excusedFor || k.at <= k.since && sisters.Recent(k.at, at, period)
	return j
}
