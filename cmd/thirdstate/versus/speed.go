package versus

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"time"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/stand"
)

// speedRun is what a chain could do.
type speedRun struct {
	acknowledged, stored float64       // messages a second
	intake, broker       time.Duration // processor time a message; broker is 0 in ours
	influx               time.Duration // of InfluxDB
	peak                 int           // MiB of intake
}

// rounds are what each chain does in turn: a fleet that nobody has heard of, then the
// same machines' next messages.
var rounds = []string{"heard for the first time", "known"} //nolint:gochecknoglobals // never written

// speed sends the same messages through both chains and prints what each could do.
func (r *runner) speed(ctx context.Context) error {
	r.print("twice %d messages of 4 signals from %d machines over %d connections, QoS 1, into InfluxDB", r.Messages, r.Machines, r.Connections)
	r.print("%-46s %-24s %14s %14s %12s %12s %12s %9s", "", "machines", "acknowledged/s", "stored/s", "us/message", "of broker", "of InfluxDB", "MiB")
	var runs []speedRun // of the peer, then of ours
	for _, kind := range r.kinds(chainKind{name: "Mosquitto + Telegraf, no rules, no fsync", roomy: true}) {
		err := r.with(ctx, kind, r.Machines, func(c *chain) error {
			for _, round := range rounds {
				run, err := r.race(ctx, c)
				if err != nil {
					return err
				}
				r.printSpeed(kind, round, run)
				runs = append(runs, run)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(runs) > len(rounds) {
		for i, round := range rounds {
			theirs, ours := runs[i], runs[len(rounds)+i]
			r.print("%s: thirdstate stores and evaluates %.2f times as many messages a second, with %.2f of Telegraf's processor time (%.2f of Telegraf's and Mosquitto's)", round,
				ours.stored/theirs.stored, float64(ours.intake)/float64(theirs.intake), float64(ours.intake)/float64(theirs.intake+theirs.broker))
		}
	}
	return nil
}

func (r *runner) printSpeed(kind chainKind, round string, s speedRun) {
	broker := "-"
	if s.broker > 0 {
		broker = fmt.Sprintf("%.1f", micros(s.broker))
	}
	r.print("%-46s %-24s %14.0f %14.0f %12.1f %12s %12.1f %9d", kind.name, round, s.acknowledged, s.stored, micros(s.intake), broker, micros(s.influx), s.peak)
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func (r *runner) race(ctx context.Context, c *chain) (run speedRun, err error) {
	before, err := c.influx.Written(ctx)
	if err != nil {
		return run, err
	}
	seen := c.evaluated(ctx)
	intake, broker, influx := c.intake.Processor(), c.broker.Processor(), c.influx.Processor()
	began := time.Now()
	devices := exec.CommandContext(ctx, r.Program, "bench", "publish", "--url", c.mqtt, "--messages", strconv.Itoa(r.Messages), //nolint:gosec // ourselves
		"--machines", strconv.Itoa(r.Machines), "--connections", strconv.Itoa(r.Connections))
	if out, err := devices.CombinedOutput(); err != nil {
		return run, fmt.Errorf("send the messages: %w: %s", err, out)
	}
	n := float64(r.Messages)
	run.acknowledged = n / time.Since(began).Seconds()
	err = stand.Await(ctx, c.name+" has stored all", func() bool {
		written, err := c.influx.Written(ctx)
		return err == nil && written-before >= r.Messages && (!c.ours || c.evaluated(ctx)-seen >= r.Messages)
	})
	run.stored = n / time.Since(began).Seconds()
	run.intake = time.Duration(float64(c.intake.Processor()-intake) / n)
	if c.broker != c.intake {
		run.broker = time.Duration(float64(c.broker.Processor()-broker) / n)
	}
	run.influx = time.Duration(float64(c.influx.Processor()-influx) / n)
	run.peak = c.intake.Peak()
	return run, err
}
