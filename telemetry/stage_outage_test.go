package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

// heard signals each time that something is logged at warning or above.
type heard struct {
	slog.Handler
	at chan struct{}
}

func (h heard) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		select {
		case h.at <- struct{}{}:
		default:
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h heard) Enabled(context.Context, slog.Level) bool { return true }

// TestRunHistory_WaitsForTheDatabase ends PostgreSQL while messages come in: they
// are acknowledged, and stored when it is back.
func TestRunHistory_WaitsForTheDatabase(t *testing.T) {
	before := goleak.IgnoreCurrent() // other tests of the package share a server
	dir := filepath.Join(postgrestest.Folder(t), "pg")
	startServer := func() *postgres.Cluster {
		t.Helper()
		c, err := postgres.StartCluster(t.Context(), dir, quiet(), postgres.Throwaway())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	server := startServer()
	if err := postgres.Migrate(t.Context(), server.URL()); err != nil {
		t.Fatal(err)
	}
	pool, err := postgres.Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	log, err := intakelog.Open(t.TempDir(), intakelog.Options{SegmentBytes: 1 << 20, MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w := &works{pool: pool, log: log, clock: clock.New(start, 0, nil), history: history.NewPostgres(pool)}
	_, ref := addMachine(t, pool, "PM1")

	ctx, cancel := context.WithCancel(t.Context())
	trouble, stored, done := make(chan struct{}, 1), make(chan intakelog.LSN, 1_000), make(chan error, 1)
	status := &HistoryStatus{}
	logger := slog.New(heard{slog.DiscardHandler, trouble})
	go func() {
		done <- RunHistory(ctx, HistoryConfig{Stage: NewStage(log, pool, logger), Pool: pool, History: w.history, LogID: log.ID(), First: 1, Clock: w.clock,
			Log: logger, Status: status, Released: func(at intakelog.LSN) { stored <- at }})
	}()
	wait := func(lsn intakelog.LSN) {
		t.Helper()
		for at := range stored {
			if at >= lsn {
				return
			}
		}
	}
	message := func(i int) intakelog.LSN {
		return w.send(t, "", "fleet/PM1/telemetry", telemetry(start.Add(time.Duration(i)*time.Second), "b", i, fmt.Sprintf(`"a":%d`, i)))
	}
	wait(message(0))
	want(t, status.Trouble(), "")

	for outage := range 2 {
		if err := server.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		var last intakelog.LSN
		for i := range 50 {
			last = message(1 + 50*outage + i)
		}
		<-trouble // it has met the outage
		server = startServer()
		wait(last)
		want(t, status.Trouble(), "")
		select {
		case <-trouble: // what was said in the meantime
		default:
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want(t, w.account(t, log.ID()), Account{Received: 101, Stored: 101, Readings: 101})
	rows, err := w.history.Rows(program(t.Context()), ref, start, start.Add(time.Hour), 0)
	if err != nil || len(rows) != 101 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	pool.Close()
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	if err := server.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}

// TestRunHistory_EndsWhileTheDatabaseIsAway stops the program during an outage.
func TestRunHistory_EndsWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	w.send(t, "", "fleet/PM1/telemetry", `{"a":1}`)
	w.pool.Close()
	ctx, cancel := context.WithCancel(t.Context())
	trouble := make(chan struct{}, 1)
	logger := slog.New(heard{slog.DiscardHandler, trouble})
	done := make(chan error, 1)
	go func() {
		done <- RunHistory(ctx, HistoryConfig{Stage: NewStage(w.log, w.pool, logger), Pool: w.pool, History: w.history, LogID: w.log.ID(), First: 1, Clock: w.clock,
			Log: logger, Released: func(intakelog.LSN) {}})
	}()
	<-trouble
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestRunHistory_WaitsForInfluxDB kills InfluxDB in the middle: what it has not
// taken is written when it is back, and nothing is counted twice.
func TestRunHistory_WaitsForInfluxDB(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	server := telemetrytest.StartInflux(t, false)
	influx := openInflux(t, server, w.pool)
	_, ref := addMachine(t, w.pool, "PM1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	trouble, stored, done := make(chan struct{}, 1), make(chan intakelog.LSN, 1_000), make(chan error, 1)
	logger := slog.New(heard{slog.DiscardHandler, trouble})
	go func() {
		done <- RunHistory(ctx, HistoryConfig{Stage: NewStage(w.log, w.pool, logger), Pool: w.pool, History: influx, LogID: w.log.ID(), First: 1, Clock: w.clock,
			Log: logger, Released: func(at intakelog.LSN) { stored <- at }})
	}()
	var last intakelog.LSN
	for i := range 300 {
		if i == 100 {
			server.Kill()
		}
		last = w.send(t, "", "fleet/PM1/telemetry", telemetry(start.Add(time.Duration(i)*time.Second), "b", i, fmt.Sprintf(`"a":%d`, i)))
	}
	<-trouble
	server.Start(t, strings.TrimPrefix(server.URL, "http://"), false)
	for at := range stored {
		if at >= last {
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want(t, w.account(t, w.log.ID()), Account{Received: 300, Stored: 300, Readings: 300})
	rows, err := influx.Rows(program(t.Context()), ref, start, start.Add(time.Hour), 0)
	if err != nil || len(rows) != 300 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
}
