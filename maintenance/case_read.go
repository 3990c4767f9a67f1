package maintenance

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

// The engineer is that of the newest order that was not cancelled.
const caseRowsSQL = `SELECT ` + caseColumns + `,
  m.key AS machine_key, m.name AS machine_name, m.name_en AS machine_name_en, coalesce(mo.name, '') AS model_name,
  coalesce(cu.name, '') AS customer_name, coalesce(cu.name_en, '') AS customer_name_en,
  coalesce(t.name, '') AS technician_name, coalesce(t.name_en, '') AS technician_name_en
FROM service_case c
JOIN machine m ON m.id = c.machine_id
LEFT JOIN model mo ON mo.id = m.model_id
LEFT JOIN customer cu ON cu.id = c.customer_id
LEFT JOIN LATERAL (SELECT w.technician_id FROM work_order w WHERE w.case_id = c.id AND w.technician_id IS NOT NULL AND w.state <> 'cancelled'
  ORDER BY w.created_at DESC, w.id DESC LIMIT 1) o ON true
LEFT JOIN technician t ON t.id = o.technician_id`

// caseRows reads cases with what a list shows; c is the case, m its machine, cu
// the customer, t the engineer.
func caseRows(ctx context.Context, db postgres.DB, where string, args pgx.NamedArgs, tail string) ([]CaseRow, error) {
	sql := caseRowsSQL
	if where != "" {
		sql += ` WHERE ` + where
	}
	rows, err := postgres.All[CaseRow](ctx, db, sql+` `+tail, args)
	if err != nil {
		return nil, fmt.Errorf("list cases: %w", err)
	}
	return rows, nil
}

const casesWhere = `(@state = '' OR c.state = @state) AND (NOT @open OR c.state NOT IN ('closed', 'cancelled'))
  AND (@machine::uuid IS NULL OR c.machine_id = @machine) AND (@customer::uuid IS NULL OR c.customer_id = @customer)
  AND (@search = '' OR c.title ILIKE @search OR c.title_en ILIKE @search OR c.number::text = @exact OR m.key ILIKE @search OR m.serial ILIKE @search
    OR m.name ILIKE @search OR m.name_en ILIKE @search OR m.plate ILIKE @search OR cu.name ILIKE @search OR cu.name_en ILIKE @search OR c.assignee ILIKE @search)
  AND (@at::timestamptz IS NULL OR (c.opened_at, c.id) < (@at, @before::uuid))`

// Cases lists cases, newest first.
func Cases(ctx context.Context, db postgres.DB, f CaseFilter) (machines.Page[CaseRow], error) {
	at, before, err := machines.ReadTimeCursor(f.Cursor)
	if err != nil {
		return machines.Page[CaseRow]{}, err
	}
	limit := machines.PageLimit(f.Limit)
	exact := strings.TrimSpace(f.Search)
	rows, err := caseRows(ctx, db, casesWhere, pgx.NamedArgs{"state": f.State, "open": f.Open, "machine": f.MachineID, "customer": f.CustomerID,
		"search": containing(exact), "exact": strings.TrimPrefix(exact, "#"), "at": at, "before": before, "limit": limit + 1},
		`ORDER BY c.opened_at DESC, c.id DESC LIMIT @limit`)
	if err != nil {
		return machines.Page[CaseRow]{}, err
	}
	return machines.PageOf(rows, limit, func(c CaseRow) string { return machines.TimeCursor(c.OpenedAt, c.ID) }), nil
}

// containing is the ILIKE pattern of a text that a person typed; "" = all.
func containing(text string) string {
	if text == "" {
		return ""
	}
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}

// GetCase reads a case with everything that was done about it, and what the
// caller may do next.
func GetCase(ctx context.Context, db postgres.DB, who identity.Principal, id uuid.UUID) (CaseFile, error) {
	rows, err := caseRows(ctx, db, `c.id = @id`, pgx.NamedArgs{"id": id}, ``)
	if err != nil {
		return CaseFile{}, err
	}
	if len(rows) == 0 {
		return CaseFile{}, notFound("case")
	}
	f := CaseFile{CaseRow: rows[0], Allowed: nextStates(rows[0].Case, who.Role)}
	for _, read := range []func() error{
		func() (err error) { f.Findings, err = machines.CaseFindings(ctx, db, id); return err },
		func() (err error) {
			f.WorkOrders, err = orderRows(ctx, db, `o.case_id = @case`, pgx.NamedArgs{"case": id}, `ORDER BY o.created_at DESC, o.id DESC LIMIT 100`)
			return err
		},
		func() (err error) {
			f.Callbacks, err = callbackRows(ctx, db, `k.case_id = @case`, pgx.NamedArgs{"case": id}, `ORDER BY k.created_at DESC, k.id DESC LIMIT 100`)
			return err
		},
		func() (err error) { f.Moves, err = movesOf(ctx, db, id); return err },
		func() (err error) { f.Notices, err = noticesOf(ctx, db, id); return err },
		func() (err error) { f.Promises, err = promisesOf(ctx, db, id); return err },
		func() (err error) { f.Complaints, err = complaintsOf(ctx, db, id); return err },
	} {
		if err := read(); err != nil {
			return CaseFile{}, fmt.Errorf("read case %d: %w", f.Number, err)
		}
	}
	return f, nil
}

// ReadMachine lists what people did and do about one machine, newest first, 100 of each at most.
func ReadMachine(ctx context.Context, db postgres.DB, id uuid.UUID) (MachineWork, error) {
	var w MachineWork
	args := pgx.NamedArgs{"machine": id}
	var err error
	if w.Cases, err = caseRows(ctx, db, `c.machine_id = @machine`, args, `ORDER BY c.opened_at DESC, c.id DESC LIMIT 100`); err != nil {
		return w, err
	}
	if w.WorkOrders, err = orderRows(ctx, db, `o.machine_id = @machine`, args, `ORDER BY o.created_at DESC, o.id DESC LIMIT 100`); err != nil {
		return w, err
	}
	if w.Callbacks, err = callbackRows(ctx, db, `k.machine_id = @machine`, args, `ORDER BY k.created_at DESC, k.id DESC LIMIT 100`); err != nil {
		return w, err
	}
	w.Plans, err = Plans(ctx, db, &id)
	return w, err
}
