package maintenance

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

const lastOrderSQL = `SELECT ` + orderColumns + ` FROM work_order o
WHERE o.case_id = @case AND o.state IN ('completed', 'cannot_complete') ORDER BY o.state_at DESC, o.id DESC LIMIT 1`

// followUpRepair plans the next visit of a case whose repair did not hold, or
// whose customer is not satisfied: first what the last visit left, then the
// checks of the fault again. Where the data have proved the repair, it is not the
// machine that has to be put right, and the visit is a special one. An order that
// is open already is enough.
func followUpRepair(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case) (WorkOrder, error) {
	if n, err := openOrders(ctx, db, c.ID); err != nil || n > 0 {
		return WorkOrder{}, err
	}
	last, err := postgres.All[WorkOrder](ctx, db, lastOrderSQL, pgx.NamedArgs{"case": c.ID})
	if err != nil {
		return WorkOrder{}, fmt.Errorf("read the last visit of case %d: %w", c.Number, err)
	}
	m, err := machines.Get(ctx, db, c.MachineID)
	if err != nil {
		return WorkOrder{}, err
	}
	machineKind, err := kindOfMachine(ctx, db, m)
	if err != nil {
		return WorkOrder{}, err
	}
	due := now.Add(visitWithin(c))
	o := WorkOrder{CaseID: &c.ID, MachineID: c.MachineID, CustomerID: c.CustomerID, Kind: "repair", FailureMode: c.FailureMode, Priority: 2, DueAt: &due,
		Title: "二次上门：" + c.Title, TitleEN: "Second visit: " + machines.InLanguage("en", c.Title, c.TitleEN)}
	if c.Verification.proved() {
		o.Kind = "special"
	}
	if c.MachineDown {
		o.Priority = 1
	}
	items := checklistFor("", o.Kind, c.FailureMode, machineKind)
	if len(last) == 1 {
		o.Skills, o.Parts = last[0].Skills, last[0].Parts
		left, err := itemsLeft(ctx, db, last[0], "", "fail", "na")
		if err != nil {
			return WorkOrder{}, err
		}
		items = merged(left, items)
	} else if err := factsOf(ctx, db, &o); err != nil {
		return WorkOrder{}, err
	}
	return addOrder(ctx, db, now, who, o, items)
}

// followUpLeft makes the order that holds what a visit could not bring to an end.
func followUpLeft(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, o WorkOrder) (WorkOrder, error) {
	items, err := itemsLeft(ctx, db, o, "", "fail")
	if err != nil {
		return WorkOrder{}, err
	}
	next := WorkOrder{CaseID: o.CaseID, PlanID: o.PlanID, MachineID: o.MachineID, CustomerID: o.CustomerID, Kind: o.Kind, FailureMode: o.FailureMode,
		Title: o.Title, TitleEN: o.TitleEN, Priority: o.Priority, Skills: o.Skills, Parts: o.Parts, DueAt: o.DueAt}
	return addOrder(ctx, db, now, who, next, items)
}

// itemsLeft are an order's items with one of these results, to be done anew.
func itemsLeft(ctx context.Context, db postgres.DB, o WorkOrder, results ...string) ([]ChecklistItem, error) {
	items, err := checklistOf(ctx, db, o.ID)
	if err != nil {
		return nil, err
	}
	var left []ChecklistItem
	for _, i := range items {
		if slices.Contains(results, i.Result) {
			i.Result, i.Number, i.Note, i.NoteEN, i.PhotoID, i.DoneAt, i.DoneBy = "", nil, "", "", nil, nil, ""
			left = append(left, i)
		}
	}
	return left, nil
}

// merged puts two lists one after the other, each item once.
func merged(first, second []ChecklistItem) []ChecklistItem {
	all := slices.Clone(first)
	for _, i := range second {
		if !slices.ContainsFunc(all, func(have ChecklistItem) bool { return have.Text == i.Text }) {
			all = append(all, i)
		}
	}
	return all
}
