package maintenance

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// informWithin is how soon the customer is told of a finding or a request.
const informWithin = 2 * time.Hour

const insertCaseSQL = `INSERT INTO service_case (id, machine_id, customer_id, failure_mode, title, title_en, severity, origin, state, opened_at, state_at,
  inform_due_at, onset_at, machine_down, pouring_now, latitude, longitude, operator_phone, description, description_en, assignee, advised, over_budget, played_by)
VALUES (@id, @machine_id, @customer_id, @failure_mode, @title, @title_en, @severity, @origin, @state, @opened_at, @state_at,
  @inform_due_at, @onset_at, @machine_down, @pouring_now, @latitude, @longitude, @operator_phone, @description, @description_en, @assignee, @advised, @over_budget, @played_by)
ON CONFLICT (machine_id, failure_mode) WHERE state NOT IN ('closed', 'cancelled') DO NOTHING
RETURNING number`

const openOfModeSQL = `SELECT ` + caseColumns + ` FROM service_case c
WHERE c.machine_id = @machine AND c.failure_mode = @mode AND c.state NOT IN ('closed', 'cancelled') FOR UPDATE`

// openTries bounds how often openCase meets somebody who opens or closes the same case.
const openTries = 5

// openCase opens a case, or gives the one that is open for this machine and
// failure mode already, locked; true = opened. It fills in what is the machine's
// and the organisation's to say: customer, assignee, deadline to tell the owner.
func openCase(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case) (Case, bool, error) {
	m, err := machines.Get(ctx, db, c.MachineID)
	if err != nil {
		return Case{}, false, err
	}
	if c.Assignee, err = assigneeOf(ctx, db, m); err != nil {
		return Case{}, false, err
	}
	c.ID, c.CustomerID, c.State, c.OpenedAt, c.StateAt, c.Version = postgres.NewID(), m.CustomerID, Open, now, now, 1
	if !c.Advised {
		due := now.Add(informWithin)
		c.InformDueAt = &due
	}
	for range openTries {
		there, err := postgres.All[Case](ctx, db, openOfModeSQL, pgx.NamedArgs{"machine": c.MachineID, "mode": c.FailureMode})
		if err != nil {
			return Case{}, false, fmt.Errorf("look for an open case: %w", err)
		}
		if len(there) == 1 && there[0].State != Satisfied {
			if after := there[0]; c.OverBudget && after.Undecided() && !after.OverBudget { // but for the room it would be one as any other
				after.OverBudget = true
				after, err = changeCase(ctx, db, now, who, "noted", there[0], after)
				return after, false, err
			}
			same, err := vouch(ctx, db, now, who, there[0], c.Advised)
			return same, false, err
		}
		if len(there) == 1 { // that matter is settled: this is a new one
			if _, err := stepCase(ctx, db, now, who, there[0], Closed, machines.Text{ZH: "又有新情况，另开服务单", EN: "something new: another case follows"}, nil); err != nil {
				return Case{}, false, err
			}
		}
		numbers, err := postgres.All[struct {
			Number int64 `db:"number"`
		}](ctx, db, insertCaseSQL, caseArgs(c))
		if err != nil {
			return Case{}, false, fmt.Errorf("open a case: %w", err)
		}
		if len(numbers) == 1 {
			c.Number = numbers[0].Number
			return c, true, opened(ctx, db, now, who, c)
		}
	}
	return Case{}, false, refuse(problem.Conflict, "another case of this machine and failure mode is in the way", "该设备的同一故障已有其他服务单")
}

// opened writes down a new case and asks for the call that tells the owner.
func opened(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case) error {
	if err := machines.Audit(ctx, db, now, who, "case", c.ID, &c.MachineID, c.CustomerID, "opened", nil, c); err != nil {
		return err
	}
	if err := addMove(ctx, db, now, who, c, c.State, originText(c.Origin)); err != nil {
		return err
	}
	if err := machines.AddEvent(ctx, db, caseEvent(now, who, c)); err != nil {
		return err
	}
	if c.Advised {
		return nil // whoever looks at it first says whether there is anything to tell
	}
	return dueCallback(ctx, db, now, c, "inform", now)
}

// Undecided says whether a rule on trial has opened the case, or one for which there
// was no room, and nobody has looked at it yet.
func (c Case) Undecided() bool {
	return c.Advised && (c.State == Open || c.State == Waiting && c.PreviousState == Open)
}

// vouch makes an undecided case one as any other when something that is not on trial
// says the same (a proven rule, an inspection, the customer), or when there is room.
func vouch(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case, advised bool) (Case, error) {
	if advised || !c.Undecided() {
		return c, nil
	}
	after, due := c, now.Add(informWithin)
	after.Advised, after.OverBudget, after.InformDueAt = false, false, &due
	after, err := changeCase(ctx, db, now, who, "escalated", c, after)
	if err != nil {
		return Case{}, err
	}
	return after, dueCallback(ctx, db, now, after, "inform", now)
}

// originText says where a case comes from.
func originText(origin string) machines.Text {
	switch origin {
	case "request":
		return machines.Text{ZH: "客户报修", EN: "requested by the customer"}
	case "inspection":
		return machines.Text{ZH: "检查中发现", EN: "found by an inspection"}
	case "daily_check":
		return machines.Text{ZH: "点检或读数发现", EN: "found by a daily check or a reading"}
	case "sweep":
		return machines.Text{ZH: "同类设备排查", EN: "a sister of a confirmed fault"}
	case "finding":
		return machines.Text{ZH: "遥测发现", EN: "found by telemetry"}
	}
	return machines.Text{ZH: "开单", EN: "opened"}
}

const technicianNameSQL = `SELECT name FROM technician WHERE id = @id AND active`

// assigneeOf is the rule that names who looks after a new case: the engineer in
// charge of the machine, else the service manager.
func assigneeOf(ctx context.Context, db postgres.DB, m machines.Machine) (string, error) {
	if m.ResponsibleID != nil {
		name, err := postgres.Value[string](ctx, db, technicianNameSQL, pgx.NamedArgs{"id": *m.ResponsibleID})
		if err == nil || problem.Of(err) != problem.NotFound {
			return name, err
		}
	}
	manager, err := serviceManager(ctx, db, "")
	return manager.Name, err
}

var severities = []machines.Severity{machines.Info, machines.Advice, machines.Warning, machines.Alarm}

// graver gives the more urgent of two severities.
func graver(a, b machines.Severity) machines.Severity {
	for i := len(severities) - 1; i >= 0; i-- {
		if severities[i] == a || severities[i] == b {
			return severities[i]
		}
	}
	return a
}

const openPrioritySQL = `UPDATE work_order SET priority = 1, version = version + 1
WHERE case_id = @case AND priority > 1 AND state NOT IN ('completed', 'cannot_complete', 'cancelled') RETURNING id`

// hurry puts a down machine's open orders before all preventive visits.
func hurry(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case) error {
	ids, err := postgres.All[struct {
		ID uuid.UUID `db:"id"`
	}](ctx, db, openPrioritySQL, pgx.NamedArgs{"case": c.ID})
	if err != nil {
		return fmt.Errorf("hurry the orders of case %d: %w", c.Number, err)
	}
	for _, o := range ids {
		if err := machines.Audit(ctx, db, now, who, "work_order", o.ID, &c.MachineID, c.CustomerID, "hurried", nil, map[string]int{"priority": 1}); err != nil {
			return err
		}
	}
	return nil
}
