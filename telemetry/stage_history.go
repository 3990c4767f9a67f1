package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// HistoryConsumer is the name under which the history holds its place in the
// intake log.
const HistoryConsumer = "history"

// warmUp is how many records before its place the history reads again at a
// start, so that it knows their numbers when they are sent again.
const warmUp = 4 * batchRecords

// HistoryConfig is what RunHistory needs. All fields are required except Status.
type HistoryConfig struct {
	Stage    *Stage
	Pool     *postgres.Pool
	History  history.Store
	LogID    uuid.UUID
	First    intakelog.LSN            // oldest record of the log that is still there
	Released func(upTo intakelog.LSN) // told how far the history has stored
	Clock    *clock.Clock
	Log      *slog.Logger
	Status   *HistoryStatus
}

// HistoryStatus says how the history is doing. Safe for concurrent use; the zero
// value is ready.
type HistoryStatus struct {
	stored  atomic.Uint64
	begun   atomic.Pointer[intakelog.LSN] // what an earlier run had stored; nil: not known yet
	trouble atomic.Pointer[string]
	retries atomic.Uint64
	written atomic.Uint64 // points
	refused atomic.Uint64 // records
	quality qualityFigures
}

// Trouble is why nothing can be stored at the moment, "" when it can.
func (s *HistoryStatus) Trouble() string {
	if t := s.trouble.Load(); t != nil {
		return *t
	}
	return ""
}

// Stored is the last record whose contents are stored.
func (s *HistoryStatus) Stored() intakelog.LSN { return intakelog.LSN(s.stored.Load()) }

// begin says what an earlier run had stored.
func (s *HistoryStatus) begin(at intakelog.LSN) {
	s.stored.Store(uint64(at))
	s.begun.Store(&at)
}

// Refused counts the records that the database would not take, since the start.
func (s *HistoryStatus) Refused() uint64 { return s.refused.Load() }

func (s *HistoryStatus) fail(err error) {
	text := err.Error()
	s.trouble.Store(&text)
	s.retries.Add(1)
}

// RunHistory stores what the stage decodes until ctx ends: points into the
// history, and in one transaction a batch the dead letters, the unclaimed
// messages, the counts and the cursor. It tries for as long as it takes; while it
// does, the intake log is the buffer.
func RunHistory(ctx context.Context, c HistoryConfig) error {
	h := newHistorian(c)
	ctx = identity.With(ctx, identity.Program("intake"))
	if err := h.start(ctx); err != nil {
		return stopped(ctx, err)
	}
	for {
		batch, err := h.next(ctx)
		if err == nil && batch == nil {
			err = h.saveGaps(ctx)
		} else if err == nil {
			err = h.runOnce(ctx, batch)
		}
		if err != nil {
			return stopped(ctx, err)
		}
	}
}

// next is the next batch, nil where none comes while the gap ledger waits to be
// saved.
func (h *historian) next(ctx context.Context) (*Batch, error) {
	if h.gapsAt == h.at {
		return h.Stage.Next(ctx, h.at)
	}
	idle, cancel := context.WithTimeout(ctx, gapsSavedIdle)
	defer cancel()
	batch, err := h.Stage.Next(idle, h.at)
	if err != nil && ctx.Err() == nil && idle.Err() != nil {
		return nil, nil //nolint:nilnil // nothing came
	}
	return batch, err
}

// stopped is nil where ctx has ended: that is how a run is ended.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = nil
	}
	return err
}

// historian is one run of the history.
type historian struct {
	HistoryConfig
	dedup   *Dedup
	quality *qualityWatch
	gaps    *ledger
	gapsAt  intakelog.LSN // how far the saved ledger goes
	quota   quota
	at      intakelog.LSN
	devices map[string]time.Time // when each device was last heard, not saved yet
	flushed time.Time            // wall clock, when devices were saved
}

func newHistorian(c HistoryConfig) *historian {
	if c.Status == nil {
		c.Status = &HistoryStatus{}
	}
	return &historian{HistoryConfig: c, dedup: NewDedup(), quality: newQualityWatch(), gaps: newLedger(), quota: defaultQuota(), devices: map[string]time.Time{}}
}

const cursorSQL = `SELECT lsn FROM intake_cursor WHERE log = @log AND consumer = @consumer`

// HistoryPlace is the last record of a log that is stored in the history, 0 of a log
// that nothing is known of.
func HistoryPlace(ctx context.Context, pool *postgres.Pool, log uuid.UUID) (at intakelog.LSN, err error) {
	err = postgres.As(ctx, pool, identity.Program("intake"), func(tx pgx.Tx) error {
		lsn, err := postgres.Value[int64](ctx, tx, cursorSQL, pgx.NamedArgs{"log": log, "consumer": HistoryConsumer})
		if problem.Of(err) == problem.NotFound {
			err = nil // an unknown log begins at its start
		}
		at = intakelog.LSN(lsn) //nolint:gosec // never negative
		return err
	})
	return at, err
}

// start finds the place where the last run stopped and remembers what came
// shortly before it.
func (h *historian) start(ctx context.Context) error {
	err := h.try(ctx, "read the history's place in the log", func() error {
		at, err := HistoryPlace(ctx, h.Pool, h.LogID)
		if err != nil {
			return err
		}
		h.at = at
		return postgres.As(ctx, h.Pool, identity.Program("intake"), func(tx pgx.Tx) error {
			if h.gapsAt, err = h.gapsPlace(ctx, tx); err != nil {
				return err
			}
			h.gaps, err = loadLedger(ctx, tx)
			return err
		})
	})
	if err != nil {
		return err
	}
	h.Status.begin(h.at)
	if h.at+1 < h.First {
		h.Log.Error("records were removed from the intake log before they were stored", "from", h.at+1, "to", h.First-1)
	}
	h.Released(h.gapsAt)
	return h.warm(ctx)
}

func (h *historian) warm(ctx context.Context) error {
	from := max(h.First, 1) - 1
	if h.at > warmUp {
		from = max(from, (h.at-warmUp)/batchRecords*batchRecords)
	}
	from = min(from, max(h.gapsAt, max(h.First, 1)-1))
	for from < h.at {
		batch, err := h.Stage.Next(ctx, from)
		if err != nil {
			return err
		}
		for i := range batch.Records {
			if batch.Records[i].LSN <= h.at {
				h.dedup.Again(batch.Records[i].Origin)
			}
		}
		for i := range batch.Observations {
			if batch.Observations[i].LSN <= h.at {
				h.dedup.Seen(&batch.Observations[i].Observation)
				h.quality.note(&batch.Observations[i])
			}
		}
		for i := range batch.Numbers {
			if n := &batch.Numbers[i]; n.LSN > h.gapsAt && n.LSN <= h.at {
				h.gaps.note(n)
			}
		}
		from = batch.To
	}
	h.quality.conflicts = 0 // counted by an earlier run
	h.Status.quality.add(h.quality, Counts{})
	return nil
}

// try runs do until it succeeds or ctx ends.
func (h *historian) try(ctx context.Context, what string, do func() error) error {
	for attempt := 0; ; attempt++ {
		err := do()
		if err == nil {
			h.Status.trouble.Store(nil)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h.Status.fail(err)
		wait := backoff(attempt)
		if later, ok := errors.AsType[*history.LaterError](err); ok {
			wait = max(wait, later.After)
		}
		h.Log.Error("history not written, trying again", "what", what, "attempt", attempt, "wait", wait, "error", err)
		if err := clock.Rest(ctx, wait); err != nil {
			return err
		}
	}
}

func (h *historian) runOnce(ctx context.Context, b *Batch) error {
	out := h.settle(b)
	out.gaps = h.gapsDue(b)
	if err := h.buryCrashes(ctx, out); err != nil {
		return err
	}
	if err := h.saveDevices(ctx); err != nil {
		return err
	}
	if err := h.try(ctx, "store a batch", func() error { return h.store(ctx, b, out) }); err != nil {
		return err
	}
	h.Status.quality.add(h.quality, b.Counts)
	if out.gaps && h.gapsAt < h.at { // not with the batch
		if err := h.saveGaps(ctx); err != nil {
			return err
		}
	}
	return nil
}

// storeFunc is the part of a write that belongs into the transaction which also
// moves the cursor.
type storeFunc = func(ctx context.Context, tx pgx.Tx) error

// preparer is a history that can split a write: all that may be repeated first,
// then the part of the transaction.
type preparer interface {
	Prepare(ctx context.Context, points []history.Point) (storeFunc, []history.Refusal, error)
}

// store stores what is left of a batch: in one transaction, and where the database
// refuses that, apart.
func (h *historian) store(ctx context.Context, b *Batch, out *settled) error {
	rest := out
	if h.at > out.from { // an earlier try came as far as this
		rest = out.part(h.at, out.to)
		rest.gaps = out.gaps
	}
	err := h.storeStretch(ctx, b, rest)
	if err == nil && rest.gaps {
		h.gapsSaved()
	}
	if !blames(err) {
		return err
	}
	return h.storeApart(ctx, b, rest)
}

// storeStretch stores a stretch in one transaction and goes on to its end.
func (h *historian) storeStretch(ctx context.Context, b *Batch, out *settled) error {
	store, refused, err := h.prepare(ctx, out.points)
	if err != nil {
		return err
	}
	if err := h.commit(ctx, out, out.with(b, refused), store); err != nil {
		return err
	}
	if len(refused) > 0 {
		h.Log.Warn("the history refused points", "count", len(refused), "from", out.from, "to", out.to, "first", refused[0].Fault.Error())
	}
	h.at = out.to
	h.Status.stored.Store(uint64(out.to))
	h.Status.written.Add(uint64(len(out.points)))
	return nil
}

// elsewhereError marks what a history says that is not in the database: what that
// refuses for good, it names itself.
type elsewhereError struct{ error }

func (e elsewhereError) Unwrap() error { return e.error }

// prepare does the part of a write that may be repeated.
func (h *historian) prepare(ctx context.Context, points []history.Point) (storeFunc, []history.Refusal, error) {
	if len(points) == 0 {
		return nil, nil, nil
	}
	if p, ok := h.History.(preparer); ok {
		return p.Prepare(ctx, points)
	}
	err := h.History.Write(ctx, points)
	if refused, ok := errors.AsType[*history.RefusedError](err); ok {
		return nil, refused.Refused, nil
	}
	if err != nil {
		return nil, nil, elsewhereError{fmt.Errorf("write %d points: %w", len(points), err)}
	}
	return nil, nil, nil
}
