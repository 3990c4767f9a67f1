package telemetry

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// The states of a dead letter.
const (
	LetterOpen      = "open"
	LetterReplayed  = "replayed"
	LetterDiscarded = "discarded"
)

// DeadLetter is a message, or part of one, that could not be used: its bytes and
// the reason.
type DeadLetter struct {
	ID           int64         `json:"id" db:"id"`
	Log          uuid.UUID     `json:"log" db:"log"`
	LSN          intakelog.LSN `json:"lsn" db:"lsn" doc:"record of the intake log"`
	Part         int           `json:"part" db:"part" doc:"0: the whole message, else the number of the refused part"`
	ReceivedAt   time.Time     `json:"receivedAt" db:"received_at"`
	Source       string        `json:"source" db:"source"`
	Topic        string        `json:"topic" db:"topic"`
	Device       string        `json:"device" db:"device"`
	Payload      []byte        `json:"payload" db:"payload" doc:"base64; at most 64 KiB of it, in a list the first 4 KiB"`
	PayloadBytes int64         `json:"payloadBytes" db:"payload_bytes"`
	Reason       string        `json:"reason" db:"reason" doc:"code such as E_JSON_SYNTAX"`
	Detail       string        `json:"detail" db:"detail" doc:"what, where, and what was expected"`
	Offset       *int64        `json:"offset" db:"offset_bytes" doc:"byte of the payload"`
	Decoder      string        `json:"decoder" db:"decoder"`
	State        string        `json:"state" db:"state" enum:"open,replayed,discarded"`
	ResolvedBy   string        `json:"resolvedBy" db:"resolved_by"`
	Resolution   string        `json:"resolution" db:"resolution"`
}

// blame fills in what a fault says.
func (d DeadLetter) blame(f formats.Fault) DeadLetter {
	d.Reason, d.Detail = f.Reason, f.Detail
	if f.Path != "" {
		d.Detail = f.Path + ": " + f.Detail
	}
	if f.Offset > 0 {
		at := int64(f.Offset)
		d.Offset = &at
	}
	return d
}

// DeadLetterFilter narrows a list; empty fields do not.
type DeadLetterFilter struct {
	State  string
	Reason string
	Device string
	Before int64 // only letters with a smaller id: the next page
	Limit  int   // at most 500; 0 means 50
}

const maxLetters = 500

const deadLettersSQL = `SELECT id, log, lsn, part, received_at, source, topic, device, substring(payload FROM 1 FOR 4096) AS payload, payload_bytes,
  reason, detail, offset_bytes, decoder, state, resolved_by, resolution
FROM dead_letter
WHERE (@state = '' OR state = @state) AND (@reason = '' OR reason = @reason) AND (@device = '' OR device = @device) AND (@before = 0 OR id < @before)
ORDER BY id DESC LIMIT @limit`

// DeadLetters lists letters, the newest first, each with the start of its payload.
func DeadLetters(ctx context.Context, db postgres.DB, f DeadLetterFilter) ([]DeadLetter, error) {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	letters, err := postgres.All[DeadLetter](ctx, db, deadLettersSQL, pgx.NamedArgs{
		"state": f.State, "reason": f.Reason, "device": f.Device, "before": f.Before, "limit": min(f.Limit, maxLetters),
	})
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return letters, nil
}

const deadLetterSQL = `SELECT id, log, lsn, part, received_at, source, topic, device, payload, payload_bytes,
  reason, detail, offset_bytes, decoder, state, resolved_by, resolution
FROM dead_letter WHERE id = @id`

// GetDeadLetter gives one letter with all of the payload that was kept.
func GetDeadLetter(ctx context.Context, db postgres.DB, id int64) (DeadLetter, error) {
	letter, err := postgres.One[DeadLetter](ctx, db, deadLetterSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return letter, problem.New(problem.NotFound, "there is no dead letter %d", id)
	}
	if err != nil {
		return letter, fmt.Errorf("read dead letter %d: %w", id, err)
	}
	return letter, nil
}

// DeadLetterGroup is all open letters with one source, decoder and reason.
type DeadLetterGroup struct {
	Reason  string    `json:"reason" db:"reason"`
	Source  string    `json:"source" db:"source"`
	Decoder string    `json:"decoder" db:"decoder"`
	Open    int64     `json:"open" db:"open"`
	Devices int64     `json:"devices" db:"devices"`
	First   time.Time `json:"first" db:"first"`
	Last    time.Time `json:"last" db:"last"`
	Newest  int64     `json:"newest" db:"newest" doc:"id of the newest letter, as an example"`
	Counted int64     `json:"counted" db:"counted" doc:"all letters ever of this reason, with those beyond the quota and those that were settled"`
}

const deadLetterGroupsSQL = `SELECT d.reason, d.source, d.decoder, count(*) AS open, count(DISTINCT d.device) AS devices,
  min(d.received_at) AS first, max(d.received_at) AS last, max(d.id) AS newest,
  coalesce((SELECT sum(c.count) FROM dead_letter_count c WHERE c.reason = d.reason), 0)::bigint AS counted
FROM dead_letter d WHERE d.state = 'open' GROUP BY d.reason, d.source, d.decoder ORDER BY open DESC, d.reason, d.source, d.decoder LIMIT 500`

// DeadLetterGroups counts the open letters by source, decoder and reason, the
// most frequent first.
func DeadLetterGroups(ctx context.Context, db postgres.DB) ([]DeadLetterGroup, error) {
	groups, err := postgres.All[DeadLetterGroup](ctx, db, deadLetterGroupsSQL, nil)
	if err != nil {
		return nil, fmt.Errorf("group dead letters: %w", err)
	}
	return groups, nil
}

const (
	oldLettersSQL   = `DELETE FROM dead_letter WHERE received_at < @before`
	oldCountsSQL    = `DELETE FROM dead_letter_count WHERE day < @before::timestamptz::date`
	oldUnclaimedSQL = `DELETE FROM unclaimed WHERE last_seen_at < @before`
)

// ForgetOld removes dead letters that were received, and unclaimed devices that
// were heard last, before an instant, and the births beside logs that nobody has
// read since then.
func ForgetOld(ctx context.Context, tx pgx.Tx, before time.Time) error {
	for _, sql := range []string{oldLettersSQL, oldCountsSQL, oldUnclaimedSQL, forgetLogsSQL} {
		if _, err := postgres.Run(ctx, tx, sql, pgx.NamedArgs{"before": before}); err != nil {
			return fmt.Errorf("forget old dead letters, devices and births: %w", err)
		}
	}
	return nil
}
