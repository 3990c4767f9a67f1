package history

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

// What the rooms of telemetry share, under the names that tests read best with.
var (
	start   = telemetrytest.Start
	program = telemetrytest.Program
	sell    = telemetrytest.Sell
	want    = telemetrytest.Want
)

// addMachine enters a machine without a model and an owner.
func addMachine(t testing.TB, pool *postgres.Pool, key string) (uuid.UUID, Ref) {
	t.Helper()
	id, no := telemetrytest.AddMachine(t, pool, key)
	return id, Ref{Key: key, No: no}
}

// openInflux returns the history in a server, of an hour after start.
func openInflux(t *testing.T, server *telemetrytest.Influx, c InfluxConfig) *Influx {
	t.Helper()
	c.URL = server.URL
	if c.Bucket == "" {
		c.Bucket = server.Bucket(t)
	}
	if c.Now == nil {
		c.Now = func() time.Time { return start.Add(time.Hour) }
	}
	h, err := NewInflux(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
