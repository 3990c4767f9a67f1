package telemetry

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

const sampleDaysSQL = `SELECT substr(c.relname, 8) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'sample'::regclass AND c.relname < 'sample_' || @before::text ORDER BY 1`

// A day that comes back late is pruned again: its roll-ups are joined to those
// that are there. What no sum could hold, an error code of a device, counts as
// 1e100: one machine's strange value must not keep the days of all.
const rollUpSQL = `INSERT INTO sample_rollup (machine_no, signal_no, at, n, low, mean, high)
SELECT s.machine_no, u.no, date_bin('15 minutes', s.at, 'epoch'), count(*), min(u.v),
  greatest(min(u.v), least(max(u.v), avg(greatest(-1e100, least(1e100, u.v))))), max(u.v)
FROM sample s CROSS JOIN LATERAL unnest(s.signal_nos, s.vals) AS u(no, v)
WHERE s.at >= @from AND s.at < @to GROUP BY 1, 2, 3
ON CONFLICT (machine_no, signal_no, at) DO UPDATE SET
  low = least(sample_rollup.low, excluded.low), high = greatest(sample_rollup.high, excluded.high),
  mean = greatest(least(sample_rollup.low, excluded.low), least(greatest(sample_rollup.high, excluded.high),
    (greatest(-1e100, least(1e100, sample_rollup.mean)) * sample_rollup.n + greatest(-1e100, least(1e100, excluded.mean)) * excluded.n)
    / (sample_rollup.n + excluded.n))),
  n = sample_rollup.n + excluded.n`

const dropDaysSQL = `SELECT drop_sample_partitions(@before::date)`

// Prune rolls up each whole day before an instant to 15 minutes and drops it, a
// transaction a day.
func (h *PostgresHistory) Prune(ctx context.Context, before time.Time) (int, error) {
	who, err := caller(ctx)
	if err != nil {
		return 0, err
	}
	var days []string
	err = postgres.As(ctx, h.pool, who, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sampleDaysSQL, pgx.NamedArgs{"before": before.UTC().Format("20060102")})
		if err != nil {
			return err
		}
		days, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("list the days of the history: %w", err)
	}
	for i, name := range days {
		day, err := time.ParseInLocation("20060102", name, time.UTC)
		if err != nil {
			return i, fmt.Errorf("partition sample_%s is not named after a day: %w", name, err)
		}
		err = postgres.As(ctx, h.pool, who, func(tx pgx.Tx) error { return h.drop(ctx, tx, day) })
		if err != nil {
			return i, fmt.Errorf("prune %s: %w", name, err)
		}
	}
	return len(days), nil
}

func (h *PostgresHistory) drop(ctx context.Context, tx pgx.Tx, day time.Time) error {
	next := day.AddDate(0, 0, 1)
	h.mu.Lock()
	delete(h.days, day.Format(time.DateOnly))
	h.mu.Unlock()
	if _, err := postgres.Run(ctx, tx, rollUpSQL, pgx.NamedArgs{"from": day, "to": next}); err != nil {
		return fmt.Errorf("roll up: %w", err)
	}
	_, err := postgres.Run(ctx, tx, dropDaysSQL, pgx.NamedArgs{"before": next.Format(time.DateOnly)})
	return err
}
