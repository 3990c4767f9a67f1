package maintenance

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

const (
	// budgetWeek is the span over which alerts are counted.
	budgetWeek = 7 * 24 * time.Hour

	// alertsPerEngineer is what a branch takes up in a week for each of its engineers
	// where nobody has said otherwise: a visit that prevents each working day, and the
	// rest of the day for what is broken already.
	alertsPerEngineer = 5

	// mostAlerts bounds what somebody may say.
	mostAlerts = 10_000
)

// AlertBudget is how many findings of rules a branch of the service organisation takes
// up in a week. A machine is of the branch of its engineer in charge, or else of the
// organisation itself. What is more waits as a case that somebody decides on (see
// Case.OverBudget); an alarm does not wait, and counts.
type AlertBudget struct {
	ID        uuid.UUID `json:"id" db:"id" doc:"of the branch"`
	Kind      string    `json:"kind" db:"kind" enum:"branch,organisation"`
	Name      string    `json:"name" db:"name"`
	NameEN    string    `json:"nameEn" db:"name_en"`
	Engineers int       `json:"engineers" db:"engineers" doc:"that are active, of its stations and dealers too"`
	Stated    *int      `json:"stated" db:"alerts_per_week" doc:"alerts a week that somebody has said; null means five for each engineer"`
	PerWeek   *int      `json:"perWeek" db:"-" doc:"what holds; null means no limit: nothing is stated, and no engineer is known"`
	Used      int       `json:"used" db:"used" doc:"cases of findings that became people's work within the last 7 days"`
	Held      int       `json:"held" db:"held" doc:"cases that wait for room or for somebody's decision"`
	HeldToday int       `json:"-" db:"held_today"`
}

// room is how many more alerts the branch takes up now.
func (b AlertBudget) room() int {
	if b.PerWeek == nil {
		return mostAlerts
	}
	return max(*b.PerWeek-b.Used, 0)
}

// Units are branches and the organisation; what hangs below one belongs to it down to
// the next one. A case becomes people's work informWithin before somebody must have
// told the customer.
const budgetUnits = `WITH RECURSIVE under AS (
  SELECT id AS unit, id FROM org_unit WHERE kind IN ('branch', 'organisation')
  UNION SELECT under.unit, u.id FROM under JOIN org_unit u ON u.parent_id = under.id AND u.kind NOT IN ('branch', 'organisation')),
engineer AS (SELECT t.id, t.active, under.unit FROM technician t JOIN under ON under.id = t.station_id),
root AS (SELECT id AS unit FROM org_unit WHERE kind = 'organisation' ORDER BY id LIMIT 1) `

const budgetsSQL = budgetUnits + `, alert AS (
  SELECT coalesce(e.unit, (SELECT unit FROM root)) AS unit, c.over_budget, c.opened_at, c.inform_due_at
  FROM service_case c JOIN machine m ON m.id = c.machine_id LEFT JOIN engineer e ON e.id = m.responsible_id
  WHERE c.origin = 'finding' AND (c.inform_due_at > @since OR c.over_budget AND ` + isUndecided + `))
SELECT u.id, u.kind, u.name, u.name_en, u.alerts_per_week,
  (SELECT count(*) FROM engineer e WHERE e.unit = u.id AND e.active) AS engineers,
  (SELECT count(*) FROM alert a WHERE a.unit = u.id AND a.inform_due_at > @since) AS used,
  (SELECT count(*) FROM alert a WHERE a.unit = u.id AND a.over_budget AND a.inform_due_at IS NULL) AS held,
  (SELECT count(*) FROM alert a WHERE a.unit = u.id AND a.over_budget AND a.opened_at > @today) AS held_today
FROM org_unit u WHERE u.kind IN ('branch', 'organisation') AND (@unit::uuid IS NULL OR u.id = @unit) ORDER BY u.kind = 'organisation', u.name, u.id LIMIT 1000`

// isUndecided is Case.Undecided in SQL.
const isUndecided = `c.advised AND (c.state = 'open' OR c.state = 'waiting' AND c.previous_state = 'open')`

// AlertBudgets lists the branches with what each takes up, and the organisation last.
func AlertBudgets(ctx context.Context, db postgres.DB, now time.Time) ([]AlertBudget, error) {
	return budgets(ctx, db, now, nil)
}

func budgets(ctx context.Context, db postgres.DB, now time.Time, unit *uuid.UUID) ([]AlertBudget, error) {
	list, err := postgres.All[AlertBudget](ctx, db, budgetsSQL,
		pgx.NamedArgs{"since": now.Add(informWithin - budgetWeek), "today": now.Add(-24 * time.Hour), "unit": unit})
	if err != nil {
		return nil, fmt.Errorf("read the alert budgets: %w", err)
	}
	for i := range list {
		if list[i].PerWeek = list[i].Stated; list[i].PerWeek == nil && list[i].Engineers > 0 {
			usual := alertsPerEngineer * list[i].Engineers
			list[i].PerWeek = &usual
		}
	}
	return list, nil
}

const setBudgetSQL = `UPDATE org_unit SET alerts_per_week = @n WHERE id = @id AND kind IN ('branch', 'organisation')`

// SetAlertBudget says how many alerts a branch takes up in a week; nil gives it the
// usual number again. What waits and has room now is taken up by the next RunDue.
func SetAlertBudget(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, unit uuid.UUID, perWeek *int) (AlertBudget, error) {
	if perWeek != nil && (*perWeek < 0 || *perWeek > mostAlerts) {
		return AlertBudget{}, problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/perWeek", Detail: fmt.Sprintf("0 to %d", mostAlerts)})
	}
	before, err := budgets(ctx, db, now, &unit)
	if err != nil {
		return AlertBudget{}, err
	}
	if len(before) == 0 {
		return AlertBudget{}, notFound("branch")
	}
	if _, err := postgres.Run(ctx, db, setBudgetSQL, pgx.NamedArgs{"id": unit, "n": perWeek}); err != nil {
		return AlertBudget{}, fmt.Errorf("set an alert budget: %w", err)
	}
	after, err := budgets(ctx, db, now, &unit)
	if err != nil {
		return AlertBudget{}, err
	}
	return after[0], machines.Audit(ctx, db, now, who, "alert_budget", unit, nil, nil, "set", before[0], after[0])
}

const unitOfMachineSQL = budgetUnits + `SELECT coalesce((SELECT e.unit FROM machine m JOIN engineer e ON e.id = m.responsible_id WHERE m.id = @machine), (SELECT unit FROM root)) AS id`

// overBudget says whether the machine's branch has no room for one more alert. An
// installation that knows no branch has no budget.
func overBudget(ctx context.Context, db postgres.DB, now time.Time, machine uuid.UUID) (b AlertBudget, over bool, err error) {
	unit, err := postgres.Value[*uuid.UUID](ctx, db, unitOfMachineSQL, pgx.NamedArgs{"machine": machine})
	if err != nil || unit == nil {
		return b, false, err
	}
	list, err := budgets(ctx, db, now, unit)
	if err != nil || len(list) == 0 {
		return b, false, err
	}
	return list[0], list[0].room() == 0, nil
}

// holdForRoom says on a new case that it waits, and tells the manager of the first one
// of a branch in a day.
func holdForRoom(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case, b AlertBudget) error {
	if err := noteCase(ctx, db, now, who, c, machines.Text{
		ZH: fmt.Sprintf("%s本周预警额度已满（%d/%d）：由人决定，或等有余量", b.Name, b.Used, *b.PerWeek),
		EN: fmt.Sprintf("the week's alert budget of %s is used up (%d of %d): somebody decides, or it waits for room", machines.InLanguage("en", b.Name, b.NameEN), b.Used, *b.PerWeek)}); err != nil {
		return err
	}
	if b.HeldToday > 0 {
		return nil
	}
	return tellManager(ctx, db, now, Notice{MachineID: &c.MachineID, CaseID: &c.ID}, machines.Text{
		ZH: fmt.Sprintf("%s本周预警额度已满（%d/%d）：新的发现等待您决定，报警除外。", b.Name, b.Used, *b.PerWeek),
		EN: fmt.Sprintf("The week's alert budget of %s is used up (%d of %d): new findings wait for your decision, alarms do not.", machines.InLanguage("en", b.Name, b.NameEN), b.Used, *b.PerWeek)})
}

const heldSQL = budgetUnits + `SELECT c.id, c.machine_id FROM service_case c JOIN machine m ON m.id = c.machine_id LEFT JOIN engineer e ON e.id = m.responsible_id
WHERE c.over_budget AND ` + isUndecided + ` AND EXISTS (SELECT FROM finding f WHERE f.case_id = c.id AND f.state = 'open')
  AND coalesce(e.unit, (SELECT unit FROM root)) = @unit ` + byUrgency

type heldRow struct {
	ID        uuid.UUID `db:"id"`
	MachineID uuid.UUID `db:"machine_id"`
}

// releaseHeld takes up what waits where there is room again, the most urgent first.
// What is not there any more is for somebody to decide.
func releaseHeld(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal) (int, error) {
	list, err := AlertBudgets(ctx, db, now)
	if err != nil {
		return 0, err
	}
	done := 0
	for _, b := range list {
		if b.Held == 0 || b.room() == 0 {
			continue
		}
		held, err := postgres.All[heldRow](ctx, db, heldSQL, pgx.NamedArgs{"unit": b.ID})
		if err != nil {
			return done, fmt.Errorf("list the cases that wait for room: %w", err)
		}
		held = held[:min(len(held), b.room(), dueAtOnce)]
		slices.SortFunc(held, func(a, b heldRow) int { return bytes.Compare(a.MachineID[:], b.MachineID[:]) }) // as everybody locks them
		for _, row := range held {
			c, err := lockCase(ctx, db, row.ID)
			if err != nil {
				return done, err
			}
			if !c.OverBudget || !c.Undecided() {
				continue
			}
			if c, err = vouch(ctx, db, now, who, c, false); err != nil {
				return done, err
			}
			if err := noteCase(ctx, db, now, who, c, machines.Text{ZH: "预警额度有余量，开始处理", EN: "there is room in the alert budget: it is taken up"}); err != nil {
				return done, err
			}
			done++
		}
	}
	return done, nil
}
