package history

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

// Blocks that a transfer lies in, with the instants of the transfers.
const straddlingSQL = `SELECT b.seconds, b.first_at, b.signal_no, b.data, array_agg(c.at ORDER BY c.at) AS cuts
FROM sample_block b JOIN (
  SELECT o.valid_from AS at FROM machine m JOIN machine_ownership o ON o.machine_id = m.id WHERE m.no = @machine
  UNION SELECT o.valid_to FROM machine m JOIN machine_ownership o ON o.machine_id = m.id WHERE m.no = @machine AND o.valid_to IS NOT NULL
) c ON c.at > b.first_at AND c.at <= b.last_at
WHERE b.machine_no = @machine AND b.seconds IN (0, 900) AND b.first_at > @from::timestamptz - interval '24 hours' AND b.first_at < @to
GROUP BY b.machine_no, b.seconds, b.first_at, b.signal_no`

const removeBlockSQL = `DELETE FROM sample_block WHERE machine_no = @machine AND seconds = @seconds AND first_at = @first AND signal_no = @no`

type straddling struct {
	Seconds  int16       `db:"seconds"`
	FirstAt  time.Time   `db:"first_at"`
	SignalNo int16       `db:"signal_no"`
	Data     []byte      `db:"data"`
	Cuts     []time.Time `db:"cuts"`
}

// splitForOwner splits the blocks in which the machine changed hands, before an
// owner reads: row-level security shows a block to whom all of it belongs to.
func (h *Postgres) splitForOwner(ctx context.Context, who identity.Principal, machine Ref, from, to time.Time) error {
	if !who.Role.CustomerScoped() {
		return nil
	}
	program := identity.Program("history")
	args := pgx.NamedArgs{"machine": machine.No, "from": from, "to": to}
	var found []straddling
	find := func(tx pgx.Tx) (err error) {
		found, err = postgres.All[straddling](ctx, tx, straddlingSQL, args)
		return err
	}
	err := postgres.As(ctx, h.pool, program, find)
	if err == nil && len(found) > 0 {
		err = postgres.As(ctx, h.pool, program, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, packTurnSQL); err != nil {
				return err
			}
			if err := find(tx); err != nil { // again: they may have been packed anew
				return err
			}
			return h.split(ctx, tx, int32(machine.No), found) //nolint:gosec // machine.no is an integer column
		})
	}
	if err != nil {
		return fmt.Errorf("split the history of %s between its owners: %w", machine.Key, err)
	}
	return nil
}

func (h *Postgres) split(ctx context.Context, tx pgx.Tx, machine int32, found []straddling) error {
	for _, s := range found {
		b, err := h.codec.decode(s.Data)
		if err != nil {
			return err
		}
		if _, err := postgres.Run(ctx, tx, removeBlockSQL, pgx.NamedArgs{"machine": machine, "seconds": s.Seconds, "first": s.FirstAt, "no": s.SignalNo}); err != nil {
			return err
		}
		w := blockWriter{codec: h.codec, machine: machine, seconds: s.Seconds}
		done := 0
		for _, at := range s.Cuts {
			n, _ := slices.BinarySearch(b.ats, microsUp(at))
			w.add(s.SignalNo, b.cut(done, n))
			done = n
		}
		w.add(s.SignalNo, b.cut(done, len(b.ats)))
		if err := w.insert(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// microsUp is an instant in microseconds, rounded up: what is before it is before at.
func microsUp(at time.Time) int64 { return at.Add(time.Microsecond - 1).UnixMicro() }
