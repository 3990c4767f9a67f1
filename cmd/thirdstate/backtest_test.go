package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// backtestOn runs the command with its flags.
func backtestOn(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var c backtestCommand
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = c.run(t.Context(), &out)
	return out.String(), err
}

func faultFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "faults.csv")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const engines = "../../examples/cmapss-fd001.csv.gz"

// The engines that are shipped, each to its failure.
func TestBacktest_JudgesRecordedEngines(t *testing.T) {
	t.Parallel()
	faults := faultFile(t, "machine,at\n1,192\n7,259\n8,150\n20,234\n")
	on := []string{"--faults", faults, "--time", "none", "--every", "24h", "--group", "unit", "--ignore", "cycle,altitude,mach,throttle", "--longest", "3600h", "--shortest", "480h", engines}
	table, err := backtestOn(t, on...)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"recall ", "precision ", "lead, 10th percentile", "technician hours", "an alarm clock"} {
		if !strings.Contains(table, line) {
			t.Errorf("no %q in\n%s", line, table)
		}
	}
	text, err := backtestOn(t, append([]string{"--format", "json"}, on...)...)
	if err != nil {
		t.Fatal(err)
	}
	var all []judged
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) != 1 {
		t.Fatalf("%v of %s", err, text)
	}
	if r := all[0].Result.All; r.Machines != 4 || r.Recall.Part != 4 || r.Recall.Whole != 4 || r.Clock.Recall >= r.Recall.Value {
		t.Errorf("%+v", r)
	}
}

// Two versions of a pack side by side: the one with the higher limit finds the fault
// later, and raises no false flag.
func TestBacktest_ComparesTwoVersions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var rows strings.Builder
	rows.WriteString("time,oil\n")
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for hour := range 24 * 60 {
		oil := 60.0
		switch {
		case hour/24 == 10: // a hot day, no fault
			oil = 75
		case hour >= 24*40: // rises to its failure
			oil += float64(hour-24*40) / 12
		}
		rows.WriteString(at.Add(time.Duration(hour)*time.Hour).Format(time.RFC3339) + "," + jsonNumber(oil) + "\n")
	}
	history := filepath.Join(dir, "press.csv")
	pack := func(name, limit string) string {
		text := "model: press\nsignals:\n  oil: {unit: Cel}\nrules:\n  - {id: oil-hot, kind: threshold, severity: warning, title: Oil is hot, title_zh: 油温高, component: cooler, failure_mode: overheating, signal: oil, above: " + limit + ", hold: 2h, clear: 2h}\n"
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	if err := os.WriteFile(history, []byte(rows.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := backtestOn(t, "--faults", faultFile(t, "at\n2026-04-29\n"), "--rule", pack("a.yaml", "70"), "--against", pack("b.yaml", "80"), "--format", "json", history)
	if err != nil {
		t.Fatal(err)
	}
	var all []judged
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) != 2 || all[0].Hash == all[1].Hash {
		t.Fatalf("%v of %s", err, text)
	}
	low, high := all[0].Result.All, all[1].Result.All
	if low.Flags != 2 || low.Precision.Part != 1 || high.Flags != 1 || high.Precision.Part != 1 || low.Recall.Part != 1 || high.Recall.Part != 1 || low.LeadMedian <= high.LeadMedian {
		t.Errorf("%+v\n%+v", low, high)
	}
}

func jsonNumber(v float64) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestBacktest_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                    ":1: no header",
		"who,when\n1,2\n":     "want machine and at",
		"machine,at\n1,999\n": `:2: "999" is no row of machine 1: want 1 to 192`,
		"machine,at\n77,5\n":  `:2: the history has no machine "77"`,
		"machine,at\n1\n":     "wrong number of fields",
	} {
		_, err := backtestOn(t, "--faults", faultFile(t, text), "--time", "none", "--group", "unit", engines)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
