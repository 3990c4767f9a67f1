package simulate

import (
	"context"
	"fmt"
	"time"
)

// Send publishes one message; it may block.
type Send func(ctx context.Context, topic string, payload []byte) error

// Pace is when messages are sent and what time they carry.
type Pace struct {
	Start    time.Time     // time that the first message carries
	End      time.Time     // zero = until the context ends
	Interval time.Duration // between two messages of a machine
	Speed    float64       // seconds of data a second; 0 = as fast as they are taken
}

// Play lets every machine speak at each interval and returns how many messages
// were sent.
func (f *Fleet) Play(ctx context.Context, send Send, p Pace) (sent int, err error) {
	metronome := newMetronome(p.Start, p.Speed)
	for at := p.Start.Truncate(p.Interval); p.End.IsZero() || at.Before(p.End); at = at.Add(p.Interval) {
		if at.Before(p.Start) {
			continue
		}
		if err := metronome.wait(ctx, at); err != nil {
			return sent, err
		}
		for _, u := range f.units {
			topic, payload, ok := f.Message(u.Key, at)
			if !ok {
				continue
			}
			if err := send(ctx, topic, payload); err != nil {
				return sent, fmt.Errorf("publish what %s says at %s: %w", u.Key, at.Format(time.RFC3339), err)
			}
			sent++
		}
	}
	return sent, nil
}

// metronome turns times of data into waits of the wall clock.
type metronome struct {
	start time.Time
	began time.Time
	speed float64
}

func newMetronome(start time.Time, speed float64) metronome {
	return metronome{start, time.Now(), speed}
}

// wait returns when it is time for data of an instant.
func (m metronome) wait(ctx context.Context, at time.Time) error {
	if m.speed <= 0 {
		return ctx.Err()
	}
	due := m.began.Add(time.Duration(float64(at.Sub(m.start)) / m.speed))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
