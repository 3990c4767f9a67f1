package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/history"
)

// How often, on the wall, the program tidies and looks for new machines.
const (
	upkeepEvery   = 10 * time.Minute
	machinesEvery = 2 * time.Second
)

const (
	oldSessionsSQL    = `DELETE FROM sessions WHERE expiry < @wall`
	oldIdempotencySQL = `DELETE FROM idempotency WHERE created_at < @before`
)

// idempotencyKept is how long the answer to an Idempotency-Key is remembered.
const idempotencyKept = 24 * time.Hour

// lettersKept is how long dead letters, and names that nobody claims, are kept.
const lettersKept = 90 * 24 * time.Hour

// deliveriesKept is how long one can see, and replay, what webhooks were sent.
const deliveriesKept = 30 * 24 * time.Hour

// silencesKept is how long one can see why a machine said nothing.
const silencesKept = 400 * 24 * time.Hour

// cohortsKept is how long it is known how sister machines stood: a finding that rests on
// it can be found again for as long.
const cohortsKept = 100 * 24 * time.Hour

// packAfter is how long after its end a day is packed: most of what is late has come.
const packAfter = 2 * time.Hour

// runUpkeep packs the telemetry of days that are over, and removes what nobody needs
// any more: telemetry beyond its retention (rolled up first), ended sessions,
// remembered answers, old silences and cohorts, dead letters and deliveries.
func (y *system) runUpkeep(ctx context.Context) error {
	for {
		if err := y.upkeep(ctx, y.clock.Now()); err != nil && ctx.Err() == nil {
			y.log.Error("upkeep failed, trying again later", "error", err)
		}
		timer := time.NewTimer(upkeepEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

func (y *system) upkeep(ctx context.Context, now time.Time) error {
	who := identity.Program("upkeep")
	err := postgres.As(ctx, y.pool, who, func(tx pgx.Tx) error {
		if _, err := postgres.Run(ctx, tx, oldSessionsSQL, pgx.NamedArgs{"wall": time.Now()}); err != nil {
			return fmt.Errorf("remove ended sessions: %w", err)
		}
		if _, err := postgres.Run(ctx, tx, oldIdempotencySQL, pgx.NamedArgs{"before": now.Add(-idempotencyKept)}); err != nil {
			return fmt.Errorf("remove remembered answers: %w", err)
		}
		if err := webhooks.ForgetOld(ctx, tx, now, now.Add(-deliveriesKept)); err != nil {
			return err
		}
		if err := machines.ForgetSilences(ctx, tx, now.Add(-silencesKept)); err != nil {
			return err
		}
		if err := detection.ForgetCohorts(ctx, tx, now.Add(-cohortsKept)); err != nil {
			return err
		}
		return telemetry.ForgetOld(ctx, tx, now.Add(-lettersKept))
	})
	if err != nil {
		return err
	}
	return y.tendHistory(identity.With(ctx, who), now)
}

// tendHistory does for PostgreSQL what InfluxDB does by itself: it packs, and has
// the retention of its bucket.
func (y *system) tendHistory(ctx context.Context, now time.Time) error {
	h, ok := y.history.(*history.Postgres)
	if !ok {
		return nil
	}
	rows, err := h.Pack(ctx, now.Add(-packAfter))
	if err != nil {
		return fmt.Errorf("pack the history: %w", err)
	}
	if rows > 0 {
		y.log.Info("history packed", "rows", rows)
	}
	days, err := h.Prune(ctx, now.Add(-y.KeepRaw))
	if err != nil {
		return fmt.Errorf("prune the history: %w", err)
	}
	if days > 0 {
		y.log.Info("history pruned", "days", days)
	}
	return nil
}

// The sum of versions changes with every change of a machine; an alias or a device
// that is added changes its count.
const machinesStateSQL = `SELECT (SELECT coalesce(sum(version), 0) FROM machine) * 1000003 + (SELECT count(*) FROM machine)
  + 31 * (SELECT count(*) FROM machine_alias) + 101 * (SELECT count(*) FROM device WHERE revoked_at IS NULL)
  + 211 * (SELECT count(*) FROM signal)`

// watchMachines tells the stage when machines, aliases, devices or signals have
// changed, whoever changed them: a page, the API or a command beside the server.
func (y *system) watchMachines(ctx context.Context) error {
	ticker := time.NewTicker(machinesEvery)
	defer ticker.Stop()
	last := int64(-1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		var state int64
		err := postgres.As(ctx, y.pool, identity.Program("intake"), func(tx pgx.Tx) error {
			var err error
			state, err = postgres.Value[int64](ctx, tx, machinesStateSQL, nil)
			return err
		})
		if err == nil && state != last { // while the database is away the stage waits by itself
			last = state
			y.stage.MachinesChanged()
		}
	}
}
