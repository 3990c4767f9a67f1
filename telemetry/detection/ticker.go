package detection

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// TickEvery is the grid of event time on which rules that wait for nothing to
// happen (silence) are asked.
const TickEvery = time.Minute

// maxTicks bounds how many ticks are written for one jump of the clock; the
// oldest of a longer jump are left out, which rules cannot tell from a pause.
const maxTicks = 2_880

// RunTicks writes a tick record to the log for each minute of the program clock,
// starting at now. While the program was down nothing could arrive: the first
// tick excuses the silence before it.
func RunTicks(ctx context.Context, clk *clock.Clock, log *intakelog.Log) error {
	next := clk.Now().Truncate(TickEvery).Add(TickEvery)
	if err := appendTick(ctx, log, clk.Now(), next.Add(-TickEvery), true); err != nil {
		return err
	}
	for {
		moved := clk.Moved()
		now := clk.Now()
		if late := int(now.Sub(next) / TickEvery); late > maxTicks {
			next = next.Add(time.Duration(late-maxTicks) * TickEvery)
		}
		for ; next.Add(TickEvery).Before(now); next = next.Add(TickEvery) { // all but the last need not be waited for
			if err := log.Append(tick(now, next, false), nil); err != nil {
				return fmt.Errorf("write a tick to the intake log: %w", err)
			}
		}
		if !next.After(now) {
			if err := appendTick(ctx, log, now, next, false); err != nil {
				return err
			}
			next = next.Add(TickEvery)
		}
		timer := time.NewTimer(wait(clk, next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-moved:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// WriteTicks writes the ticks in (from, to] and returns when they are durable: for
// whoever moves the clock himself and wants what came before it in the log.
func WriteTicks(ctx context.Context, log *intakelog.Log, now, from, to time.Time) error {
	next := from.Truncate(TickEvery).Add(TickEvery)
	for ; !next.Add(TickEvery).After(to); next = next.Add(TickEvery) {
		if err := log.Append(tick(now, next, false), nil); err != nil {
			return fmt.Errorf("write a tick to the intake log: %w", err)
		}
	}
	if next.After(to) {
		return nil
	}
	return appendTick(ctx, log, now, next, false)
}

// wait is how long, on the wall, until the program clock shows next.
func wait(clk *clock.Clock, next time.Time) time.Duration {
	r := clk.Read()
	if r.Speed <= 0 {
		return time.Minute
	}
	d := time.Duration(float64(next.Sub(r.Program)) / r.Speed)
	return min(max(d, 5*time.Millisecond), time.Minute)
}

func tick(now, at time.Time, excused bool) intakelog.Record {
	payload := binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano())) //nolint:gosec // times of this age fit
	if excused {
		payload = append(payload, 1)
	} else {
		payload = append(payload, 0)
	}
	return intakelog.Record{Received: now, Wall: time.Now(), Kind: intakelog.Tick, Source: "clock", Payload: payload}
}

func appendTick(ctx context.Context, log *intakelog.Log, now, at time.Time, excused bool) error {
	if _, err := log.AppendWait(ctx, tick(now, at, excused)); err != nil && ctx.Err() == nil {
		return fmt.Errorf("write a tick to the intake log: %w", err)
	}
	return nil
}
