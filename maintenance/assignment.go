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
	"github.com/thirdstate/thirdstate/maintenance/dispatch"
)

// acceptWithin is how long an engineer has to accept; then the order is open again.
const acceptWithin = 10 * time.Minute

// AcceptBy is until when the engineer has to accept; ok is false where nothing waits
// for that.
func (o WorkOrder) AcceptBy() (at time.Time, ok bool) {
	if o.State != OrderDispatched || o.DispatchedAt == nil {
		return time.Time{}, false
	}
	return o.DispatchedAt.Add(acceptWithin), true
}

const assignmentColumns = `a.id, a.work_order_id, a.technician_id, a.state, a.score, a.explanation, a.assigned_at, a.assigned_by, a.accept_due_at, a.ended_at, a.reason,
  t.name AS technician_name, t.name_en AS technician_name_en`

const assignmentsOfSQL = `SELECT ` + assignmentColumns + ` FROM assignment a JOIN technician t ON t.id = a.technician_id
WHERE a.work_order_id = @order ORDER BY a.assigned_at DESC, a.id DESC LIMIT 100`

func assignmentsOf(ctx context.Context, db postgres.DB, order uuid.UUID) ([]Assignment, error) {
	return postgres.All[Assignment](ctx, db, assignmentsOfSQL, pgx.NamedArgs{"order": order})
}

// followAssignment lets the engineer's hold on an order follow the order's move.
func followAssignment(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, before, after WorkOrder, m OrderMove) (WorkOrder, error) {
	switch m.To {
	case OrderDispatched:
		return after, assign(ctx, db, now, who, after)
	case OrderAccepted, OrderEnRoute, OrderOnSite:
		return after, setAssignment(ctx, db, now, who, after, string(m.To), "")
	case OrderOpen:
		return after, setAssignment(ctx, db, now, who, before, "declined", m.Reason)
	case OrderCancelled, OrderCannotComplete:
		return after, setAssignment(ctx, db, now, who, before, string(m.To), m.Reason)
	case OrderCompleted:
		held, err := activeAssignment(ctx, db, before.ID)
		if err != nil {
			return after, err
		}
		if held != nil && after.TravelKM == 0 {
			after.TravelKM = held.Explanation.DistanceKM
		}
		return after, setAssignment(ctx, db, now, who, before, "completed", "")
	}
	return after, nil
}

// assign gives an order to an engineer who may go (checked again: a certificate
// may have run out since the ranking), keeps why he was chosen, and tells him.
func assign(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, o WorkOrder) error {
	ranked, err := rank(ctx, db, now, o)
	if err != nil {
		return err
	}
	for _, c := range ranked {
		if c.TechnicianID != *o.TechnicianID {
			continue
		}
		if c.Excluded != nil {
			return problem.New(problem.Conflict, "%s", c.Excluded.EN).WithZH("%s", c.Excluded.ZH)
		}
		due := now.Add(acceptWithin)
		if err := addAssignment(ctx, db, now, who, o, c, "dispatched", &due); err != nil {
			return err
		}
		return tellEngineer(ctx, db, now, o)
	}
	return notFound("technician")
}

const insertAssignmentSQL = `INSERT INTO assignment (id, work_order_id, technician_id, customer_id, state, score, explanation, assigned_at, assigned_by, accept_due_at)
VALUES (@id, @order, @technician, @customer, @state, @score, @explanation, @now, @actor, @due)`

func addAssignment(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, o WorkOrder, why dispatch.Candidate, state string, due *time.Time) error {
	id := postgres.NewID()
	if _, err := postgres.Run(ctx, db, insertAssignmentSQL, pgx.NamedArgs{"id": id, "order": o.ID, "technician": o.TechnicianID, "customer": o.CustomerID,
		"state": state, "score": why.Score, "explanation": why, "now": now, "actor": who.Name, "due": due}); err != nil {
		return fmt.Errorf("assign work order %d: %w", o.Number, err)
	}
	return machines.Audit(ctx, db, now, who, "assignment", id, &o.MachineID, o.CustomerID, "added", nil,
		map[string]any{"workOrderId": o.ID, "technicianId": o.TechnicianID, "state": state, "score": why.Score})
}

const activeAssignmentSQL = `SELECT ` + assignmentColumns + ` FROM assignment a JOIN technician t ON t.id = a.technician_id
WHERE a.work_order_id = @order AND a.ended_at IS NULL`

// activeAssignment is the hold on an order that has not ended, or nil.
func activeAssignment(ctx context.Context, db postgres.DB, order uuid.UUID) (*Assignment, error) {
	held, err := postgres.All[Assignment](ctx, db, activeAssignmentSQL, pgx.NamedArgs{"order": order})
	if err != nil || len(held) == 0 {
		return nil, err
	}
	return &held[0], nil
}

const setAssignmentSQL = `UPDATE assignment SET state = @state, reason = @reason, accept_due_at = NULL, ended_at = @ended WHERE id = @id`

// setAssignment moves the active hold on an order, if there is one.
func setAssignment(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, o WorkOrder, state, reason string) error {
	held, err := activeAssignment(ctx, db, o.ID)
	if err != nil || held == nil {
		return err
	}
	var ended *time.Time
	if state != "accepted" && state != "en_route" && state != "on_site" {
		ended = &now
	}
	if _, err := postgres.Run(ctx, db, setAssignmentSQL, pgx.NamedArgs{"id": held.ID, "state": state, "reason": reason, "ended": ended}); err != nil {
		return fmt.Errorf("note that the assignment of work order %d is %s: %w", o.Number, state, err)
	}
	return machines.Audit(ctx, db, now, who, "assignment", held.ID, &o.MachineID, o.CustomerID, state, map[string]string{"state": held.State},
		map[string]string{"state": state, "reason": reason})
}

const engineerSQL = `SELECT id, name, name_en, phone, station_id, latitude, longitude, active FROM technician WHERE id = @id`

func engineer(ctx context.Context, db postgres.DB, id uuid.UUID) (Technician, error) {
	t, err := postgres.One[Technician](ctx, db, engineerSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return t, notFound("technician")
	}
	return t, err
}

// tellEngineer tells an engineer of his new order, with the time he has to accept.
func tellEngineer(ctx context.Context, db postgres.DB, now time.Time, o WorkOrder) error {
	t, err := engineer(ctx, db, *o.TechnicianID)
	if err != nil {
		return err
	}
	m, err := machines.GetRow(ctx, db, o.MachineID)
	if err != nil {
		return err
	}
	when := machines.Text{}
	if o.PlannedAt != nil {
		at := localTime(*o.PlannedAt)
		when = machines.Text{ZH: "，" + at.ZH, EN: ", " + at.EN}
	}
	name, site, title := inBoth(m.Name, m.NameEN), inBoth(m.SiteName, m.SiteNameEN), inBoth(o.Title, o.TitleEN)
	text := machines.Text{ZH: fmt.Sprintf("工单 %d：%s「%s」%s%s。请在 10 分钟内接单。", o.Number, name.ZH, title.ZH, site.ZH, when.ZH),
		EN: fmt.Sprintf("Order %d: %s, %s, %s%s. Please accept within 10 minutes.", o.Number, name.EN, title.EN, site.EN, when.EN)}
	recipient := t.Phone
	if recipient == "" {
		recipient = t.Name
	}
	return tell(ctx, db, now, Notice{MachineID: &o.MachineID, CaseID: o.CaseID, WorkOrderID: &o.ID, TechnicianID: &t.ID, Channel: "wecom", Recipient: recipient, Text: text.ZH, TextEN: text.EN, Language: "zh"})
}
