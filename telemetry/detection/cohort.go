package detection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
)

// CohortsTo gives what a runner tells how machines stand: it is written to the log, where
// the runner reads it like all others do. While the log refuses, machines are compared
// less often.
func CohortsTo(log *intakelog.Log, clk *clock.Clock, logger *slog.Logger) func(*sisters.Cohort) {
	return func(c *sisters.Cohort) {
		payload, err := c.Encode()
		if err == nil {
			err = log.Append(intakelog.Record{Received: clk.Now(), Wall: time.Now(), Kind: intakelog.Cohort, Source: "rules", Device: c.Of, Payload: payload}, nil)
		}
		if err != nil && !errors.Is(err, intakelog.ErrClosed) {
			logger.Warn("how machines stand to one another is not written to the log", "model", c.Of, "error", err)
		}
	}
}

const keepCohortSQL = `INSERT INTO cohort (kind, at, told_at, record) VALUES (@kind, @at, @told, @record) ON CONFLICT (kind, at) DO NOTHING`

// keepCohorts stores what machines were told of their sisters, for whoever finds a
// finding again when the log has gone on.
func keepCohorts(ctx context.Context, tx postgres.DB, list []ToldCohort) error {
	for _, c := range list {
		record, err := c.Encode()
		if err != nil {
			return err
		}
		if _, err := postgres.Run(ctx, tx, keepCohortSQL, pgx.NamedArgs{"kind": c.Of, "at": c.At, "told": c.Told, "record": record}); err != nil {
			return fmt.Errorf("keep the cohort of %s: %w", c.Of, err)
		}
	}
	return nil
}

// cohortsBack is how far before a finding cohorts are read for it: rules and vetoes go
// by the last one, and by how long it has held.
const cohortsBack = 14 * 24 * time.Hour

const cohortsSQL = `SELECT told_at, record FROM cohort WHERE kind = @kind AND told_at > @from AND told_at <= @until ORDER BY told_at, at`

// Cohorts reads what the machines of a kind were told in the two weeks up to an instant,
// the oldest first; what cannot be read is left out.
func Cohorts(ctx context.Context, db postgres.DB, kind string, until time.Time) ([]ToldCohort, error) {
	type row struct {
		Told   time.Time `db:"told_at"`
		Record []byte    `db:"record"`
	}
	rows, err := postgres.All[row](ctx, db, cohortsSQL, pgx.NamedArgs{"kind": kind, "from": until.Add(-cohortsBack), "until": until})
	if err != nil {
		return nil, fmt.Errorf("read the cohorts of %s: %w", kind, err)
	}
	list := make([]ToldCohort, 0, len(rows))
	for _, r := range rows {
		if c, err := sisters.Decode(r.Record); err == nil {
			list = append(list, ToldCohort{c, r.Told})
		}
	}
	return list, nil
}

const forgetCohortsSQL = `DELETE FROM cohort WHERE at < @before`

// ForgetCohorts removes what machines were told before an instant.
func ForgetCohorts(ctx context.Context, db postgres.DB, before time.Time) error {
	if _, err := postgres.Run(ctx, db, forgetCohortsSQL, pgx.NamedArgs{"before": before}); err != nil {
		return fmt.Errorf("forget old cohorts: %w", err)
	}
	return nil
}
