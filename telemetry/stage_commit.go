package telemetry

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// devicesEvery is how often it is saved when devices were last heard.
const devicesEvery = 5 * time.Second

// errElsewhere says that the log's place is not where this program left it.
var errElsewhere = problem.New(problem.Conflict, "another program stores this log")

// commit stores a stretch of the log and moves the cursor in one transaction. When
// an earlier try was committed after all, though its answer was lost, the cursor
// says so and nothing is counted twice.
func (h *historian) commit(ctx context.Context, out *settled, letters []DeadLetter, store storeFunc) error {
	err := postgres.As(ctx, h.Pool, identity.Program("intake"), func(tx pgx.Tx) error {
		return postgres.Guard(func() error {
			moved, err := h.moveCursor(ctx, tx, out.from, out.to)
			if err != nil || !moved {
				return err
			}
			if store != nil {
				if err := store(ctx, tx); err != nil {
					return err
				}
			}
			return h.record(ctx, tx, out, letters)
		})
	})
	if err != nil {
		return fmt.Errorf("commit records %d to %d: %w", out.from+1, out.to, err)
	}
	return nil
}

// record writes what is left of a stretch beside its points.
func (h *historian) record(ctx context.Context, tx pgx.Tx, out *settled, letters []DeadLetter) error {
	buried, err := bury(ctx, tx, h.LogID, letters, h.quota)
	if err != nil {
		return err
	}
	kept, err := keepUnclaimed(ctx, tx, h.LogID, out.unknown, h.quota)
	if err != nil {
		return err
	}
	if out.gaps {
		if err := h.gaps.save(ctx, tx, h.LogID, out.to, h.Clock.Now()); err != nil {
			return err
		}
	}
	return h.addCounts(ctx, tx, out.count(buried, kept))
}

const moveCursorSQL = `INSERT INTO intake_cursor (log, consumer, lsn, saved_at) VALUES (@log, @consumer, @to, @at)
ON CONFLICT (log, consumer) DO UPDATE SET lsn = @to, saved_at = @at WHERE intake_cursor.lsn = @from`

// moveCursor says whether this call moved it; false where it is at to already.
func (h *historian) moveCursor(ctx context.Context, tx pgx.Tx, from, to intakelog.LSN) (bool, error) {
	args := pgx.NamedArgs{"log": h.LogID, "consumer": HistoryConsumer, "from": int64(from), "to": int64(to), "at": h.Clock.Now()} //nolint:gosec // an LSN never reaches 2^63
	n, err := postgres.Run(ctx, tx, moveCursorSQL, args)
	if err != nil || n > 0 {
		return n > 0, err
	}
	at, err := postgres.Value[int64](ctx, tx, cursorSQL, args)
	if err != nil {
		return false, err
	}
	if at != int64(to) { //nolint:gosec // an LSN never reaches 2^63
		return false, fmt.Errorf("%w: its place is %d, ours %d", errElsewhere, at, from)
	}
	return false, nil
}

const addCountsSQL = `INSERT INTO intake_count (log, records, stored, duplicates, dead, unclaimed, refused, ticks, readings)
VALUES (@log, @records, @stored, @duplicates, @dead, @unclaimed, @refused, @ticks, @readings)
ON CONFLICT (log) DO UPDATE SET records = intake_count.records + @records, stored = intake_count.stored + @stored,
  duplicates = intake_count.duplicates + @duplicates, dead = intake_count.dead + @dead, unclaimed = intake_count.unclaimed + @unclaimed,
  refused = intake_count.refused + @refused, ticks = intake_count.ticks + @ticks, readings = intake_count.readings + @readings`

func (h *historian) addCounts(ctx context.Context, tx pgx.Tx, t tally) error {
	_, err := postgres.Run(ctx, tx, addCountsSQL, pgx.NamedArgs{
		"log": h.LogID, "records": t.records, "stored": t.stored, "duplicates": t.duplicates, "dead": t.dead,
		"unclaimed": t.unclaimed, "refused": t.refused, "ticks": t.ticks, "readings": t.readings,
	})
	if err != nil {
		return fmt.Errorf("count records: %w", err)
	}
	return nil
}

const touchDevicesSQL = `UPDATE device d SET last_seen_at = s.at FROM unnest(@keys::text[], @ats::timestamptz[]) AS s(key, at)
WHERE d.key = s.key AND d.revoked_at IS NULL AND (d.last_seen_at IS NULL OR d.last_seen_at < s.at)`

func touchDevices(ctx context.Context, tx pgx.Tx, keys []string, devices map[string]time.Time) error {
	ats := make([]time.Time, len(keys))
	for i, key := range keys {
		ats[i] = devices[key]
	}
	if _, err := postgres.Run(ctx, tx, touchDevicesSQL, pgx.NamedArgs{"keys": keys, "ats": ats}); err != nil {
		return fmt.Errorf("note when devices were heard: %w", err)
	}
	return nil
}
