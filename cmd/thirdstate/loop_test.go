package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

const twoRules = `model: TEST-1
name: A machine of the tests
name_zh: 测试机
signals:
  oil_temp: {unit: Cel, plausible: [-45, 150], label: Oil temperature, label_zh: 油温}
  pressure: {unit: bar, plausible: [0, 600], label: Pressure, label_zh: 压力}
rules:
  - {id: oil-hot, kind: threshold, component: cooler, failure_mode: fouled_cooler, title: Oil hot, title_zh: 油温高, severity: alarm, signal: oil_temp, above: 90, release: 85, hold: 5m, clear: 10m}
  - {id: pressure-low, kind: threshold, component: pump, failure_mode: fouled_cooler, title: Pressure low, title_zh: 压力低, severity: alarm, signal: pressure, below: 200, release: 210, hold: 5m, clear: 10m}
`

// A repair is proved when every rule that found something of the case says so, not
// when the newest one does.
func TestVerify_EveryRuleOfACaseHasAWord(t *testing.T) {
	t.Parallel()
	pack, err := rules.Parse("test.yaml", []byte(twoRules))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 6, 4, 8, 0, 0, 0, time.UTC)
	y := &system{fleet: detection.NewFleet(map[string]*rules.Pack{pack.Model: pack})}
	finding := func(rule, signal, state string) machines.Finding {
		evidence, err := json.Marshal(rules.Evidence{Kind: "threshold", Signal: signal, Unit: signal})
		if err != nil {
			t.Fatal(err)
		}
		return machines.Finding{Rule: rule, State: state, Evidence: evidence}
	}
	run := func(hours float64, oil, pressure float64) (rows []observation.Observation) {
		for i := range int(hours * 60) {
			rows = append(rows, observation.Observation{Machine: "M1", At: now.Add(time.Duration(i) * time.Minute),
				Values: []observation.Value{{Signal: "oil_temp", Value: oil}, {Signal: "pressure", Value: pressure}}})
		}
		return rows
	}
	newest, older := finding("oil-hot", "oil_temp", "closed"), finding("pressure-low", "pressure", "closed")
	for name, c := range map[string]struct {
		findings       []machines.Finding
		rows           []observation.Observation
		enough, passed bool
		signal         string
	}{
		"both are back":                {[]machines.Finding{newest, older}, run(4, 60, 300), true, true, "oil_temp"},
		"the older one is not":         {[]machines.Finding{newest, older}, run(4, 60, 100), true, false, "pressure"},
		"the newest one is not":        {[]machines.Finding{newest, older}, run(4, 95, 300), true, false, "oil_temp"},
		"too early":                    {[]machines.Finding{newest, older}, run(1, 60, 300), false, false, "oil_temp"},
		"the older was a false one":    {[]machines.Finding{newest, finding("pressure-low", "pressure", "dismissed")}, run(4, 60, 100), true, true, "oil_temp"},
		"an episode before counts not": {[]machines.Finding{newest, newest, older}, run(4, 60, 300), true, true, "oil_temp"},
	} {
		v, some := weakest(y.verdicts(now, detection.Watched{Key: "M1", Pack: "TEST-1"}, c.findings, c.rows))
		if !some || v.Enough != c.enough || v.Passed != c.passed || v.Signal != c.signal {
			t.Errorf("%s: %+v, %v", name, v, some)
		}
	}
	if _, some := weakest(y.verdicts(now, detection.Watched{Key: "M1", Pack: "TEST-1"}, []machines.Finding{finding("gone", "x", "open")}, nil)); some {
		t.Error("a rule that is gone says something")
	}
}
