package maintenance

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// MoveOrder moves a work order: what is asked for must stand in the table of moves
// (Conflict tells what is allowed), the role may take it, a field engineer his own
// orders only (Forbidden), and what it needs must be there (see OrderMove). The
// case goes along: to work when the engineer sets off, to verifying when he is done.
func MoveOrder(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID, m OrderMove) (WorkOrder, error) {
	m.Reason, m.Result = strings.TrimSpace(m.Reason), strings.TrimSpace(m.Result)
	before, c, err := lockOrder(ctx, db, id)
	if err != nil {
		return WorkOrder{}, err
	}
	if err := sameVersion(m.Version, before.Version); err != nil {
		return WorkOrder{}, err
	}
	if err := mayMoveOrder(who, before, m.To); err != nil {
		return WorkOrder{}, err
	}
	if err := completeOrder(ctx, db, before, m); err != nil {
		return WorkOrder{}, err
	}
	after := before
	enterOrder(&after, now, m)
	if after, err = followAssignment(ctx, db, now, who, before, after, m); err != nil {
		return WorkOrder{}, err
	}
	if after, err = changeOrder(ctx, db, now, who, before, after); err != nil {
		return WorkOrder{}, err
	}
	return after, followOrder(ctx, db, now, who, c, after)
}

func mayMoveOrder(who identity.Principal, o WorkOrder, to WorkOrderState) error {
	allowed := stateNames(nextOrderStates(who, o))
	step := orderStepOf(o.State, to)
	switch {
	case !ownOrder(who, o):
		return refuse(problem.Forbidden, "this work order is somebody else's", "这张工单不是您的").WithAllowed(allowed...)
	case step == nil:
		from, target := o.State.Text(), to.Text()
		return problem.New(problem.Conflict, "the work order is %s and cannot become %s", from.EN, target.EN).
			WithZH("工单处于「%s」，不能改为「%s」", from.ZH, target.ZH).WithAllowed(allowed...)
	case !step.mayTake(who.Role):
		return refuse(problem.Forbidden, "your role may not do this", "您的角色无权执行此操作").WithAllowed(allowed...)
	}
	return nil
}

// knownActivity says whether an activity of ISO 14224 may be named; "" = not said.
func knownActivity(name string) bool {
	for _, a := range activities {
		if a.name == name {
			return true
		}
	}
	return name == "" || name == "other"
}

// completeOrder refuses a move that lacks what it needs, all faults at once.
func completeOrder(ctx context.Context, db postgres.DB, o WorkOrder, m OrderMove) error {
	var missing []problem.Field
	need := func(ok bool, pointer, detail string) {
		if !ok {
			missing = append(missing, problem.Field{Pointer: pointer, Detail: detail})
		}
	}
	switch m.To {
	case OrderDispatched:
		need(m.TechnicianID != nil, "/technicianId", "who goes")
	case OrderCannotComplete, OrderCancelled:
		need(m.Reason != "", "/reason", "why")
	case OrderCompleted:
		need(m.Result != "", "/result", "what was done")
		need(knownActivity(m.Activity), "/activity", "replace, repair, adjust, service, check, inspection or other")
		need(m.WaitedMinutes >= 0 && m.WrenchMinutes >= 0 && m.TravelKM >= 0, "/wrenchMinutes", "times and distance are not negative")
		items, err := checklistOf(ctx, db, o.ID)
		if err != nil {
			return err
		}
		for _, i := range items {
			need(!i.Required || i.DoneAt != nil, "/checklist/"+i.ID.String(), "not done: "+machines.InLanguage("en", i.Text, i.TextEN))
		}
	}
	if missing == nil {
		return nil
	}
	return refuse(problem.Invalid, "something is missing, see errors", "信息不完整：请填写必填项并完成检查表").WithFields(missing...)
}

// enterOrder sets what a state stands for.
func enterOrder(o *WorkOrder, now time.Time, m OrderMove) {
	o.State, o.StateAt = m.To, now
	if m.PlannedAt != nil {
		o.PlannedAt = m.PlannedAt
	}
	switch m.To {
	case OrderOpen:
		o.TechnicianID, o.DispatchedAt, o.AcceptedAt = nil, nil, nil
	case OrderDispatched:
		o.TechnicianID, o.DispatchedAt = m.TechnicianID, &now
	case OrderAccepted:
		o.AcceptedAt = &now
	case OrderEnRoute:
		o.EnRouteAt = &now
	case OrderOnSite:
		o.OnSiteAt = &now
	case OrderCompleted:
		o.CompletedAt = &now
		o.finish(now, m)
	case OrderCannotComplete, OrderCancelled:
		o.Reason = m.Reason
		o.finish(now, m)
	}
}

// finish notes what was done; wrench time that nobody wrote down is the time on
// site without the wait for the machine.
func (o *WorkOrder) finish(now time.Time, m OrderMove) {
	o.Result, o.ResultEN, o.Cause, o.Activity, o.SignedBy, o.SignerCapacity = m.Result, m.ResultEN, m.Cause, m.Activity, m.SignedBy, m.SignerCapacity
	if m.FailureMode != "" {
		o.FailureMode = m.FailureMode
	}
	o.WaitedMinutes, o.WrenchMinutes, o.TravelKM = m.WaitedMinutes, m.WrenchMinutes, m.TravelKM
	if o.WrenchMinutes == 0 && o.OnSiteAt != nil && m.To == OrderCompleted {
		o.WrenchMinutes = max(0, int(math.Round(now.Sub(*o.OnSiteAt).Minutes()))-m.WaitedMinutes)
	}
}
