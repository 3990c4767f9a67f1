package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/api"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// historyLag is how many records the history may be behind the log while the
// program still calls itself ready.
const historyLag = 100_000

// readiness lists what must hold before a load balancer sends anybody here. Ready
// means that messages are acknowledged and kept; the rules catch up visibly, in
// the metrics.
func (y *system) readiness() []api.Check {
	return []api.Check{
		{Name: "database", Run: y.databaseReady},
		{Name: "intake_log", Run: func(context.Context) error {
			if err := y.intake.Err(); err != nil {
				return problem.New(problem.Unavailable, "%v", err)
			}
			return nil
		}},
		{Name: "broker", Run: func(context.Context) error { return y.brokerReady() }},
		{Name: "history", Run: func(context.Context) error { return y.historyReady() }},
	}
}

const answerSQL = `SELECT 1`

func (y *system) databaseReady(ctx context.Context) error {
	err := postgres.As(ctx, y.pool, identity.Program("health"), func(tx pgx.Tx) error {
		_, err := postgres.Value[int](ctx, tx, answerSQL, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("ask the database: %w", err)
	}
	return nil
}

// historyReady also says what it waits for; while it does, the log keeps all.
func (y *system) historyReady() error {
	if y.stored.Trouble() != "" { // its text may name addresses: it is in the log
		return problem.New(problem.Unavailable, "the history cannot be written at the moment; messages wait in the intake log")
	}
	if _, last := y.intake.Bounds(); uint64(last) > uint64(y.stored.Stored())+historyLag {
		return problem.New(problem.Unavailable, "the history is %d records behind", uint64(last)-uint64(y.stored.Stored()))
	}
	return nil
}
