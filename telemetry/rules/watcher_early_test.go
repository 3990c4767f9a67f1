package rules

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// A first baseline of few rows is a guess, and known to be one: noise that hangs together
// is seldom a fault of a machine that is new.
func TestWatcher_IsCautiousWhileItLearns(t *testing.T) {
	t.Parallel()
	const signals, rows = 20, 200
	machines := longform.Choose(34, 100)
	values := named(signals)
	for _, together := range []float64{0, 0.7} {
		alarms := 0
		for seed := range uint64(machines) {
			random := rand.New(rand.NewPCG(seed, 11)) //nolint:gosec // noise, no secrets
			m := New("M1", nil)
			x := [signals]float64{}
			at, alarm := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), 0
			for row := range rows {
				for i := range values {
					x[i] = together*x[i] + math.Sqrt(1-together*together)*random.NormFloat64()
					values[i].Value = 50 + x[i]
				}
				for _, f := range m.Observe(observation.Observation{Machine: "M1", At: at.Add(time.Duration(row) * time.Minute), Values: values}) {
					if f.Severity == Advice && f.Change != Closed {
						alarm = 1
					}
				}
			}
			alarms += alarm
		}
		t.Logf("autocorrelation %v: %d of %d machines alarm in their first %d rows", together, alarms, machines, rows)
		if 33*alarms > machines {
			t.Errorf("autocorrelation %v: %d of %d machines alarm on noise", together, alarms, machines)
		}
	}
}
