package telemetry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// Bounds of settling a whole group of letters.
const (
	lettersAtOnce  = 250              // replayed in one transaction: at most 16 MiB of payloads
	discardAtOnce  = 2_000            // discarded in one transaction
	groupTime      = 20 * time.Second // after which a call says how many are left
	groupWait      = 5 * time.Second  // that it waits to see what becomes of the replayed messages
	groupLook      = 20 * time.Millisecond
	groupsEntities = "dead_letter_group"
)

// LetterGroup names the open letters with one source, decoder and reason, as
// DeadLetterGroups lists them.
type LetterGroup struct {
	Source  string `json:"source" minLength:"1" maxLength:"200"`
	Decoder string `json:"decoder,omitempty" maxLength:"200" doc:"as listed; empty where no decoder knew the message"`
	Reason  string `json:"reason" minLength:"1" maxLength:"40" doc:"code such as E_JSON_SYNTAX"`
}

// GroupReplay is what came of replaying a group.
type GroupReplay struct {
	Replayed   int64 `json:"replayed" doc:"messages that were written to the intake log again"`
	Settled    int64 `json:"settled" doc:"open letters that this has settled; one message may have several"`
	Failed     int64 `json:"failed" doc:"of the messages: a dead letter again, as far as they were read by now"`
	Waiting    int64 `json:"waiting" doc:"of the messages: not read yet"`
	Impossible int64 `json:"impossible" doc:"letters that stay open: only a part of their bytes is left"`
	Left       int64 `json:"left" doc:"open letters of the group that this call had no time for: call again"`
}

// GroupDiscard is what came of discarding a group.
type GroupDiscard struct {
	Discarded int64 `json:"discarded"`
	Left      int64 `json:"left" doc:"open letters of the group that this call had no time for: call again"`
}

// letterCall is one call that settles a group: the letters that there were when it
// began, in transactions of their own, so that nobody waits long for any of them.
// A letter that somebody else is settling at this moment is passed over. Calling
// again settles what is left and nothing twice.
type letterCall struct {
	pool  *postgres.Pool
	clock *clock.Clock
	who   identity.Principal
	group LetterGroup
	args  pgx.NamedArgs
	until time.Time // wall clock
	after int64     // letters up to here have been looked at
}

const newestOfGroupSQL = `SELECT coalesce(max(id), 0) FROM dead_letter WHERE state = 'open' AND source = @source AND decoder = @decoder AND reason = @reason`

const leftOfGroupSQL = `SELECT count(*) FROM dead_letter WHERE state = 'open' AND source = @source AND decoder = @decoder AND reason = @reason AND id > @after AND id <= @newest`

func newLetterCall(ctx context.Context, pool *postgres.Pool, clk *clock.Clock, who identity.Principal, g LetterGroup) (*letterCall, error) {
	c := &letterCall{pool: pool, clock: clk, who: who, group: g, until: time.Now().Add(groupTime),
		args: pgx.NamedArgs{"source": g.Source, "decoder": g.Decoder, "reason": g.Reason}}
	newest, err := value1[int64](ctx, c, newestOfGroupSQL)
	if err != nil {
		return nil, fmt.Errorf("find a group of dead letters: %w", err)
	}
	c.args["newest"] = newest
	return c, nil
}

func value1[T any](ctx context.Context, c *letterCall, sql string) (v T, err error) {
	c.args["after"] = c.after
	err = postgres.As(ctx, c.pool, c.who, func(tx pgx.Tx) error {
		v, err = postgres.Value[T](ctx, tx, sql, c.args)
		return err
	})
	return v, err
}

// each runs step in one transaction after another until it has nothing left to do
// or the call's time is over. step says up to which letter it has looked, 0 for
// none; done is called when that is committed.
func (c *letterCall) each(ctx context.Context, step func(tx pgx.Tx, now time.Time) (upTo int64, err error), done func()) error {
	for time.Now().Before(c.until) {
		upTo := int64(0)
		c.args["after"] = c.after
		err := postgres.As(ctx, c.pool, c.who, func(tx pgx.Tx) (err error) {
			upTo, err = step(tx, c.clock.Now())
			return err
		})
		if err != nil || upTo == 0 {
			return err
		}
		c.after = upTo
		done()
	}
	return nil
}

// audit notes who settled how many letters of a group.
func (c *letterCall) audit(ctx context.Context, tx pgx.Tx, now time.Time, action string, after map[string]any) error {
	id := uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%q %q %q", c.group.Source, c.group.Decoder, c.group.Reason))
	return machines.Audit(ctx, tx, now, c.who, groupsEntities, id, nil, nil, action, c.group, after)
}

const lockGroupSQL = `SELECT id, log, lsn, part, received_at, source, topic, device, payload, payload_bytes, reason, detail, offset_bytes, decoder, state, resolved_by, resolution
FROM dead_letter WHERE state = 'open' AND source = @source AND decoder = @decoder AND reason = @reason AND id > @after AND id <= @newest
ORDER BY id LIMIT @limit FOR UPDATE SKIP LOCKED`

const settleMessagesSQL = `UPDATE dead_letter d SET state = 'replayed', resolved_by = @by, resolution = @resolution
FROM unnest(@logs::uuid[], @lsns::bigint[]) AS m(log, lsn) WHERE d.log = m.log AND d.lsn = m.lsn AND d.state = 'open'`

// ReplayGroup writes the messages of a group's open letters to the intake log again,
// each once, and waits some seconds to see what becomes of them. All open letters
// about these messages are settled by it, those of other reasons too.
func ReplayGroup(ctx context.Context, pool *postgres.Pool, log *intakelog.Log, clk *clock.Clock, who identity.Principal, g LetterGroup) (GroupReplay, error) {
	var out GroupReplay
	c, err := newLetterCall(ctx, pool, clk, who, g)
	if err != nil {
		return out, err
	}
	c.args["limit"] = lettersAtOnce
	var lsns []intakelog.LSN
	var b replayedBatch
	err = c.each(ctx, func(tx pgx.Tx, now time.Time) (int64, error) {
		letters, err := postgres.All[DeadLetter](ctx, tx, lockGroupSQL, c.args)
		if err != nil || len(letters) == 0 {
			return 0, err
		}
		b, err = c.replay(ctx, tx, log, now, letters)
		return letters[len(letters)-1].ID, err
	}, func() {
		lsns = append(lsns, b.lsns...)
		out.Replayed += int64(len(b.lsns))
		out.Settled += b.settled
		out.Impossible += b.impossible
	})
	if err != nil {
		return out, fmt.Errorf("replay a group of dead letters: %w", err)
	}
	if out.Left, err = value1[int64](ctx, c, leftOfGroupSQL); err != nil {
		return out, fmt.Errorf("count what is left of a group of dead letters: %w", err)
	}
	return out, c.watch(ctx, log.ID(), lsns, &out)
}

// replayedBatch is what one transaction has replayed.
type replayedBatch struct {
	lsns                []intakelog.LSN // of the new records
	settled, impossible int64
}

// replay appends the messages of some letters, waits until they are durable, and
// settles the letters.
func (c *letterCall) replay(ctx context.Context, tx pgx.Tx, log *intakelog.Log, now time.Time, letters []DeadLetter) (b replayedBatch, err error) {
	type message struct {
		log uuid.UUID
		lsn intakelog.LSN
	}
	known := map[message]bool{}
	var logs []uuid.UUID
	var olds []int64
	records := make([]intakelog.Record, 0, len(letters))
	for i := range letters {
		d := &letters[i]
		if m := (message{d.Log, d.LSN}); known[m] {
			continue
		}
		r, err := messageOf(ctx, log, d)
		if problem.Of(err) == problem.Conflict {
			b.impossible++
			continue
		}
		if err != nil {
			return b, err
		}
		known[message{d.Log, d.LSN}] = true
		logs, olds = append(logs, d.Log), append(olds, int64(d.LSN)) //nolint:gosec // an LSN never reaches 2^63
		r.Received, r.Kind, r.Source = d.ReceivedAt, intakelog.Message, intakelog.Replay
		records = append(records, r)
	}
	if len(records) == 0 {
		return b, nil
	}
	if b.lsns, err = appendAll(ctx, log, records); err != nil {
		return b, refusedByLog(err)
	}
	b.settled, err = postgres.Run(ctx, tx, settleMessagesSQL, pgx.NamedArgs{"by": c.who.Name, "resolution": "written to the log again", "logs": logs, "lsns": olds})
	if err != nil {
		return b, fmt.Errorf("settle %d dead letters: %w", len(letters), err)
	}
	return b, c.audit(ctx, tx, now, LetterReplayed, map[string]any{"messages": len(b.lsns), "letters": b.settled, "from": letters[0].ID, "to": letters[len(letters)-1].ID})
}

// appendAll appends records and returns their positions when they are durable.
func appendAll(ctx context.Context, log *intakelog.Log, records []intakelog.Record) ([]intakelog.LSN, error) {
	type outcome struct {
		lsn intakelog.LSN
		err error
	}
	settled := make(chan outcome, len(records)) // whoever tells must not wait
	sent := 0
	var refusal error
	for i := range records {
		if refusal = log.Append(records[i], func(lsn intakelog.LSN, err error) { settled <- outcome{lsn, err} }); refusal != nil {
			break
		}
		sent++
	}
	lsns := make([]intakelog.LSN, 0, sent)
	for range sent {
		select {
		case o := <-settled:
			if o.err != nil {
				return nil, o.err
			}
			lsns = append(lsns, o.lsn)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return lsns, refusal
}

const failedAgainSQL = `SELECT count(DISTINCT lsn) FROM dead_letter WHERE log = @log AND lsn = ANY (@lsns)`

// watch waits until the history has read the replayed records, and counts those
// that have failed again.
func (c *letterCall) watch(ctx context.Context, log uuid.UUID, lsns []intakelog.LSN, out *GroupReplay) error {
	if len(lsns) == 0 {
		return nil
	}
	look := time.NewTicker(groupLook)
	defer look.Stop()
	end := time.Now().Add(groupWait)
	var at intakelog.LSN
	for {
		var err error
		if at, err = HistoryPlace(ctx, c.pool, log); err != nil {
			return fmt.Errorf("see how far the history is: %w", err)
		}
		if at >= lsns[len(lsns)-1] || time.Now().After(end) {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
	read := make([]int64, 0, len(lsns))
	for _, lsn := range lsns {
		if lsn <= at {
			read = append(read, int64(lsn)) //nolint:gosec // an LSN never reaches 2^63
		}
	}
	err := postgres.As(ctx, c.pool, c.who, func(tx pgx.Tx) (err error) {
		out.Failed, err = postgres.Value[int64](ctx, tx, failedAgainSQL, pgx.NamedArgs{"log": log, "lsns": read})
		return err
	})
	if err != nil {
		return fmt.Errorf("count what has failed again: %w", err)
	}
	out.Waiting = int64(len(lsns) - len(read))
	return nil
}

const discardGroupSQL = `WITH part AS (SELECT id FROM dead_letter WHERE state = 'open' AND source = @source AND decoder = @decoder AND reason = @reason
    AND id > @after AND id <= @newest ORDER BY id LIMIT @limit FOR UPDATE SKIP LOCKED)
UPDATE dead_letter d SET state = 'discarded', resolved_by = @by, resolution = @why FROM part WHERE d.id = part.id RETURNING d.id`

// DiscardGroup settles the open letters of a group as of no use; the reason is kept
// with each.
func DiscardGroup(ctx context.Context, pool *postgres.Pool, clk *clock.Clock, who identity.Principal, g LetterGroup, why string) (GroupDiscard, error) {
	var out GroupDiscard
	why, err := checkedReason(why)
	if err != nil {
		return out, err
	}
	c, err := newLetterCall(ctx, pool, clk, who, g)
	if err != nil {
		return out, err
	}
	c.args["limit"], c.args["by"], c.args["why"] = discardAtOnce, who.Name, why
	var ids []int64
	err = c.each(ctx, func(tx pgx.Tx, now time.Time) (int64, error) {
		if ids, err = postgres.Values[int64](ctx, tx, discardGroupSQL, c.args); err != nil || len(ids) == 0 {
			return 0, err
		}
		first, last := slices.Min(ids), slices.Max(ids)
		return last, c.audit(ctx, tx, now, LetterDiscarded, map[string]any{"letters": len(ids), "from": first, "to": last, "why": why})
	}, func() { out.Discarded += int64(len(ids)) })
	if err != nil {
		return out, fmt.Errorf("discard a group of dead letters: %w", err)
	}
	out.Left, err = value1[int64](ctx, c, leftOfGroupSQL)
	return out, err
}
