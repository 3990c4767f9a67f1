package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules"
)

func precursorsOf(t *testing.T, codes, failures string) (string, error) {
	t.Helper()
	c := rulesPrecursorsCommand{
		Codes: faultFile(t, codes), Failures: faultFile(t, failures), Time: "time", Machine: "machine", Code: "code",
		Window: 24 * time.Hour, Horizon: 24 * time.Hour, Least: time.Hour, Recall: 0.8, ID: "learnt",
	}
	var out bytes.Buffer
	err := c.learn(&out)
	return out.String(), err
}

func TestRulesPrecursors_PrintsARuleThatAPackTakes(t *testing.T) {
	t.Parallel()
	codes, failures := "time,machine,code\n", "time,machine\n"
	start := time.Date(2026, 1, 1, 6, 0, 0, 0, time.UTC)
	for day := range 60 {
		at := start.AddDate(0, 0, 2*day).Add(time.Duration(day%7) * time.Hour)
		codes += fmt.Sprintf("%s,m%d,spn100.fmi1\n", at.Format(time.RFC3339), day%4)
		codes += fmt.Sprintf("%s,m%d,spn98.fmi0\n", at.Add(36*time.Hour).Format(time.DateTime), day%4)
		failures += fmt.Sprintf("%s,m%d\n", at.Add(10*time.Hour).Format(time.RFC3339), day%4)
	}
	text, err := precursorsOf(t, codes, failures)
	if err != nil {
		t.Fatal(err)
	}
	pack, err := rules.Parse("learnt", []byte("model: M\nsignals: {}\nrules:\n"+text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if s := pack.Rules[0].Signs; len(s) != 1 || s[0].Codes[0] != "dtc.spn100.fmi1" || s[0].Failed != 60 || s[0].Of != 60 {
		t.Errorf("signs %+v", s)
	}
}

func TestRulesPrecursors_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	const codes, failures = "time,machine,code\n2026-01-01,a,x\n", "time,machine\n2026-03-01,a\n"
	for _, c := range []struct{ codes, failures, want string }{
		{codes, failures, "no code announces a failure: 1 failures, 1 times"},
		{"time,machine\n", failures, "the columns are time, machine: want time, machine, code"},
		{codes, "time,unit\n", "the columns are time, unit: want time, machine"},
		{"time,machine,code\nsoon,a,x\n", failures, ":2: \"soon\" is no time"},
		{"", failures, "no header"},
	} {
		if _, err := precursorsOf(t, c.codes, c.failures); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}
