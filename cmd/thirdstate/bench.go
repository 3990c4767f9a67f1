package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/versus"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

type benchCommand struct {
	Intake    benchIntake    `cmd:"" help:"Messages a second from the wire to acknowledged, stored and evaluated."`
	History   benchHistory   `cmd:"" help:"Size of the history and latency of its charts."`
	HTTP      benchHTTP      `cmd:"" name:"http" help:"Latency of the pages and the API of a running demo."`
	Engines   benchEngines   `cmd:"" help:"The same rules on the same rows in our engine and in Prometheus's."`
	Rules     benchRules     `cmd:"" help:"Memory and speed of the rules of a whole fleet."`
	Detection benchDetection `cmd:"" help:"What the default watcher finds in a folder of public data sets, beside an alarm clock."`
	Versus    benchVersus    `cmd:"" help:"The same beside Mosquitto and Telegraf on this machine, and what a fault makes each lose."`
	Publish   benchPublish   `cmd:"" hidden:"" help:"The devices of 'bench intake'."`
}

// benchLoad is what the devices send.
type benchLoad struct {
	Messages    int `help:"Messages in all." default:"200000"`
	Machines    int `help:"Machines that send them." default:"1000"`
	Connections int `help:"Connections over which they come." default:"8"`
	Rate        int `help:"Messages a second; 0 sends as fast as they are acknowledged. With a rate, the time from when each is due to its acknowledgement is printed." default:"0"`
}

// The bounds keep a mistyped number from filling a disk.
const (
	maxBenchMessages    = 50_000_000
	maxBenchMachines    = 100_000
	maxBenchConnections = 256
	maxBenchRate        = 1_000_000
)

func (l benchLoad) check() error {
	switch {
	case l.Messages < 1 || l.Messages > maxBenchMessages:
		return problem.New(problem.Invalid, "--messages must be between 1 and %d", maxBenchMessages)
	case l.Machines < 1 || l.Machines > maxBenchMachines:
		return problem.New(problem.Invalid, "--machines must be between 1 and %d", maxBenchMachines)
	case l.Connections < 1 || l.Connections > maxBenchConnections:
		return problem.New(problem.Invalid, "--connections must be between 1 and %d", maxBenchConnections)
	case l.Rate < 0 || l.Rate > maxBenchRate:
		return problem.New(problem.Invalid, "--rate must be between 0 and %d", maxBenchRate)
	}
	return nil
}

// benchIntake runs the whole product on a fresh folder, with the rules of the
// model's pack on, and sends it messages of four signals from another process.
type benchIntake struct{ benchLoad }

// Run prints how fast messages were acknowledged, stored and evaluated.
func (c *benchIntake) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "thirdstate-bench")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // the database's user must pass through
		return fmt.Errorf("open the folder to the database's user: %w", err)
	}
	y, err := open(ctx, settings{Data: filepath.Join(dir, "data"), MQTTListen: "127.0.0.1:0", Speed: 1, LogCompress: true, KeepRaw: 35 * 24 * time.Hour}, false, newLogger("error"))
	if err != nil {
		return err
	}
	err = y.listen(ctx)
	if err == nil {
		err = c.measure(ctx, y)
	}
	return errors.Join(err, y.close(context.WithoutCancel(ctx)))
}

func (c *benchIntake) measure(ctx context.Context, y *system) error {
	if err := c.enter(ctx, y); err != nil {
		return err
	}
	life, stop := context.WithCancel(ctx)
	defer stop()
	g, life := errgroup.WithContext(life)
	g.Go(func() error { return y.run(life, y.runTicks) })
	g.Go(func() error {
		defer stop()
		return c.send(life, y)
	})
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// enter makes the machines known.
func (c *benchIntake) enter(ctx context.Context, y *system) error {
	var file strings.Builder
	file.WriteString("manufacturer,serial,model,name,customer,site\n")
	for i := range c.Machines {
		fmt.Fprintf(&file, "Bench,%s,%s,,Bench,Yard\n", versus.Key(i), versus.Model)
	}
	who := identity.Program("bench")
	return postgres.As(ctx, y.pool, who, func(tx pgx.Tx) error {
		if _, err := machines.Import(ctx, tx, y.clock.Now(), who, strings.NewReader(file.String()), false); err != nil {
			return err
		}
		return y.fleet.NameSignals(ctx, tx, y.clock.Now(), who)
	})
}

func (c *benchIntake) send(ctx context.Context, y *system) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	devices := exec.CommandContext(ctx, self, "bench", "publish", "--url", "mqtt://"+y.embedded.Addr().String(), //nolint:gosec // ourselves
		"--messages", strconv.Itoa(c.Messages), "--machines", strconv.Itoa(c.Machines), "--connections", strconv.Itoa(c.Connections), "--rate", strconv.Itoa(c.Rate))
	devices.Stdout, devices.Stderr = y.out, os.Stderr
	before, began := processorTime(), time.Now()
	if err := devices.Run(); err != nil {
		return fmt.Errorf("send the messages: %w", err)
	}
	acknowledged := time.Since(began)
	if err := y.settled(ctx); err != nil {
		return err
	}
	settled := time.Since(began)
	used := processorTime() - before
	n := float64(c.Messages)
	fmt.Fprintf(y.out, "%d messages of 4 signals from %d machines over %d connections, QoS 1, rules of %s on\n", c.Messages, c.Machines, c.Connections, versus.Model)
	fmt.Fprintf(y.out, "acknowledged after the fsync  %8.0f messages/s\n", n/acknowledged.Seconds())
	fmt.Fprintf(y.out, "stored and evaluated          %8.0f messages/s\n", n/settled.Seconds())
	fmt.Fprintf(y.out, "processor time                %8.1f us a message (this program, without PostgreSQL and the senders)\n", float64(used.Microseconds())/n)
	return nil
}

// processorTime is what this process has used so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
