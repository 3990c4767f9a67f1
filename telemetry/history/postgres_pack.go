package history

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

const (
	packRows    = 10_000 // of one transaction
	wholeDay    = 24 * time.Hour
	firstOfAll  = math.MinInt32
	quarterTime = 15 * time.Minute
	quarter     = int16(quarterTime / time.Second) // sample_block.seconds of a roll-up
)

// Only partitions that have pages hold rows; those that are empty stay for what
// comes late, and as the list of days that are not pruned.
const filledDaysSQL = `SELECT substr(c.relname, 8) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'sample'::regclass AND c.relname < 'sample_' || @before::text AND pg_relation_size(c.oid) > 0 ORDER BY 1`

const emptyDaySQL = `SELECT empty_sample_partition(@day::date)`

// Pack moves the rows of whole days before an instant into blocks, a transaction a
// machine and day, and says how many rows that were. What was late for a day that is
// packed already is joined to it. The same queries give the same answers after it.
func (h *Postgres) Pack(ctx context.Context, before time.Time) (rows int64, err error) {
	who, err := caller(ctx)
	if err != nil {
		return 0, err
	}
	days, err := h.listDays(ctx, who, filledDaysSQL, before)
	if err != nil {
		return 0, err
	}
	for _, from := range days {
		n, err := h.packDay(ctx, who, from)
		rows += n
		if err != nil {
			return rows, fmt.Errorf("pack %s: %w", from.Format(time.DateOnly), err)
		}
	}
	return rows, nil
}

// listDays gives those of which there is a partition before an instant.
func (h *Postgres) listDays(ctx context.Context, who identity.Principal, sql string, before time.Time) ([]time.Time, error) {
	var names []string
	err := postgres.As(ctx, h.pool, who, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql, pgx.NamedArgs{"before": before.UTC().Format("20060102")})
		if err != nil {
			return err
		}
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the days of the history: %w", err)
	}
	days := make([]time.Time, 0, len(names))
	for _, name := range names {
		from, err := time.ParseInLocation("20060102", name, time.UTC)
		if err != nil {
			return nil, fmt.Errorf("partition sample_%s is not named after a day: %w", name, err)
		}
		days = append(days, from)
	}
	return days, nil
}

func (h *Postgres) packDay(ctx context.Context, who identity.Principal, from time.Time) (rows int64, err error) {
	p := packing{codec: h.codec, from: from, to: from.Add(wholeDay), machine: firstOfAll}
	for more := true; more; {
		err := postgres.As(ctx, h.pool, who, func(tx pgx.Tx) (err error) {
			more, err = p.step(ctx, tx)
			return err
		})
		if err != nil {
			return rows, err
		}
		rows += p.taken
		p.machine, p.taken = p.next, 0
	}
	return rows, postgres.As(ctx, h.pool, who, func(tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, emptyDaySQL, pgx.NamedArgs{"day": from.Format(time.DateOnly)})
		return err
	})
}

// packing is the pass over one day. A step changes next and taken only, so that its
// transaction can be run again.
type packing struct {
	codec    *blockCodec
	from, to time.Time
	machine  int32 // the last one that is done
	next     int32
	taken    int64
}

// Whoever moves values between rows and blocks takes turns with his like.
const packTurnSQL = `SELECT pg_advisory_xact_lock(7337, 3)`

const nextPackedSQL = `SELECT machine_no FROM sample WHERE machine_no > @machine AND at >= @from AND at < @to ORDER BY machine_no LIMIT 1`

// The oldest rows of a machine in a day, as many as one step takes.
const takeRowsSQL = `DELETE FROM sample WHERE machine_no = @machine AND at >= @from AND at < coalesce(
  (SELECT at FROM sample WHERE machine_no = @machine AND at >= @from AND at < @to ORDER BY at OFFSET @limit LIMIT 1), @to) AND at < @to
RETURNING at, signal_nos, vals, qualities`

// step packs some rows of the next machine; false where none is left.
func (p *packing) step(ctx context.Context, tx pgx.Tx) (more bool, err error) {
	p.next, p.taken = p.machine, 0
	if _, err := tx.Exec(ctx, packTurnSQL); err != nil {
		return false, err
	}
	args := pgx.NamedArgs{"machine": p.machine, "from": p.from, "to": p.to, "limit": packRows}
	next, err := postgres.All[struct {
		No int32 `db:"machine_no"`
	}](ctx, tx, nextPackedSQL, args)
	if err != nil || len(next) == 0 {
		return false, err
	}
	args["machine"] = next[0].No
	signals := blockSet{}
	if err := p.takeRows(ctx, tx, args, signals); err != nil {
		return false, err
	}
	if p.next = next[0].No; p.taken >= packRows {
		p.next-- // there may be more of it
	}
	return true, p.store(ctx, tx, next[0].No, signals)
}

func (p *packing) takeRows(ctx context.Context, tx pgx.Tx, args pgx.NamedArgs, signals blockSet) error {
	rows, err := tx.Query(ctx, takeRowsSQL, args)
	if err != nil {
		return err
	}
	var at time.Time
	var nos []int16
	var vals []float64
	var qualities []byte
	_, err = pgx.ForEachRow(rows, []any{&at, &nos, &vals, &qualities}, func() error {
		p.taken++
		for i, no := range nos {
			v := dated{at: at.UnixMicro(), value: vals[i]}
			if i < len(qualities) {
				v.quality = qualities[i]
			}
			signals[no] = append(signals[no], v)
		}
		return nil
	})
	return err
}

// dated is one value of a signal.
type dated struct {
	at      int64
	value   float64
	quality byte
}

// blockSet collects values by the number of their signal.
type blockSet map[int16][]dated

// sorted puts values in the order of time; of several of one instant the last one
// that was added stays.
func sorted(list []dated) []dated {
	byTime := func(a, b dated) int { return cmp.Compare(a.at, b.at) }
	if !slices.IsSortedFunc(list, byTime) {
		slices.SortStableFunc(list, byTime)
	}
	kept := list[:0]
	for _, v := range list {
		if n := len(kept); n > 0 && kept[n-1].at == v.at {
			kept[n-1] = v
			continue
		}
		kept = append(kept, v)
	}
	return kept
}

// Blocks that a value could belong into, and small ones, so that a trickle of late
// values does not leave a block each.
const takeBlocksSQL = `DELETE FROM sample_block b USING unnest(@nos::smallint[], @firsts::timestamptz[], @lasts::timestamptz[]) AS r(no, first_at, last_at)
WHERE b.machine_no = @machine AND b.seconds = 0 AND b.first_at >= @from AND b.first_at < @to AND b.signal_no = r.no
  AND (b.n < @small OR b.first_at <= r.last_at AND b.last_at >= r.first_at)
RETURNING b.signal_no, b.data`

// store writes values as blocks, together with those of the same stretch.
func (p *packing) store(ctx context.Context, tx pgx.Tx, machine int32, signals blockSet) error {
	nos := slices.Sorted(maps.Keys(signals))
	firsts, lasts := make([]time.Time, len(nos)), make([]time.Time, len(nos))
	for i, no := range nos {
		signals[no] = sorted(signals[no])
		list := signals[no]
		firsts[i], lasts[i] = time.UnixMicro(list[0].at), time.UnixMicro(list[len(list)-1].at)
	}
	rows, err := tx.Query(ctx, takeBlocksSQL, pgx.NamedArgs{"machine": machine, "from": p.from, "to": p.to,
		"nos": nos, "firsts": firsts, "lasts": lasts, "small": blockValues / 2})
	if err != nil {
		return err
	}
	old := blockSet{}
	var no int16
	var data []byte
	if _, err := pgx.ForEachRow(rows, []any{&no, &data}, func() error { return old.take(p.codec, no, data) }); err != nil {
		return err
	}
	for no, list := range old {
		signals[no] = sorted(append(list, signals[no]...))
	}
	w := blockWriter{codec: p.codec, machine: machine}
	for _, no := range nos {
		w.values(no, signals[no])
	}
	return w.insert(ctx, tx)
}

// take adds the values of a block.
func (s blockSet) take(codec *blockCodec, no int16, data []byte) error {
	b, err := codec.decode(data)
	if err != nil {
		return fmt.Errorf("signal number %d: %w", no, err)
	}
	for i, at := range b.ats {
		s[no] = append(s[no], dated{at, b.columns[0][i], byte(b.quality(i))})
	}
	return nil
}

// blockWriter collects the blocks of one machine.
type blockWriter struct {
	codec   *blockCodec
	machine int32
	seconds int16
	nos     []int16
	firsts  []time.Time
	lasts   []time.Time
	counts  []int32
	datas   [][]byte
}

func (w *blockWriter) values(no int16, list []dated) {
	b := &block{ats: make([]int64, len(list)), columns: [][]float64{make([]float64, len(list))}}
	for i, v := range list {
		b.ats[i], b.columns[0][i] = v.at, v.value
		if v.quality != 0 && b.qualities == nil {
			b.qualities = make([]byte, len(list))
		}
		if b.qualities != nil {
			b.qualities[i] = v.quality
		}
	}
	w.add(no, b)
}

// add cuts a block to its size.
func (w *blockWriter) add(no int16, b *block) {
	for from := 0; from < len(b.ats); from += blockValues {
		part := b.cut(from, min(from+blockValues, len(b.ats)))
		n := len(part.ats)
		w.nos, w.counts = append(w.nos, no), append(w.counts, int32(n)) //nolint:gosec // at most blockValues
		w.firsts, w.lasts = append(w.firsts, time.UnixMicro(part.ats[0])), append(w.lasts, time.UnixMicro(part.ats[n-1]))
		w.datas = append(w.datas, w.codec.encode(part))
	}
}

const insertBlocksSQL = `INSERT INTO sample_block (machine_no, seconds, first_at, signal_no, last_at, n, data)
SELECT @machine, @seconds, r.first_at, r.no, r.last_at, r.n, r.data
FROM unnest(@nos::smallint[], @firsts::timestamptz[], @lasts::timestamptz[], @counts::integer[], @datas::bytea[]) AS r(no, first_at, last_at, n, data)`

func (w *blockWriter) insert(ctx context.Context, tx pgx.Tx) error {
	if len(w.nos) == 0 {
		return nil
	}
	_, err := postgres.Run(ctx, tx, insertBlocksSQL, pgx.NamedArgs{"machine": w.machine, "seconds": w.seconds,
		"nos": w.nos, "firsts": w.firsts, "lasts": w.lasts, "counts": w.counts, "datas": w.datas})
	if err != nil {
		return fmt.Errorf("insert %d blocks: %w", len(w.nos), err)
	}
	return nil
}
