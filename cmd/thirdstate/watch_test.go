package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/internal/problem"
)

func TestWatch_FindsTheFaultOfThePlant(t *testing.T) {
	t.Parallel()
	var out, notes bytes.Buffer
	c := watchCommand{File: "../../examples/tep-fault04.csv.gz", Time: "none", Every: 3e11, Format: "ndjson"}
	if err := c.watch(t.Context(), strings.NewReader(""), &out, &notes); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 960 || !strings.Contains(lines[100], `"state":"normal"`) || !strings.Contains(lines[170], `"state":"degraded","episode":1,"causes":[{"signal":"XMV_10"`) {
		t.Errorf("%d lines\n%s\n%s", len(lines), lines[100], lines[min(170, len(lines)-1)])
	}
	if notes.String() != "960 rows, 1 machine, 52 signals, 1 episode\n" {
		t.Errorf("notes %q", notes.String())
	}
}

func TestWatch_ReadsTheStandardInputAndWritesATable(t *testing.T) {
	t.Parallel()
	var out, notes bytes.Buffer
	c := watchCommand{File: "-", Every: 6e10, Format: "table", Language: "zh"}
	if err := c.watch(t.Context(), strings.NewReader("a,b\n1,2\n2,3\n"), &out, &notes); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "无异常") || !strings.Contains(notes.String(), "not enough yet") {
		t.Errorf("%q %q", out.String(), notes.String())
	}
}

// A file that is written appears whole, or what was there stays.
func TestWatch_WritesAFileWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "report.html")
	c := watchCommand{File: "../../examples/tep-fault04.csv.gz", Time: "none", Every: 3e11, Format: "html", Output: name}
	var out, notes bytes.Buffer
	if err := c.watch(t.Context(), strings.NewReader(""), &out, &notes); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(name)
	if err != nil || out.Len() != 0 || !bytes.HasSuffix(bytes.TrimSpace(page), []byte("</html>")) || !bytes.Contains(page, []byte("XMV_10")) {
		t.Errorf("%d bytes, %d on the output: %v", len(page), out.Len(), err)
	}
	c.File = "-"
	if err := c.watch(t.Context(), strings.NewReader("a,b\n"+strings.Repeat("1,2\n", 9)+"1,x\n"), &out, &notes); problem.Of(err) != problem.Invalid {
		t.Errorf("error %v", err)
	}
	if again, err := os.ReadFile(name); err != nil || !bytes.Equal(again, page) {
		t.Errorf("the file has changed: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(name)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// What watch writes as evidence, verify finds again; and what somebody changed, not.
func TestVerify_FindsTheEvidenceOfWatchAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "evidence")
	c := watchCommand{File: "../../examples/tep-fault04.csv.gz", Time: "none", Every: 3e11, Format: "table", Evidence: dir, Signals: []string{"XMEAS_9", "XMEAS_21", "XMV_10", "XMV_11"}}
	var out, notes bytes.Buffer
	if err := c.watch(t.Context(), strings.NewReader(""), &out, &notes); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "tep-fault04-0001-1-1-watch.zip")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := (&verifyCommand{Files: []string{name}}).verify(&out); err != nil || !strings.Contains(out.String(), ": verified: machine 1, rule watch") || !strings.Contains(out.String(), "on XMV_10") {
		t.Errorf("%v %s", err, out.String())
	}
	data[len(data)/2] ^= 1
	changed := filepath.Join(dir, "changed.zip")
	if err := os.WriteFile(changed, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	err = (&verifyCommand{Files: []string{changed, name, filepath.Join(dir, "nothere.zip")}}).verify(&out)
	if problem.Of(err) != problem.Invalid || err.Error() != "2 of 3 bundles are not verified" || strings.Count(out.String(), "NOT verified") != 2 {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestWatch_BadFilesAreTheCallersFault(t *testing.T) {
	t.Parallel()
	for _, c := range []watchCommand{
		{File: "nothere.csv", Every: 1},
		{File: ".", Every: 1},
		{File: "../../examples/LICENSE.tep", Every: 1},
		{File: "../../examples/tep-fault04.csv.gz", Every: 1, Signals: []string{"XMV_99"}},
		{File: "../../examples/tep-fault04.csv.gz", Every: 1, Pack: "../../examples/tep.yaml"},
		{File: "../../examples/tep-fault04.csv.gz", Every: 1, Healthy: -1},
	} {
		var out, notes bytes.Buffer
		err := c.watch(t.Context(), strings.NewReader(""), &out, &notes)
		if problem.Of(err) != problem.Invalid || strings.Contains(err.Error(), "goroutine") {
			t.Errorf("%+v: error %v", c, err)
		}
	}
}

func TestRules_CheckNamesEveryFault(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := rulesCheckCommand{Files: []string{"../../telemetry/rules/packs/BC5430THB-56.yaml", "../../telemetry/rules/testdata/packs/bad/typos.yaml", "nothere.yaml", "../../telemetry/rules/testdata/packs/concrete-pump.yaml"}}
	err := c.check(&out)
	if problem.Of(err) != problem.Invalid || !strings.HasSuffix(err.Error(), "in 3 of 4 files") {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{
		"BC5430THB-56.yaml: good\n  model BC5430THB-56, hash ", "  8 rules: ", " hydraulic_oil_temp [Cel]", `concrete-pump.yaml:1:1: model "BC5430THB-56" has a pack in`, `typos.yaml:12:11: kind "treshold" is not known; did you mean "threshold"?`, `typos.yaml:15:13: signal "oil_tmp"`, "nothere.yaml:1:1: no such file",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestRules_ListShowsEveryPack(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := (&rulesListCommand{Language: "zh"}).list(&out); err != nil {
		t.Fatal(err)
	}
	for _, model := range []string{"BC5430THB-56", "BC5230THB-37", "BE215", "BE365", "KF132", "GS500", "液压油温偏高"} {
		if !strings.Contains(out.String(), model) {
			t.Errorf("%s is not in the list", model)
		}
	}
}

func TestSimulate_SettingsAreCheckedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	good := simulateCommand{MQTTURL: "tcp://127.0.0.1:1", Machines: 1, Interval: 1e10, Speed: 1}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*simulateCommand){
		func(c *simulateCommand) { c.Machines = 0 },
		func(c *simulateCommand) { c.Interval = 0 },
		func(c *simulateCommand) { c.Speed = -1 },
		func(c *simulateCommand) { c.Speed = 0 },
		func(c *simulateCommand) { c.History = -1 },
		func(c *simulateCommand) { c.Replay = []string{"a.csv"} },
		func(c *simulateCommand) { c.Mapping = "a.yaml" },
	} {
		c := good
		change(&c)
		if err := c.check(); problem.Of(err) != problem.Invalid {
			t.Errorf("%+v: error %v", c, err)
		}
	}
}

func TestRules_CheckReadsFoldersAndSaysJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := rulesCheckCommand{Files: []string{"../../telemetry/rules/packs", "../../examples/rules"}, Format: "json"}
	if err := c.check(&out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	var good []checkedPack
	if err := json.Unmarshal(out.Bytes(), &good); err != nil || len(good) != 7 {
		t.Fatalf("%d packs, %v", len(good), err)
	}
	for _, p := range good {
		if !p.OK || len(p.Faults) != 0 || len(p.Hash) != 16 || len(p.Rules) == 0 || len(p.Signals) == 0 {
			t.Errorf("%+v", p)
		}
	}
	out.Reset()
	c.Files = []string{"../../telemetry/rules/testdata/packs/bad"}
	err := c.check(&out)
	var bad []checkedPack
	if err := json.Unmarshal(out.Bytes(), &bad); err != nil || len(bad) < 40 {
		t.Fatalf("%d packs, %v", len(bad), err)
	}
	for _, p := range bad {
		if p.OK || len(p.Faults) == 0 || p.Faults[0].Line == 0 {
			t.Errorf("%+v", p)
		}
	}
	if problem.Of(err) != problem.Invalid {
		t.Errorf("error %v", err)
	}
	c.Files = []string{t.TempDir()}
	if err := c.check(io.Discard); problem.Of(err) != problem.Invalid {
		t.Errorf("a folder without packs: %v", err)
	}
}
