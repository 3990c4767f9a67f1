package maintenance

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

// ConfirmedFault is a fault that people have seen with their own eyes: a case that
// has ended with the verdict true. At is when they saw it: when it was reported by
// somebody at the machine, else when the work began. The failure mode is what the
// engineer found, else what was suspected.
type ConfirmedFault struct {
	MachineID   uuid.UUID `db:"machine_id"`
	FailureMode string    `db:"failure_mode"`
	At          time.Time `db:"at"`
}

const confirmedFaultsSQL = `SELECT c.machine_id, coalesce(nullif(o.failure_mode, ''), c.failure_mode) AS failure_mode,
  CASE WHEN c.machine_down OR c.origin IN ('request', 'inspection', 'daily_check', 'callback') THEN c.opened_at
    ELSE coalesce(c.work_started_at, c.closed_at) END AS at
FROM service_case c LEFT JOIN LATERAL (SELECT w.failure_mode FROM work_order w WHERE w.case_id = c.id AND w.state = 'completed'
  ORDER BY w.completed_at DESC, w.id DESC LIMIT 1) o ON true
WHERE c.verdict = 'true' AND c.state IN ('closed', 'cancelled') AND c.machine_id = ANY(@machines::uuid[])
ORDER BY at, c.machine_id, c.id LIMIT @limit`

// mostFaults bounds what is read at once.
const mostFaults = 1_000_000

// ConfirmedFaults lists the confirmed faults of machines, oldest first.
func ConfirmedFaults(ctx context.Context, db postgres.DB, machines []uuid.UUID) ([]ConfirmedFault, error) {
	list, err := postgres.All[ConfirmedFault](ctx, db, confirmedFaultsSQL, pgx.NamedArgs{"machines": machines, "limit": mostFaults})
	if err != nil {
		return nil, fmt.Errorf("list the confirmed faults of %d machines: %w", len(machines), err)
	}
	return list, nil
}

// RuleVerdicts counts the cases that have ended on the word of one rule, since its
// flags are asked for, by what people have found.
type RuleVerdicts struct {
	Rule     string `db:"rule"`
	RuleHash string `db:"rule_hash"`
	True     int    `db:"yes"`
	False    int    `db:"no"`
	Unclear  int    `db:"unclear"`
}

const ruleVerdictsSQL = `SELECT k.rule, k.rule_hash, count(DISTINCT c.id) FILTER (WHERE c.verdict = 'true') AS yes,
  count(DISTINCT c.id) FILTER (WHERE c.verdict = 'false_alarm') AS no, count(DISTINCT c.id) FILTER (WHERE c.verdict = 'unclear') AS unclear
FROM unnest(@rules::text[], @hashes::text[], @sinces::timestamptz[]) AS k (rule, rule_hash, since)
JOIN finding f ON f.source = 'rule' AND f.rule = k.rule AND f.rule_hash = k.rule_hash AND f.detected_at >= k.since
JOIN service_case c ON c.id = f.case_id AND c.state IN ('closed', 'cancelled') AND c.verdict <> ''
GROUP BY k.rule, k.rule_hash`

// VerdictsOf counts verdicts on rules, by their hashes and since when; a case on which
// several rules have spoken counts for each of them. Rules without any are left out.
func VerdictsOf(ctx context.Context, db postgres.DB, rules, hashes []string, since []time.Time) ([]RuleVerdicts, error) {
	list, err := postgres.All[RuleVerdicts](ctx, db, ruleVerdictsSQL, pgx.NamedArgs{"rules": rules, "hashes": hashes, "sinces": since})
	if err != nil {
		return nil, fmt.Errorf("count the verdicts on %d rules: %w", len(rules), err)
	}
	return list, nil
}
