package main

import (
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
)

// A machine that was suspended, or whose clock was set right, is no reason to
// disbelieve the clocks of all devices.
func TestOpenClock_GoesByTheCalendar(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	clk, err := openClock(t.Context(), pool, time.Time{}, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	if wall := clk.Read().Wall; strings.Contains(wall.String(), " m=") {
		t.Errorf("the clock counts time passed: %v", wall)
	}
}
