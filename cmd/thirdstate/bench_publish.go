package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/versus"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// benchPublish is the devices: a process of its own, so that what they cost is
// not counted.
type benchPublish struct {
	benchLoad
	URL string `name:"url" required:""`
}

// Run sends the messages and ends when the last is acknowledged.
func (c *benchPublish) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	start := time.Now()
	lanes := make([]benchLane, c.Connections)
	g, ctx := errgroup.WithContext(ctx)
	for n := range lanes {
		g.Go(func() error { return c.connection(ctx, n, start, &lanes[n]) })
	}
	if err := g.Wait(); err != nil || c.Rate == 0 {
		return err
	}
	var took []time.Duration
	for n := range lanes {
		took = append(took, lanes[n].took...)
	}
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1e3
	}
	fmt.Fprintf(os.Stdout, "%d messages a second; acknowledged within %.1f ms (half), %.1f ms (99 of 100), %.1f ms (999 of 1000), %.1f ms (all)\n",
		c.Rate, at(0.5), at(0.99), at(0.999), at(1))
	return nil
}

// benchLane is what one connection has sent at a rate: when what waits for its
// acknowledgement was due, and how long the others took. Our broker acknowledges in order.
type benchLane struct {
	mu   sync.Mutex
	due  []time.Time
	took []time.Duration
}

func (l *benchLane) acknowledged(string, []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, time.Since(l.due[0]))
	l.due = l.due[1:]
}

// wait is until the lane's next message is due.
func (l *benchLane) wait(ctx context.Context, due time.Time) error {
	if wait := time.Until(due); wait > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due = append(l.due, due)
	return nil
}

// connection sends the messages of every Connections-th machine, in turn.
func (c *benchPublish) connection(ctx context.Context, n int, start time.Time, lane *benchLane) (err error) {
	options := publish.Options{ClientID: fmt.Sprintf("bench-%d", n), InFlight: 1_024}
	if c.Rate > 0 {
		options.OnAck = lane.acknowledged
	}
	p, err := publish.Dial(ctx, c.URL, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	for i := n; i < c.Messages; i += c.Connections {
		round, machine := i/c.Machines, i%c.Machines
		// One machine's messages are a second apart and end now, as a backlog's do.
		at := start.Add(time.Duration(round-c.Messages/c.Machines) * time.Second)
		if c.Rate > 0 {
			at = start.Add(time.Duration(float64(i) / float64(c.Rate) * float64(time.Second)))
			if err := lane.wait(ctx, at); err != nil {
				return err
			}
		}
		payload := fmt.Appendf(nil, `{"ts":%d,"boot":"b%d","seq":%d,"values":{"ignition":1,"pump_power_avg":%d,"ambient_temp":24.5,"hydraulic_oil_temp":%d.%d}}`,
			at.UnixMilli(), start.Unix(), round, 80+round%50, 58+round%5, machine%10)
		if err := p.Publish(ctx, "fleet/"+versus.Key(machine)+"/telemetry", payload); err != nil {
			return err
		}
	}
	return p.Flush(ctx)
}
