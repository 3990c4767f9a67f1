package detection

import (
	"maps"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// touched is which machines a batch has told something of, by key.
type touched struct {
	pending *pending
	keys    map[string]struct{}
	told    []machines.Silence
	spells  map[string]int // in told, by machine and beginning
	all     bool           // a tick speaks to every machine
}

func (r *Runner) touch() *touched {
	return &touched{pending: r.pending, keys: map[string]struct{}{}, spells: map[string]int{}}
}

// of is what has been told of a machine.
func (t *touched) of(id uuid.UUID, key string) *machines.Seen {
	t.keys[key] = struct{}{}
	return t.pending.of(id, key)
}

// sign keeps that a machine was heard at an instant. Of one that is heard for the
// first time, what the records say of its connection is of before.
func (t *touched) sign(w *watched, at time.Time) *machines.Seen {
	s := t.of(w.ID, w.Key)
	if w.silence.Last() == 0 {
		first := at
		s.First = &first
	}
	if !w.heard {
		t.pending.news[w.Key] = struct{}{}
	}
	w.heard = true
	if at.Before(s.At) {
		return nil
	}
	s.At = at
	return s
}

// note keeps the newest sign of life of a machine. What it has measured earlier is
// none.
func (t *touched) note(w *watched, o *observation.Observation) {
	if o.Flags&observation.Historical != 0 {
		return
	}
	s := t.sign(w, o.At)
	if s == nil {
		return
	}
	if v, ok := o.Get("operating_hours"); ok && meter(v) {
		s.Hours = &v
	}
	if v, ok := o.Get("pumped_volume"); ok && meter(v) {
		s.Volume = &v
	}
}

// meter says whether a machine's meter can stand there: one that has gone too far
// would stay there, because meters never go back.
func meter(v float64) bool { return v >= 0 && v < 1e7 }

// scores notes the health scores that have changed. They follow from the state
// alone, so that it does not matter where batches end.
func (r *Runner) scores(t *touched) {
	keys := maps.Keys(t.keys)
	if t.all {
		keys = maps.Keys(r.watched)
	}
	for key := range keys {
		w := r.watched[key]
		if w == nil {
			continue // connected, and has said nothing yet
		}
		var points float64
		var contributors []rules.Contributor
		if crash := formats.Contain(func() { points, contributors = w.rules.ScoreWithout(r.fleet.shadowed) }); crash != nil {
			r.fail(w, r.lsn, crash)
			continue
		}
		if rounded := int(math.Round(points)); rounded != w.score {
			w.score = rounded
			r.pending.of(w.ID, key).Score = &machines.Score{Points: rounded, Contributors: contributed(contributors)}
		}
	}
}

func contributed(list []rules.Contributor) []machines.Contributor {
	out := make([]machines.Contributor, 0, len(list))
	for _, c := range list {
		out = append(out, machines.Contributor{Signal: c.Signal, Rule: c.Rule, By: c.By, Weight: c.Weight, Loss: c.Loss})
	}
	return out
}
