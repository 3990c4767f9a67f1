package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/aemp/pull"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/edge"
	"github.com/thirdstate/thirdstate/telemetry/gate"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intake"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/lifespan"
	"github.com/thirdstate/thirdstate/telemetry/logbook"
)

// system is the running product: every part, and the order in which they are
// opened and closed.
type system struct {
	settings
	out        io.Writer
	log        *slog.Logger
	registry   *prometheus.Registry
	cluster    *postgres.Cluster
	pool       *postgres.Pool
	clock      *clock.Clock
	intake     *intakelog.Log
	stage      *telemetry.Stage
	history    history.Store
	stored     telemetry.HistoryStatus
	reconciler *telemetry.Reconciler // nil: the history is in PostgreSQL
	codes      logbook.Status
	fleet      *detection.Fleet
	held       *detection.Store
	runner     *detection.Runner
	gate       *gate.Gate
	lives      *lifespan.Keeper
	embedded   *intake.Embedded
	external   *intake.External
	resender   *telemetry.Resender
	host       *intake.SparkplugHost // nil where it is switched off
	webhooks   webhooks.Settings
	devices    *intake.HTTP
	puller     *pull.Puller    // nil without --aemp-sources
	forwarder  *edge.Forwarder // of an edge
	closers    []func(context.Context) error
}

func newLogger(level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
}

// open starts what the rest stands on: database, schema, clock, log, history and
// rules. Nothing is listening yet.
func open(ctx context.Context, s settings, demo bool, log *slog.Logger) (*system, error) {
	y := &system{settings: s, out: os.Stdout, log: log, registry: prometheus.NewRegistry()}
	y.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	steps := []func(context.Context) error{
		y.openDatabase,
		func(ctx context.Context) (err error) {
			if y.clock, err = openClock(ctx, y.pool, s.ClockStart, s.Speed, demo); err != nil {
				return err
			}
			return saveClock(ctx, y.pool, y.clock) // a run that is killed at once must not let it go back
		},
		y.openWebhooks, y.openIntake, y.openHistory, y.openLives, y.openRules, y.openForwarder,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, y.close(context.WithoutCancel(ctx)))
		}
	}
	return y, nil
}

// close ends the parts in the opposite order of their opening.
func (y *system) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var errs []error
	for i := len(y.closers) - 1; i >= 0; i-- {
		errs = append(errs, y.closers[i](ctx))
	}
	y.closers = nil
	return errors.Join(errs...)
}

func (y *system) onClose(fn func(context.Context) error) { y.closers = append(y.closers, fn) }

func (y *system) openDatabase(ctx context.Context) error {
	url := y.DatabaseURL
	if url == "" {
		cluster, err := postgres.StartCluster(ctx, filepath.Join(y.Data, "postgres"), y.log)
		if err != nil {
			return err
		}
		y.cluster, url = cluster, cluster.URL()
		y.onClose(cluster.Stop)
	}
	if err := postgres.Migrate(ctx, url); err != nil {
		return err
	}
	pool, err := postgres.Open(ctx, url)
	if err != nil {
		return err
	}
	y.pool = pool
	y.onClose(func(context.Context) error { pool.Close(); return nil })
	return nil
}

// openLives finds the models that train has kept. In PostgreSQL raw values last for a while.
func (y *system) openLives(context.Context) error {
	y.lives = &lifespan.Keeper{Pool: y.pool, Clock: y.clock, Log: y.log, History: y.history, Shelf: &lifespan.Shelf{Dir: modelFolder(y.Data), Log: y.log}}
	if _, ours := y.history.(*history.Postgres); ours {
		y.lives.KeepRaw = y.KeepRaw
	}
	return nil
}

func (y *system) openRules(ctx context.Context) error {
	base, err := y.ruleFolder().start()
	if err != nil {
		return fmt.Errorf("read the rule packs: %w", err)
	}
	y.fleet = detection.NewFleet(base.Packs)
	y.gate = newGate(y.pool, y.clock, y.log, y.fleet, y.history, y.Gate)
	if _, err := y.gate.Rebase(ctx, base); err != nil {
		return err
	}
	var position detection.Position
	err = postgres.As(ctx, y.pool, identity.Program("detection"), func(tx pgx.Tx) error {
		var err error
		if position, err = detection.Take(ctx, tx, y.clock.Now(), 0, y.intake.ID()); err != nil {
			return err
		}
		return y.fleet.NameSignals(ctx, tx, y.clock.Now(), identity.Program("detection"))
	})
	if err != nil {
		return err
	}
	y.held = &detection.Store{Pool: y.pool, Clock: y.clock, Log: y.log, Apply: apply}
	y.runner, err = detection.NewRunner(detection.Config{
		Fleet: y.fleet, Source: y.stage, Position: position, Commit: y.held.Commit, Log: y.log,
		Dir:      filepath.Join(y.Data, "snapshots"),
		Released: func(lsn intakelog.LSN) { y.intake.Release("rules", lsn) },
		Tell:     detection.CohortsTo(y.intake, y.clock, y.log),
	})
	if err != nil {
		return err
	}
	y.gate.Attach(y.runner)
	return y.measure()
}

// run serves until ctx ends; the first part that fails ends all.
func (y *system) run(ctx context.Context, more ...func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	parts := append([]func(context.Context) error{
		func(ctx context.Context) error { return runClock(ctx, y.pool, y.clock, y.log) },
		y.runner.Run,
		y.runRules,
		y.gate.Run,
		y.lives.Run,
		y.runHistory,
		y.runLogbook,
		y.runJobs,
		y.runWebhooks,
		y.runUpkeep,
		y.watchMachines,
		y.runReconciler,
	}, append(y.brokers(), more...)...)
	for _, part := range parts {
		g.Go(func() error { return part(ctx) })
	}
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// ticker tells the rules that time passes. While the external broker is away its
// machines cannot be heard, which is no silence of theirs.
func (y *system) ticker() *detection.Ticker {
	return &detection.Ticker{Clock: y.clock, Intake: y.intake, Log: y.log, Away: func() bool { return y.brokerReady() != nil }}
}

func (y *system) runTicks(ctx context.Context) error {
	return y.ticker().Run(ctx)
}
