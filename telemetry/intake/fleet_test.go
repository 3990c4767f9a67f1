package intake

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

const wirePatience = telemetrytest.Patience

// What the rooms of telemetry share, under the names that tests read best with.
var (
	start          = telemetrytest.Start
	program        = telemetrytest.Program
	do             = telemetrytest.Do
	want           = telemetrytest.Want
	quiet          = telemetrytest.Quiet
	openIntake     = telemetrytest.OpenLog
	records        = telemetrytest.Records
	lastOf         = telemetrytest.LastOf
	eventually     = telemetrytest.Eventually
	awhile         = telemetrytest.Awhile
	spareAddress   = telemetrytest.SpareAddress
	startMosquitto = telemetrytest.StartMosquitto
	done           = telemetrytest.Done
	metric         = telemetrytest.Metric
	bdSeq          = telemetrytest.BirthDeath
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

// works is what stands behind the doors: a real log, and a real database for what
// is made of it.
type works struct {
	pool    *postgres.Pool
	log     *intakelog.Log
	clock   *clock.Clock
	history history.Store
}

func newWorks(t *testing.T) *works {
	t.Helper()
	pool := postgrestest.New(t)
	log := openIntake(t, intakelog.Options{SegmentBytes: 1 << 20, MaxBytes: 64 << 20, CommitDelay: -1})
	return &works{pool: pool, log: log, clock: clock.New(start, 0, nil), history: history.NewPostgres(pool)}
}

// run stores the log until nothing is left of it, and returns what became of it.
func (w *works) run(t *testing.T) (a telemetry.Account) {
	t.Helper()
	first, last := w.log.Bounds()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := telemetry.RunHistory(ctx, telemetry.HistoryConfig{
		Stage: telemetry.NewStage(w.log, w.pool, log), Pool: w.pool, History: w.history, LogID: w.log.ID(), First: first, Clock: w.clock, Log: log,
		Released: func(at intakelog.LSN) {
			if at >= last {
				cancel()
			}
		},
	})
	if err != nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatalf("the history has not come to its end: %v", err)
	}
	do(t, w.pool, func(tx pgx.Tx) (err error) {
		a, err = telemetry.ReadAccount(t.Context(), tx, w.log.ID(), uint64(last))
		return err
	})
	if !a.Holds() {
		t.Fatalf("the account does not hold: %+v", a)
	}
	return a
}
