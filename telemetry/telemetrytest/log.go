package telemetrytest

import (
	"context"
	"testing"

	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// OpenLog opens an empty intake log, which is closed when the test ends.
func OpenLog(t testing.TB, o intakelog.Options) *intakelog.Log {
	t.Helper()
	log, err := intakelog.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

// Records waits until the log has n records and returns them.
func Records(t testing.TB, log *intakelog.Log, n int) []intakelog.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	var all []intakelog.Record
	for len(all) < n {
		got, err := log.Read(ctx, intakelog.LSN(len(all)), 1024, nil)
		if err != nil {
			t.Fatalf("%d of %d records: %v", len(all), n, err)
		}
		all = append(all, got...)
	}
	return all
}

// LastOf is the number of the newest durable record.
func LastOf(log *intakelog.Log) int {
	_, last := log.Bounds()
	return int(last) //nolint:gosec // small
}
