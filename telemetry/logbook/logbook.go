// Package logbook keeps what messages say of machines beside their signals: the
// life of trouble codes, and hour meters that went back. It reads the intake log at
// its own pace, in event time: what is read twice changes nothing. It knows neither
// rules nor cases; what they may use of it, it writes into the log as signals.
package logbook

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/j1939"
)

// Consumer is the name under which the logbook holds its place in the intake log.
const Consumer = "logbook"

const (
	lookBack  = 1_024 // records that are read again at a start: parts of messages that were on their way
	saveEvery = 5 * time.Second
	maxBuses  = 10_000 // machines of which parts of messages wait
)

// Config is what Run needs. All fields are required except Status.
type Config struct {
	Stage    *telemetry.Stage
	Pool     *postgres.Pool
	Log      *intakelog.Log
	Released func(upTo intakelog.LSN) // told how far the logbook is
	Clock    *clock.Clock
	Logger   *slog.Logger
	Status   *Status
}

// Status says how the logbook is doing. Safe for concurrent use; the zero value is
// ready.
type Status struct {
	at, changes, dropped, lost, resets, refused atomic.Uint64
}

// Refused is how often what was said of a machine could not be kept since the
// start: the database would not take it, or the program failed over it.
func (s *Status) Refused() uint64 { return s.refused.Load() }

// At is the last record that has been read.
func (s *Status) At() intakelog.LSN { return intakelog.LSN(s.at.Load()) }

// Changes is how many codes became active or cleared since the start.
func (s *Status) Changes() uint64 { return s.changes.Load() }

// Dropped is how many codes were not taken because a machine has too many.
func (s *Status) Dropped() uint64 { return s.dropped.Load() }

// Lost is how many messages of several frames never came to their end.
func (s *Status) Lost() uint64 { return s.lost.Load() }

// Resets is how many hour meters went back since the start.
func (s *Status) Resets() uint64 { return s.resets.Load() }

// keeper is one run of the logbook.
type keeper struct {
	Config
	at, saved intakelog.LSN
	savedAt   time.Time // wall clock
	known     intakelog.LSN
	live      map[uuid.UUID]struct{} // machines that have or had an active code
	buses     map[uuid.UUID]*j1939.Assembler
	meters    map[uuid.UUID]*meter
	told      map[uuid.UUID]told // of the signals of machines' codes
	failed    []refusal          // records of this batch over which the program failed
}

// Run keeps the logbook until ctx ends. While the database is away it waits.
func Run(ctx context.Context, c Config) error {
	if c.Status == nil {
		c.Status = &Status{}
	}
	k := &keeper{Config: c, live: map[uuid.UUID]struct{}{}, buses: map[uuid.UUID]*j1939.Assembler{}, meters: map[uuid.UUID]*meter{}, told: map[uuid.UUID]told{}}
	ctx = identity.With(ctx, who())
	if err := k.try(ctx, "open the logbook", k.open); err != nil {
		return stopped(ctx, err)
	}
	for {
		batch, err := c.Stage.Next(ctx, k.at)
		if err != nil {
			return stopped(ctx, err)
		}
		if err := k.runOnce(ctx, batch); err != nil {
			return stopped(ctx, err)
		}
	}
}

func who() identity.Principal { return identity.Program("logbook") }

// stopped is nil where ctx has ended: that is how a run is ended.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = nil
	}
	return err
}

func (k *keeper) as(ctx context.Context, fn func(tx pgx.Tx) error) error {
	return postgres.As(ctx, k.Pool, who(), fn)
}

// try runs do until it succeeds or ctx ends.
func (k *keeper) try(ctx context.Context, what string, do func(context.Context) error) error {
	for attempt := 0; ; attempt++ {
		err := do(ctx)
		if err == nil || ctx.Err() != nil || problem.Of(err) == problem.Conflict {
			return err
		}
		wait := min(200*time.Millisecond<<min(attempt, 8), 30*time.Second)
		k.Logger.Error("logbook not written, trying again", "what", what, "attempt", attempt, "wait", wait, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

const cursorSQL = `SELECT lsn FROM intake_cursor WHERE log = @log AND consumer = @consumer`

// open finds the place where the last run stopped, and what was known then.
func (k *keeper) open(ctx context.Context) error {
	return k.as(ctx, func(tx pgx.Tx) error {
		lsn, err := postgres.Value[int64](ctx, tx, cursorSQL, pgx.NamedArgs{"log": k.Log.ID(), "consumer": Consumer})
		if err != nil && problem.Of(err) != problem.NotFound { // an unknown log begins at its start
			return fmt.Errorf("read the logbook's place in the log: %w", err)
		}
		k.saved = intakelog.LSN(lsn) //nolint:gosec // never negative
		first, _ := k.Log.Bounds()
		k.known, k.at = k.saved, max(first, 1)-1
		if k.saved > lookBack {
			k.at = max(k.at, k.saved-lookBack)
		}
		k.Released(k.saved)
		troubled, err := machines.Troubled(ctx, tx)
		if err != nil {
			return err
		}
		for _, id := range troubled {
			k.live[id] = struct{}{}
		}
		return k.openMeters(ctx, tx)
	})
}

func (k *keeper) runOnce(ctx context.Context, b *telemetry.Batch) error {
	k.failed = nil
	entries := k.entries(b)
	meters := k.readMeters(b)
	if k.concerns(entries) || len(meters.dirty) > 0 || len(k.failed) > 0 || b.To > k.saved && time.Since(k.savedAt) > saveEvery {
		list := k.shares(entries, meters)
		err := k.try(ctx, "write into the logbook", func(ctx context.Context) error {
			err := k.write(ctx, b, list, k.together)
			if postgres.Refused(err) {
				err = k.write(ctx, b, list, k.apart)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	k.at = b.To
	k.Status.at.Store(uint64(b.To))
	return nil
}

const moveCursorSQL = `INSERT INTO intake_cursor (log, consumer, lsn, saved_at) VALUES (@log, @consumer, @to, @at)
ON CONFLICT (log, consumer) DO UPDATE SET lsn = @to, saved_at = @at WHERE intake_cursor.lsn < @to`

// written is what one transaction means beside its rows.
type written struct {
	changes, dropped, resets int
	told                     map[uuid.UUID]told
	signals                  []intakelog.Record
	refused                  []refusal
}

// write stores what a batch means, and the place behind it, in one transaction.
func (k *keeper) write(ctx context.Context, b *telemetry.Batch, list []share, how func(context.Context, pgx.Tx, []share, *written) error) error {
	var w *written
	err := k.as(ctx, func(tx pgx.Tx) error {
		w = &written{told: map[uuid.UUID]told{}}
		return postgres.Guard(func() error {
			if err := how(ctx, tx, list, w); err != nil {
				return err
			}
			w.refused = append(w.refused, k.failed...)
			if err := k.bury(ctx, tx, w.refused); err != nil {
				return err
			}
			if err := k.append(ctx, w.signals); err != nil {
				return err
			}
			_, err := postgres.Run(ctx, tx, moveCursorSQL, pgx.NamedArgs{"log": k.Log.ID(), "consumer": Consumer, "to": int64(b.To), "at": k.Clock.Now()}) //nolint:gosec // an LSN never reaches 2^63
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("records %d to %d: %w", b.From+1, b.To, err)
	}
	for _, r := range w.refused {
		k.Logger.Error("the logbook cannot keep what records say of a machine; they are dead letters", "machine", r.key, "records", len(r.lsns), "lsn", r.lsns[0], "error", r.fault.Detail)
	}
	maps.Copy(k.told, w.told)
	k.Status.changes.Add(uint64(w.changes))      //nolint:gosec // a count
	k.Status.dropped.Add(uint64(w.dropped))      //nolint:gosec // a count
	k.Status.resets.Add(uint64(w.resets))        //nolint:gosec // a count
	k.Status.refused.Add(uint64(len(w.refused))) //nolint:gosec // a count
	k.saved, k.savedAt = max(k.saved, b.To), time.Now()
	k.Released(k.saved)
	return nil
}
