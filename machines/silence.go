package machines

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

// What a machine's connectivity can be besides "online"; detection decides which.
const (
	Off        = "off"
	NoCoverage = "no_coverage"
	Silent     = "silent" // cause unknown
)

// Silence is a time in which a machine said nothing, and why.
type Silence struct {
	ID         uuid.UUID  `json:"id" db:"id"`
	MachineID  uuid.UUID  `json:"machineId" db:"machine_id"`
	Since      time.Time  `json:"since" db:"since" doc:"its last words"`
	NoticedAt  time.Time  `json:"noticedAt" db:"noticed_at"`
	Until      *time.Time `json:"until" db:"until" doc:"its next words; null while it goes on"`
	Cause      string     `json:"cause" db:"cause" enum:"off,no_coverage,silent" doc:"silent: nobody can tell"`
	FirstCause string     `json:"firstCause" db:"first_cause" enum:"off,no_coverage,silent" doc:"what was thought when it was noticed"`
	Why        []string   `json:"why" db:"why" doc:"what is known: backlog, at_rest, at_work, goodbye, link_broken, told_gone, with_gateway, with_site, after_hours, missed_hours, no_words"`
}

const closeSilenceSQL = `WITH news AS (SELECT machine_id, min(since) AS since, array_agg(since) AS told
		FROM unnest(@machineIDs::uuid[], @sinces::timestamptz[]) AS n (machine_id, since) GROUP BY machine_id)
	UPDATE silence s SET until = GREATEST(n.since, s.noticed_at, s.since + interval '1 microsecond')
	FROM news n WHERE s.machine_id = n.machine_id AND s.until IS NULL AND s.since <> ALL (n.told)`

// What was there before is read by the same statement, so that a second try after a
// lost answer finds nothing new.
const noteSilenceSQL = `WITH news AS (SELECT * FROM unnest(@ids::uuid[], @machineIDs::uuid[], @sinces::timestamptz[], @noticed::timestamptz[], @untils::timestamptz[], @causes::text[], @firsts::text[], @whys::text[])
		WITH ORDINALITY AS n (id, machine_id, since, noticed_at, until, cause, first_cause, why, place)),
	before AS (SELECT n.place, m.customer_id, s.id AS known, COALESCE(s.cause, '') AS cause, s.until AS until, COALESCE(s.why, '{}') AS why
		FROM news n JOIN machine m ON m.id = n.machine_id LEFT JOIN silence s ON s.machine_id = n.machine_id AND s.since = n.since),
	kept AS (INSERT INTO silence (id, machine_id, customer_id, since, noticed_at, until, cause, first_cause, why)
		SELECT n.id, n.machine_id, b.customer_id, n.since, n.noticed_at, n.until, n.cause, n.first_cause, string_to_array(n.why, ' ')
		FROM news n JOIN before b ON b.place = n.place ORDER BY n.machine_id, n.since
		ON CONFLICT (machine_id, since) DO UPDATE SET until = excluded.until, cause = excluded.cause, why = excluded.why)
	SELECT place, known, cause, until, why FROM before ORDER BY place`

// The newest silence of a machine says how it is now.
const connectSQL = `WITH news AS (SELECT DISTINCT ON (machine_id) machine_id, since, until, cause, why
		FROM unnest(@machineIDs::uuid[], @sinces::timestamptz[], @untils::timestamptz[], @causes::text[], @whys::text[]) AS n (machine_id, since, until, cause, why)
		ORDER BY machine_id, since DESC),
	locked AS (SELECT id FROM machine WHERE id = ANY(@machineIDs::uuid[]) ORDER BY id FOR NO KEY UPDATE)
	UPDATE machine m SET connectivity = CASE WHEN n.until IS NULL THEN n.cause ELSE 'online' END,
		connectivity_since = COALESCE(n.until, n.since), connectivity_why = CASE WHEN n.until IS NULL THEN string_to_array(n.why, ' ') ELSE '{}' END
	FROM locked, news n WHERE m.id = locked.id AND m.id = n.machine_id AND NOT EXISTS (SELECT 1 FROM silence s WHERE s.machine_id = m.id AND s.since > n.since)`

// silenceBefore is what was known of a silence before it was told again.
type silenceBefore struct {
	Place int        `db:"place"`
	Known *uuid.UUID `db:"known"`
	Cause string     `db:"cause"`
	Until *time.Time `db:"until"`
	Why   []string   `db:"why"`
}

// NoteSilences keeps what is known of silences now, each named by its machine and its
// beginning: one begins, ends, or turns out to have had another cause. It says how
// the machines are connected, and tells who listens what has changed.
func NoteSilences(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, list []Silence) error {
	if len(list) == 0 {
		return nil
	}
	args := silenceColumns(list)
	if _, err := postgres.Run(ctx, db, closeSilenceSQL, args); err != nil {
		return fmt.Errorf("end the silences before %d others: %w", len(list), err)
	}
	before, err := postgres.All[silenceBefore](ctx, db, noteSilenceSQL, args)
	if err != nil {
		return fmt.Errorf("note %d silences: %w", len(list), err)
	}
	if _, err := postgres.Run(ctx, db, connectSQL, args); err != nil {
		return fmt.Errorf("note how machines are connected: %w", err)
	}
	var log auditLog
	for _, b := range before {
		if err := log.silence(now, who, list[b.Place-1], b); err != nil {
			return err
		}
	}
	return log.write(ctx, db)
}

func silenceColumns(list []Silence) pgx.NamedArgs {
	n := len(list)
	ids, machineIDs := make([]uuid.UUID, n), make([]uuid.UUID, n)
	sinces, noticed, untils := make([]time.Time, n), make([]time.Time, n), make([]*time.Time, n)
	causes, firsts, whys := make([]string, n), make([]string, n), make([]string, n)
	for i, s := range list {
		ids[i], machineIDs[i], sinces[i], noticed[i], untils[i] = postgres.NewID(), s.MachineID, s.Since, s.NoticedAt, s.Until
		causes[i], firsts[i], whys[i] = s.Cause, s.FirstCause, strings.Join(s.Why, " ")
	}
	return pgx.NamedArgs{"ids": ids, "machineIDs": machineIDs, "sinces": sinces, "noticed": noticed, "untils": untils, "causes": causes, "firsts": firsts, "whys": whys}
}

// connection is how a machine is connected, as webhooks are told.
type connection struct {
	Connectivity string     `json:"connectivity"`
	Since        *time.Time `json:"since,omitempty"`
	Until        *time.Time `json:"until,omitempty"`
	Why          []string   `json:"why,omitempty"`
}

// silence writes down one change: a machine falls silent, speaks again, or its
// silence had another cause than was thought.
func (l *auditLog) silence(now time.Time, who identity.Principal, s Silence, before silenceBefore) error {
	was, is, action := connection{Connectivity: "online"}, connection{Connectivity: s.Cause, Since: &s.Since, Until: s.Until, Why: s.Why}, "connectivity"
	if before.Known != nil {
		was = connection{Connectivity: before.Cause, Since: &s.Since, Until: before.Until, Why: before.Why}
	}
	over := s.Until != nil
	switch {
	case before.Known != nil && before.Until != nil || before.Known == nil && over:
		if before.Cause == s.Cause {
			return nil // more is known, and it says the same
		}
		action = "silence explained"
	case over:
		is.Connectivity = "online"
	case before.Cause == s.Cause && slices.Equal(before.Why, s.Why):
		return nil
	}
	return l.add(now, who, "machine", s.MachineID, &s.MachineID, nil, action, was, is)
}

const silencesSQL = `SELECT id, machine_id, since, noticed_at, until, cause, first_cause, why FROM silence
	WHERE (@machineID::uuid IS NULL OR machine_id = @machineID) AND (@cause = '' OR cause = @cause) AND (NOT @open OR until IS NULL)
		AND (@beforeAt::timestamptz IS NULL OR (since, id) < (@beforeAt, @beforeID::uuid))
	ORDER BY since DESC, id DESC LIMIT @limit`

// SilenceFilter narrows the silences; Open means those that go on.
type SilenceFilter struct {
	MachineID *uuid.UUID
	Cause     string
	Open      bool
	Limit     int
	Cursor    string
}

// Silences lists the times in which machines said nothing, newest first.
func Silences(ctx context.Context, db postgres.DB, f SilenceFilter) (Page[Silence], error) {
	at, id, err := ReadTimeCursor(f.Cursor)
	if err != nil {
		return Page[Silence]{}, err
	}
	limit := PageLimit(f.Limit)
	rows, err := postgres.All[Silence](ctx, db, silencesSQL, pgx.NamedArgs{"machineID": f.MachineID, "cause": f.Cause, "open": f.Open, "beforeAt": at, "beforeID": id, "limit": limit + 1})
	if err != nil {
		return Page[Silence]{}, fmt.Errorf("list silences: %w", err)
	}
	return PageOf(rows, limit, func(s Silence) string { return TimeCursor(s.Since, s.ID) }), nil
}

const forgetSilencesSQL = `DELETE FROM silence WHERE until < @before`

// ForgetSilences removes those that ended before an instant.
func ForgetSilences(ctx context.Context, db postgres.DB, before time.Time) error {
	if _, err := postgres.Run(ctx, db, forgetSilencesSQL, pgx.NamedArgs{"before": before}); err != nil {
		return fmt.Errorf("forget old silences: %w", err)
	}
	return nil
}
