package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// historyInterval is the distance of a machine's rows in simulated history.
const historyInterval = 10 * time.Minute

type simulateCommand struct {
	MQTTURL  string        `name:"mqtt-url" help:"Broker to publish to, such as tcp://user:password@127.0.0.1:1883." required:"" placeholder:"URL"`
	Machines int           `help:"How many machines with a device." default:"51"`
	Interval time.Duration `help:"Time between two messages of a machine." default:"10s"`
	History  time.Duration `help:"History that is sent first, as fast as it is taken, one row each 10 minutes." placeholder:"720h"`
	Faults   string        `help:"YAML list of labelled faults, instead of the demo's." placeholder:"FILE"`
	Seed     uint64        `help:"Another seed gives another fleet." default:"1"`
	Replay   []string      `help:"Recorded files to play instead of the fleet, .gz too." placeholder:"FILE"`
	Mapping  string        `help:"What the columns of the recorded files mean; see examples/README.md." placeholder:"FILE"`
	Start    time.Time     `help:"Time that the first message carries (RFC 3339). Default: now; for a recording that is not played at speed 1, such that its last row is now." placeholder:"T"`
	Speed    float64       `help:"Seconds of data a second; 0 sends as fast as the broker takes it." default:"1"`
}

// Run publishes until it is stopped, or the recording or its time has ended.
func (c *simulateCommand) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	play := c.fleet
	if len(c.Replay) > 0 {
		mapping, err := simulate.ReadMapping(c.Mapping)
		if err != nil {
			return problem.New(problem.Invalid, "%v", err)
		}
		recording, err := simulate.ReadRecording(mapping, c.Replay)
		if err != nil {
			return problem.New(problem.Invalid, "%v", err)
		}
		play = func(ctx context.Context, send simulate.Send) (int, error) { return c.replay(ctx, recording, send) }
	}
	return c.publish(ctx, play)
}

func (c *simulateCommand) check() error {
	switch {
	case c.Machines < 1 || c.Machines > 10_000:
		return problem.New(problem.Invalid, "--machines must be between 1 and 10000")
	case c.Interval < time.Second || c.Interval > 24*time.Hour:
		return problem.New(problem.Invalid, "--interval must be between 1s and 24h")
	case c.History < 0 || c.History > 366*24*time.Hour:
		return problem.New(problem.Invalid, "--history must be between 0 and 8784h")
	case !(c.Speed >= 0 && c.Speed <= 100_000):
		return problem.New(problem.Invalid, "--speed must be between 0 and 100000")
	case c.Speed == 0 && len(c.Replay) == 0:
		return problem.New(problem.Invalid, "--speed 0 is for recordings: a fleet never ends; give --history for data of the past")
	case (len(c.Replay) > 0) != (c.Mapping != ""):
		return problem.New(problem.Invalid, "--replay and --mapping go together; see examples/README.md")
	}
	return nil
}

// publish connects, plays and waits for the last acknowledgements.
func (c *simulateCommand) publish(ctx context.Context, play func(context.Context, simulate.Send) (int, error)) error {
	connecting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	publisher, err := publish.Dial(connecting, c.MQTTURL, publish.Options{ClientID: "thirdstate-simulate"})
	if err != nil {
		return problem.New(problem.Unavailable, "cannot connect to the broker: %v", err)
	}
	sent, err := play(ctx, publisher.Publish)
	last, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer done()
	err = errors.Join(err, publisher.Flush(last), publisher.Close())
	fmt.Printf("%d messages published, %d acknowledged\n", sent, publisher.Acked())
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil // stopped, as a fleet always is
	}
	return err
}

func (c *simulateCommand) replay(ctx context.Context, r *simulate.Recording, send simulate.Send) (int, error) {
	start := c.Start
	if start.IsZero() {
		start = time.Now()
		if c.Speed != 1 {
			start = start.Add(-r.Length())
		}
	}
	fmt.Printf("%d rows of %d machines, %s from %s on\n", r.Rows(), len(r.Machines()), r.Length(), start.UTC().Format(time.RFC3339))
	return r.Play(ctx, send, start, c.Speed)
}

// fleet sends the history, then speaks live.
func (c *simulateCommand) fleet(ctx context.Context, send simulate.Send) (int, error) {
	now := c.Start
	if now.IsZero() {
		now = time.Now()
	}
	begin := now.Add(-c.History)
	machines := simulate.Some(simulate.DemoFleet(begin), c.Machines)
	if c.Faults != "" {
		var err error
		if machines, err = simulate.ReadFaults(c.Faults, begin, machines); err != nil {
			return 0, problem.New(problem.Invalid, "%v", err)
		}
	}
	fleet := simulate.NewFleet(begin, machines, c.Seed)
	for _, l := range fleet.Labels() {
		fmt.Printf("fault %s %s from %s, failure %s\n", l.Machine, l.Mode, l.Onset.UTC().Format(time.RFC3339), l.Failure.UTC().Format(time.RFC3339))
	}
	before := 0
	if c.History > 0 {
		sent, err := fleet.Play(ctx, send, simulate.Pace{Start: begin, End: now, Interval: historyInterval})
		if before = sent; err != nil {
			return before, err
		}
	}
	sent, err := fleet.Play(ctx, send, simulate.Pace{Start: now, Interval: c.Interval, Speed: c.Speed})
	return before + sent, err
}
