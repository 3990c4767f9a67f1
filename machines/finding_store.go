package machines

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const findingColumns = `id, machine_id, customer_id, component, rule, rule_hash, failure_mode, title, title_en, severity, source, state,
	opened_at, detected_at, updated_at, closed_at, close_reason, evidence, facts, case_id`

const getFindingSQL = `SELECT ` + findingColumns + ` FROM finding WHERE id = @id`

// GetFinding reads one finding.
func GetFinding(ctx context.Context, db postgres.DB, id uuid.UUID) (Finding, error) {
	f, err := postgres.One[Finding](ctx, db, getFindingSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return f, problem.New(problem.NotFound, "no such finding")
	}
	if err != nil {
		return f, fmt.Errorf("read finding %s: %w", id, err)
	}
	return f, nil
}

const findingsSQL = `SELECT ` + findingColumns + ` FROM finding
	WHERE (@machineID::uuid IS NULL OR machine_id = @machineID) AND (@state = '' OR state = @state)
		AND (@beforeAt::timestamptz IS NULL OR (opened_at, id) < (@beforeAt, @beforeID::uuid))
	ORDER BY opened_at DESC, id DESC LIMIT @limit`

// Findings lists findings, newest first.
func Findings(ctx context.Context, db postgres.DB, f FindingFilter) (Page[Finding], error) {
	at, id, err := ReadTimeCursor(f.Cursor)
	if err != nil {
		return Page[Finding]{}, err
	}
	limit := PageLimit(f.Limit)
	rows, err := postgres.All[Finding](ctx, db, findingsSQL, pgx.NamedArgs{"machineID": f.MachineID, "state": f.State,
		"beforeAt": at, "beforeID": id, "limit": limit + 1})
	if err != nil {
		return Page[Finding]{}, fmt.Errorf("list findings: %w", err)
	}
	return PageOf(rows, limit, func(f Finding) string { return TimeCursor(f.OpenedAt, f.ID) }), nil
}

const caseFindingsSQL = `SELECT ` + findingColumns + ` FROM finding WHERE case_id = @caseID ORDER BY opened_at DESC, id DESC LIMIT @limit`

// CaseFindings lists what a case was opened for, newest first.
func CaseFindings(ctx context.Context, db postgres.DB, caseID uuid.UUID) ([]Finding, error) {
	return findings(ctx, db, caseFindingsSQL, pgx.NamedArgs{"caseID": caseID, "limit": longestPage})
}

const openFindingsSQL = `SELECT ` + findingColumns + ` FROM finding WHERE machine_id = @machineID AND state = 'open' ORDER BY opened_at DESC, id DESC LIMIT @limit`

// OpenFindings lists what is wrong with a machine now, newest first.
func OpenFindings(ctx context.Context, db postgres.DB, machineID uuid.UUID) ([]Finding, error) {
	return findings(ctx, db, openFindingsSQL, pgx.NamedArgs{"machineID": machineID, "limit": longestPage})
}

const waitingFindingsSQL = `SELECT ` + findingColumns + ` FROM finding
	WHERE state = 'open' AND case_id IS NULL AND severity <> 'info' AND source IN ('daily_check', 'reading') ORDER BY opened_at, id LIMIT @limit`

// WaitingFindings lists, oldest first, the findings that a reading opened and that
// have no case yet: this package opens findings and knows of no cases.
func WaitingFindings(ctx context.Context, db postgres.DB, limit int) ([]Finding, error) {
	return findings(ctx, db, waitingFindingsSQL, pgx.NamedArgs{"limit": PageLimit(limit)})
}

func findings(ctx context.Context, db postgres.DB, sql string, args pgx.NamedArgs) ([]Finding, error) {
	list, err := postgres.All[Finding](ctx, db, sql, args)
	if err != nil {
		return nil, fmt.Errorf("list findings: %w", err)
	}
	return list, nil
}

const attachFindingSQL = `UPDATE finding SET case_id = @caseID WHERE id = @id`

// AttachFinding says which case a finding belongs to; the case's own audit entry
// tells it, so this writes none.
func AttachFinding(ctx context.Context, db postgres.DB, findingID, caseID uuid.UUID) error {
	touched, err := postgres.Run(ctx, db, attachFindingSQL, pgx.NamedArgs{"id": findingID, "caseID": caseID})
	if err != nil {
		return fmt.Errorf("attach finding %s to case %s: %w", findingID, caseID, err)
	}
	if touched == 0 {
		return problem.New(problem.NotFound, "no such finding")
	}
	return nil
}

const closeFindingSQL = `UPDATE finding SET state = @state, closed_at = GREATEST(@at::timestamptz, opened_at), updated_at = GREATEST(@at::timestamptz, updated_at), close_reason = @reason
	WHERE id = @id AND state = 'open' RETURNING ` + findingColumns

// CloseFinding ends a finding by a person's word: state closed, or dismissed for a
// false alarm. It answers false where the finding had ended before.
func CloseFinding(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID, state, reason string) (Finding, bool, error) {
	if state != "closed" && state != "dismissed" {
		return Finding{}, false, problem.New(problem.Invalid, "a finding ends closed or dismissed")
	}
	before, err := GetFinding(ctx, db, id)
	if err != nil {
		return before, false, err
	}
	f, err := postgres.One[Finding](ctx, db, closeFindingSQL, pgx.NamedArgs{"id": id, "state": state, "at": now, "reason": reason})
	if problem.Of(err) == problem.NotFound {
		return before, false, nil
	}
	if err != nil {
		return before, false, fmt.Errorf("end finding %s: %w", id, err)
	}
	return f, true, tellFinding(ctx, db, now, who, state, &before, f)
}
