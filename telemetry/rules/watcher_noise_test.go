package rules

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// named are values of signals s0, s1 ...
func named(signals int) []observation.Value {
	values := make([]observation.Value, signals)
	for i := range values {
		values[i].Signal = fmt.Sprint("s", i)
	}
	return values
}

// Noise is nothing: what chance brings is told a few times and then known.
func TestWatcher_KnowsNoise(t *testing.T) {
	t.Parallel()
	rows, machines := longform.Choose(40_000, 60_000), longform.Choose(1, 2)
	for _, signals := range []int{1, 10} {
		early, late := 0, 0
		for seed := range uint64(machines) {
			random := rand.New(rand.NewPCG(seed, 11)) //nolint:gosec // noise, no secrets
			m := New("M1", nil)
			at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			values := named(signals)
			for row := range rows {
				for i := range values {
					values[i].Value = 50 + random.NormFloat64()
				}
				for _, f := range m.Observe(observation.Observation{Machine: "M1", At: at.Add(time.Duration(row) * time.Minute), Values: values}) {
					switch {
					case f.Change != Opened:
					case row < rows/2:
						early++
					default:
						late++
					}
				}
			}
		}
		t.Logf("%d signals: %d episodes in the first %d rows of %d machines, %d in as many more", signals, early, rows/2, machines, late)
		if early > 25*machines || 3*late > 2*early {
			t.Errorf("%d signals: %d episodes and then %d of noise", signals, early, late)
		}
	}
}
