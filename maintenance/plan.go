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

const planColumns = `p.id, p.machine_id, p.name, p.name_en, p.checklist, p.interval_days, p.lead_days, p.due_at, p.last_done_at, p.paused, p.created_at`

const plansSQL = `SELECT ` + planColumns + ` FROM service_plan p WHERE (@machine::uuid IS NULL OR p.machine_id = @machine) ORDER BY p.due_at, p.id LIMIT 1000`

// Plans lists calendar plans, of one machine or of all, the one that is due first on top.
func Plans(ctx context.Context, db postgres.DB, machineID *uuid.UUID) ([]ServicePlan, error) {
	plans, err := postgres.All[ServicePlan](ctx, db, plansSQL, pgx.NamedArgs{"machine": machineID})
	if err != nil {
		return nil, fmt.Errorf("list plans: %w", err)
	}
	return plans, nil
}

const insertPlanSQL = `INSERT INTO service_plan (id, machine_id, customer_id, name, name_en, checklist, interval_days, lead_days, due_at, last_done_at, paused, created_at)
VALUES (@id, @machine, @customer, @name, @name_en, @checklist, @interval, @lead, @due, @last, @paused, @now)`

// AddPlan puts a machine on a calendar plan; its first visit is due at DueAt, or
// one interval from now.
func AddPlan(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, p ServicePlan) (ServicePlan, error) {
	if err := checkPlan(p); err != nil {
		return ServicePlan{}, err
	}
	m, err := machines.Get(ctx, db, p.MachineID)
	if err != nil {
		return ServicePlan{}, err
	}
	p.ID, p.CreatedAt = postgres.NewID(), now
	if p.DueAt.IsZero() {
		p.DueAt = now.AddDate(0, 0, p.IntervalDays)
	}
	if _, err := postgres.Run(ctx, db, insertPlanSQL, pgx.NamedArgs{"id": p.ID, "machine": p.MachineID, "customer": m.CustomerID, "name": p.Name, "name_en": p.NameEN,
		"checklist": p.Checklist, "interval": p.IntervalDays, "lead": p.LeadDays, "due": p.DueAt, "last": p.LastDoneAt, "paused": p.Paused, "now": now}); err != nil {
		return ServicePlan{}, fmt.Errorf("add a plan to machine %s: %w", m.Key, postgres.Translate(err))
	}
	return p, machines.Audit(ctx, db, now, who, "service_plan", p.ID, &m.ID, m.CustomerID, "added", nil, p)
}

func checkPlan(p ServicePlan) error {
	var faults []problem.Field
	if p.Name == "" {
		faults = append(faults, problem.Field{Pointer: "/name", Detail: "what is done"})
	}
	if p.IntervalDays < 1 || p.IntervalDays > 3660 {
		faults = append(faults, problem.Field{Pointer: "/intervalDays", Detail: "1 to 3660 days"})
	}
	if p.LeadDays < 0 || p.LeadDays > p.IntervalDays {
		faults = append(faults, problem.Field{Pointer: "/leadDays", Detail: "0 days to the interval"})
	}
	if p.Checklist != "" && !knownChecklist(p.Checklist) {
		return unknownChecklist()
	}
	if faults == nil {
		return nil
	}
	return refuse(problem.Invalid, "see errors", "计划信息不正确").WithFields(faults...)
}

// duePlans bounds how many plans one round opens; the next one takes the rest.
const duePlans = 500

// A machine that does not work, or whose site is shut, does not wear: its plan
// waits. An order that is open is enough.
const duePlansSQL = `SELECT ` + planColumns + ` FROM service_plan p JOIN machine m ON m.id = p.machine_id LEFT JOIN site s ON s.id = m.site_id
WHERE NOT p.paused AND p.due_at - make_interval(days => p.lead_days) <= @now
  AND m.operating_status IN ('working', 'unlocated') AND (s.shut_until IS NULL OR s.shut_until <= @now)
  AND NOT EXISTS (SELECT 1 FROM work_order o WHERE o.plan_id = p.id AND o.state NOT IN ('completed', 'cannot_complete', 'cancelled'))
ORDER BY p.due_at, p.id LIMIT @limit`

const lockPlanSQL = `SELECT ` + planColumns + ` FROM service_plan p WHERE p.id = @id AND p.due_at = @due AND NOT p.paused FOR UPDATE`

const movePlanSQL = `UPDATE service_plan SET due_at = @due, last_done_at = @last WHERE id = @id`

// runPlans opens one work order for each plan that has come due, and moves the
// plan to its next date that lies ahead.
func runPlans(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal) (int, error) {
	plans, err := postgres.All[ServicePlan](ctx, db, duePlansSQL, pgx.NamedArgs{"now": now, "limit": duePlans})
	if err != nil {
		return 0, fmt.Errorf("list the plans that are due: %w", err)
	}
	for i, p := range plans {
		if err := runPlan(ctx, db, now, who, p); err != nil {
			return i, fmt.Errorf("open the visit of plan %s: %w", p.ID, err)
		}
	}
	return len(plans), nil
}

func runPlan(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, p ServicePlan) error {
	if _, err := machines.Lock(ctx, db, p.MachineID); err != nil {
		return err
	}
	locked, err := postgres.All[ServicePlan](ctx, db, lockPlanSQL, pgx.NamedArgs{"id": p.ID, "due": p.DueAt})
	if err != nil || len(locked) == 0 { // somebody else has opened it
		return err
	}
	kind := "maintenance"
	if p.Checklist == "inspection" || p.Checklist == "patrol" {
		kind = p.Checklist
	}
	checklist := p.Checklist
	if !knownChecklist(checklist) {
		checklist = ""
	}
	if _, err := ScheduleOrder(ctx, db, now, who, NewOrder{PlanID: &p.ID, MachineID: p.MachineID, Kind: kind, Title: p.Name, TitleEN: p.NameEN,
		DueAt: &p.DueAt, Checklist: checklist}); err != nil {
		return err
	}
	next := p
	for next.DueAt = p.DueAt.AddDate(0, 0, p.IntervalDays); !next.DueAt.After(now); {
		next.DueAt = next.DueAt.AddDate(0, 0, p.IntervalDays)
	}
	return savePlan(ctx, db, now, who, p, next)
}

func savePlan(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, before, after ServicePlan) error {
	if _, err := postgres.Run(ctx, db, movePlanSQL, pgx.NamedArgs{"id": after.ID, "due": after.DueAt, "last": after.LastDoneAt}); err != nil {
		return fmt.Errorf("move plan %s: %w", after.ID, err)
	}
	return machines.Audit(ctx, db, now, who, "service_plan", after.ID, &after.MachineID, nil, "moved", before, after)
}

const loadPlanSQL = `SELECT ` + planColumns + ` FROM service_plan p WHERE p.id = @id FOR UPDATE`

// planDone notes on a plan that its visit took place.
func planDone(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, o WorkOrder) error {
	before, err := postgres.One[ServicePlan](ctx, db, loadPlanSQL, pgx.NamedArgs{"id": *o.PlanID})
	if err != nil {
		return fmt.Errorf("read the plan of work order %d: %w", o.Number, err)
	}
	after := before
	after.LastDoneAt = &now
	return savePlan(ctx, db, now, who, before, after)
}
