package detection

import (
	"math"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// A machine that no pack describes is repaired too: what the default watcher has
// found is proved by the same baseline.
func TestFleet_ARepairOfAnUnknownModelCanBeProved(t *testing.T) {
	t.Parallel()
	fleet := NewFleet(nil)
	watched := Watched{Key: "m1"}
	m := rules.New(watched.Key, fleet.Pack(watched))
	row := func(n int, shift float64) observation.Observation {
		return observation.Observation{Machine: watched.Key, At: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * 10 * time.Minute),
			Values: []observation.Value{{Signal: "temp", Value: 60 + shift + math.Mod(float64(n)*0.61803398875, 1)}}}
	}
	var evidence rules.Evidence
	n := 0
	for ; n < 2_000 && evidence.Signal == ""; n++ {
		shift := 0.0
		if n > 1_000 {
			shift = 8
		}
		for _, f := range m.Observe(row(n, shift)) {
			if f.Severity == rules.Info { // something new, of which nothing says that it is a fault
				continue
			}
			if f.Rule != rules.WatcherID || n <= 1_000 {
				t.Fatalf("found %+v at row %d", f, n)
			}
			evidence = f.Evidence
		}
	}
	rule, ok := fleet.Rule(watched, rules.WatcherID)
	if !ok || evidence.Signal != "temp" {
		t.Fatalf("rule known %v, evidence %+v", ok, evidence)
	}
	for _, c := range []struct {
		shift  float64
		passed bool
	}{{8, false}, {0, true}} {
		var after []observation.Observation
		for i := range 20 {
			after = append(after, row(n+i, c.shift))
		}
		if v := rules.Verify(rule, evidence, after); !v.Enough || v.Passed != c.passed {
			t.Errorf("still %g off: %+v", c.shift, v)
		}
	}
	if _, ok := fleet.Rule(watched, "no-such-rule"); ok {
		t.Error("a rule that nobody knows is known")
	}
}
