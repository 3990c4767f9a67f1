package rules

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// compared is an evaluator that says how far signals are from the machine's own normal,
// so that machines of one kind can be compared.
type compared interface {
	stands(each func(stand))
}

// stand is how far one signal is from its normal, in the measure of its rule.
type stand struct {
	signal string
	away   float64 // smoothed
	strays float64 // as far as that goes by itself: one standard deviation
	unit   float64 // one of the measure, in the signal's unit
	last   int64   // row that counted last, Unix ns
	period int64   // usual distance of rows, ns
}

// kin is what one rule on a machine knows of the machine's sisters: a place for each of
// its signals, in alphabetical order.
type kin struct {
	places []place
	at     int64 // of the newest cohort of machines at work, Unix ns
	since  int64 // trouble that may be theirs too, 0 = there is none
	common bool  // it is, as the newest cohort that counted said
}

type place struct {
	signal string
	sisters.Place
	rank sisters.Rank
}

func (k *kin) seat(signal string) (int, bool) {
	return slices.BinarySearchFunc(k.places, signal, func(p place, signal string) int { return strings.Compare(p.signal, signal) })
}

// of is the place of a signal, nil where nothing that counts is known of it.
func (k *kin) of(signal string, at, period int64) *sisters.Place {
	if k == nil {
		return nil
	}
	i, ok := k.seat(signal)
	if !ok || !sisters.Recent(k.places[i].At, at, period) {
		return nil
	}
	return &k.places[i].Place
}

// ranked is the rank of a signal, nil as above.
func (k *kin) ranked(signal string, at, period int64) *sisters.Rank {
	i, ok := k.seat(signal)
	if !ok || !sisters.Recent(k.places[i].rank.At, at, period) {
		return nil
	}
	return &k.places[i].rank
}

func (k *kin) take(signal string, p *sisters.Point, at int64, away float64) {
	i, ok := k.seat(signal)
	if !ok {
		k.places = slices.Insert(k.places, i, place{signal: signal})
	}
	k.places[i].Take(&p.Crowd, at, away)
	k.places[i].rank.Take(&p.Ranks, at, away)
	if p.Crowd.Machines > 0 {
		k.at = max(k.at, at)
	}
}

// Standings appends how far the machine is from its own normal, by rule and signal, at
// an instant: what it has not said anything of for long rests, and for longer is left out.
func (m *Machine) Standings(at time.Time, dst []sisters.Standing) []sisters.Standing {
	now := at.UnixNano()
	for i := range m.slots {
		s := &m.slots[i]
		if e, ok := s.eval.(compared); ok {
			e.stands(func(is stand) {
				away, rests := float32(is.away), !sisters.Recent(is.last, now, is.period)
				if math.Abs(float64(away)) > greatest || rests && now-is.last > int64(sisters.Lately) {
					return
				}
				dst = append(dst, sisters.Standing{Subject: sisters.Subject{Rule: s.hash, Signal: is.signal}, Away: away, Rests: rests})
			})
		}
	}
	return dst
}

// Beside tells how the machine's sisters stand, at an instant of event time: rows up to
// then, as far as a tick would have them evaluated, are judged without it.
func (m *Machine) Beside(c *sisters.Cohort, at time.Time) []Finding {
	found := m.advance(m.take(), at.UnixNano()-m.lateness)
	told := c.At.UnixNano()
	for i := range m.slots {
		s := &m.slots[i]
		e, ok := s.eval.(compared)
		if !ok {
			continue
		}
		e.stands(func(is stand) {
			point := c.Find(sisters.Subject{Rule: s.hash, Signal: is.signal})
			if point == nil {
				return
			}
			if s.kin == nil {
				s.kin = &kin{}
			}
			s.kin.take(is.signal, point, told, is.away)
		})
		s.judgeBeside(told)
	}
	return found
}

// among says in the evidence where the machine stands among its sisters with the
// finding's signal: by the rule's own measure, else by that of another rule which has one.
func (m *Machine) among(e *Evidence, own *slot) {
	if !m.stand(e, own) {
		for i := range m.slots {
			if m.stand(e, &m.slots[i]) {
				return
			}
		}
	}
}

func (m *Machine) stand(e *Evidence, s *slot) (told bool) {
	eval, ok := s.eval.(compared)
	if !ok || s.kin == nil {
		return false
	}
	eval.stands(func(is stand) {
		if is.signal != e.Signal || told {
			return
		}
		rank := s.kin.ranked(is.signal, m.done, is.period)
		if rank == nil {
			return
		}
		share := rank.Ahead()
		e.SisterPercentile, e.Sisters, told = &share, &Sisters{Machines: rank.Machines}, true
		if p := s.kin.of(is.signal, m.done, is.period); p != nil {
			spread := math.Max(math.Max(p.Spread, is.strays), math.SmallestNonzeroFloat32)
			e.Sisters.AtWork, e.Sisters.Middle = p.Machines, p.Middle*is.unit
			e.Sisters.Moved, e.Sisters.Distance = math.Abs(p.Middle) > spread, p.Apart()/spread
		}
	})
	return told
}

func (k *kin) snapshot(w *snapshot.Writer) {
	w.Bool(k != nil)
	if k == nil {
		return
	}
	w.Int(k.at)
	w.Int(k.since)
	w.Bool(k.common)
	w.Uint(uint64(len(k.places)))
	for i := range k.places {
		w.Text(k.places[i].signal)
		w.Block(k.places[i].Append)
		w.Block(k.places[i].rank.Append)
	}
}

func (k *kin) restore(r *snapshot.Reader) {
	k.at, k.since, k.common = r.Int(), r.Int(), r.Bool()
	k.places = make([]place, r.Count(maxSignals))
	for i := range k.places {
		p, err := &k.places[i], error(nil)
		if p.signal = r.Text(); r.Err == nil {
			p.Place, err = sisters.ReadPlace(r.Block())
		}
		if err == nil && r.Err == nil {
			p.rank, err = sisters.ReadRank(r.Block())
		}
		if err != nil {
			r.Take(-1)
		}
	}
}
