// Package clock holds the program clock: one (anchor, speed) pair that gives
// every business timestamp. It can run faster than the wall (the demo's
// history) and be moved forward ("+1 hour"), but never goes back.
package clock

import (
	"context"
	"sync"
	"time"
)

// Reading is a clock's state: at wall time Wall the program clock showed
// Program, and it runs Speed program seconds a wall second.
type Reading struct {
	Program time.Time
	Wall    time.Time
	Speed   float64
}

// Clock is safe for concurrent use. Make one with New.
type Clock struct {
	mu     sync.Mutex
	anchor Reading
	last   time.Time
	wall   func() time.Time
	moved  chan struct{} // closed and replaced at every jump or change of speed
}

// New returns a clock that shows start now and runs at speed (1 = real time,
// 0 = stands still until advanced). A nil wall means the system's clock.
func New(start time.Time, speed float64, wall func() time.Time) *Clock {
	if wall == nil {
		wall = time.Now
	}
	start = start.UTC()
	return &Clock{anchor: Reading{start, wall(), speed}, last: start, wall: wall, moved: make(chan struct{})}
}

// Now returns the program time in UTC, never earlier than it was before.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Clock) now() time.Time {
	elapsed := c.wall().Sub(c.anchor.Wall)
	now := c.anchor.Program.Add(time.Duration(float64(elapsed) * c.anchor.Speed)).Truncate(time.Microsecond)
	if now.Before(c.last) {
		now = c.last
	}
	c.last = now
	return now
}

// Advance moves the clock forward by d; a negative d is ignored.
func (c *Clock) Advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if d > 0 {
		now = now.Add(d)
	}
	c.set(now, c.anchor.Speed)
	return now
}

// AdvanceTo moves the clock forward to t; an earlier t changes nothing.
func (c *Clock) AdvanceTo(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.now()) {
		c.set(t.UTC(), c.anchor.Speed)
	}
}

// SetSpeed changes how fast the clock runs from now on.
func (c *Clock) SetSpeed(speed float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(c.now(), speed)
}

func (c *Clock) set(program time.Time, speed float64) {
	c.anchor = Reading{program, c.wall(), speed}
	c.last = program
	close(c.moved)
	c.moved = make(chan struct{})
}

// Read returns the clock's state, to be saved.
func (c *Clock) Read() Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Reading{c.now(), c.wall(), c.anchor.Speed}
}

// Moved returns a channel that is closed at the next jump or change of speed.
func (c *Clock) Moved() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moved
}

// Rest waits for d on the wall or until ctx ends, and then says why it did.
func Rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
