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

const caseColumns = `c.id, c.number, c.machine_id, c.customer_id, c.failure_mode, c.title, c.title_en, c.severity, c.origin, c.state, c.previous_state,
  c.waiting_for, c.opened_at, c.inform_due_at, c.informed_at, c.planned_at, c.work_started_at, c.work_completed_at, c.verified_at, c.satisfied_at,
  c.closed_at, c.state_at, c.onset_at, c.deferred_until, c.deferred_by, c.risk, c.risk_en, c.machine_down, c.pouring_now, c.latitude, c.longitude,
  c.operator_phone, c.description, c.description_en, c.assignee, c.verdict, c.verification, c.waived_by, c.waive_reason, c.comebacks, c.cancel_reason, c.advised, c.over_budget, c.played_by, c.version`

func caseArgs(c Case) pgx.NamedArgs {
	return pgx.NamedArgs{"id": c.ID, "machine_id": c.MachineID, "customer_id": c.CustomerID, "failure_mode": c.FailureMode, "title": c.Title, "title_en": c.TitleEN,
		"severity": c.Severity, "origin": c.Origin, "state": c.State, "previous_state": c.PreviousState, "waiting_for": c.WaitingFor, "opened_at": c.OpenedAt,
		"inform_due_at": c.InformDueAt, "informed_at": c.InformedAt, "planned_at": c.PlannedAt, "work_started_at": c.WorkStartedAt,
		"work_completed_at": c.WorkCompletedAt, "verified_at": c.VerifiedAt, "satisfied_at": c.SatisfiedAt, "closed_at": c.ClosedAt, "state_at": c.StateAt,
		"onset_at": c.OnsetAt, "deferred_until": c.DeferredUntil, "deferred_by": c.DeferredBy, "risk": c.Risk, "risk_en": c.RiskEN, "machine_down": c.MachineDown,
		"pouring_now": c.PouringNow, "latitude": c.Latitude, "longitude": c.Longitude, "operator_phone": c.OperatorPhone, "description": c.Description, "description_en": c.DescriptionEN,
		"assignee": c.Assignee, "verdict": c.Verdict, "verification": c.Verification, "waived_by": c.WaivedBy, "waive_reason": c.WaiveReason,
		"comebacks": c.Comebacks, "cancel_reason": c.CancelReason, "advised": c.Advised, "over_budget": c.OverBudget, "played_by": c.PlayedBy, "version": c.Version}
}

const loadCaseSQL = `SELECT ` + caseColumns + ` FROM service_case c WHERE c.id = @id`

func loadCase(ctx context.Context, db postgres.DB, id uuid.UUID) (Case, error) {
	c, err := postgres.One[Case](ctx, db, loadCaseSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return Case{}, notFound("case")
	}
	if err != nil {
		return Case{}, fmt.Errorf("read case %s: %w", id, err)
	}
	return c, nil
}

// A machine's cases are changed one after the other, so that no two transactions
// wait for each other in a circle: machine first, then case, then order or call.
const lockCaseMachineSQL = `SELECT id FROM machine WHERE id = (SELECT machine_id FROM service_case WHERE id = @id) FOR UPDATE`

// lockCase reads a case that the transaction is about to change.
func lockCase(ctx context.Context, db postgres.DB, id uuid.UUID) (Case, error) {
	if _, err := postgres.Run(ctx, db, lockCaseMachineSQL, pgx.NamedArgs{"id": id}); err != nil {
		return Case{}, fmt.Errorf("lock the machine of case %s: %w", id, err)
	}
	c, err := postgres.One[Case](ctx, db, loadCaseSQL+` FOR UPDATE`, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return Case{}, notFound("case")
	}
	if err != nil {
		return Case{}, fmt.Errorf("lock case %s: %w", id, err)
	}
	return c, nil
}

const saveCaseSQL = `UPDATE service_case SET severity = @severity, state = @state, previous_state = @previous_state, waiting_for = @waiting_for,
  inform_due_at = @inform_due_at, informed_at = @informed_at, planned_at = @planned_at, work_started_at = @work_started_at,
  work_completed_at = @work_completed_at, verified_at = @verified_at, satisfied_at = @satisfied_at, closed_at = @closed_at, state_at = @state_at,
  onset_at = @onset_at, deferred_until = @deferred_until, deferred_by = @deferred_by, risk = @risk, risk_en = @risk_en, machine_down = @machine_down,
  pouring_now = @pouring_now, latitude = @latitude, longitude = @longitude, operator_phone = @operator_phone, description = @description, description_en = @description_en,
  assignee = @assignee, verdict = @verdict, verification = @verification, waived_by = @waived_by, waive_reason = @waive_reason,
  comebacks = @comebacks, cancel_reason = @cancel_reason, advised = @advised, over_budget = @over_budget, version = @version
WHERE id = @id`

// changeCase saves what a locked case has become, with its audit entry.
func changeCase(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, action string, before, after Case) (Case, error) {
	after.Version = before.Version + 1
	if _, err := postgres.Run(ctx, db, saveCaseSQL, caseArgs(after)); err != nil {
		return Case{}, fmt.Errorf("save case %d: %w", after.Number, err)
	}
	if err := machines.Audit(ctx, db, now, who, "case", after.ID, &after.MachineID, after.CustomerID, action, before, after); err != nil {
		return Case{}, err
	}
	return after, nil
}

const addMoveSQL = `INSERT INTO case_move (id, case_id, customer_id, at, from_state, to_state, waiting_for, actor, note, note_en)
VALUES (@id, @case_id, @customer_id, @at, @from_state, @to_state, @waiting_for, @actor, @note, @note_en)`

func addMove(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case, from CaseState, note machines.Text) error {
	_, err := postgres.Run(ctx, db, addMoveSQL, pgx.NamedArgs{"id": postgres.NewID(), "case_id": c.ID, "customer_id": c.CustomerID, "at": now,
		"from_state": from, "to_state": c.State, "waiting_for": c.WaitingFor, "actor": who.Name, "note": note.ZH, "note_en": note.EN})
	if err != nil {
		return fmt.Errorf("note the move of case %d: %w", c.Number, err)
	}
	return nil
}

const movesOfSQL = `SELECT id, at, from_state, to_state, waiting_for, actor, note, note_en FROM case_move WHERE case_id = @case ORDER BY at, id LIMIT 500`

func movesOf(ctx context.Context, db postgres.DB, caseID uuid.UUID) ([]Move, error) {
	return postgres.All[Move](ctx, db, movesOfSQL, pgx.NamedArgs{"case": caseID})
}

// noteCase writes a line on a case without moving it.
func noteCase(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case, note machines.Text) error {
	if err := addMove(ctx, db, now, who, c, c.State, note); err != nil {
		return err
	}
	return machines.Audit(ctx, db, now, who, "case", c.ID, &c.MachineID, c.CustomerID, "noted", nil, note)
}
