package history

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// Postgres keeps one row a machine and instant in daily partitions, days
// that are over packed in blocks, and 15-minute roll-ups of those that were pruned.
// Row-level security bounds what a caller sees. Safe for concurrent use.
type Postgres struct {
	pool    *postgres.Pool
	signals *signalNumbers
	codec   *blockCodec

	mu   sync.Mutex
	days map[string]struct{} // partitions known to be there
}

var _ Store = (*Postgres)(nil)

// NewPostgres returns the history in the database of the pool.
func NewPostgres(pool *postgres.Pool) *Postgres {
	return &Postgres{pool: pool, signals: &signalNumbers{pool: pool}, codec: newBlockCodec(), days: map[string]struct{}{}}
}

// Write stores points in one transaction.
func (h *Postgres) Write(ctx context.Context, points []Point) error {
	who, err := caller(ctx)
	if err != nil {
		return err
	}
	store, refused, err := h.Prepare(ctx, points)
	if err != nil {
		return err
	}
	if err := postgres.As(ctx, h.pool, who, func(tx pgx.Tx) error { return store(ctx, tx) }); err != nil {
		return fmt.Errorf("write %d points: %w", len(points), err)
	}
	if len(refused) > 0 {
		return &RefusedError{refused}
	}
	return nil
}

// Prepare does all of a write that may be repeated, and returns the part that belongs
// into the transaction which also moves the caller's place. It numbers the signals
// and makes the partitions in transactions of their own: making a partition locks
// out readers, and must be over at once.
func (h *Postgres) Prepare(ctx context.Context, points []Point) (store func(ctx context.Context, tx pgx.Tx) error, refused []Refusal, err error) {
	names, days := map[string]struct{}{}, map[string]struct{}{}
	for i := range points {
		days[points[i].At.UTC().Format(time.DateOnly)] = struct{}{}
		for _, v := range points[i].Values {
			names[v.Signal] = struct{}{}
		}
	}
	if err := h.signals.ensure(ctx, names); err != nil {
		return nil, nil, err
	}
	if err := h.ensureDays(ctx, days); err != nil {
		return nil, nil, err
	}
	rows, refused := h.rows(points)
	store = func(ctx context.Context, tx pgx.Tx) error {
		err := rows.insert(ctx, tx)
		if err != nil { // perhaps a partition was pruned meanwhile: look again next time
			h.forgetDays()
		}
		return err
	}
	return store, refused, nil
}

func (h *Postgres) forgetDays() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.days)
}

const ensureDaySQL = `SELECT ensure_sample_partition(@day::date)`

func (h *Postgres) ensureDays(ctx context.Context, days map[string]struct{}) error {
	for _, day := range slices.Sorted(maps.Keys(days)) {
		if h.hasDay(day) {
			continue
		}
		err := postgres.As(ctx, h.pool, identity.Program("intake"), func(tx pgx.Tx) error {
			_, err := postgres.Run(ctx, tx, ensureDaySQL, pgx.NamedArgs{"day": day})
			return err
		})
		if err != nil {
			return fmt.Errorf("make the partition of %s: %w", day, err)
		}
		h.mu.Lock()
		h.days[day] = struct{}{}
		h.mu.Unlock()
	}
	return nil
}

func (h *Postgres) hasDay(day string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.days[day]
	return ok
}

// sampleRows are rows of sample, column by column; the arrays of all rows lie
// behind each other and first and last (from 1) say whose is what.
type sampleRows struct {
	machines  []int32
	ats       []time.Time
	firsts    []int32
	lasts     []int32
	qualities [][]byte
	nos       []int16
	vals      []float64
}

type instant struct {
	machine int
	at      int64
}

// rows merges points of the same machine and instant and sorts values by number.
func (h *Postgres) rows(points []Point) (*sampleRows, []Refusal) {
	rows := &sampleRows{}
	var refused []Refusal
	merged := make(map[instant][]numbered, len(points))
	order := make([]int, 0, len(points))
	for i := range points {
		p := &points[i]
		key := instant{p.MachineNo, p.At.UnixMicro()}
		list, known := merged[key]
		values, infinite := p.Finite(i)
		refused = append(refused, infinite...)
		for _, v := range values {
			no, ok := h.signals.number(v.Signal)
			if !ok {
				refused = append(refused, Refusal{Point: i, Signal: v.Signal, Fault: formats.Fault{
					Reason: formats.SignalLimit, Path: v.Signal, Detail: "there are too many different signal names already"}})
				continue
			}
			list = putValue(list, numbered{no, v.Value, v.Quality})
		}
		if !known && len(list) > 0 {
			order = append(order, i)
		}
		if len(list) > 0 {
			merged[key] = list
		}
	}
	for _, i := range order {
		p := &points[i]
		rows.add(int32(p.MachineNo), p.At, merged[instant{p.MachineNo, p.At.UnixMicro()}]) //nolint:gosec // machine.no is an integer column
	}
	return rows, refused
}

type numbered struct {
	no      int16
	value   float64
	quality observation.Quality
}

// putValue inserts a value in the order of numbers; the later one wins.
func putValue(list []numbered, v numbered) []numbered {
	i, found := slices.BinarySearchFunc(list, v.no, func(n numbered, no int16) int { return int(n.no) - int(no) })
	if found {
		list[i] = v
		return list
	}
	return slices.Insert(list, i, v)
}

func (r *sampleRows) add(machine int32, at time.Time, list []numbered) {
	var qualities []byte
	for i, v := range list {
		r.nos, r.vals = append(r.nos, v.no), append(r.vals, v.value)
		if v.quality != observation.Good && qualities == nil {
			qualities = make([]byte, len(list))
		}
		if qualities != nil {
			qualities[i] = byte(v.quality)
		}
	}
	r.machines, r.ats, r.qualities = append(r.machines, machine), append(r.ats, at.UTC()), append(r.qualities, qualities)
	r.firsts = append(r.firsts, int32(len(r.nos)-len(list)+1)) //nolint:gosec // a batch is small
	r.lasts = append(r.lasts, int32(len(r.nos)))               //nolint:gosec // a batch is small
}

const insertSamplesSQL = `INSERT INTO sample (machine_no, at, signal_nos, vals, qualities)
SELECT r.machine_no, r.at, (@nos::smallint[])[r.first:r.last], (@vals::float8[])[r.first:r.last], r.qualities
FROM unnest(@machines::integer[], @ats::timestamptz[], @firsts::integer[], @lasts::integer[], @qualities::bytea[])
  AS r(machine_no, at, first, last, qualities)
ON CONFLICT (machine_no, at) DO UPDATE SET (signal_nos, vals, qualities) = (
  SELECT array_agg(v.no ORDER BY v.no), array_agg(v.val ORDER BY v.no),
    CASE WHEN bool_or(v.quality <> 0) THEN string_agg(set_byte('\x00'::bytea, 0, v.quality), ''::bytea ORDER BY v.no) END
  FROM (
    SELECT DISTINCT ON (u.no) u.no, u.val, u.quality FROM (
      SELECT 1 AS rank, n.no, n.val, coalesce(get_byte(excluded.qualities, n.i::int - 1), 0) AS quality
      FROM unnest(excluded.signal_nos, excluded.vals) WITH ORDINALITY AS n(no, val, i)
      UNION ALL
      SELECT 2, o.no, o.val, coalesce(get_byte(sample.qualities, o.i::int - 1), 0)
      FROM unnest(sample.signal_nos, sample.vals) WITH ORDINALITY AS o(no, val, i)
    ) u ORDER BY u.no, u.rank
  ) v)
WHERE (sample.signal_nos, sample.vals, sample.qualities) IS DISTINCT FROM (excluded.signal_nos, excluded.vals, excluded.qualities)`

func (r *sampleRows) insert(ctx context.Context, tx pgx.Tx) error {
	if len(r.machines) == 0 {
		return nil
	}
	_, err := postgres.Run(ctx, tx, insertSamplesSQL, pgx.NamedArgs{
		"machines": r.machines, "ats": r.ats, "firsts": r.firsts, "lasts": r.lasts,
		"qualities": r.qualities, "nos": r.nos, "vals": r.vals,
	})
	if err != nil {
		return fmt.Errorf("insert %d samples: %w", len(r.machines), err)
	}
	return nil
}
