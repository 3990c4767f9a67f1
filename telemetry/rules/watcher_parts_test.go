package rules

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// plant is a machine of six signals that follow one load; from row broken on, signal
// s3 has the load of another machine: each signal is as it always was.
type plant struct {
	t      *testing.T
	m      *Machine
	random *rand.Rand
	broken int
	gain   float64
	moves  bool // it is restored from its snapshot every hundred rows
}

func (p *plant) run(rows int) (found []Finding) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	values := named(6)
	for row := range rows {
		load, other := p.random.NormFloat64(), p.random.NormFloat64()
		for i := range values {
			v := 3*load + p.random.NormFloat64()
			if i == 3 && row >= p.broken {
				v = 3*other + p.random.NormFloat64()
			}
			values[i].Value = 50 + p.gain*v
		}
		found = append(found, p.m.Observe(observation.Observation{Machine: "M1", At: at.Add(time.Duration(row) * time.Minute), Values: values})...)
		if p.moves && row%100 == 0 {
			next := New("M1", nil)
			if err := next.Restore(nil, p.m.Snapshot(nil)); err != nil {
				p.t.Fatal(err)
			}
			p.m = next
		}
	}
	return found
}

// What no signal shows by itself is found in how they go together, whatever the unit,
// and named; a restored machine says the same.
func TestWatcher_SeesThatSignalsPart(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		of := func(broken int, gain float64, moves bool) (advice []Finding) {
			random := rand.New(rand.NewPCG(seed, 5)) //nolint:gosec // noise, no secrets
			p := plant{t: t, m: New("M1", nil), random: random, broken: broken, gain: gain, moves: moves}
			for _, f := range p.run(1200) {
				if f.Change == Opened && f.Severity == Advice {
					advice = append(advice, f)
				}
			}
			return advice
		}
		if got := of(1200, 1, false); len(got) != 0 {
			t.Errorf("seed %d: a healthy machine opens %+v", seed, got)
		}
		got := of(1000, 1, false)
		if len(got) != 1 || got[0].Evidence.Causes[0].Signal != "s3" {
			t.Fatalf("seed %d: opens %+v, want one for s3", seed, got)
		}
		if late := got[0].OpenedAt.Sub(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)); late < 1000*time.Minute || late > 1040*time.Minute {
			t.Errorf("seed %d: opens after %v, want 1,000 to 1,040 min", seed, late)
		}
		if again := of(1000, 1, true); !reflect.DeepEqual(got, again) {
			t.Errorf("seed %d: restored it says %+v, want %+v", seed, again, got)
		}
		if other := of(1000, 8, false); len(other) != 1 || !other[0].OpenedAt.Equal(got[0].OpenedAt) {
			t.Errorf("seed %d: in another unit it opens %+v", seed, other)
		}
	}
}
