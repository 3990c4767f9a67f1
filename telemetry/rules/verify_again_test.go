package rules

import (
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// TestVerify_LooksAgainWithTheRuleItself proves repairs of findings that no single
// value decides: the rule looks at what came after.
func TestVerify_LooksAgainWithTheRuleItself(t *testing.T) {
	t.Parallel()
	pack := example(t)
	after := func(oil, fan float64, minutes int) (rows []observation.Observation) {
		for i := range minutes {
			rows = append(rows, observation.Observation{At: traceStart.Add(time.Duration(i) * time.Minute), Values: []observation.Value{
				{Signal: "hydraulic_oil_temp", Value: oil}, {Signal: "fan_speed", Value: fan}, {Signal: "engine_speed", Value: 1500},
				{Signal: "pump_pressure", Value: 200}, {Signal: "particles_6um", Value: oil * 10}, {Signal: "particles_14um", Value: 20}, {Signal: "gearbox_vibration", Value: oil / 20},
			}})
		}
		return rows
	}
	for _, id := range []string{"fan-too-slow", "hot-while-pumping", "oil-dirty", "gearbox-shakes", "pressure-sensor-shakes"} {
		rule, _ := pack.Rule(id)
		evidence := Evidence{Kind: rule.Kind, Signal: rule.Signal, Causes: []Cause{{Signal: "dtc.spn100.fmi1", Share: 1}}}
		if v := Verify(rule, evidence, after(50, 1800, 200)); !v.Enough || !v.Passed {
			t.Errorf("%s: well for 200 minutes: %+v", id, v)
		}
		if v := Verify(rule, evidence, after(50, 1800, 60)); v.Enough || v.Passed {
			t.Errorf("%s: well for an hour: %+v", id, v)
		}
		bad := after(90, 900, 200)
		bad[100].Values = append(bad[100].Values, observation.Value{Signal: "dtc.spn100.fmi1", Value: 1})
		if v := Verify(rule, evidence, bad); !v.Enough || v.Passed {
			t.Errorf("%s: still as it was: %+v", id, v)
		}
	}
}
