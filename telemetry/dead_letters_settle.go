package telemetry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

const lockLetterSQL = deadLetterSQL + ` FOR UPDATE`

// openLetter locks a letter that nobody has settled yet.
func openLetter(ctx context.Context, tx pgx.Tx, id int64) (DeadLetter, error) {
	letter, err := postgres.One[DeadLetter](ctx, tx, lockLetterSQL, pgx.NamedArgs{"id": id})
	switch {
	case problem.Of(err) == problem.NotFound:
		return letter, problem.New(problem.NotFound, "there is no dead letter %d", id)
	case err != nil:
		return letter, fmt.Errorf("read dead letter %d: %w", id, err)
	case letter.State != LetterOpen:
		return letter, problem.New(problem.Conflict, "dead letter %d was %s by %s already", id, letter.State, letter.ResolvedBy)
	}
	return letter, nil
}

// Letters about other parts of the same message are settled by the same replay.
const settleReplayedSQL = `UPDATE dead_letter SET state = 'replayed', resolved_by = @by, resolution = @resolution
WHERE log = @log AND lsn = @lsn AND state = 'open'`

// ReplayDeadLetter writes a message to the intake log again, with the time at
// which it came, so that it is decoded by what the program knows now. All open
// letters about this message are settled by it.
func ReplayDeadLetter(ctx context.Context, tx pgx.Tx, log *intakelog.Log, now time.Time, who identity.Principal, id int64) error {
	letter, err := openLetter(ctx, tx, id)
	if err != nil {
		return err
	}
	message, err := messageOf(ctx, log, &letter)
	if err != nil {
		return err
	}
	_, err = postgres.Run(ctx, tx, settleReplayedSQL, pgx.NamedArgs{
		"by": who.Name, "resolution": "written to the log again", "log": letter.Log, "lsn": int64(letter.LSN), //nolint:gosec // an LSN never reaches 2^63
	})
	if err != nil {
		return fmt.Errorf("settle dead letter %d: %w", id, err)
	}
	if err := letter.audit(ctx, tx, now, who, LetterReplayed, ""); err != nil {
		return err
	}
	message.Received, message.Kind, message.Source = letter.ReceivedAt, intakelog.Message, intakelog.Replay
	return replay(ctx, log, message)
}

const discardLetterSQL = `UPDATE dead_letter SET state = 'discarded', resolved_by = @by, resolution = @reason WHERE id = @id`

// maxReason bounds why somebody discarded a letter, in bytes.
const maxReason = 1_000

// DiscardDeadLetter settles a letter as of no use; the reason is kept with it.
func DiscardDeadLetter(ctx context.Context, tx pgx.Tx, now time.Time, who identity.Principal, id int64, reason string) error {
	reason, err := checkedReason(reason)
	if err != nil {
		return err
	}
	letter, err := openLetter(ctx, tx, id)
	if err != nil {
		return err
	}
	if _, err := postgres.Run(ctx, tx, discardLetterSQL, pgx.NamedArgs{"by": who.Name, "reason": reason, "id": id}); err != nil {
		return fmt.Errorf("discard dead letter %d: %w", id, err)
	}
	return letter.audit(ctx, tx, now, who, LetterDiscarded, reason)
}

func checkedReason(reason string) (string, error) {
	reason = strings.TrimSpace(reason)
	if reason == "" || len(reason) > maxReason {
		return "", problem.New(problem.Invalid, "say in at most %d bytes why the letter is of no use", maxReason).
			WithFields(problem.Field{Pointer: "/reason", Detail: "is needed"})
	}
	return reason, nil
}

// audit notes who settled a letter; its id there is made of its place in the log.
func (d *DeadLetter) audit(ctx context.Context, tx pgx.Tx, now time.Time, who identity.Principal, state, why string) error {
	id := uuid.NewSHA1(d.Log, fmt.Appendf(nil, "%d/%d", d.LSN, d.Part))
	before := map[string]any{"id": d.ID, "state": d.State, "reason": d.Reason}
	after := map[string]any{"id": d.ID, "state": state, "why": why}
	return machines.Audit(ctx, tx, now, who, "dead_letter", id, nil, nil, state, before, after)
}

// messageOf is the message that a letter is about. One of which only a part was
// copied is taken from the log as long as it is there.
func messageOf(ctx context.Context, log *intakelog.Log, d *DeadLetter) (intakelog.Record, error) {
	if d.Source != HistoryConsumer && int64(len(d.Payload)) >= d.PayloadBytes {
		r := intakelog.Record{Device: d.Device, Topic: d.Topic, Payload: d.Payload}
		if machine, _, ok := formats.FleetTopic(d.Topic); ok && machine == d.Device {
			r.Device = "" // the topic's word, or a device that speaks for itself
		}
		return r, nil
	}
	first, last := log.Bounds()
	if log.ID() == d.Log && d.LSN >= first && d.LSN <= last {
		records, err := log.Read(ctx, d.LSN-1, 1, nil)
		if err != nil {
			return intakelog.Record{}, fmt.Errorf("read record %d of the intake log: %w", d.LSN, err)
		}
		if len(records) == 1 && records[0].LSN == d.LSN {
			r := records[0]
			return intakelog.Record{Device: r.Device, Topic: r.Topic, Payload: r.Payload}, nil
		}
	}
	return intakelog.Record{}, problem.New(problem.Conflict, "only the first %d of %d bytes are left of this message: it cannot be replayed", len(d.Payload), d.PayloadBytes)
}

// replay appends a record and waits until it is durable.
func replay(ctx context.Context, log *intakelog.Log, r intakelog.Record) error {
	_, err := log.AppendWait(ctx, r)
	return refusedByLog(err)
}

// refusedByLog says what it means for a person when the log does not take a record.
func refusedByLog(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, intakelog.ErrFull), errors.Is(err, intakelog.ErrBusy), errors.Is(err, intakelog.ErrFailed), errors.Is(err, intakelog.ErrClosed):
		return fmt.Errorf("%w: %w", problem.New(problem.Unavailable, "the intake log takes nothing at the moment; try again"), err)
	case errors.Is(err, intakelog.ErrTooLarge):
		return fmt.Errorf("%w: %w", problem.New(problem.TooLarge, "the message is too large for the intake log"), err)
	}
	return fmt.Errorf("append to the intake log: %w", err)
}
