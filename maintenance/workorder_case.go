package maintenance

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

// followOrder does what an order's move means for its case and its plan.
func followOrder(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c *Case, o WorkOrder) error {
	if o.State == OrderCompleted && o.PlanID != nil {
		if err := planDone(ctx, db, now, who, o); err != nil {
			return err
		}
	}
	if o.State == OrderCannotComplete {
		if _, err := followUpLeft(ctx, db, now, who, o); err != nil {
			return err
		}
	}
	if c == nil {
		return nil
	}
	switch o.State {
	case OrderEnRoute, OrderOnSite:
		_, err := beginWork(ctx, db, now, who, *c, o)
		return err
	case OrderCompleted:
		return workDoneOn(ctx, db, now, who, *c, o)
	case OrderCancelled:
		return visitCancelled(ctx, db, now, who, *c)
	}
	return nil
}

// beginWork takes a case to in_work, through the table, when an engineer is on
// his way. A case that is past its work stays where it is.
func beginWork(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case, o WorkOrder) (Case, error) {
	var err error
	if c.State == Waiting {
		if c, err = stepCase(ctx, db, now, who, c, c.PreviousState, machines.Text{ZH: "工程师出发，等待结束", EN: "the engineer sets off, the wait is over"}, nil); err != nil {
			return Case{}, err
		}
	}
	switch c.State {
	case Open, Triaged, Informed, RemoteGuidance, Deferred:
		if c, err = planCase(ctx, db, now, who, c, o.PlannedAt); err != nil {
			return Case{}, err
		}
	}
	if c.State != Planned {
		return c, nil
	}
	note := machines.Text{ZH: fmt.Sprintf("工单 %d 开始", o.Number), EN: fmt.Sprintf("order %d has begun", o.Number)}
	return stepCase(ctx, db, now, who, c, InWork, note, nil)
}

const openOrdersSQL = `SELECT count(*) FROM work_order WHERE case_id = @case AND state NOT IN ('completed', 'cannot_complete', 'cancelled')`

func openOrders(ctx context.Context, db postgres.DB, caseID uuid.UUID) (int, error) {
	n, err := postgres.Value[int](ctx, db, openOrdersSQL, pgx.NamedArgs{"case": caseID})
	if err != nil {
		return 0, fmt.Errorf("count the open orders of case %s: %w", caseID, err)
	}
	return n, nil
}

// workDoneOn takes a case whose last order is completed to verifying. Where
// telemetry can say whether the repair held it has the word; else the checklist's
// readings have, and where there are none somebody must put his name to it.
func workDoneOn(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case, o WorkOrder) error {
	left, err := openOrders(ctx, db, c.ID)
	if err != nil {
		return err
	}
	if c, err = beginWork(ctx, db, now, who, c, o); err != nil {
		return err
	}
	if left > 0 || c.State != InWork {
		return nil
	}
	note := machines.Text{ZH: fmt.Sprintf("工单 %d 完工：%s", o.Number, o.Result), EN: fmt.Sprintf("order %d completed: %s", o.Number, workDone(o.Result, o.ResultEN, o.Activity).EN)}
	if c, err = stepCase(ctx, db, now, who, c, Verifying, note, nil); err != nil {
		return err
	}
	telemetry, err := byTelemetry(ctx, db, c.ID)
	if err != nil || telemetry {
		return err
	}
	v, err := checklistVerdict(ctx, db, now, o)
	if err != nil || v == nil {
		return err
	}
	_, err = RecordVerdict(ctx, db, now, who, c.ID, *v)
	return err
}

// visitCancelled takes a planned case without any order left back to informed.
func visitCancelled(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case) error {
	left, err := openOrders(ctx, db, c.ID)
	if err != nil || left > 0 || c.State != Planned {
		return err
	}
	_, err = stepCase(ctx, db, now, who, c, Informed, machines.Text{ZH: "上门已取消", EN: "the visit was cancelled"}, nil)
	return err
}

const ordersToCancelSQL = `SELECT ` + orderColumns + ` FROM work_order o
WHERE o.case_id = @case AND o.state NOT IN ('completed', 'cannot_complete', 'cancelled') ORDER BY o.id FOR UPDATE`

// cancelOrders calls off what is open for a case that is put off or over.
func cancelOrders(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case) error {
	orders, err := postgres.All[WorkOrder](ctx, db, ordersToCancelSQL, pgx.NamedArgs{"case": c.ID})
	if err != nil {
		return fmt.Errorf("list the orders of case %d: %w", c.Number, err)
	}
	for _, before := range orders {
		after := before
		state := c.State.Text()
		enterOrder(&after, now, OrderMove{To: OrderCancelled, Reason: state.ZH + " / " + state.EN})
		if err := setAssignment(ctx, db, now, who, before, "cancelled", after.Reason); err != nil {
			return err
		}
		if _, err := changeOrder(ctx, db, now, who, before, after); err != nil {
			return err
		}
	}
	return nil
}
