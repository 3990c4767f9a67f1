package rules

import (
	"math"
	"os"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// A machine goes on from a snapshot of the version before: 250 minutes of one signal.
func TestMachine_GoesOnFromSnapshotOfBefore(t *testing.T) {
	t.Parallel()
	state, err := os.ReadFile("testdata/snapshots/version4.snapshot")
	if err != nil {
		t.Fatal(err)
	}
	m := New("M1", nil)
	if err := m.Restore(nil, state); err != nil {
		t.Fatal(err)
	}
	if low, normal, high, ok := m.Bands("heat"); !ok || low > 50 || math.Abs(normal-50.5) > 0.1 || high < 51 {
		t.Errorf("the band is %v %v %v %v, want about 50 to 51", low, normal, high, ok)
	}
	rises := false
	for row := range 60 {
		at := time.Date(2026, 1, 1, 4, 10+row, 0, 0, time.UTC)
		for _, f := range m.Observe(observation.Observation{Machine: "M1", At: at, Values: []observation.Value{{Signal: "heat", Value: 53}}}) {
			rises = rises || f.Severity == Advice
		}
	}
	if !rises {
		t.Error("restored, it no longer finds that the signal departs")
	}
}
