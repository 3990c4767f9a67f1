package rules

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// TestVerify_LeavesOutWildValues asks for a verdict that JSON can say.
func TestVerify_LeavesOutWildValues(t *testing.T) {
	t.Parallel()
	rule := &Rule{ID: "r", Kind: "deviation", Signal: "oil", Direction: Up}
	var rows []observation.Observation
	at := time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
	for i := range 400 {
		at = at.Add(time.Minute)
		value := 60.0
		if i%4 != 0 {
			value = 1.7e308
		}
		rows = append(rows, observation.Observation{Machine: "M1", At: at, Values: []observation.Value{{Signal: "oil", Value: value}}})
	}
	v := Verify(rule, Evidence{Limit: 10, Model: &Model{Level: 58}}, rows)
	if _, err := json.Marshal(v); err != nil || !v.Enough || !v.Passed || v.Deviation != 2 {
		t.Errorf("verdict %+v, %v", v, err)
	}
}

// A repair after a red lamp is proved by an hour of running without the code, and is
// none when it comes again.
func TestVerify_ALampIsOutWhenItsCodesStayAway(t *testing.T) {
	t.Parallel()
	rule := Builtin(RedStopID)
	evidence := Evidence{Kind: "lamp", Causes: []Cause{{Signal: "dtc.spn100.fmi1", Share: 1}}}
	var rows []observation.Observation
	for i := range 80 {
		rows = append(rows, observation.Observation{At: traceStart.Add(time.Duration(i) * time.Minute), Values: []observation.Value{{Signal: "engine_speed", Value: 900}}})
	}
	if v := Verify(rule, evidence, rows[:50]); v.Enough || v.Passed {
		t.Errorf("after 50 minutes: %+v", v)
	}
	if v := Verify(rule, evidence, rows); !v.Enough || !v.Passed {
		t.Errorf("after 80 minutes: %+v", v)
	}
	rows[30].Values = append(rows[30].Values, observation.Value{Signal: "dtc.spn100.fmi1", Value: 1})
	if v := Verify(rule, evidence, rows); !v.Enough || v.Passed {
		t.Errorf("it came again: %+v", v)
	}
}
