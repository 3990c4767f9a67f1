package maintenance

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

const orderRowsSQL = `SELECT ` + orderColumns + `,
  m.key AS machine_key, m.name AS machine_name, m.name_en AS machine_name_en,
  coalesce(cu.name, '') AS customer_name, coalesce(cu.name_en, '') AS customer_name_en,
  coalesce(si.name, '') AS site_name, coalesce(si.name_en, '') AS site_name_en,
  coalesce(t.name, '') AS technician_name, coalesce(t.name_en, '') AS technician_name_en
FROM work_order o
JOIN machine m ON m.id = o.machine_id
LEFT JOIN customer cu ON cu.id = o.customer_id
LEFT JOIN site si ON si.id = m.site_id
LEFT JOIN technician t ON t.id = o.technician_id`

// orderRows reads work orders with what a list shows; o is the order, m its
// machine, cu the customer, si the site, t the engineer.
func orderRows(ctx context.Context, db postgres.DB, where string, args pgx.NamedArgs, tail string) ([]WorkOrderRow, error) {
	sql := orderRowsSQL
	if where != "" {
		sql += ` WHERE ` + where
	}
	rows, err := postgres.All[WorkOrderRow](ctx, db, sql+` `+tail, args)
	if err != nil {
		return nil, fmt.Errorf("list work orders: %w", err)
	}
	return rows, nil
}

// The planned time is the order of the day; what has none comes by when it was made.
const ordersWhere = `(@state = '' OR o.state = @state) AND (@technician::uuid IS NULL OR o.technician_id = @technician)
  AND (@machine::uuid IS NULL OR o.machine_id = @machine) AND (@kind = '' OR o.kind = @kind)
  AND (NOT @open OR o.state NOT IN ('completed', 'cannot_complete', 'cancelled'))`

const (
	openFirst   = ` AND (@at::timestamptz IS NULL OR (o.priority, coalesce(o.planned_at, o.created_at), o.id) > (@priority::int, @at, @after::uuid))`
	newestFirst = ` AND (@at::timestamptz IS NULL OR (o.created_at, o.id) < (@at, @after::uuid))`
)

// WorkOrders lists work orders: open ones by priority and planned time, so that a
// down machine never stands behind a preventive visit; all others newest first.
func WorkOrders(ctx context.Context, db postgres.DB, f OrderFilter) (machines.Page[WorkOrderRow], error) {
	from, err := readOrderCursor(f.Cursor)
	if err != nil {
		return machines.Page[WorkOrderRow]{}, err
	}
	limit := machines.PageLimit(f.Limit)
	args := pgx.NamedArgs{"state": f.State, "technician": f.TechnicianID, "machine": f.MachineID, "kind": f.Kind, "open": f.Open,
		"at": from.at, "after": from.id, "priority": from.priority, "limit": limit + 1}
	where, tail := ordersWhere+newestFirst, `ORDER BY o.created_at DESC, o.id DESC LIMIT @limit`
	if f.Open {
		where, tail = ordersWhere+openFirst, `ORDER BY o.priority, coalesce(o.planned_at, o.created_at), o.id LIMIT @limit`
	}
	rows, err := orderRows(ctx, db, where, args, tail)
	if err != nil {
		return machines.Page[WorkOrderRow]{}, err
	}
	return machines.PageOf(rows, limit, func(o WorkOrderRow) string { return orderCursor(o.WorkOrder, f.Open) }), nil
}

type orderKey struct {
	priority int
	at       *time.Time
	id       *uuid.UUID
}

func orderCursor(o WorkOrder, open bool) string {
	at := o.CreatedAt
	if open && o.PlannedAt != nil {
		at = *o.PlannedAt
	}
	return machines.EncodeCursor(strconv.Itoa(o.Priority), machines.TimeCursor(at, o.ID))
}

func readOrderCursor(cursor string) (orderKey, error) {
	parts, err := machines.DecodeCursor(cursor, 2)
	if err != nil || parts == nil {
		return orderKey{}, err
	}
	k := orderKey{}
	if k.at, k.id, err = machines.ReadTimeCursor(parts[1]); err != nil {
		return orderKey{}, err
	}
	if k.priority, err = strconv.Atoi(parts[0]); err != nil || k.at == nil || k.priority < 1 || k.priority > 5 {
		return orderKey{}, problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/cursor", Detail: "is no cursor of this list"})
	}
	return k, nil
}

// GetWorkOrder reads a work order with all that the engineer needs on site, and
// what the caller may do next.
func GetWorkOrder(ctx context.Context, db postgres.DB, who identity.Principal, id uuid.UUID) (OrderFile, error) {
	rows, err := orderRows(ctx, db, `o.id = @id`, pgx.NamedArgs{"id": id}, ``)
	if err != nil {
		return OrderFile{}, err
	}
	if len(rows) == 0 {
		return OrderFile{}, notFound("work order")
	}
	f := OrderFile{WorkOrderRow: rows[0], Allowed: nextOrderStates(who, rows[0].WorkOrder), Findings: []machines.Finding{}}
	if f.Machine, err = machines.GetRow(ctx, db, f.MachineID); err != nil {
		return OrderFile{}, err
	}
	if f.CaseID != nil {
		if f.Findings, err = machines.CaseFindings(ctx, db, *f.CaseID); err != nil {
			return OrderFile{}, err
		}
	}
	if f.Checklist, err = checklistOf(ctx, db, id); err != nil {
		return OrderFile{}, err
	}
	f.Assignments, err = assignmentsOf(ctx, db, id)
	return f, err
}
