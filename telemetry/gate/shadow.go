package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

// ShadowFinding is what a rule in the shadow has found of a machine.
type ShadowFinding struct {
	ID          uuid.UUID         `json:"id" db:"id"`
	MachineID   uuid.UUID         `json:"machineId" db:"machine_id"`
	MachineKey  string            `json:"machineKey" db:"machine_key"`
	Component   *string           `json:"component" db:"component"`
	Rule        string            `json:"rule" db:"rule"`
	RuleHash    string            `json:"ruleHash" db:"rule_hash"`
	FailureMode string            `json:"failureMode" db:"failure_mode"`
	Title       string            `json:"title" db:"title"`
	TitleEN     string            `json:"titleEn" db:"title_en"`
	Severity    machines.Severity `json:"severity" db:"severity"`
	OpenedAt    time.Time         `json:"openedAt" db:"opened_at" doc:"event time"`
	DetectedAt  time.Time         `json:"detectedAt" db:"detected_at" doc:"program clock"`
	UpdatedAt   time.Time         `json:"updatedAt" db:"updated_at"`
	ClosedAt    *time.Time        `json:"closedAt" db:"closed_at"`
	CloseReason string            `json:"closeReason" db:"close_reason" doc:"promoted = it went on as a finding that everybody sees"`
	Evidence    json.RawMessage   `json:"evidence" db:"evidence" doc:"as of a finding"`
}

const openShadowSQL = `INSERT INTO shadow_finding (id, machine_id, component, rule, rule_hash, failure_mode, title, title_en, severity, opened_at, detected_at, updated_at, evidence)
VALUES (@id, @machine, @component, @rule, @hash, @mode, @title, @titleEN, @severity, @openedAt, @now, @updatedAt, @evidence) ON CONFLICT DO NOTHING`

const newsOfShadowSQL = `UPDATE shadow_finding SET severity = @severity, evidence = @evidence, updated_at = greatest(updated_at, @updatedAt::timestamptz)
WHERE machine_id = @machine AND component IS NOT DISTINCT FROM @component::text AND rule = @rule AND opened_at = @openedAt AND closed_at IS NULL AND updated_at < @updatedAt`

const endShadowSQL = `UPDATE shadow_finding SET closed_at = greatest(@updatedAt::timestamptz, opened_at), updated_at = greatest(updated_at, @updatedAt::timestamptz), close_reason = @reason
WHERE machine_id = @machine AND component IS NOT DISTINCT FROM @component::text AND rule = @rule AND opened_at = @openedAt AND closed_at IS NULL`

// Take keeps what rules in the shadow have found, in the caller's transaction, and
// gives back what is for everybody. The same changes twice do the same as once. An
// episode goes on where it began: what was found before its rule came into the shadow
// is followed to its end, and what was found in it becomes everybody's with its next
// news after the rule has left it.
func Take(ctx context.Context, db postgres.DB, now time.Time, changes []machines.FindingChange) ([]machines.FindingChange, error) {
	rest := changes[:0:0]
	for _, c := range changes {
		if c.Stage == "" { // no gate holds the rule
			rest = append(rest, c)
			continue
		}
		c, pass, err := takeOne(ctx, db, now, c)
		if err != nil {
			return nil, fmt.Errorf("keep what rule %s has found in the shadow: %w", c.Finding.Rule, err)
		}
		if pass {
			rest = append(rest, c)
		}
	}
	return rest, nil
}

func takeOne(ctx context.Context, db postgres.DB, now time.Time, c machines.FindingChange) (machines.FindingChange, bool, error) {
	f := c.Finding
	if len(f.Evidence) == 0 {
		f.Evidence = []byte("{}")
	}
	args := pgx.NamedArgs{"machine": f.MachineID, "component": f.Component, "rule": f.Rule, "openedAt": f.OpenedAt, "updatedAt": f.UpdatedAt, "severity": f.Severity, "evidence": f.Evidence}
	switch {
	case c.Change == machines.FindingOpened && c.Stage != machines.Shadow:
		return c, true, nil
	case c.Change == machines.FindingOpened:
		args["id"], args["hash"], args["mode"], args["title"], args["titleEN"], args["now"] = postgres.NewID(), f.RuleHash, f.FailureMode, f.Title, f.TitleEN, now
		_, err := postgres.Run(ctx, db, openShadowSQL, args)
		return c, false, err
	case c.Change == machines.FindingUpdated && c.Stage == machines.Shadow:
		_, err := postgres.Run(ctx, db, newsOfShadowSQL, args)
		return c, true, err
	case c.Change == machines.FindingUpdated:
		args["reason"] = "promoted"
		n, err := postgres.Run(ctx, db, endShadowSQL, args)
		if n > 0 {
			c.Change = machines.FindingOpened
		}
		return c, true, err
	}
	args["reason"] = f.CloseReason
	_, err := postgres.Run(ctx, db, endShadowSQL, args)
	return c, true, err
}

const shadowColumns = `s.id, s.machine_id, m.key AS machine_key, s.component, s.rule, s.rule_hash, s.failure_mode, s.title, s.title_en, s.severity, s.opened_at, s.detected_at, s.updated_at,
  s.closed_at, s.close_reason, s.evidence`

const shadowFindingsSQL = `SELECT ` + shadowColumns + ` FROM shadow_finding s JOIN machine m ON m.id = s.machine_id
WHERE (@rule = '' OR s.rule = @rule) AND (@hash = '' OR s.rule_hash = @hash)
  AND (@beforeAt::timestamptz IS NULL OR (s.detected_at, s.id) < (@beforeAt, @beforeID::uuid))
ORDER BY s.detected_at DESC, s.id DESC LIMIT @limit`

// ShadowFilter narrows a list of shadow findings.
type ShadowFilter struct {
	Rule, RuleHash string
	Limit          int
	Cursor         string
}

// ShadowFindings lists what rules in the shadow have found, newest first.
func ShadowFindings(ctx context.Context, db postgres.DB, f ShadowFilter) (machines.Page[ShadowFinding], error) {
	at, id, err := machines.ReadTimeCursor(f.Cursor)
	if err != nil {
		return machines.Page[ShadowFinding]{}, err
	}
	limit := machines.PageLimit(f.Limit)
	rows, err := postgres.All[ShadowFinding](ctx, db, shadowFindingsSQL, pgx.NamedArgs{"rule": f.Rule, "hash": f.RuleHash, "beforeAt": at, "beforeID": id, "limit": limit + 1})
	if err != nil {
		return machines.Page[ShadowFinding]{}, fmt.Errorf("list what rules have found in the shadow: %w", err)
	}
	return machines.PageOf(rows, limit, func(s ShadowFinding) string { return machines.TimeCursor(s.DetectedAt, s.ID) }), nil
}
