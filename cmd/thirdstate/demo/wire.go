package demo

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// wire is the fleet's way to the intake log.
type wire struct {
	publish func(ctx context.Context, topic string, payload []byte) error
	flush   func(ctx context.Context) error // returns when all is acknowledged
	lose    func(ctx context.Context, machine string) error
	taken   func() uint64
	log     *slog.Logger
}

func (d *Demo) wireTo(p *publish.Publisher) *wire {
	w := &wire{publish: p.Publish, flush: p.Flush, taken: d.Taken, log: d.Log}
	w.lose = func(ctx context.Context, machine string) error {
		options := d.Options
		options.ClientID = "thirdstate-demo-" + machine
		return publish.Lose(ctx, d.Broker, options, publish.Will{Topic: "fleet/" + machine + "/status", Payload: []byte("offline")})
	}
	return w
}

// listened waits until the program hears the broker: what is said before is said
// to nobody.
func (d *Demo) listened(ctx context.Context) error {
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for !d.Heard() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
	return nil
}

const (
	lookEvery    = 2 * time.Millisecond
	wirePatience = 20 * time.Second // with a broker that has acknowledged and delivers late
)

// speak publishes what the machines say in (from, to] and waits until it is in
// the intake log. Machines speak at multiples of every.
func (d *Demo) speak(ctx context.Context, w *wire, from, to time.Time, every time.Duration) error {
	before, sent := w.taken(), uint64(0)
	for at := from.Truncate(every).Add(every); !at.After(to); at = at.Add(every) {
		for _, m := range d.fleet.Machines() {
			if lost, is := m.Lost(at.Add(-every), at); is {
				n, err := d.lose(ctx, w, m.Key, lost, before+sent)
				if err != nil {
					return err
				}
				sent += n
			}
			topic, payload, ok := d.fleet.Message(m.Key, at)
			if !ok {
				continue
			}
			if err := w.publish(ctx, topic, payload); err != nil {
				return fmt.Errorf("publish what %s says: %w", m.Key, err)
			}
			sent++
		}
		for _, s := range d.strangers(at) {
			if err := w.publish(ctx, s.topic, []byte(s.payload)); err != nil {
				return fmt.Errorf("publish what nobody has asked for: %w", err)
			}
			sent++
		}
	}
	if err := w.flush(ctx); err != nil {
		return fmt.Errorf("wait for the broker: %w", err)
	}
	return w.arrived(ctx, before+sent)
}

// lose lets a machine say its last words and breaks its connection when they have
// arrived, and waits until the broker has said its last will.
func (d *Demo) lose(ctx context.Context, w *wire, machine string, at time.Time, said uint64) (sent uint64, err error) {
	if topic, payload, ok := d.fleet.Message(machine, at.Add(-time.Second)); ok {
		if err := w.publish(ctx, topic, payload); err != nil {
			return 0, fmt.Errorf("publish what %s says: %w", machine, err)
		}
		sent++
	}
	if err := w.flush(ctx); err != nil {
		return 0, fmt.Errorf("wait for the broker: %w", err)
	}
	if err := w.arrived(ctx, said+sent); err != nil {
		return 0, err
	}
	if err := w.lose(ctx, machine); err != nil {
		return 0, fmt.Errorf("lose the connection of %s: %w", machine, err)
	}
	return sent + 1, w.arrived(ctx, said+sent+1)
}

// arrived waits until the log has taken what an external broker has acknowledged;
// with the embedded one that is so at once. What such a broker has lost is lost.
func (w *wire) arrived(ctx context.Context, want uint64) error {
	patience := time.NewTimer(wirePatience)
	defer patience.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for w.taken() < want {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			w.log.Warn("the broker has acknowledged messages that have not arrived", "messages", want-w.taken(), "after", wirePatience)
			return nil
		case <-look.C:
		}
	}
	return nil
}

// live goes with the clock: at every interval the machines speak, and people do
// what they do.
func (d *Demo) live(ctx context.Context, w *wire) error {
	for {
		next := d.at.Truncate(d.Every).Add(d.Every)
		timer := time.NewTimer(d.until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case by := <-d.jumps:
			timer.Stop()
			if err := d.jump(ctx, w, by); err != nil {
				return err
			}
			continue
		case <-timer.C:
		}
		if now := d.Clock.Now(); !now.Before(next) {
			if err := d.step(ctx, w, now.Truncate(d.Every), d.pace(now)); err != nil {
				return err
			}
		}
	}
}

// until is how long, on the wall, until the program clock shows an instant.
func (d *Demo) until(next time.Time) time.Duration {
	wait := time.Duration(float64(next.Sub(d.Clock.Now())) / d.Speed)
	return min(max(wait, 10*time.Millisecond), time.Minute)
}

// pace is the interval at which the machines speak: after a pause of the program's
// process, or with a fast clock, the history's.
func (d *Demo) pace(now time.Time) time.Duration {
	if now.Sub(d.at) > historyEvery {
		return historyEvery
	}
	return d.Every
}
