package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// GapConsumer is the name under which the gap ledger holds its place in the intake
// log. It is never ahead of the history's: while a backlog is stored the ledger is
// saved less often than the history, and what was not saved is read again.
const GapConsumer = "gaps"

const (
	gapsSavedEvery = 8 * batchRecords // records of a backlog, at most
	gapsSavedIdle  = time.Second      // wall clock, when nothing more comes
)

const readAccountsSQL = `SELECT machine_id, begins, runs, missed, filled, unlisted FROM sequence_account`

const readGapsSQL = `SELECT machine_id, boot, first, last, found_at, filled_at FROM sequence_gap ORDER BY machine_id, boot COLLATE "C", first`

// savedRun is a run in sequence_account.runs.
type savedRun struct {
	Boot  string    `json:"boot"`
	Low   uint64    `json:"low"`
	High  uint64    `json:"high"`
	Heard time.Time `json:"heard"`
}

type accountRow struct {
	MachineID uuid.UUID       `db:"machine_id"`
	Begins    int             `db:"begins"`
	Runs      json.RawMessage `db:"runs"`
	Missed    int64           `db:"missed"`
	Filled    int64           `db:"filled"`
	Unlisted  int64           `db:"unlisted"`
}

type gapRow struct {
	MachineID uuid.UUID  `db:"machine_id"`
	Boot      string     `db:"boot"`
	First     int64      `db:"first"`
	Last      int64      `db:"last"`
	FoundAt   time.Time  `db:"found_at"`
	FilledAt  *time.Time `db:"filled_at"`
}

// loadLedger reads the ledger as it was saved.
func loadLedger(ctx context.Context, tx pgx.Tx) (*ledger, error) {
	l := newLedger()
	accounts, err := postgres.All[accountRow](ctx, tx, readAccountsSQL, nil)
	if err != nil {
		return nil, fmt.Errorf("read the sequence accounts: %w", err)
	}
	for _, a := range accounts {
		var runs []savedRun
		if err := json.Unmarshal(a.Runs, &runs); err != nil {
			return nil, fmt.Errorf("read the runs of machine %s: %w", a.MachineID, err)
		}
		c := &counted{begins: a.Begins, totals: seqTotals{missed: a.Missed, filled: a.Filled, unlisted: a.Unlisted}}
		for _, r := range runs {
			c.runs = append(c.runs, seqRun{boot: r.Boot, low: r.Low, high: r.High, heard: r.Heard})
		}
		l.machines[a.MachineID] = c
	}
	gaps, err := postgres.All[gapRow](ctx, tx, readGapsSQL, nil)
	if err != nil {
		return nil, fmt.Errorf("read the sequence gaps: %w", err)
	}
	for _, g := range gaps {
		c := l.machines[g.MachineID]
		if c == nil {
			continue // never written without its account
		}
		gap := seqGap{boot: g.Boot, first: uint64(g.First), last: uint64(g.Last), found: g.FoundAt.UTC()} //nolint:gosec // written from numbers below 2^63
		if g.FilledAt == nil {
			c.open = append(c.open, gap)
			l.open++
			continue
		}
		gap.filled = g.FilledAt.UTC()
		c.filled = append(c.filled, gap)
	}
	return l, nil
}

const saveAccountsSQL = `INSERT INTO sequence_account (machine_id, begins, runs, missed, filled, unlisted)
SELECT a.machine_id, a.begins, a.runs::jsonb, a.missed, a.filled, a.unlisted
FROM unnest(@machines::uuid[], @begins::smallint[], @runs::text[], @missed::bigint[], @filled::bigint[], @unlisted::bigint[])
  AS a(machine_id, begins, runs, missed, filled, unlisted)
ON CONFLICT (machine_id) DO UPDATE SET begins = excluded.begins, runs = excluded.runs, missed = excluded.missed,
  filled = excluded.filled, unlisted = excluded.unlisted`

const dropGapsSQL = `DELETE FROM sequence_gap g USING unnest(@machines::uuid[], @boots::text[], @firsts::bigint[]) AS d(machine_id, boot, first)
WHERE g.machine_id = d.machine_id AND g.boot = d.boot AND g.first = d.first`

const saveGapsSQL = `INSERT INTO sequence_gap (machine_id, boot, first, last, found_at, filled_at)
SELECT g.machine_id, g.boot, g.first, g.last, g.found_at, g.filled_at
FROM unnest(@machines::uuid[], @boots::text[], @firsts::bigint[], @lasts::bigint[], @founds::timestamptz[], @filleds::timestamptz[])
  AS g(machine_id, boot, first, last, found_at, filled_at)
ON CONFLICT (machine_id, boot, first) DO UPDATE SET last = excluded.last, found_at = excluded.found_at, filled_at = excluded.filled_at`

const saveGapsPlaceSQL = `INSERT INTO intake_cursor (log, consumer, lsn, saved_at) VALUES (@log, @consumer, @to, @at)
ON CONFLICT (log, consumer) DO UPDATE SET lsn = @to, saved_at = @at`

// save writes what has changed since the last time, and how far in the log that
// is. It changes nothing in memory, because the transaction may run again.
func (l *ledger) save(ctx context.Context, tx pgx.Tx, log uuid.UUID, upTo intakelog.LSN, now time.Time) error {
	if err := l.saveOf(ctx, tx, sortedIDs(l.dirty)); err != nil {
		return err
	}
	return saveGapsPlace(ctx, tx, log, upTo, now)
}

// saveOf writes what has changed of some machines.
func (l *ledger) saveOf(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	args, err := l.accountColumns(ids)
	if err != nil {
		return err
	}
	if _, err := postgres.Run(ctx, tx, saveAccountsSQL, args); err != nil {
		return fmt.Errorf("save %d sequence accounts: %w", len(ids), err)
	}
	kept, gone := l.touchedGaps(ids)
	for _, change := range []struct {
		sql  string
		rows gapColumns
	}{{dropGapsSQL, gone}, {saveGapsSQL, kept}} {
		if len(change.rows.machines) == 0 {
			continue
		}
		if _, err := postgres.Run(ctx, tx, change.sql, change.rows.args()); err != nil {
			return fmt.Errorf("save %d sequence gaps: %w", len(change.rows.machines), err)
		}
	}
	return nil
}

func saveGapsPlace(ctx context.Context, tx pgx.Tx, log uuid.UUID, upTo intakelog.LSN, now time.Time) error {
	place := pgx.NamedArgs{"log": log, "consumer": GapConsumer, "to": int64(upTo), "at": now} //nolint:gosec // an LSN never reaches 2^63
	if _, err := postgres.Run(ctx, tx, saveGapsPlaceSQL, place); err != nil {
		return fmt.Errorf("save the place of the gap ledger: %w", err)
	}
	return nil
}

func (l *ledger) accountColumns(ids []uuid.UUID) (pgx.NamedArgs, error) {
	var machines []uuid.UUID
	var begins []int16
	var runs []string
	var missed, filled, unlisted []int64
	for _, id := range ids {
		c := l.machines[id]
		list := make([]savedRun, len(c.runs))
		for i, r := range c.runs {
			list[i] = savedRun{Boot: r.boot, Low: r.low, High: r.high, Heard: r.heard}
		}
		text, err := json.Marshal(list)
		if err != nil {
			return nil, fmt.Errorf("write the runs of machine %s: %w", id, err)
		}
		machines, begins, runs = append(machines, id), append(begins, int16(c.begins)), append(runs, string(text)) //nolint:gosec // 0 to 3
		missed, filled, unlisted = append(missed, c.totals.missed), append(filled, c.totals.filled), append(unlisted, c.totals.unlisted)
	}
	return pgx.NamedArgs{"machines": machines, "begins": begins, "runs": runs, "missed": missed, "filled": filled, "unlisted": unlisted}, nil
}

// gapColumns are rows of sequence_gap, column by column.
type gapColumns struct {
	machines      []uuid.UUID
	boots         []string
	firsts, lasts []int64
	founds        []time.Time
	filleds       []*time.Time
}

func (r *gapColumns) add(machine uuid.UUID, g seqGap) {
	r.machines, r.boots, r.founds = append(r.machines, machine), append(r.boots, g.boot), append(r.founds, g.found)
	r.firsts, r.lasts = append(r.firsts, int64(g.first)), append(r.lasts, int64(g.last)) //nolint:gosec // below 2^63
	var filled *time.Time
	if !g.filled.IsZero() {
		filled = &g.filled
	}
	r.filleds = append(r.filleds, filled)
}

func (r *gapColumns) args() pgx.NamedArgs {
	return pgx.NamedArgs{"machines": r.machines, "boots": r.boots, "firsts": r.firsts, "lasts": r.lasts, "founds": r.founds, "filleds": r.filleds}
}

// touchedGaps are the gaps that have changed since they were saved, and those
// that are no more.
func (l *ledger) touchedGaps(ids []uuid.UUID) (kept, gone gapColumns) {
	for _, id := range ids {
		c := l.machines[id]
		if len(c.touched) == 0 {
			continue
		}
		left := maps.Clone(c.touched)
		for _, list := range [][]seqGap{c.open, c.filled} {
			for _, g := range list {
				key := gapKey{g.boot, g.first}
				if _, touched := left[key]; touched {
					kept.add(id, g)
					delete(left, key)
				}
			}
		}
		for key := range left {
			gone.add(id, seqGap{boot: key.boot, first: key.first})
		}
	}
	return kept, gone
}

// forget drops the account of a machine.
func (l *ledger) forget(id uuid.UUID) {
	if c := l.machines[id]; c != nil {
		l.open -= len(c.open)
	}
	delete(l.machines, id)
	delete(l.dirty, id)
}

// saved forgets what had to be saved.
func (l *ledger) saved() {
	for id := range l.dirty {
		clear(l.machines[id].touched)
	}
	clear(l.dirty)
}

const beginGapsSQL = `INSERT INTO intake_cursor (log, consumer, lsn, saved_at) VALUES (@log, @consumer, @to, @at) ON CONFLICT (log, consumer) DO NOTHING`

// gapsPlace is the record up to which the saved ledger goes. Where there is none
// yet it begins at the history's, and that is noted: the history goes ahead.
func (h *historian) gapsPlace(ctx context.Context, tx pgx.Tx) (intakelog.LSN, error) {
	args := pgx.NamedArgs{"log": h.LogID, "consumer": GapConsumer, "to": int64(h.at), "at": h.Clock.Now()} //nolint:gosec // an LSN never reaches 2^63
	if _, err := postgres.Run(ctx, tx, beginGapsSQL, args); err != nil {
		return 0, fmt.Errorf("begin the gap ledger: %w", err)
	}
	lsn, err := postgres.Value[int64](ctx, tx, cursorSQL, args)
	return intakelog.LSN(lsn), err //nolint:gosec // never negative
}

// saveGaps saves the ledger when nothing comes that it could be saved with.
func (h *historian) saveGaps(ctx context.Context) error {
	err := h.try(ctx, "save the gap ledger", func() error {
		err := postgres.As(ctx, h.Pool, identity.Program("intake"), func(tx pgx.Tx) error {
			return h.gaps.save(ctx, tx, h.LogID, h.at, h.Clock.Now())
		})
		if postgres.Refused(err) {
			err = h.saveGapsApart(ctx)
		}
		return err
	})
	if err == nil {
		h.gapsSaved()
	}
	return err
}

func (h *historian) gapsSaved() {
	h.gaps.saved()
	h.gapsAt = h.at
	h.Released(h.at)
}

// gapsDue says whether the ledger is saved with a batch: at the end of what there
// is, and in a backlog from time to time.
func (h *historian) gapsDue(b *Batch) bool {
	return b.To%batchRecords != 0 || b.To-h.gapsAt >= gapsSavedEvery
}
