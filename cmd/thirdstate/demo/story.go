package demo

import (
	"context"
	"time"
)

const (
	storyStep = 10 * time.Minute // of the program clock, a second
	visitorIn = 20 * time.Second // then the demo decides in the visitor's place
)

// story lets the clock go ahead by itself, 600 times as fast as the wall. It stops
// where the visitor has to decide; what he leaves for 20 s is played.
func (d *Demo) story(ctx context.Context, w *wire) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	var since time.Time // when the clock stopped
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case by := <-d.jumps:
			if err := d.jump(ctx, w, by); err != nil {
				return err
			}
			since = time.Time{}
		case now := <-second.C:
			deeds, err := d.people.due(ctx, d.at, true)
			if err != nil {
				d.Log.Error("the story could not look what is open, trying again", "error", err)
				continue
			}
			switch {
			case len(deeds) == 0:
				since = time.Time{}
				if err := d.step(ctx, w, d.at.Add(storyStep), historyEvery); err != nil {
					return err
				}
			case since.IsZero():
				since = now
			case now.Sub(since) >= visitorIn:
				since = time.Time{}
				if _, err := d.people.act(ctx, deeds[0], d.at, d.at); err != nil {
					d.Log.Error("a person of the demo could not act, trying again", "error", err)
				}
			}
		}
	}
}

func (d *Demo) jump(ctx context.Context, w *wire, by time.Duration) error {
	if err := d.through(ctx, w, "advancing", d.Clock.Now().Add(by)); err != nil {
		return err
	}
	d.status.Store(&Status{Phase: "live"})
	return nil
}
