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

const orderColumns = `o.id, o.number, o.case_id, o.plan_id, o.machine_id, o.customer_id, o.kind, o.title, o.title_en, o.state, o.priority, o.technician_id,
  o.skills, o.parts, o.created_at, o.due_at, o.planned_at, o.dispatched_at, o.accepted_at, o.en_route_at, o.on_site_at, o.completed_at, o.state_at,
  o.waited_minutes, o.wrench_minutes, o.travel_km, o.result, o.result_en, o.failure_mode, o.cause, o.activity, o.signed_by, o.signer_capacity, o.reason, o.version`

func orderArgs(o WorkOrder) pgx.NamedArgs {
	return pgx.NamedArgs{"id": o.ID, "case_id": o.CaseID, "plan_id": o.PlanID, "machine_id": o.MachineID, "customer_id": o.CustomerID, "kind": o.Kind,
		"title": o.Title, "title_en": o.TitleEN, "state": o.State, "priority": o.Priority, "technician_id": o.TechnicianID, "skills": o.Skills, "parts": o.Parts,
		"created_at": o.CreatedAt, "due_at": o.DueAt, "planned_at": o.PlannedAt, "dispatched_at": o.DispatchedAt, "accepted_at": o.AcceptedAt,
		"en_route_at": o.EnRouteAt, "on_site_at": o.OnSiteAt, "completed_at": o.CompletedAt, "state_at": o.StateAt, "waited_minutes": o.WaitedMinutes,
		"wrench_minutes": o.WrenchMinutes, "travel_km": o.TravelKM, "result": o.Result, "result_en": o.ResultEN, "failure_mode": o.FailureMode, "cause": o.Cause,
		"activity": o.Activity, "signed_by": o.SignedBy, "signer_capacity": o.SignerCapacity, "reason": o.Reason, "version": o.Version}
}

const loadOrderSQL = `SELECT ` + orderColumns + ` FROM work_order o WHERE o.id = @id`

func loadOrder(ctx context.Context, db postgres.DB, id uuid.UUID) (WorkOrder, error) {
	o, err := postgres.One[WorkOrder](ctx, db, loadOrderSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return WorkOrder{}, notFound("work order")
	}
	if err != nil {
		return WorkOrder{}, fmt.Errorf("read work order %s: %w", id, err)
	}
	return o, nil
}

const lockOrderMachineSQL = `SELECT id FROM machine WHERE id = (SELECT machine_id FROM work_order WHERE id = @id) FOR UPDATE`

// lockOrder locks machine, case and order, in this order like everybody else, so
// that nobody waits in a circle. The case is nil for work without one.
func lockOrder(ctx context.Context, db postgres.DB, id uuid.UUID) (WorkOrder, *Case, error) {
	if _, err := postgres.Run(ctx, db, lockOrderMachineSQL, pgx.NamedArgs{"id": id}); err != nil {
		return WorkOrder{}, nil, fmt.Errorf("lock the machine of work order %s: %w", id, err)
	}
	o, err := loadOrder(ctx, db, id)
	if err != nil {
		return WorkOrder{}, nil, err
	}
	var c *Case
	if o.CaseID != nil {
		locked, err := lockCase(ctx, db, *o.CaseID)
		if err != nil {
			return WorkOrder{}, nil, err
		}
		c = &locked
	}
	o, err = postgres.One[WorkOrder](ctx, db, loadOrderSQL+` FOR UPDATE`, pgx.NamedArgs{"id": id})
	if err != nil {
		return WorkOrder{}, nil, fmt.Errorf("lock work order %s: %w", id, err)
	}
	return o, c, nil
}

const insertOrderSQL = `INSERT INTO work_order (id, case_id, plan_id, machine_id, customer_id, kind, title, title_en, state, priority, technician_id, skills, parts,
  created_at, due_at, planned_at, dispatched_at, accepted_at, state_at, failure_mode)
VALUES (@id, @case_id, @plan_id, @machine_id, @customer_id, @kind, @title, @title_en, @state, @priority, @technician_id, @skills, @parts,
  @created_at, @due_at, @planned_at, @dispatched_at, @accepted_at, @state_at, @failure_mode)
RETURNING number`

// addOrder stores a new order with its checklist.
func addOrder(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, o WorkOrder, checklist []ChecklistItem) (WorkOrder, error) {
	o.ID, o.CreatedAt, o.StateAt, o.Version = postgres.NewID(), now, now, 1
	if o.State == "" {
		o.State = OrderOpen
	}
	o.Skills, o.Parts = notNil(o.Skills), notNil(o.Parts)
	var err error
	if o.Number, err = postgres.Value[int64](ctx, db, insertOrderSQL, orderArgs(o)); err != nil {
		return WorkOrder{}, fmt.Errorf("add a work order: %w", err)
	}
	if err := addChecklist(ctx, db, o, checklist); err != nil {
		return WorkOrder{}, err
	}
	if err := machines.Audit(ctx, db, now, who, "work_order", o.ID, &o.MachineID, o.CustomerID, "added", nil, o); err != nil {
		return WorkOrder{}, err
	}
	return o, machines.AddEvent(ctx, db, orderEvent(now, who, o))
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func orderEvent(now time.Time, who identity.Principal, o WorkOrder) machines.LifecycleEvent {
	kind, _ := kindText(o.Kind)
	state := o.State.Text()
	return machines.LifecycleEvent{MachineID: o.MachineID, At: now, Kind: "visit", Actor: who.Name, Entity: "work_order", EntityID: &o.ID,
		Text:   fmt.Sprintf("%s工单 %d「%s」：%s", kind.ZH, o.Number, o.Title, state.ZH),
		TextEN: fmt.Sprintf("%s, order %d, %s: %s", kind.EN, o.Number, machines.InLanguage("en", o.Title, o.TitleEN), state.EN)}
}

const saveOrderSQL = `UPDATE work_order SET state = @state, priority = @priority, technician_id = @technician_id, parts = @parts, planned_at = @planned_at,
  dispatched_at = @dispatched_at, accepted_at = @accepted_at, en_route_at = @en_route_at, on_site_at = @on_site_at, completed_at = @completed_at,
  state_at = @state_at, waited_minutes = @waited_minutes, wrench_minutes = @wrench_minutes, travel_km = @travel_km, result = @result, result_en = @result_en,
  failure_mode = @failure_mode, cause = @cause, activity = @activity, signed_by = @signed_by, signer_capacity = @signer_capacity,
  reason = @reason, version = @version
WHERE id = @id`

// changeOrder saves where a locked order has gone, with its audit entry and a line
// in the machine's life.
func changeOrder(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, before, after WorkOrder) (WorkOrder, error) {
	after.Version = before.Version + 1
	if _, err := postgres.Run(ctx, db, saveOrderSQL, orderArgs(after)); err != nil {
		return WorkOrder{}, fmt.Errorf("save work order %d: %w", after.Number, err)
	}
	if err := machines.Audit(ctx, db, now, who, "work_order", after.ID, &after.MachineID, after.CustomerID, "moved", before, after); err != nil {
		return WorkOrder{}, err
	}
	return after, machines.AddEvent(ctx, db, orderEvent(now, who, after))
}
