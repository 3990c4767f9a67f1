package formats

import (
	"errors"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// In Berlin the clock shows 02:30 twice on 25 October 2026 and never on 29 March.
func TestReading_InZoneKnowsTheHoursThatAClockShowsTwiceOrNever(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, clock, received, at string
		flags                     observation.Flag
	}{
		{"plain", "2026-03-01T08:55:00", "2026-03-01T08:00:00Z", "2026-03-01T07:55:00Z", 0},
		{"summer", "2026-07-01T09:55:00", "2026-07-01T08:00:00Z", "2026-07-01T07:55:00Z", 0},
		{"first of the doubled hour", "2026-10-25T02:30:00", "2026-10-25T00:30:05Z", "2026-10-25T00:30:00Z", 0},
		{"second of the doubled hour", "2026-10-25T02:30:00", "2026-10-25T01:30:05Z", "2026-10-25T01:30:00Z", 0},
		{"long after the doubled hour", "2026-10-25T02:30:00", "2026-10-26T01:30:05Z", "2026-10-25T01:30:00Z", 0},
		{"an hour that was left out", "2026-03-29T02:30:00", "2026-03-29T01:30:05Z", "2026-03-29T01:30:00Z", 0},
		{"ahead", "2026-03-01T12:00:00", "2026-03-01T08:00:00Z", "2026-03-01T08:00:00Z", observation.ClockAhead},
	} {
		var clock, received, at time.Time
		err := errors.Join(clock.UnmarshalText([]byte(c.clock+"Z")), received.UnmarshalText([]byte(c.received)), at.UnmarshalText([]byte(c.at)))
		if err != nil {
			t.Fatal(err)
		}
		r := Reading{At: received, Flags: observation.NoTime, Clock: clock}
		r.InZone(nil, received)
		if !r.At.Equal(received) || r.Flags != observation.NoTime {
			t.Errorf("%s: without a zone %v, %d", c.name, r.At, r.Flags)
		}
		if r.InZone(berlin, received); !r.At.Equal(at) || r.Flags != c.flags {
			t.Errorf("%s: %v with flags %d, want %v with %d", c.name, r.At, r.Flags, at, c.flags)
		}
	}
}
