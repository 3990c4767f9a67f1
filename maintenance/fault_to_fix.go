package maintenance

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

// reportCases bounds the cases of one report; the newest ones count.
const reportCases = 1000

type fixedCase struct {
	CaseRef
	OnsetAt  *time.Time `db:"onset_at"`
	OpenedAt time.Time  `db:"opened_at"`
	ClosedAt time.Time  `db:"closed_at"`
}

const fixedCasesSQL = `SELECT c.id, c.number, c.title, c.title_en, c.onset_at, c.opened_at, c.closed_at
FROM service_case c WHERE c.state = 'closed' AND c.closed_at >= @from AND c.closed_at < @to
ORDER BY c.closed_at DESC, c.id LIMIT @limit`

// FaultToFix splits the time of each case that was closed in [from, to) by what
// was waited for: the waits add up to the time from onset to end, to the second.
func FaultToFix(ctx context.Context, db postgres.DB, from, to time.Time) (FixReport, error) {
	report := FixReport{From: from, To: to, Cases: []CaseWaits{}}
	list, err := postgres.All[fixedCase](ctx, db, fixedCasesSQL, pgx.NamedArgs{"from": from, "to": to, "limit": reportCases})
	if err != nil {
		return report, fmt.Errorf("list the cases closed in the period: %w", err)
	}
	courses, err := coursesOf(ctx, db, list)
	if err != nil {
		return report, err
	}
	for _, c := range list {
		report.Cases = append(report.Cases, caseWaits(c.CaseRef, courses[c.ID]))
	}
	report.Waits = waitStatistics(report.Cases)
	return report, nil
}

func caseWaits(ref CaseRef, c course) CaseWaits {
	total, waits := c.waits()
	out := CaseWaits{CaseRef: ref, TotalHours: total.Hours(), Waits: inOrder(waits)}
	for _, l := range c.loops() {
		out.Loops = append(out.Loops, Loop{Hours: l.length.Hours(), Waits: inOrder(l.waits)})
	}
	return out
}

func inOrder(waits map[string]time.Duration) []Wait {
	list := make([]Wait, 0, len(WaitNames))
	for _, name := range WaitNames {
		list = append(list, Wait{Name: name, Hours: waits[name].Hours()})
	}
	return list
}

func waitStatistics(cases []CaseWaits) []WaitStatistic {
	var out []WaitStatistic
	for i, name := range WaitNames {
		hours := make([]float64, len(cases))
		for k, c := range cases {
			hours[k] = c.Waits[i].Hours
		}
		slices.Sort(hours)
		out = append(out, WaitStatistic{Name: name, P50: quantile(hours, 0.5), P90: quantile(hours, 0.9)})
	}
	return out
}

const stepsSQL = `SELECT case_id, at, to_state, waiting_for FROM case_move WHERE case_id = ANY(@cases) AND from_state <> to_state ORDER BY case_id, at, id`

const visitsSQL = `SELECT case_id, en_route_at, on_site_at, coalesce(completed_at, CASE WHEN state IN ('cannot_complete','cancelled') THEN state_at END) AS ended_at,
	waited_minutes FROM work_order WHERE case_id = ANY(@cases) AND coalesce(en_route_at, on_site_at) IS NOT NULL ORDER BY case_id, created_at, id`

type stepRow struct {
	CaseID     uuid.UUID `db:"case_id"`
	At         time.Time `db:"at"`
	ToState    CaseState `db:"to_state"`
	WaitingFor string    `db:"waiting_for"`
}

type visitRow struct {
	CaseID        uuid.UUID  `db:"case_id"`
	EnRouteAt     *time.Time `db:"en_route_at"`
	OnSiteAt      *time.Time `db:"on_site_at"`
	EndedAt       *time.Time `db:"ended_at"`
	WaitedMinutes int        `db:"waited_minutes"`
}

func coursesOf(ctx context.Context, db postgres.DB, list []fixedCase) (map[uuid.UUID]course, error) {
	courses := make(map[uuid.UUID]course, len(list))
	ids := make([]uuid.UUID, 0, len(list))
	for _, c := range list {
		way := course{onset: c.OpenedAt, opened: c.OpenedAt, end: c.ClosedAt}
		if c.OnsetAt != nil {
			way.onset = *c.OnsetAt
		}
		courses[c.ID], ids = way, append(ids, c.ID)
	}
	steps, err := postgres.All[stepRow](ctx, db, stepsSQL, pgx.NamedArgs{"cases": ids})
	if err != nil {
		return nil, fmt.Errorf("read the moves of the cases: %w", err)
	}
	for _, s := range steps {
		way := courses[s.CaseID]
		way.moves = append(way.moves, step{s.At, s.ToState, s.WaitingFor})
		courses[s.CaseID] = way
	}
	visits, err := postgres.All[visitRow](ctx, db, visitsSQL, pgx.NamedArgs{"cases": ids})
	if err != nil {
		return nil, fmt.Errorf("read the visits of the cases: %w", err)
	}
	for _, v := range visits {
		way := courses[v.CaseID]
		way.visits = append(way.visits, visit{orZero(v.EnRouteAt), orZero(v.OnSiteAt), orZero(v.EndedAt), time.Duration(v.WaitedMinutes) * time.Minute})
		courses[v.CaseID] = way
	}
	return courses, nil
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
