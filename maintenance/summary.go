package maintenance

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

const caseRefSQL = `SELECT c.id, c.number, c.title, c.title_en FROM service_case c WHERE (@customer::uuid IS NULL OR c.customer_id = @customer) AND `

const (
	foundEarlySQL = caseRefSQL + `c.origin IN ('finding','daily_check','inspection') AND NOT c.machine_down AND c.state <> 'cancelled'
	AND c.verdict <> 'false_alarm' AND c.work_completed_at >= @from AND c.work_completed_at < @to ORDER BY c.work_completed_at DESC, c.id LIMIT 500`
	falseAlarmsSQL = caseRefSQL + `c.verdict = 'false_alarm' AND coalesce(c.closed_at, c.state_at) >= @from AND coalesce(c.closed_at, c.state_at) < @to
	ORDER BY c.number DESC LIMIT 500`
	missedSQL = caseRefSQL + `c.origin = 'request' AND c.machine_down AND c.opened_at >= @from AND c.opened_at < @to
	AND NOT EXISTS (SELECT 1 FROM finding f WHERE f.machine_id = c.machine_id AND f.source <> 'request' AND f.severity <> 'info'
		AND f.state <> 'dismissed' AND f.detected_at < c.opened_at AND (f.closed_at IS NULL OR f.closed_at > c.opened_at))
	ORDER BY c.number DESC LIMIT 500`
	putOffSQL = caseRefSQL + `EXISTS (SELECT 1 FROM case_move v WHERE v.case_id = c.id AND v.to_state = 'deferred' AND v.from_state <> 'deferred'
		AND v.at >= @from AND v.at < @to) ORDER BY c.number DESC LIMIT 500`
)

// summarise counts by their cases what was found early, wrongly or not at all in
// [from, to), of one customer or of all that the caller sees.
func summarise(ctx context.Context, db postgres.DB, from, to time.Time, customer *uuid.UUID) (CaseSummary, error) {
	var s CaseSummary
	args := pgx.NamedArgs{"from": from, "to": to, "customer": customer}
	for _, read := range []struct {
		into *[]CaseRef
		sql  string
	}{{&s.FoundEarly, foundEarlySQL}, {&s.FalseAlarms, falseAlarmsSQL}, {&s.Missed, missedSQL}, {&s.Deferred, putOffSQL}} {
		list, err := postgres.All[CaseRef](ctx, db, read.sql, args)
		if err != nil {
			return s, fmt.Errorf("count what became of cases: %w", err)
		}
		*read.into = list
	}
	return s, nil
}
