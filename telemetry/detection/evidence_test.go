package detection

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/bundle"
)

// heated is a stored history in which the oil becomes too hot after 2,000 minutes.
func heated(from, to time.Time, limit int) (list []observation.Observation) {
	for row := range 2100 {
		at := start.Add(time.Duration(row) * time.Minute)
		if at.Before(from) || !at.Before(to) || len(list) == limit {
			continue
		}
		temp := 70.0
		if row > 2000 {
			temp = 95
		}
		list = append(list, observation.Observation{At: at, Values: []observation.Value{{Signal: "oil_temp", Value: temp}, {Signal: "load", Value: 0.5}}})
	}
	return list
}

func TestEvidence_IsFoundAgainInTheHistory(t *testing.T) {
	t.Parallel()
	pack, err := rules.Parse("test.yaml", []byte(packText))
	if err != nil {
		t.Fatal(err)
	}
	rule, _ := pack.Rule("oil-hot")
	fleet := NewFleet(map[string]*rules.Pack{pack.Model: pack})
	w := Watched{Key: "M1", Pack: pack.Model}
	good := machines.Finding{Source: "rule", Rule: "oil-hot", RuleHash: rule.Hash(), OpenedAt: start.Add(2006 * time.Minute)}
	rows := func(_ context.Context, _ history.Ref, from, to time.Time, limit int) ([]observation.Observation, error) {
		return heated(from, to, limit), nil
	}
	data, err := fleet.Evidence(t.Context(), Subject{Finding: good, Watched: w}, rows)
	if err != nil {
		t.Fatal(err)
	}
	report, err := bundle.Verify(data)
	if err != nil || report.Finding.Machine != "M1" || report.Finding.Severity != rules.Alarm || report.Unless == nil || report.Unless.Value > 90.001 || report.Unless.Value < 89.99 {
		t.Errorf("%+v: %v", report, err)
	}
	for name, change := range map[string]func(f *machines.Finding){
		"another time":   func(f *machines.Finding) { f.OpenedAt = f.OpenedAt.Add(time.Minute) },
		"another rule":   func(f *machines.Finding) { f.Rule = "oil-drifts" },
		"older rules":    func(f *machines.Finding) { f.RuleHash = "0123456789abcdef" },
		"said by people": func(f *machines.Finding) { f.Source = "inspection" },
	} {
		f := good
		change(&f)
		if _, err := fleet.Evidence(t.Context(), Subject{Finding: f, Watched: w}, rows); problem.Of(err) != problem.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	away := errors.New("history is away")
	if _, err := fleet.Evidence(t.Context(), Subject{Finding: good, Watched: w}, func(context.Context, history.Ref, time.Time, time.Time, int) ([]observation.Observation, error) {
		return nil, away
	}); !errors.Is(err, away) {
		t.Errorf("error %v", err)
	}
}
