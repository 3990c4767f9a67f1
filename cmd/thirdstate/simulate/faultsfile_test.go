package simulate

import (
	"strings"
	"testing"
	"time"
)

func TestFaultsFile_TakesThePlaceOfTheDemosFaults(t *testing.T) {
	t.Parallel()
	file := write(t, "faults.yaml", "- {machine: BC56T2206117, mode: fouled_cooler, component: hydraulic_cooler, onset: 1.5d, failure: 400h, reach: 18}\n")
	machines, err := ReadFaults(file, fleetStart, DemoFleet(fleetStart))
	if err != nil {
		t.Fatal(err)
	}
	labels := NewFleet(fleetStart, machines, 1).Labels()
	if len(labels) != 1 || labels[0].Machine != "BC56T2206117" || !labels[0].Onset.Equal(fleetStart.Add(36*time.Hour)) || labels[0].Reach != 18 {
		t.Errorf("%+v", labels)
	}
}

func TestFaultsFile_FaultsAreNamedInOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"- {machine: BC56T2206117, mode: rust, onset: 1d, failure: 2d}":      `fault 1: mode "rust" is not known`,
		"- {machine: BC56T2206117, mode: bearing, onset: soon, failure: 2d}": `fault 1: onset "soon" must be`,
		"- {machine: BC56T2206117, mode: bearing, onset: 2d, failure: 1d}":   "failure must be later than onset",
		"- {machine: X, mode: bearing, onset: 1d, failure: 2d}":              `no machine "X"`,
		"- {machine: BC56T2206117, mode: bearing, onset: 1d, fail: 2d}":      "fail",
		"machine: X": "",
		"- [":        "",
	} {
		_, err := ReadFaults(write(t, "faults.yaml", text), fleetStart, DemoFleet(fleetStart))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v\nwant one line with %s", text, err, want)
		}
	}
}

func TestSome_GivesAsManyMachinesAsAsked(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 51, 200} {
		some := Some(DemoFleet(fleetStart), n)
		keys := map[string]bool{}
		for _, m := range some {
			keys[m.Key] = m.HasDevice
		}
		if len(some) != n || len(keys) != n {
			t.Errorf("%d machines, %d keys, want %d", len(some), len(keys), n)
		}
	}
}
