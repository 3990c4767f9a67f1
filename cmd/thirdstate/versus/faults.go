package versus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/stand"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// The devices of a run with a fault: few enough that nothing is late for want of
// speed, long enough that the fault falls into the middle.
const (
	faultMachines = 20
	faultSenders  = 4
	faultRate     = 1_000 // messages a second in all
)

// fault is something that happens to a chain while its devices talk.
type fault struct {
	name   string
	strike func(ctx context.Context, r *runner, c *chain) error
}

// faultList is what is done to each chain.
//
//nolint:gochecknoglobals // an ordered list, never written
var faultList = []fault{
	{"kill -9 of what takes in", func(ctx context.Context, _ *runner, c *chain) error {
		if err := c.intake.End(syscall.SIGKILL); err != nil {
			return err
		}
		return c.begin(ctx)
	}},
	{"kill -9 of the broker", func(ctx context.Context, _ *runner, c *chain) error {
		if err := c.broker.End(syscall.SIGKILL); err != nil {
			return err
		}
		return c.begin(ctx)
	}},
	{"InfluxDB away for 12 s", func(ctx context.Context, _ *runner, c *chain) error {
		if err := c.influx.Away(ctx); err != nil {
			return err
		}
		away := time.NewTimer(12 * time.Second)
		defer away.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-away.C:
		}
		return c.influx.Begin(ctx)
	}},
}

// faults runs each fault on each chain and prints what was lost of what the
// broker had acknowledged, by a ledger that no chain knows of.
func (r *runner) faults(ctx context.Context) error {
	r.print("")
	r.print("%d messages at %d/s from %d machines, one fault in the middle; lost = acknowledged to the device and not in InfluxDB in the end", r.FaultMessages, faultRate, faultMachines)
	r.print("%-28s %-40s %12s %12s %12s", "fault", "chain", "acknowledged", "lost", "written twice")
	for _, f := range faultList {
		for _, kind := range r.kinds(chainKind{name: "Mosquitto+Telegraf, broker as it comes"}, chainKind{name: "Mosquitto+Telegraf, broker unlimited", roomy: true}) {
			var acked, lost, twice int
			err := r.with(ctx, kind, faultMachines, func(c *chain) (err error) {
				acked, lost, twice, err = r.suffer(ctx, c, f)
				return err
			})
			if err != nil {
				return fmt.Errorf("%s, %s: %w", f.name, kind.name, err)
			}
			r.print("%-28s %-40s %12d %12d %12d", f.name, kind.name, acked, lost, twice)
		}
	}
	return nil
}

// ledger is what the broker has acknowledged.
type ledger struct {
	mu    sync.Mutex
	acked map[string][]int64 // times of the messages by machine
	err   error
}

func (l *ledger) note(topic string, payload []byte) {
	var m struct {
		TS int64
	}
	err := json.Unmarshal(payload, &m)
	machine := strings.Split(topic, "/")[1]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[machine] = append(l.acked[machine], m.TS)
	l.err = errors.Join(l.err, err)
}

func (r *runner) suffer(ctx context.Context, c *chain, f fault) (acked, lost, twice int, err error) {
	l := &ledger{acked: map[string][]int64{}}
	half := make(chan struct{})
	g, life := errgroup.WithContext(ctx)
	for n := range faultSenders {
		g.Go(func() error { return r.talk(life, c, l, n, half) })
	}
	g.Go(func() error {
		select {
		case <-half:
		case <-life.Done():
			return nil
		}
		return f.strike(life, r, c)
	})
	if err := errors.Join(g.Wait(), l.err); err != nil {
		return 0, 0, 0, err
	}
	for _, times := range l.acked {
		acked += len(times)
	}
	last := -1
	var stored map[string]map[int64]bool
	err = stand.Await(ctx, "all is stored, or nothing more comes", func() bool {
		written, err := c.influx.Written(ctx)
		if err == nil && written >= acked {
			if stored, err = instants(ctx, c.influx); err == nil && l.missing(stored) == 0 {
				return true
			}
		}
		return c.quiet(written, &last)
	})
	if err != nil {
		return acked, 0, 0, err
	}
	if stored, err = instants(ctx, c.influx); err != nil {
		return acked, 0, 0, err
	}
	kept := 0
	for _, times := range stored {
		kept += len(times)
	}
	written, err := c.influx.Written(ctx)
	return acked, l.missing(stored), max(0, written-kept), err
}

// missing is how many acknowledged messages are not among the stored ones.
func (l *ledger) missing(stored map[string]map[int64]bool) (n int) {
	for machine, times := range l.acked {
		for _, at := range times {
			if !stored[machine][at] {
				n++
			}
		}
	}
	return n
}

// settleAfter is how long nothing more must come before we believe that the rest is lost.
const settleAfter = 10 * time.Second

// quiet says whether the figure has stood still for settleAfter.
func (c *chain) quiet(written int, last *int) bool {
	if written != *last {
		*last, c.since = written, time.Now()
	}
	return time.Since(c.since) > settleAfter
}

// talk sends the share of one sender at its rate, whatever becomes of the chain,
// and waits until all is acknowledged.
func (r *runner) talk(ctx context.Context, c *chain, l *ledger, n int, half chan struct{}) (err error) {
	p, err := publish.Dial(ctx, c.mqtt, publish.Options{ClientID: fmt.Sprintf("talker-%d", n), OnAck: l.note})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	begin := time.Now().Add(-time.Duration(r.FaultMessages) * time.Second / faultRate)
	tick := time.NewTicker(time.Second * faultMachines / faultRate)
	defer tick.Stop()
	for seq := range r.FaultMessages / faultMachines {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if n == 0 && seq == r.FaultMessages/faultMachines/3 {
			close(half)
		}
		at := begin.Add(time.Duration(seq) * time.Second * faultMachines / faultRate).UnixMilli()
		for machine := n; machine < faultMachines; machine += faultSenders {
			payload := fmt.Appendf(nil, `{"ts":%d,"boot":"b1","seq":%d,"values":{"ignition":1,"pump_power_avg":%d,"ambient_temp":24.5,"hydraulic_oil_temp":58.%d}}`, at, seq, 80+seq%50, machine%10)
			if err := p.Publish(ctx, "fleet/"+Key(machine)+"/telemetry", payload); err != nil {
				return err
			}
		}
	}
	return p.Flush(ctx)
}

// instants are the times, in milliseconds, of which a point is stored of each machine.
func instants(ctx context.Context, influx *stand.Influx) (map[string]map[int64]bool, error) {
	groups, err := influx.Query(ctx, `SELECT "ignition" FROM "telemetry" GROUP BY "machine"`)
	if err != nil {
		return nil, err
	}
	out := map[string]map[int64]bool{}
	for _, g := range groups {
		set := make(map[int64]bool, len(g.Values))
		for _, row := range g.Values {
			if at, ok := row[0].(float64); ok {
				set[int64(at)] = true
			}
		}
		out[g.Tags["machine"]] = set
	}
	return out, nil
}
