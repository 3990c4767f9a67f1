package history

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

const sampleDaysSQL = `SELECT substr(c.relname, 8) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'sample'::regclass AND c.relname < 'sample_' || @before::text ORDER BY 1`

const dropDaySQL = `SELECT drop_sample_partition(@day::date)`

// Prune rolls up each whole day before an instant to 15 minutes and drops it, a
// transaction a machine and day. A day that comes back late is pruned again: its
// roll-ups are joined to those that are there.
func (h *Postgres) Prune(ctx context.Context, before time.Time) (int, error) {
	who, err := caller(ctx)
	if err != nil {
		return 0, err
	}
	days, err := h.listDays(ctx, who, sampleDaysSQL, before)
	if err != nil {
		return 0, err
	}
	for i, from := range days {
		if _, err := h.packDay(ctx, who, from); err != nil {
			return i, fmt.Errorf("pack %s: %w", from.Format(time.DateOnly), err)
		}
		r := rollUp{codec: h.codec, from: from, to: from.Add(wholeDay), machine: firstOfAll}
		for more := true; more; {
			err := postgres.As(ctx, h.pool, who, func(tx pgx.Tx) (err error) {
				more, err = r.step(ctx, tx)
				return err
			})
			if err != nil {
				return i, fmt.Errorf("roll up %s: %w", from.Format(time.DateOnly), err)
			}
			r.machine = r.next
		}
		h.forgetDays()
		err := postgres.As(ctx, h.pool, who, func(tx pgx.Tx) error {
			_, err := postgres.Run(ctx, tx, dropDaySQL, pgx.NamedArgs{"day": from.Format(time.DateOnly)})
			return err
		})
		if err != nil {
			return i, fmt.Errorf("prune %s: %w", from.Format(time.DateOnly), err)
		}
	}
	return len(days), nil
}

// rollUp is the pass over one day that is packed.
type rollUp struct {
	codec    *blockCodec
	from, to time.Time
	machine  int32 // the last one that is done
	next     int32
}

const nextRolledSQL = `SELECT machine_no FROM sample_block WHERE machine_no > @machine AND seconds = 0 AND first_at >= @from AND first_at < @to
ORDER BY machine_no LIMIT 1`

const takeDaySQL = `DELETE FROM sample_block WHERE machine_no = @machine AND seconds IN (0, 900) AND first_at >= @from AND first_at < @to
RETURNING signal_no, seconds, data`

// step rolls up the day of the next machine; false where none is left.
func (r *rollUp) step(ctx context.Context, tx pgx.Tx) (more bool, err error) {
	r.next = r.machine
	if _, err := tx.Exec(ctx, packTurnSQL); err != nil {
		return false, err
	}
	args := pgx.NamedArgs{"machine": r.machine, "from": r.from, "to": r.to}
	next, err := postgres.All[struct {
		No int32 `db:"machine_no"`
	}](ctx, tx, nextRolledSQL, args)
	if err != nil || len(next) == 0 {
		return false, err
	}
	r.next = next[0].No
	args["machine"] = r.next
	rows, err := tx.Query(ctx, takeDaySQL, args)
	if err != nil {
		return false, err
	}
	signals := map[int16]quarters{}
	var no, seconds int16
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&no, &seconds, &data}, func() error {
		b, err := r.codec.decode(data)
		if err != nil {
			return fmt.Errorf("signal number %d of machine number %d: %w", no, r.next, err)
		}
		if signals[no] == nil {
			signals[no] = quarters{}
		}
		signals[no].take(b, seconds == quarter)
		return nil
	})
	if err != nil {
		return false, err
	}
	w := blockWriter{codec: r.codec, machine: r.next, seconds: quarter}
	for _, no := range slices.Sorted(maps.Keys(signals)) {
		w.add(no, signals[no].block())
	}
	return true, w.insert(ctx, tx)
}

// summary is what several values of a signal say together.
type summary struct{ n, sum, low, high float64 }

// bounded keeps a sum finite: what none could hold, an error code of a device,
// counts as 1e100. One machine's strange value must not cost the chart of all.
func bounded(v float64) float64 { return max(-1e100, min(1e100, v)) }

func (s *summary) add(n, low, mean, high float64) {
	if s.n == 0 {
		s.low, s.high = low, high
	}
	s.n, s.sum = s.n+n, s.sum+bounded(mean)*n
	s.low, s.high = min(s.low, low), max(s.high, high)
}

func (s *summary) mean() float64 { return max(s.low, min(s.high, s.sum/s.n)) }

// quarters are the quarters of an hour of one signal, by their start in microseconds.
type quarters map[int64]*summary

func (q quarters) take(b *block, rolled bool) {
	width := quarterTime.Microseconds()
	for i, at := range b.ats {
		start := at - (at%width+width)%width
		s := q[start]
		if s == nil {
			s = &summary{}
			q[start] = s
		}
		if rolled {
			s.add(b.columns[0][i], b.columns[1][i], b.columns[2][i], b.columns[3][i])
		} else {
			s.add(1, b.columns[0][i], b.columns[0][i], b.columns[0][i])
		}
	}
}

// block has the columns count, lowest, mean and highest.
func (q quarters) block() *block {
	b := &block{ats: make([]int64, 0, len(q)), columns: make([][]float64, 4)}
	for at := range q {
		b.ats = append(b.ats, at)
	}
	slices.Sort(b.ats)
	for _, at := range b.ats {
		s := q[at]
		for i, v := range [...]float64{s.n, s.low, s.mean(), s.high} {
			b.columns[i] = append(b.columns[i], v)
		}
	}
	return b
}
