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
