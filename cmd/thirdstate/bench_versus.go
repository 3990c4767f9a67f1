package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/stand"
	"github.com/thirdstate/thirdstate/cmd/thirdstate/versus"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// benchVersus runs the peers beside us on this machine.
type benchVersus struct {
	Messages    int `help:"Messages of the speed run." default:"200000"`
	Machines    int `help:"Machines that send them." default:"20000"`
	Connections int `help:"Connections over which they come." default:"8"`
	Faults      int `help:"Messages of each run with a fault, at 1,000 a second; 0 leaves them out." default:"20000"`
}

// Run prints what Mosquitto + Telegraf and this program could do and lost.
func (c *benchVersus) Run(ctx context.Context) error {
	if err := (benchLoad{Messages: c.Messages, Machines: c.Machines, Connections: c.Connections}).check(); err != nil {
		return err
	}
	if c.Faults < 0 || c.Faults > 1_000_000 {
		return problem.New(problem.Invalid, "--faults must be between 0 and 1000000")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	config := versus.Config{Program: self, Messages: c.Messages, Machines: c.Machines, Connections: c.Connections, FaultMessages: c.Faults, Out: os.Stdout}
	places := []string{"/usr/sbin"}
	if root, err := exec.CommandContext(ctx, "go", "env", "GOPATH").Output(); err == nil {
		places = append(places, filepath.Join(strings.TrimSpace(string(root)), "bin"))
	}
	for name, path := range map[string]*string{"mosquitto": &config.Mosquitto, "telegraf": &config.Telegraf, "influxd": &config.Influxd} {
		if *path, err = stand.Find(name, places...); err != nil {
			return err
		}
	}
	return versus.Run(ctx, config)
}
