package telemetry

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intake"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

// What the rooms of telemetry share, under the names that tests read best with.
var (
	start   = telemetrytest.Start
	program = telemetrytest.Program
	do      = telemetrytest.Do
	want    = telemetrytest.Want
	quiet   = telemetrytest.Quiet
	metric  = telemetrytest.Metric
	bdSeq   = telemetrytest.BirthDeath
)

// value reads one value as the program.
func value[T any](t testing.TB, pool *postgres.Pool, sql string) T {
	t.Helper()
	return telemetrytest.Value[T](t, pool, sql)
}

// addMachine enters a machine without a model and an owner.
func addMachine(t testing.TB, pool *postgres.Pool, key string) (uuid.UUID, history.Ref) {
	t.Helper()
	id, no := telemetrytest.AddMachine(t, pool, key)
	return id, history.Ref{Key: key, No: no}
}

// openInflux returns the history in a server, of an hour after start.
func openInflux(t *testing.T, server *telemetrytest.Influx, pool *postgres.Pool) *history.Influx {
	t.Helper()
	h, err := history.NewInflux(history.InfluxConfig{URL: server.URL, Bucket: server.Bucket(t), Pool: pool, Now: func() time.Time { return start.Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// readBroker reads an external broker into a log until the test ends or stop is called.
func readBroker(t *testing.T, c intake.ExternalConfig) (x *intake.External, stop func()) {
	t.Helper()
	if c.Now == nil {
		c.Now = time.Now
	}
	x, err := intake.NewExternal(c)
	if err != nil {
		t.Fatal(err)
	}
	stop = telemetrytest.Run(t, x.Run)
	telemetrytest.Eventually(t, x.Connected)
	return x, stop
}
