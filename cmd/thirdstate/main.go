// Command thirdstate is the whole product in one program: intake, detection,
// records, the service loop, its API and its pages.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // sites have time zones, and not every machine knows them

	"github.com/alecthomas/kong"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

// version is set by the build (-ldflags "-X main.version=...").
var version = "dev"

type commands struct {
	Demo      demoCommand      `cmd:"" help:"Start everything with a seeded organisation and a simulated fleet, and print the address and one-click logins."`
	Serve     serveCommand     `cmd:"" help:"Start the product."`
	Edge      edgeCommand      `cmd:"" help:"Start the product near the machines: it serves, and forwards all that comes in to a centre when there is a network."`
	Simulate  simulateCommand  `cmd:"" help:"Publish a simulated fleet, or recorded files (--replay), over MQTT."`
	Watch     watchCommand     `cmd:"" help:"Detect latent faults in a CSV file; no server needed."`
	Train     trainCommand     `cmd:"" help:"Learn how long machines last from files of machines that ran until they failed; watch --model applies it."`
	Backtest  backtestCommand  `cmd:"" help:"Say what a rule pack would have found on recorded history with known faults, how early, and what it would have cost."`
	Verify    verifyCommand    `cmd:"" help:"Find the findings of bundles of evidence again, offline."`
	Reconcile reconcileCommand `cmd:"" help:"Find what InfluxDB has lost of the intake log and write it again."`
	Bench     benchCommand     `cmd:"" help:"Print the measurements of the README."`
	Rules     rulesCommand     `cmd:"" help:"Check and list rule packs."`
	Doctor    doctorCommand    `cmd:"" help:"Look for what would lose data."`
	Token     tokenCommand     `cmd:"" help:"API tokens."`
	User      userCommand      `cmd:"" help:"People who may sign in."`
	Device    deviceCommand    `cmd:"" help:"Devices that may publish."`
	Import    importCommand    `cmd:"" help:"Import machines from a CSV file."`
	Migrate   migrateCommand   `cmd:"" help:"Bring the database's schema up to date."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run() error {
	_, err := fmt.Println("thirdstate", version)
	return err
}

func main() { os.Exit(run()) }

// run does what the command line asks for and returns the exit code.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var cli commands
	parser := kong.Parse(&cli, kong.Name("thirdstate"), kong.UsageOnError(), kong.DefaultEnvars("THIRDSTATE"), kong.Vars{"time_formats": watchfile.TimeFormats},
		kong.Description("Finds the third state (latent fault) of machines and follows it until the customer is satisfied."),
		kong.BindTo(ctx, (*context.Context)(nil)))
	err := parser.Run()
	if err == nil || errors.Is(err, context.Canceled) {
		return 0
	}
	fmt.Fprintln(os.Stderr, "thirdstate:", oneLine(err))
	return exitCode(err)
}

// oneLine puts an error that lists its tries below each other into one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n\t", " ") }

// exitCode is 2 for what the caller can mend, 1 for the rest.
func exitCode(err error) int {
	if problem.Of(err) == problem.Invalid {
		return 2
	}
	return 1
}
