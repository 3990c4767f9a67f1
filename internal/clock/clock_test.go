package clock_test

import (
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/clock"
)

func TestClock_RunsAtSpeedAndNeverGoesBack(t *testing.T) {
	wall := time.Date(2026, 6, 4, 0, 0, 0, 0, time.UTC)
	start := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	c := clock.New(start, 60, func() time.Time { return wall })

	wall = wall.Add(time.Minute)
	if got, want := c.Now(), start.Add(time.Hour); !got.Equal(want) {
		t.Fatalf("after a wall minute at speed 60: %v, want %v", got, want)
	}
	wall = wall.Add(-time.Hour) // the system's clock was set back
	if got, want := c.Now(), start.Add(time.Hour); !got.Equal(want) {
		t.Fatalf("after the wall went back: %v, want %v", got, want)
	}
	moved := c.Moved()
	c.Advance(24 * time.Hour)
	select {
	case <-moved:
	default:
		t.Fatal("a jump must wake those who wait")
	}
	if got, want := c.Now(), start.Add(25*time.Hour); !got.Equal(want) {
		t.Fatalf("after +1 day: %v, want %v", got, want)
	}
	c.AdvanceTo(start)
	if got, want := c.Now(), start.Add(25*time.Hour); !got.Equal(want) {
		t.Fatalf("AdvanceTo the past must change nothing: %v, want %v", got, want)
	}
}
