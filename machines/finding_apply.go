package machines

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// ApplyFinding stores what detection, an inspection or a reading says of a finding.
// The same change may come any number of times: fresh is false, and nothing was
// written, where it was known or is older than what is stored. An opening while
// another episode of its machine, component and rule is open gives that one back;
// news of an episode that was never stored gives a Finding without ID. Health is
// left to SetHealth.
func ApplyFinding(ctx context.Context, db postgres.DB, now time.Time, change FindingChange) (f Finding, fresh bool, err error) {
	who, ok := identity.From(ctx)
	if !ok {
		who = identity.Program("detection")
	}
	return apply(ctx, db, now, who, change)
}

func apply(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, change FindingChange) (f Finding, fresh bool, err error) {
	switch change.Change {
	case FindingOpened:
		f, fresh, err = openFinding(ctx, db, now, change.Finding)
		if err == nil && fresh {
			err = tellFinding(ctx, db, now, who, "opened", nil, f)
		}
	case FindingUpdated, FindingClosed:
		f, fresh, err = newsOfFinding(ctx, db, now, who, change)
	default:
		err = problem.New(problem.Invalid, "a finding is opened, updated or closed, not %q", change.Change)
	}
	if err != nil {
		return Finding{}, false, fmt.Errorf("%s finding of rule %s on machine %s: %w", change.Change, change.Finding.Rule, change.Finding.MachineID, err)
	}
	return f, fresh, nil
}

// An episode that begins inside one that is stored and over was told as part of it
// (see episodeSQL) and is not told again by a replay.
const openFindingSQL = `INSERT INTO finding (id, machine_id, customer_id, component, rule, rule_hash, failure_mode, title, title_en, severity, source, state,
		opened_at, detected_at, updated_at, evidence, facts)
	SELECT @id, m.id, m.customer_id, @component::text, @rule, @ruleHash, @failureMode, @title, @titleEN, @severity, @source, 'open',
		@openedAt, @now, @updatedAt, @evidence, @facts FROM machine m
	WHERE m.id = @machineID AND NOT EXISTS (SELECT FROM finding f WHERE f.machine_id = @machineID AND f.component IS NOT DISTINCT FROM @component::text
		AND f.rule = @rule AND f.state = 'closed' AND f.opened_at <= @openedAt AND f.closed_at > @openedAt)
	ON CONFLICT DO NOTHING RETURNING ` + findingColumns

func openFinding(ctx context.Context, db postgres.DB, now time.Time, f Finding) (Finding, bool, error) {
	if f.Source == "" {
		f.Source = "rule"
	}
	if f.UpdatedAt.IsZero() {
		f.UpdatedAt = f.OpenedAt
	}
	if len(f.Evidence) == 0 {
		f.Evidence = []byte("{}")
	}
	args := keyOf(f)
	args["id"], args["ruleHash"], args["failureMode"], args["title"], args["titleEN"] = postgres.NewID(), f.RuleHash, f.FailureMode, f.Title, f.TitleEN
	args["severity"], args["source"], args["now"], args["updatedAt"], args["evidence"], args["facts"] = f.Severity, f.Source, now, f.UpdatedAt, f.Evidence, f.Facts
	stored, err := postgres.One[Finding](ctx, db, openFindingSQL, args)
	if problem.Of(err) != problem.NotFound {
		return stored, err == nil, err
	}
	stored, err = episode(ctx, db, f)
	if problem.Of(err) != problem.NotFound {
		return stored, false, err
	}
	if _, err := Get(ctx, db, f.MachineID); err != nil {
		return Finding{}, false, err
	}
	return Finding{}, false, nil
}

func keyOf(f Finding) pgx.NamedArgs {
	return pgx.NamedArgs{"machineID": f.MachineID, "component": f.Component, "rule": f.Rule, "openedAt": f.OpenedAt}
}

// The episode itself comes first; else the open one that kept it from being
// stored as one of its own, so that its news is not lost; else the one that it
// was told as a part of.
const episodeSQL = `SELECT ` + findingColumns + ` FROM finding
	WHERE machine_id = @machineID AND component IS NOT DISTINCT FROM @component::text AND rule = @rule
		AND (opened_at = @openedAt OR (state = 'open' AND opened_at <= @openedAt) OR (state = 'closed' AND opened_at <= @openedAt AND closed_at > @openedAt))
	ORDER BY opened_at <> @openedAt, state <> 'open', opened_at DESC LIMIT 1`

// openAnywaySQL finds the open episode that an opening met though it began earlier.
const openAnywaySQL = `SELECT ` + findingColumns + ` FROM finding
	WHERE machine_id = @machineID AND component IS NOT DISTINCT FROM @component::text AND rule = @rule AND state = 'open' AND opened_at > @openedAt`

func episode(ctx context.Context, db postgres.DB, f Finding) (Finding, error) {
	stored, err := postgres.One[Finding](ctx, db, episodeSQL, keyOf(f))
	if problem.Of(err) == problem.NotFound {
		return postgres.One[Finding](ctx, db, openAnywaySQL, keyOf(f))
	}
	return stored, err
}

const updateFindingSQL = `UPDATE finding SET rule_hash = @ruleHash, severity = @severity, evidence = @evidence, facts = @facts, updated_at = @updatedAt
	WHERE id = @id AND state = 'open' AND updated_at < @updatedAt RETURNING ` + findingColumns

// A reading may be noted late: an older good one does not end what a newer bad one
// says. The evidence stays that of the fault, which a signal that is back within
// its band no longer shows.
const endFindingSQL = `UPDATE finding SET state = 'closed', closed_at = @closedAt, close_reason = @reason, updated_at = GREATEST(updated_at, @closedAt)
	WHERE id = @id AND state = 'open' AND (source NOT IN ('reading', 'daily_check') OR updated_at <= @closedAt) RETURNING ` + findingColumns

func newsOfFinding(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, change FindingChange) (Finding, bool, error) {
	f := change.Finding
	before, err := postgres.One[Finding](ctx, db, episodeSQL, keyOf(f))
	if problem.Of(err) == problem.NotFound {
		return Finding{}, false, nil
	}
	if err != nil {
		return before, false, err
	}
	args := pgx.NamedArgs{"id": before.ID, "ruleHash": f.RuleHash, "severity": f.Severity, "evidence": f.Evidence, "facts": f.Facts,
		"updatedAt": f.UpdatedAt, "closedAt": f.UpdatedAt, "reason": f.CloseReason}
	if len(f.Evidence) == 0 {
		args["evidence"] = before.Evidence
	}
	sql, action := updateFindingSQL, "updated"
	if change.Change == FindingClosed {
		sql, action = endFindingSQL, "closed"
		if f.ClosedAt != nil {
			args["closedAt"] = *f.ClosedAt
		}
	}
	after, err := postgres.One[Finding](ctx, db, sql, args)
	if problem.Of(err) == problem.NotFound {
		return before, false, nil // ended, or newer news is stored
	}
	if err != nil {
		return before, false, err
	}
	return after, true, tellFinding(ctx, db, now, who, action, &before, after)
}

// tellFinding writes the audit entry of a change and, where a reader of the
// machine's life would want to know, a line of that.
func tellFinding(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, action string, before *Finding, after Finding) error {
	var was any
	if before != nil {
		was = before
	}
	if err := Audit(ctx, db, now, who, "finding", after.ID, &after.MachineID, after.CustomerID, action, was, after); err != nil {
		return err
	}
	text := Text{ZH: after.Title, EN: after.TitleEN}
	switch {
	case action == "updated" && before.Severity == after.Severity:
		return nil
	case action == "updated":
		text = Text{ZH: after.Title + "：现为" + after.Severity.word().ZH, EN: after.TitleEN + ": now " + after.Severity.word().EN}
	case action == "dismissed":
		text = Text{ZH: after.Title + "：误报", EN: after.TitleEN + ": false alarm"}
	case action == "closed" && after.CloseReason == "cleared":
		text = Text{ZH: after.Title + "：已恢复正常", EN: after.TitleEN + ": back to normal"}
	case action == "closed":
		text = Text{ZH: after.Title + "：已解除", EN: after.TitleEN + ": ended"}
	}
	return AddEvent(ctx, db, LifecycleEvent{MachineID: after.MachineID, At: now, Kind: "finding", Text: text.ZH, TextEN: text.EN, Actor: who.Name,
		Entity: "finding", EntityID: &after.ID})
}

func (s Severity) word() Text {
	switch s {
	case Info:
		return Text{ZH: "记录", EN: "a note"}
	case Advice:
		return Text{ZH: "建议", EN: "advice"}
	case Warning:
		return Text{ZH: "预警", EN: "a warning"}
	case Alarm:
		return Text{ZH: "严重", EN: "an alarm"}
	}
	return Text{ZH: string(s), EN: string(s)}
}
