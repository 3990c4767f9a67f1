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

// moveCase takes one step through the table, with all that follows from it; it
// does not ask for roles, which is MoveCase's part. A step that the table does
// not have is refused and nothing is written. change may be nil.
func moveCase(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID, to CaseState, note machines.Text, change func(*Case) error) (Case, error) {
	c, err := lockCase(ctx, db, id)
	if err != nil {
		return Case{}, err
	}
	return stepCase(ctx, db, now, who, c, to, note, change)
}

// stepCase is moveCase for a case that is locked already.
func stepCase(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, before Case, to CaseState, note machines.Text, change func(*Case) error) (Case, error) {
	if stepOf(before, to) == nil {
		return Case{}, refuseStep(who, before, to)
	}
	c := before
	enter(&c, now, to)
	if comeBack(before.State, to) {
		c.Comebacks++
	}
	if change != nil {
		if err := change(&c); err != nil {
			return Case{}, err
		}
	}
	c, err := changeCase(ctx, db, now, who, "moved", before, c)
	if err != nil {
		return Case{}, err
	}
	if err := addMove(ctx, db, now, who, c, before.State, note); err != nil {
		return Case{}, err
	}
	if err := machines.AddEvent(ctx, db, caseEvent(now, who, c)); err != nil {
		return Case{}, err
	}
	return c, follow(ctx, db, now, who, before, c)
}

func caseEvent(now time.Time, who identity.Principal, c Case) machines.LifecycleEvent {
	state := c.State.Text()
	title := c.TitleEN
	if title == "" {
		title = c.Title
	}
	return machines.LifecycleEvent{MachineID: c.MachineID, At: now, Kind: "case", Actor: who.Name, Entity: "case", EntityID: &c.ID,
		Text:   fmt.Sprintf("服务单 %d「%s」：%s", c.Number, c.Title, state.ZH),
		TextEN: fmt.Sprintf("Case %d, %s: %s", c.Number, title, state.EN)}
}

// enter sets what a state stands for: its time, and what begins or ends with it.
func enter(c *Case, now time.Time, to CaseState) {
	if to == Waiting {
		c.PreviousState = c.State
	} else {
		c.PreviousState, c.WaitingFor = "", ""
	}
	if c.State == Waiting {
		c.State, c.StateAt = to, now
		if to != Cancelled {
			return // back where it was: nothing begins anew
		}
	}
	c.State, c.StateAt = to, now
	switch to {
	case Triaged:
		if c.Advised {
			due := now.Add(informWithin)
			c.InformDueAt = &due
		}
	case Informed:
		if c.InformedAt == nil {
			c.InformedAt = &now
		}
		c.DeferredUntil = nil
	case Planned:
		c.PlannedAt = &now
	case InWork:
		c.VerifiedAt, c.SatisfiedAt, c.WaivedBy, c.WaiveReason = nil, nil, "", ""
		if c.WorkStartedAt == nil {
			c.WorkStartedAt = &now
		}
	case Verifying:
		c.WorkCompletedAt, c.Verification = &now, nil
	case AwaitingCallback:
		c.VerifiedAt = &now
	case Satisfied:
		c.SatisfiedAt = &now
	case Closed, Cancelled:
		c.ClosedAt = &now
	}
}

// comeBack says whether a step sends a repair back to work.
func comeBack(from, to CaseState) bool {
	return to == InWork && (from == Verifying || from == AwaitingCallback)
}

// follow does what a step brings with it: calls that become due or are no longer
// needed, orders that end or are made, findings of people that end, and the
// machine's health.
func follow(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, before, c Case) error {
	if err := followCalls(ctx, db, now, who, before, c); err != nil {
		return err
	}
	switch {
	case comeBack(before.State, c.State):
		if _, err := followUpRepair(ctx, db, now, who, c); err != nil {
			return err
		}
	case c.State == Deferred, c.State.Ended():
		if err := cancelOrders(ctx, db, now, who, c); err != nil {
			return err
		}
	}
	if c.State.Ended() {
		if err := endFindings(ctx, db, now, who, c); err != nil {
			return err
		}
	}
	if c.State.Ended() || c.State == Verifying || comeBack(before.State, c.State) {
		return setHealth(ctx, db, now, c.MachineID, caseEvent(now, who, c), nil)
	}
	return nil
}

// courtesyAfter is when a customer is asked how a visit was; that call closes nothing.
const courtesyAfter = 24 * time.Hour

func followCalls(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, before, c Case) error {
	switch {
	case c.State.Ended():
		return cancelCallbacks(ctx, db, now, who.Name, c.ID)
	case c.State == Triaged && c.Advised:
		return dueCallback(ctx, db, now, c, "inform", now)
	case c.State == Verifying && before.State == InWork:
		return dueCallback(ctx, db, now, c, "courtesy", now.Add(courtesyAfter))
	case c.State == AwaitingCallback:
		return dueCallback(ctx, db, now, c, "satisfaction", now)
	case c.State == Satisfied:
		return cancelCallbacks(ctx, db, now, who.Name, c.ID, "satisfaction")
	case comeBack(before.State, c.State): // there is nothing to ask about this visit; the next one has its own call
		return cancelCallbacks(ctx, db, now, who.Name, c.ID, "courtesy", "satisfaction")
	case c.State == Informed && before.State == Deferred && !who.Role.CustomerScoped():
		return dueCallback(ctx, db, now, c, "inform", now) // ask him again
	case c.State == Informed && c.InformedAt != nil, c.State == Deferred, c.State == Planned:
		return cancelCallbacks(ctx, db, now, who.Name, c.ID, "inform")
	}
	return nil
}

// endFindings closes what people found (telemetry closes its own findings), or
// dismisses everything when it was a false alarm.
func endFindings(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case) error {
	findings, err := machines.CaseFindings(ctx, db, c.ID)
	if err != nil {
		return err
	}
	for _, f := range findings {
		state, reason := "closed", "case_"+string(c.State)
		switch {
		case f.State != "open", f.Source == "rule" && c.Verdict != "false_alarm":
			continue
		case c.Verdict == "false_alarm":
			state, reason = "dismissed", "false_alarm"
		}
		if _, _, err := machines.CloseFinding(ctx, db, now, who, f.ID, state, reason); err != nil {
			return fmt.Errorf("end the findings of case %d: %w", c.Number, err)
		}
	}
	return nil
}

const machineDownSQL = `SELECT EXISTS (SELECT 1 FROM service_case WHERE machine_id = @machine AND machine_down
  AND state NOT IN ('verifying', 'awaiting_callback', 'satisfied', 'closed', 'cancelled'))`

// setHealth lets the machine's health follow from its findings and cases.
func setHealth(ctx context.Context, db postgres.DB, now time.Time, machine uuid.UUID, cause machines.LifecycleEvent, f *machines.Finding) error {
	down, err := postgres.Value[bool](ctx, db, machineDownSQL, pgx.NamedArgs{"machine": machine})
	if err != nil {
		return fmt.Errorf("ask whether the machine is down: %w", err)
	}
	var hash string
	var finding *uuid.UUID
	if f != nil {
		hash, finding = f.RuleHash, &f.ID
	}
	_, _, err = machines.SetHealth(ctx, db, now, machine, down, machines.Text{ZH: cause.Text, EN: cause.TextEN}, hash, finding)
	return err
}

// refuseStep says why a case cannot go to a state, and what is allowed.
func refuseStep(who identity.Principal, c Case, to CaseState) error {
	from, target := c.State.Text(), to.Text()
	refusal := problem.New(problem.Conflict, "the case is %s and cannot become %s", from.EN, target.EN).
		WithZH("服务单处于「%s」，不能改为「%s」", from.ZH, target.ZH)
	if c.Undecided() && (to == Informed || to == Planned) {
		return refuseUndecided().WithAllowed(stateNames(nextStates(c, who.Role))...)
	}
	if to == AwaitingCallback || to == Satisfied || to == Closed {
		if why := unproved(c); why.EN != "" {
			if n := c.Comebacks; n > 0 && c.State == InWork {
				why = and(why, machines.Text{ZH: fmt.Sprintf("。已退回处理，记重复维修 %d 次", n), EN: fmt.Sprintf(". Back to work, come-backs counted: %d", n)})
			}
			refusal = problem.New(problem.Conflict, "cannot close: %s", why.EN).WithZH("不能结案：%s", why.ZH)
		}
	}
	return refusal.WithAllowed(stateNames(nextStates(c, who.Role))...)
}

func refuseUndecided() *problem.Error {
	return problem.New(problem.Conflict, "a rule on trial has found this: look at it before the customer is told or a visit is planned").
		WithZH("该隐患由试用期规则发现：请先研判，再告知客户或安排上门")
}

// refuse is a problem in both languages; the texts take the same arguments.
func refuse(kind problem.Kind, en, zh string, args ...any) *problem.Error {
	return problem.New(kind, en, args...).WithZH(zh, args...)
}

func stateNames[S ~string](states []S) []string {
	names := make([]string, len(states))
	for i, s := range states {
		names[i] = string(s)
	}
	return names
}
