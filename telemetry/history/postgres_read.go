package history

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// Packing moves values from rows to blocks. So a reader reads the rows first: what
// is moved meanwhile it sees twice, which does no harm, and never not at all.

// sampleRow is one row of sample.
type sampleRow struct {
	At        time.Time `db:"at"`
	SignalNos []int16   `db:"signal_nos"`
	Vals      []float64 `db:"vals"`
	Qualities []byte    `db:"qualities"`
}

const sampleRowsSQL = `SELECT at, signal_nos, vals, qualities FROM sample
WHERE machine_no = @machine AND at >= @from AND at < @to ORDER BY at LIMIT @limit`

// The days of which there are blocks; no block crosses midnight.
const blockDaysSQL = `SELECT DISTINCT date_trunc('day', first_at, 'UTC') AS at FROM sample_block WHERE machine_no = @machine AND seconds = 0
AND first_at > @from::timestamptz - interval '24 hours' AND first_at < @to AND last_at >= @from ORDER BY 1`

const dayBlocksSQL = `SELECT signal_no, data FROM sample_block
WHERE machine_no = @machine AND seconds = 0 AND first_at >= @day AND first_at < @day::timestamptz + interval '24 hours' AND first_at < @to AND last_at >= @from
ORDER BY signal_no, first_at`

// Rows reads what was reported; days that were pruned have none.
func (h *Postgres) Rows(ctx context.Context, machine Ref, from, to time.Time, limit int) ([]observation.Observation, error) {
	who, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	if err := h.splitForOwner(ctx, who, machine, from, to); err != nil {
		return nil, err
	}
	limit = boundedLimit(limit)
	args := pgx.NamedArgs{"machine": machine.No, "from": from, "to": to, "limit": limit}
	var rows []sampleRow
	err = postgres.As(ctx, h.pool, who, func(tx pgx.Tx) error {
		if rows, err = postgres.All[sampleRow](ctx, tx, sampleRowsSQL, args); err != nil {
			return err
		}
		days, err := postgres.All[struct {
			At time.Time `db:"at"`
		}](ctx, tx, blockDaysSQL, args)
		if err != nil {
			return err
		}
		for i, have := 0, 0; i < len(days) && have < limit; i++ {
			if rows, have, err = h.joinDay(ctx, tx, args, days[i].At, rows); err != nil {
				return fmt.Errorf("the day %s: %w", days[i].At.Format(time.DateOnly), err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read rows of %s: %w", machine.Key, err)
	}
	rows = rows[:min(limit, len(rows))]
	out := make([]observation.Observation, 0, len(rows))
	for i := range rows {
		if err := h.signals.named(ctx, rows[i].SignalNos); err != nil {
			return nil, err
		}
		out = append(out, h.observation(machine.Key, &rows[i]))
	}
	return out, nil
}

// joinDay puts what the blocks of a day hold among the rows, which are in the order
// of time, and says how many rows there are up to the end of that day.
func (h *Postgres) joinDay(ctx context.Context, tx pgx.Tx, args pgx.NamedArgs, day time.Time, rows []sampleRow) ([]sampleRow, int, error) {
	args["day"] = day
	found, err := tx.Query(ctx, dayBlocksSQL, args)
	if err != nil {
		return nil, 0, err
	}
	from, _ := args["from"].(time.Time)
	to, _ := args["to"].(time.Time)
	set := map[int64][]numbered{}
	var no int16
	var data []byte
	_, err = pgx.ForEachRow(found, []any{&no, &data}, func() error {
		b, err := h.codec.decode(data)
		if err != nil {
			return err
		}
		for i, at := range b.ats {
			if at >= from.UnixMicro() && at < to.UnixMicro() {
				set[at] = append(set[at], numbered{no, b.columns[0][i], b.quality(i)})
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	first, end := rowsBefore(rows, day), rowsBefore(rows, day.Add(wholeDay))
	for i := first; i < end; i++ { // what is not packed yet came later
		set[rows[i].At.UnixMicro()] = overlay(set[rows[i].At.UnixMicro()], &rows[i])
	}
	joined := make([]sampleRow, 0, len(set))
	for _, at := range slices.Sorted(maps.Keys(set)) {
		joined = append(joined, rowOf(at, set[at]))
	}
	return slices.Concat(rows[:first], joined, rows[end:]), first + len(joined), nil
}

func rowsBefore(rows []sampleRow, at time.Time) int {
	n, _ := slices.BinarySearchFunc(rows, at, func(r sampleRow, at time.Time) int { return r.At.Compare(at) })
	return n
}

func overlay(list []numbered, r *sampleRow) []numbered {
	for i, no := range r.SignalNos {
		v := numbered{no: no, value: r.Vals[i]}
		if i < len(r.Qualities) {
			v.quality = observation.Quality(r.Qualities[i])
		}
		list = putValue(list, v)
	}
	return list
}

func rowOf(at int64, list []numbered) sampleRow {
	r := sampleRow{At: time.UnixMicro(at).UTC(), SignalNos: make([]int16, len(list)), Vals: make([]float64, len(list)), Qualities: make([]byte, len(list))}
	for i, v := range list {
		r.SignalNos[i], r.Vals[i], r.Qualities[i] = v.no, v.value, byte(v.quality)
	}
	return r
}

const latestRowSQL = `SELECT at FROM sample WHERE machine_no = @machine ORDER BY at DESC LIMIT 1`

// The newest instant is in a block of the newest day.
const latestBlockSQL = `SELECT coalesce(max(last_at), '-infinity') FROM sample_block WHERE machine_no = @machine AND seconds = 0
AND first_at > (SELECT max(first_at) FROM sample_block WHERE machine_no = @machine AND seconds = 0) - interval '24 hours'`

// Latest reads the newest instant of what is not pruned.
func (h *Postgres) Latest(ctx context.Context, machine Ref) (observation.Observation, error) {
	who, err := caller(ctx)
	if err != nil {
		return observation.Observation{}, err
	}
	if err := h.splitForOwner(ctx, who, machine, always().from, always().to); err != nil {
		return observation.Observation{}, err
	}
	var at time.Time
	err = postgres.As(ctx, h.pool, who, func(tx pgx.Tx) error {
		args := pgx.NamedArgs{"machine": machine.No}
		if at, err = postgres.Value[time.Time](ctx, tx, latestRowSQL, args); err != nil && problem.Of(err) != problem.NotFound {
			return err
		}
		var packed pgtype.Timestamptz
		if packed, err = postgres.Value[pgtype.Timestamptz](ctx, tx, latestBlockSQL, args); err != nil {
			return err
		}
		if packed.InfinityModifier == pgtype.Finite && packed.Time.After(at) {
			at = packed.Time
		}
		return nil
	})
	if err != nil {
		return observation.Observation{}, fmt.Errorf("find the newest row of %s: %w", machine.Key, err)
	}
	rows, err := h.Rows(ctx, machine, at, at.Add(time.Microsecond), 1)
	if err != nil {
		return observation.Observation{}, err
	}
	if len(rows) == 0 {
		return observation.Observation{}, problem.New(problem.NotFound, "machine %s has reported nothing", machine.Key)
	}
	return rows[0], nil
}

func (h *Postgres) observation(machine string, r *sampleRow) observation.Observation {
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
