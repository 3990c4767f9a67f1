package demo

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/maintenance"
)

// What the visitor writes that he did is what his repair is worth.
func TestVisitors_CleaningHelpsLittleAndChangingThePartRepairs(t *testing.T) {
	t.Parallel()
	p := &people{faults: map[string]simulate.Fault{
		simulate.Hero + "/fouled_cooler": {Mode: "fouled_cooler", Story: "hero"}, "GS50D2100307/imbalance": {Mode: "imbalance", Story: "yours"}}}
	for _, c := range []struct {
		machine, mode, activity string
		want                    float64
	}{
		{simulate.Hero, "fouled_cooler", "service", heroCleaned}, {simulate.Hero, "fouled_cooler", "replace", goodRepair}, {simulate.Hero, "fouled_cooler", "check", 0},
		{"GS50D2100307", "imbalance", "adjust", goodRepair}, {"GS50D2100307", "imbalance", "inspection", 0}, {"GS50D2100307", "display", "repair", 0},
	} {
		if got := p.visitorsQuality(visitorsOrder{Machine: c.machine, Mode: c.mode, Activity: c.activity}); got != c.want {
			t.Errorf("%s of %s on %s is worth %v, want %v", c.activity, c.mode, c.machine, got, c.want)
		}
	}
	first, _ := p.heroVisit(maintenance.CaseRow{})
	second, _ := p.heroVisit(maintenance.CaseRow{Case: maintenance.Case{Comebacks: 1}})
	if first.Quality >= 0.5 || second.Quality != goodRepair {
		t.Errorf("the demo's own engineer: %v, then %v", first, second)
	}
}

func TestResult_IsSaidInBothLanguages(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		quality   float64
		elsewhere bool
	}{{goodRepair, false}, {heroCleaned, false}, {goodRepair, true}} {
		id := uuid.New()
		said := result(maintenance.WorkOrderRow{WorkOrder: maintenance.WorkOrder{CaseID: &id}}, r.quality, r.elsewhere)
		if said.ZH == "" || said.EN == "" {
			t.Errorf("%+v: %+v", r, said)
		}
	}
}

// One device is in no file, one is a new terminal, and one message is cut off: the
// administrator's page has something to do.
func TestStrangers_SpeakFromTheDayBeforeOn(t *testing.T) {
	t.Parallel()
	d := &Demo{Config: Config{Days: simulate.Days}, ledger: &ledger{Start: Start}}
	end := d.end()
	devices, broken := map[string]int{}, 0
	for at := end.Add(-30 * time.Hour).Truncate(historyEvery); !at.After(end); at = at.Add(historyEvery) {
		said := d.strangers(at)
		if at.Before(end.Add(-strangersSince)) && len(said) > 0 {
			t.Fatalf("they speak at %v already", at)
		}
		for _, s := range said {
			devices[strings.Split(s.topic, "/")[1]]++
			if !json.Valid([]byte(s.payload)) {
				broken++
			}
		}
		if len(d.strangers(at.Add(liveEvery))) > 0 {
			t.Fatalf("they speak between their times, at %v", at)
		}
	}
	if devices["TBOX-88217"] < 100 || devices["BC56T2606003"] < 30 || broken != 1 {
		t.Errorf("%v, %d broken", devices, broken)
	}
}
