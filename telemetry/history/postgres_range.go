package history

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// maxRangeRows bounds the values of one query that are not packed yet.
const maxRangeRows = 3_000_000

// Range reads values as they are where they are few enough, else buckets; pruned
// days come from their roll-ups.
func (h *Postgres) Range(ctx context.Context, q Query) ([]Series, error) {
	q, err := q.checked()
	if err != nil {
		return nil, err
	}
	who, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	var nos []int16
	if len(q.Signals) > 0 {
		if nos, err = h.signals.numbered(ctx, q.Signals); err != nil || len(nos) == 0 {
			return nil, err
		}
	}
	if err := h.splitForOwner(ctx, who, q.Machine, q.From, q.To); err != nil {
		return nil, err
	}
	var r *rangeRead
	err = postgres.As(ctx, h.pool, who, func(tx pgx.Tx) error {
		r = newRangeRead(h.codec, q)
		return r.read(ctx, tx, nos)
	})
	if err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", q.Machine.Key, err)
	}
	set := seriesSet{}
	few := r.few()
	for no, s := range r.signals {
		if err := h.signals.named(ctx, []int16{no}); err != nil {
			return nil, err
		}
		if name, ok := h.signals.name(no); ok && s.count > 0 {
			s.give(set.of(name), few, r.bucket)
		}
	}
	return set.list(), nil
}

// rangeRead collects what one query reads.
type rangeRead struct {
	codec    *blockCodec
	q        Query
	from, to int64 // microseconds
	width    int64
	rows     int
	signals  map[int16]*signalRead
}

func newRangeRead(codec *blockCodec, q Query) *rangeRead {
	return &rangeRead{codec: codec, q: q, from: microsUp(q.From), to: microsUp(q.To), width: q.bucket().Microseconds(), signals: map[int16]*signalRead{}}
}

// bucket is the start of a bucket.
func (r *rangeRead) bucket(i int) time.Time {
	return r.q.From.Add(time.Duration(int64(i)*r.width) * time.Microsecond)
}

// few says whether each signal has no more than was asked for, and may come as it is.
func (r *rangeRead) few() bool {
	if r.q.Width > 0 {
		return false
	}
	for _, s := range r.signals {
		if s.count > r.q.MaxPoints {
			return false
		}
	}
	return true
}

// The values of one signal: its place in each row is looked up, nothing else is
// taken out of the row.
const oneSignalSQL = `SELECT @no::smallint, s.at, s.v FROM (
  SELECT at, vals[array_position(signal_nos, @no::smallint)] AS v FROM sample WHERE machine_no = @machine AND at >= @from AND at < @to ORDER BY at
) s WHERE s.v IS NOT NULL LIMIT @limit`

const manySignalsSQL = `SELECT u.no, s.at, u.v FROM sample s CROSS JOIN LATERAL unnest(s.signal_nos, s.vals) AS u(no, v)
WHERE s.machine_no = @machine AND s.at >= @from AND s.at < @to AND (@nos::smallint[] IS NULL OR u.no = ANY (@nos)) ORDER BY s.at LIMIT @limit`

const blocksSQL = `SELECT signal_no, seconds, data FROM sample_block WHERE machine_no = @machine AND seconds IN (0, 900)
AND first_at > @from::timestamptz - interval '24 hours' AND first_at < @to AND last_at >= @from AND (@nos::smallint[] IS NULL OR signal_no = ANY (@nos))`

// Roll-ups of installations from before they were packed.
const rollupsSQL = `SELECT signal_no, at, n::float8, low, mean, high FROM sample_rollup
WHERE machine_no = @machine AND at >= @from AND at < @to AND (@nos::smallint[] IS NULL OR signal_no = ANY (@nos))`

func (r *rangeRead) read(ctx context.Context, tx pgx.Tx, nos []int16) error {
	args := pgx.NamedArgs{"machine": r.q.Machine.No, "from": r.q.From, "to": r.q.To, "nos": nos, "limit": maxRangeRows + 1}
	if len(nos) == 0 || len(nos) > 4 { // one pass over all signals is cheaper than many over one
		if err := r.readRows(ctx, tx, manySignalsSQL, args); err != nil {
			return err
		}
	} else {
		for _, no := range nos {
			args["no"] = no
			if err := r.readRows(ctx, tx, oneSignalSQL, args); err != nil {
				return err
			}
		}
	}
	if err := r.readBlocks(ctx, tx, args); err != nil {
		return err
	}
	for _, s := range r.signals {
		for _, v := range s.rows {
			s.add(r, v.at, 1, v.value, v.value, v.value)
		}
	}
	rows, err := tx.Query(ctx, rollupsSQL, args)
	if err != nil {
		return err
	}
	var no int16
	var at time.Time
	var n, low, mean, high float64
	_, err = pgx.ForEachRow(rows, []any{&no, &at, &n, &low, &mean, &high}, func() error {
		r.of(no).add(r, at.UnixMicro(), n, low, mean, high)
		return nil
	})
	return err
}

func (r *rangeRead) readRows(ctx context.Context, tx pgx.Tx, sql string, args pgx.NamedArgs) error {
	rows, err := tx.Query(ctx, sql, args)
	if err != nil {
		return err
	}
	var no int16
	var at time.Time
	var v float64
	_, err = pgx.ForEachRow(rows, []any{&no, &at, &v}, func() error {
		if r.rows++; r.rows > maxRangeRows {
			return problem.New(problem.TooLarge, "this is more than %d values that are not packed yet: ask for less time or fewer signals", maxRangeRows)
		}
		s := r.of(no)
		s.rows = append(s.rows, dated{at: at.UnixMicro(), value: v})
		return nil
	})
	return err
}

func (r *rangeRead) readBlocks(ctx context.Context, tx pgx.Tx, args pgx.NamedArgs) error {
	rows, err := tx.Query(ctx, blocksSQL, args)
	if err != nil {
		return err
	}
	var no, seconds int16
	var data pgtype.DriverBytes // valid until the next row
	_, err = pgx.ForEachRow(rows, []any{&no, &seconds, &data}, func() error {
		b, err := r.codec.decode(data)
		if err != nil {
			return fmt.Errorf("signal number %d: %w", no, err)
		}
		s := r.of(no)
		if seconds == quarter {
			for i, at := range b.ats {
				s.add(r, at, b.columns[0][i], b.columns[1][i], b.columns[2][i], b.columns[3][i])
			}
			return nil
		}
		s.takeBlock(r, b)
		return nil
	})
	return err
}

func (r *rangeRead) of(no int16) *signalRead {
	s := r.signals[no]
	if s == nil {
		s = &signalRead{buckets: make([]summary, (r.to-r.from+r.width-1)/r.width)}
		r.signals[no] = s
	}
	return s
}

// signalRead is what is known of one signal: values that are not packed, in the
// order of time, the first points as they are, and all of them in buckets.
type signalRead struct {
	rows    []dated
	points  []rangePoint
	count   int
	buckets []summary
}

type rangePoint struct {
	at              int64
	low, mean, high float64
}

func (s *signalRead) add(r *rangeRead, at int64, n, low, mean, high float64) {
	if at < r.from || at >= r.to {
		return
	}
	if s.count++; s.count <= r.q.MaxPoints {
		s.points = append(s.points, rangePoint{at, low, mean, high})
	}
	s.buckets[(at-r.from)/r.width].add(n, low, mean, high)
}

// takeBlock adds the values of a block, except those that were said again later.
func (s *signalRead) takeBlock(r *rangeRead, b *block) {
	next := 0
	if len(b.ats) > 0 {
		next, _ = slices.BinarySearchFunc(s.rows, b.ats[0], func(v dated, at int64) int { return cmp.Compare(v.at, at) })
	}
	for i, at := range b.ats {
		for next < len(s.rows) && s.rows[next].at < at {
			next++
		}
		if next == len(s.rows) || s.rows[next].at != at {
			v := b.columns[0][i]
			s.add(r, at, 1, v, v, v)
		}
	}
}

// give appends the points to a series, or its buckets.
func (s *signalRead) give(out *Series, few bool, start func(i int) time.Time) {
	if few {
		slices.SortFunc(s.points, func(a, b rangePoint) int { return cmp.Compare(a.at, b.at) })
		for _, p := range s.points {
			out.add(time.UnixMicro(p.at), p.mean, p.low, p.high)
		}
		return
	}
	for i := range s.buckets {
		if b := &s.buckets[i]; b.n > 0 {
			out.add(start(i), b.mean(), b.low, b.high)
		}
	}
}
