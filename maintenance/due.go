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

const (
	dueAtOnce  = 200            // of each kind in one round; the next round takes the rest
	closeAfter = 24 * time.Hour // a satisfied case closes when nothing more was said
)

// RunDue does everything whose time has come by now and says how much it did:
// plans open their visits, deferrals end, orders that nobody accepted go back,
// findings of people get their case, what waited for room in an alert budget is taken up, satisfied cases close and promises that were
// not kept become broken. Run twice at the same time it does nothing the second time.
func RunDue(ctx context.Context, db postgres.DB, now time.Time) (int, error) {
	who, ok := identity.From(ctx)
	if !ok {
		who = identity.Program("scheduler")
	}
	done := 0
	for _, run := range []func(context.Context, postgres.DB, time.Time, identity.Principal) (int, error){
		runPlans, endDeferrals, takeBackOrders, caseWaitingFindings, releaseHeld, closeSettled,
		func(ctx context.Context, db postgres.DB, now time.Time, _ identity.Principal) (int, error) {
			return settleDuePromises(ctx, db, now)
		},
	} {
		n, err := run(ctx, db, now, who)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

type idRow struct {
	ID uuid.UUID `db:"id"`
}

const endedDeferralsSQL = `SELECT id FROM service_case WHERE state = 'deferred' AND deferred_until <= @now ORDER BY deferred_until, id LIMIT @limit`

// endDeferrals asks customers again who had put a matter off.
func endDeferrals(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal) (int, error) {
	ids, err := postgres.All[idRow](ctx, db, endedDeferralsSQL, pgx.NamedArgs{"now": now, "limit": dueAtOnce})
	if err != nil {
		return 0, fmt.Errorf("list the deferrals that have ended: %w", err)
	}
	done := 0
	for _, row := range ids {
		c, err := lockCase(ctx, db, row.ID)
		if err != nil {
			return done, err
		}
		if c.State != Deferred || c.DeferredUntil == nil || c.DeferredUntil.After(now) {
			continue
		}
		if _, err := stepCase(ctx, db, now, who, c, Informed, machines.Text{ZH: "推迟到期，请再次询问客户", EN: "the deferral is over: ask the customer again"}, nil); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

const notAcceptedSQL = `SELECT work_order_id AS id FROM assignment WHERE state = 'dispatched' AND ended_at IS NULL AND accept_due_at <= @now ORDER BY accept_due_at, id LIMIT @limit`

// takeBackOrders opens orders again that nobody accepted in time, and tells the manager.
func takeBackOrders(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal) (int, error) {
	ids, err := postgres.All[idRow](ctx, db, notAcceptedSQL, pgx.NamedArgs{"now": now, "limit": dueAtOnce})
	if err != nil {
		return 0, fmt.Errorf("list the orders that nobody accepted: %w", err)
	}
	done := 0
	for _, row := range ids {
		before, _, err := lockOrder(ctx, db, row.ID)
		if err != nil {
			return done, err
		}
		if before.State != OrderDispatched || before.DispatchedAt == nil || before.DispatchedAt.Add(acceptWithin).After(now) {
			continue
		}
		if err := takeBack(ctx, db, now, who, before); err != nil {
			return done, fmt.Errorf("take back work order %d: %w", before.Number, err)
		}
		done++
	}
	return done, nil
}

func takeBack(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, before WorkOrder) error {
	if err := setAssignment(ctx, db, now, who, before, "declined", "10 分钟内未接单 / not accepted in 10 minutes"); err != nil {
		return err
	}
	after := before
	enterOrder(&after, now, OrderMove{To: OrderOpen})
	after, err := changeOrder(ctx, db, now, who, before, after)
	if err != nil {
		return err
	}
	return tellManager(ctx, db, now, Notice{MachineID: &after.MachineID, CaseID: after.CaseID, WorkOrderID: &after.ID}, machines.Text{
		ZH: fmt.Sprintf("工单 %d「%s」10 分钟内无人接单，请改派。", after.Number, after.Title),
		EN: fmt.Sprintf("Order %d, %s, was not accepted in 10 minutes: send somebody else.", after.Number, machines.InLanguage("en", after.Title, after.TitleEN))})
}

// caseWaitingFindings opens the cases of what people found outside a visit: a
// reading or a daily check is machines' affair, which knows of no cases.
func caseWaitingFindings(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal) (int, error) {
	waiting, err := machines.WaitingFindings(ctx, db, dueAtOnce)
	if err != nil {
		return 0, err
	}
	done := 0
	for _, f := range waiting {
		m, err := machines.Lock(ctx, db, f.MachineID)
		if err != nil {
			return done, err
		}
		if !opensCase(m, f) {
			continue
		}
		if _, err := caseFor(ctx, db, now, who, f, false); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

const settledSQL = `SELECT id FROM service_case WHERE state = 'satisfied' AND satisfied_at <= @before ORDER BY satisfied_at, id LIMIT @limit`

// closeSettled closes cases whose customer was satisfied and has said nothing since.
func closeSettled(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal) (int, error) {
	ids, err := postgres.All[idRow](ctx, db, settledSQL, pgx.NamedArgs{"before": now.Add(-closeAfter), "limit": dueAtOnce})
	if err != nil {
		return 0, fmt.Errorf("list the settled cases: %w", err)
	}
	done := 0
	for _, row := range ids {
		c, err := lockCase(ctx, db, row.ID)
		if err != nil {
			return done, err
		}
		if c.State != Satisfied {
			continue
		}
		if _, err := stepCase(ctx, db, now, who, c, Closed, machines.Text{ZH: "满意后 24 小时无异议，自动结案", EN: "closed: nothing more was said for 24 h"}, nil); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}
