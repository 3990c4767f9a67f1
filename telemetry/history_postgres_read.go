package telemetry

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// sampleRow is one row of sample.
type sampleRow struct {
	At        time.Time `db:"at"`
	SignalNos []int16   `db:"signal_nos"`
	Vals      []float64 `db:"vals"`
	Qualities []byte    `db:"qualities"`
}

const sampleRowsSQL = `SELECT at, signal_nos, vals, qualities FROM sample
WHERE machine_no = @machine AND at >= @from AND at < @to ORDER BY at LIMIT @limit`

// Rows reads raw rows; days that were pruned have none.
func (h *PostgresHistory) Rows(ctx context.Context, machine Ref, from, to time.Time, limit int) ([]observation.Observation, error) {
	rows, err := h.samples(ctx, sampleRowsSQL, pgx.NamedArgs{"machine": machine.No, "from": from, "to": to, "limit": boundedLimit(limit)})
	if err != nil {
		return nil, fmt.Errorf("read rows of %s: %w", machine.Key, err)
	}
	out := make([]observation.Observation, 0, len(rows))
	for i := range rows {
		out = append(out, h.observation(machine.Key, &rows[i]))
	}
	return out, nil
}

const latestSampleSQL = `SELECT at, signal_nos, vals, qualities FROM sample WHERE machine_no = @machine ORDER BY at DESC LIMIT 1`

// Latest reads the newest row.
func (h *PostgresHistory) Latest(ctx context.Context, machine Ref) (observation.Observation, error) {
	rows, err := h.samples(ctx, latestSampleSQL, pgx.NamedArgs{"machine": machine.No})
	if err != nil {
		return observation.Observation{}, fmt.Errorf("read the newest row of %s: %w", machine.Key, err)
	}
	if len(rows) == 0 {
		return observation.Observation{}, problem.New(problem.NotFound, "machine %s has reported nothing", machine.Key)
	}
	return h.observation(machine.Key, &rows[0]), nil
}

// samples reads rows for the caller and makes sure that their signals have names here.
func (h *PostgresHistory) samples(ctx context.Context, sql string, args pgx.NamedArgs) ([]sampleRow, error) {
	who, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	var rows []sampleRow
	err = postgres.As(ctx, h.pool, who, func(tx pgx.Tx) error {
		rows, err = postgres.All[sampleRow](ctx, tx, sql, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if err := h.signals.named(ctx, rows[i].SignalNos); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (h *PostgresHistory) observation(machine string, r *sampleRow) observation.Observation {
	o := observation.Observation{Machine: machine, At: r.At.UTC(), Received: r.At.UTC(), Values: make([]observation.Value, 0, len(r.SignalNos))}
	for i, no := range r.SignalNos {
		name, ok := h.signals.name(no)
		if !ok || i >= len(r.Vals) {
			continue
		}
		v := observation.Value{Signal: name, Value: r.Vals[i]}
		if i < len(r.Qualities) {
			v.Quality = observation.Quality(r.Qualities[i])
		}
		o.Values = append(o.Values, v)
	}
	return o
}

const sampleCountSQL = `SELECT (SELECT count(*) FROM (SELECT 1 FROM sample WHERE machine_no = @machine AND at >= @from AND at < @to LIMIT @limit) s)
  + CASE WHEN EXISTS (SELECT 1 FROM sample_rollup WHERE machine_no = @machine AND at >= @from AND at < @to) THEN @limit ELSE 0 END`

// Range reads raw rows where they are few enough, else buckets; pruned days come
// from their roll-ups.
func (h *PostgresHistory) Range(ctx context.Context, q Query) ([]Series, error) {
	q, err := q.checked()
	if err != nil {
		return nil, err
	}
	who, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	args := pgx.NamedArgs{"machine": q.Machine.No, "from": q.From, "to": q.To, "limit": q.MaxPoints + 1, "width": q.bucket(), "nos": []int16(nil)}
	if len(q.Signals) > 0 {
		nos, err := h.signals.numbered(ctx, q.Signals)
		if err != nil {
			return nil, err
		}
		if len(nos) == 0 {
			return nil, nil
		}
		args["nos"] = nos
	}
	var set seriesSet
	err = postgres.As(ctx, h.pool, who, func(tx pgx.Tx) error {
		set = seriesSet{}
		return h.readRange(ctx, tx, q, args, set)
	})
	if err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", q.Machine.Key, err)
	}
	return set.list(), nil
}

func (h *PostgresHistory) readRange(ctx context.Context, tx pgx.Tx, q Query, args pgx.NamedArgs, set seriesSet) error {
	count, err := postgres.Value[int64](ctx, tx, sampleCountSQL, args)
	if err != nil {
		return err
	}
	if count <= int64(q.MaxPoints) {
		return h.readRaw(ctx, tx, q, args, set)
	}
	nos, _ := args["nos"].([]int16)
	if len(nos) == 0 || len(nos) > 4 { // one pass over all signals is cheaper than many over one
		return h.readBuckets(ctx, tx, manyBucketsSQL, args, set)
	}
	for _, no := range nos {
		args["no"] = no
		if err := h.readBuckets(ctx, tx, oneBucketsSQL, args, set); err != nil {
			return err
		}
	}
	return nil
}

func (h *PostgresHistory) readRaw(ctx context.Context, tx pgx.Tx, q Query, args pgx.NamedArgs, set seriesSet) error {
	rows, err := postgres.All[sampleRow](ctx, tx, sampleRowsSQL, args)
	if err != nil {
		return err
	}
	wanted := map[string]struct{}{}
	for _, s := range q.Signals {
		wanted[s] = struct{}{}
	}
	for i := range rows {
		if err := h.signals.named(ctx, rows[i].SignalNos); err != nil {
			return err
		}
		o := h.observation(q.Machine.Key, &rows[i])
		for _, v := range o.Values {
			if _, ok := wanted[v.Signal]; ok || len(wanted) == 0 {
				set.of(v.Signal).add(o.At, v.Value, v.Value, v.Value)
			}
		}
	}
	return nil
}

// bucketMean counts what no sum could hold as 1e100, and stays within the bucket.
const bucketMean = `greatest(min(p.low), least(max(p.high), sum(greatest(-1e100, least(1e100, p.mean)) * p.n) / sum(p.n)))`

// The buckets of one signal: its place in each row is looked up, nothing else is
// taken out of the row. A roll-up weighs as much as the values it stands for.
const oneBucketsSQL = `SELECT @no::smallint AS no, date_bin(@width::interval, p.at, @from::timestamptz) AS at,
  ` + bucketMean + ` AS mean, min(p.low) AS low, max(p.high) AS high
FROM (
  SELECT s.at, 1 AS n, s.v AS mean, s.v AS low, s.v AS high
  FROM (SELECT at, vals[array_position(signal_nos, @no::smallint)] AS v FROM sample
    WHERE machine_no = @machine AND at >= @from AND at < @to) s WHERE s.v IS NOT NULL
  UNION ALL
  SELECT at, n, mean, low, high FROM sample_rollup WHERE machine_no = @machine AND signal_no = @no AND at >= @from AND at < @to
) p GROUP BY 2 ORDER BY 2`

const manyBucketsSQL = `SELECT p.no, date_bin(@width::interval, p.at, @from::timestamptz) AS at,
  ` + bucketMean + ` AS mean, min(p.low) AS low, max(p.high) AS high
FROM (
  SELECT u.no, s.at, 1 AS n, u.v AS mean, u.v AS low, u.v AS high
  FROM sample s CROSS JOIN LATERAL unnest(s.signal_nos, s.vals) AS u(no, v)
  WHERE s.machine_no = @machine AND s.at >= @from AND s.at < @to
  UNION ALL
  SELECT signal_no, at, n, mean, low, high FROM sample_rollup WHERE machine_no = @machine AND at >= @from AND at < @to
) p WHERE @nos::smallint[] IS NULL OR p.no = ANY (@nos) GROUP BY 1, 2 ORDER BY 1, 2`

type bucketRow struct {
	No   int16     `db:"no"`
	At   time.Time `db:"at"`
	Mean float64   `db:"mean"`
	Low  float64   `db:"low"`
	High float64   `db:"high"`
}

func (h *PostgresHistory) readBuckets(ctx context.Context, tx pgx.Tx, sql string, args pgx.NamedArgs, set seriesSet) error {
	rows, err := postgres.All[bucketRow](ctx, tx, sql, args)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := h.signals.named(ctx, []int16{r.No}); err != nil {
			return err
		}
		if name, ok := h.signals.name(r.No); ok {
			set.of(name).add(r.At, r.Mean, r.Low, r.High)
		}
	}
	return nil
}
