package detection

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
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

// Ticker writes the passing of event time to the intake log. All fields are
// required except Away.
type Ticker struct {
	Clock  *clock.Clock
	Intake *intakelog.Log
	Log    *slog.Logger
	Away   func() bool // says that a source of messages cannot be heard at the moment; nil = never
}

// Run writes a tick record for each minute of the program clock, starting at now.
// Nothing could arrive while the program was down, while the log took nothing or
// while a source was away: the ticks after that excuse the silence before them. It
// goes on when the log takes records again, and ends with ctx or the log.
func (t *Ticker) Run(ctx context.Context) error {
	now := t.Clock.Now()
	next := now.Truncate(TickEvery).Add(TickEvery)
	excused := next.Add(-TickEvery) // up to here
	if _, err := t.put(ctx, now, excused, excused, true); err != nil {
		return ended(ctx, err)
	}
	for {
		moved := t.Clock.Moved()
		now := t.Clock.Now()
		if late := int(now.Sub(next) / TickEvery); late > maxTicks {
			next = next.Add(time.Duration(late-maxTicks) * TickEvery)
		}
		if !next.After(now) {
			last := now.Truncate(TickEvery)
			refused, err := t.put(ctx, now, next, last, !next.After(excused) || t.Away != nil && t.Away())
			if err != nil {
				return ended(ctx, err)
			}
			if refused {
				excused = t.Clock.Now()
			}
			next = last.Add(TickEvery)
			continue
		}
		timer := time.NewTimer(wait(t.Clock, next))
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

// Write writes the ticks in (from, to] and returns when they are durable: for
// whoever moves the clock himself and wants what came before it in the log.
func (t *Ticker) Write(ctx context.Context, now, from, to time.Time) error {
	first, last := from.Truncate(TickEvery).Add(TickEvery), to.Truncate(TickEvery)
	if first.After(last) {
		return nil
	}
	_, err := t.put(ctx, now, first, last, false)
	return ended(ctx, err)
}

// ended is nil where ctx or the log has come to its end: so do ticks.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, intakelog.ErrClosed) {
		err = nil
	}
	return err
}

// put writes the ticks from first to last and waits until they are durable. While
// the log refuses it tries again; what it writes after that is excused.
func (t *Ticker) put(ctx context.Context, now, first, last time.Time, excused bool) (refused bool, err error) {
	for attempt := 0; ; attempt++ {
		first, err = t.append(ctx, now, first, last, excused || refused)
		switch {
		case err == nil && refused:
			t.Log.Info("the intake log takes ticks again")
			return refused, nil
		case err == nil:
			return refused, nil
		case !errors.Is(err, intakelog.ErrFull) && !errors.Is(err, intakelog.ErrFailed) && !errors.Is(err, intakelog.ErrBusy):
			return refused, fmt.Errorf("write a tick to the intake log: %w", err)
		case !refused:
			t.Log.Warn("the intake log takes no ticks, trying again", "error", err)
			refused = true
		}
		timer := time.NewTimer(min(50*time.Millisecond<<min(attempt, 6), 2*time.Second))
		select {
		case <-ctx.Done():
			timer.Stop()
			return refused, ctx.Err()
		case <-timer.C:
		}
	}
}

// append returns the first tick that is not known to be durable.
func (t *Ticker) append(ctx context.Context, now, first, last time.Time, excused bool) (time.Time, error) {
	settled := make(chan error, last.Sub(first)/TickEvery+1) // each tick's word, in order
	sent, refusal := 0, error(nil)
	for at := first; !at.After(last) && refusal == nil; at = at.Add(TickEvery) {
		if refusal = t.Intake.Append(tick(now, at, excused), func(_ intakelog.LSN, err error) { settled <- err }); refusal == nil {
			sent++
		}
	}
	for range sent {
		select {
		case err := <-settled:
			if err != nil {
				return first, err
			}
			first = first.Add(TickEvery)
		case <-ctx.Done():
			return first, ctx.Err()
		}
	}
	return first, refusal
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
