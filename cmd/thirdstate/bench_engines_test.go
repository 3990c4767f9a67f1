package main

import (
	"testing"

	"github.com/goccy/go-yaml"
)

// Both engines get what they can read, and ours holds open what was planted.
func TestBenchEngines_FindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	c := benchEngines{Machines: 13, Rows: 700}
	if found, _, err := c.ours(); err != nil || found != 10 {
		t.Errorf("%d open: %v", found, err)
	}
	var test struct {
		Tests []struct {
			Series []struct{ Values string } `yaml:"input_series"`
			Alerts []struct {
				Expect []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(c.theirTest(true)), &test); err != nil {
		t.Fatal(err)
	}
	expected := 0
	for _, a := range test.Tests[0].Alerts {
		expected += len(a.Expect)
	}
	if len(test.Tests[0].Series) != 130 || expected != 10 {
		t.Errorf("%d series, %d alerts expected", len(test.Tests[0].Series), expected)
	}
	var rules map[string]any
	if err := yaml.Unmarshal([]byte(theirRules(true)), &rules); err != nil {
		t.Error(err)
	}
}
