package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/stand"
	"github.com/thirdstate/thirdstate/cmd/thirdstate/versus"
	"github.com/thirdstate/thirdstate/internal/longform"
)

// TestVersus_CountsWhatWeStoreAndLose runs the comparison with our own chain
// alone, with TEST_FULL its faults too: `make versus` brings the peers.
func TestVersus_CountsWhatWeStoreAndLose(t *testing.T) {
	t.Setenv(asProgram, "1") // what it starts is this binary as the program
	influxd, err := stand.Find("influxd", goPrograms(t))
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	c := versus.Config{Program: os.Args[0], Influxd: influxd, Messages: 2_000, Machines: 200, Connections: 4, Out: &said}
	faults := 0
	if longform.Asked() {
		c.FaultMessages, faults = 2_000, 3
	}
	if err := versus.Run(t.Context(), c); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	t.Log(said.String())
	rows := regexp.MustCompile(`(?m)^(.*)thirdstate, rules on.*\s2000\s+0\s+\d+$`).FindAllString(said.String(), -1)
	if len(rows) != faults || !strings.Contains(said.String(), "thirdstate, rules on") {
		t.Errorf("%d of %d faults lost nothing", len(rows), faults)
	}
}

// goPrograms is where `go install` puts programs.
func goPrograms(t *testing.T) string {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOPATH").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(root)) + "/bin"
}
