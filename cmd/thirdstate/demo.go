package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/demo"
	"github.com/thirdstate/thirdstate/dashboards"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/intake"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

type demoCommand struct {
	settings
	Machines int           `help:"How many machines the simulated fleet has; 0 means those of the story." default:"0"`
	Story    bool          `help:"Let the clock go ahead by itself and stop where you decide; what waits for 20 s is played by the demo."`
	Every    time.Duration `help:"Time between two messages of a machine when live." default:"10s"`
	LogLevel string        `name:"log-level" help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"warn"`
	days     int           // of history; 0 = the story's
	ready    func(*system, *web, *demo.Demo)
}

// maxMachines is what the demo's fleet may have: its history is lived through
// in minutes.
const maxMachines = 1_000

// Run shows the product at work until it is told to stop.
func (c *demoCommand) Run(ctx context.Context) error {
	if c.Machines < 0 || c.Machines > maxMachines {
		return problem.New(problem.Invalid, "--machines must be between 0 and %d", maxMachines)
	}
	if c.Every < time.Second || c.Every > 10*time.Minute {
		return problem.New(problem.Invalid, "--every must be between 1s and 10m")
	}
	if err := c.check(); err != nil {
		return err
	}
	if c.ClockStart.IsZero() {
		c.ClockStart = demo.Start
	}
	live := c.Speed
	c.Speed = 0 // the demo moves the clock itself
	y, err := open(ctx, c.settings, true, newLogger(c.LogLevel))
	if err != nil {
		return err
	}
	err = c.play(ctx, y, live)
	return errors.Join(err, y.close(context.WithoutCancel(ctx)))
}

func (c *demoCommand) play(ctx context.Context, y *system, speed float64) error {
	var show *demo.Demo
	web, err := y.newWeb(ctx, &dashboards.Demo{
		Advance: func(by time.Duration) error { return show.Advance(by) },
		Status: func() dashboards.DemoStatus {
			s := show.Status()
			return dashboards.DemoStatus{Phase: s.Phase, Progress: s.Progress, Speed: y.clock.Read().Speed}
		},
	})
	if err != nil {
		return err
	}
	if err := y.listen(ctx); err != nil {
		return err
	}
	broker, options, err := y.fleetBroker(ctx)
	if err != nil {
		return err
	}
	show, err = demo.New(ctx, demo.Config{
		Pool: y.pool, Clock: y.clock, Log: y.log, Broker: broker, Options: options,
		Heard: func() bool { return y.brokerReady() == nil },
		Ticks: func(ctx context.Context, from, to time.Time) error {
			return y.ticker().Write(ctx, y.clock.Now(), from, to)
		},
		Taken:        func() uint64 { return y.intake.Stats().Appended },
		Settle:       y.settled,
		Housekeeping: y.housekeeping,
		Save:         func(ctx context.Context) error { return saveClock(ctx, y.pool, y.clock) },
		Live: func(at time.Time, took time.Duration) {
			fmt.Fprintf(y.out, "The history took %v. There it is %s now, and people and machines go on.\n", took.Round(time.Second), at.In(demo.Zone).Format("2 January 15:04"))
		},
		Speed: speed, Machines: c.Machines, Days: c.days, Every: c.Every, Story: c.Story,
	})
	if err != nil {
		return err
	}
	greet(y.out, web.url(), c.Data, show)
	if c.ready != nil {
		c.ready(y, web, show)
	}
	return y.run(ctx, web.run, show.Run)
}

// greet tells where to look, and how to get in as each person.
func greet(w io.Writer, url, data string, show *demo.Demo) {
	fmt.Fprintf(w, "\nthirdstate %s shows %s\n\n", version, url)
	for _, l := range demo.Logins() {
		fmt.Fprintf(w, "  %s/demo/login/%-12s %s %s, %s\n", url, l.Login, l.Name, l.NameEN, l.Role)
	}
	if left := show.HistoryLeft(); left > 0 {
		fmt.Fprintf(w, "\n%d days of history are lived through in a minute or two; look meanwhile.", int(math.Ceil(left.Hours()/24)))
	} else {
		fmt.Fprint(w, "\nIt goes on where it was.")
	}
	fmt.Fprintf(w, " Ctrl-C ends it, the data stay in %s.\n", data)
}

// fleetBroker is where the simulated fleet publishes: the external broker where
// there is one, else the embedded one. Where that is open to others, the fleet
// signs in as a gateway.
func (y *system) fleetBroker(ctx context.Context) (string, publish.Options, error) {
	options := publish.Options{ClientID: "thirdstate-demo-fleet", InFlight: 1_024}
	if y.external != nil {
		options.Logger = y.log // the embedded broker needs nobody to tell that it is there
		return y.MQTTURL, options, nil
	}
	tcp, ok := y.embedded.Addr().(*net.TCPAddr)
	if !ok {
		return "", options, fmt.Errorf("the embedded broker listens on %s, which is no TCP address", y.embedded.Addr())
	}
	if tcp.IP.IsLoopback() && !y.BehindProxy {
		return "mqtt://" + tcp.String(), options, nil
	}
	const gateway = "demo-fleet"
	err := postgres.As(ctx, y.pool, identity.Program("demo"), func(tx pgx.Tx) error {
		if err := intake.RevokeDevice(ctx, tx, y.clock.Now(), gateway); err != nil && problem.Of(err) != problem.NotFound {
			return err
		}
		token, err := intake.AddDevice(ctx, tx, y.clock.Now(), gateway, nil, true)
		options.Username, options.Password = gateway, token
		return err
	})
	if err != nil {
		return "", options, fmt.Errorf("sign the simulated fleet in: %w", err)
	}
	y.embedded.DevicesChanged()
	return fmt.Sprintf("mqtt://127.0.0.1:%d", tcp.Port), options, nil
}
