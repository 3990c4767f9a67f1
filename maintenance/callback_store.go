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

const callbackColumns = `k.id, k.case_id, k.machine_id, k.customer_id, k.contact_id, k.kind, k.state, k.due_at, k.created_at,
	k.attempts, k.outcome, k.note, k.note_en, k.done_at, k.done_by, k.version`

const callbackRowsSQL = `SELECT ` + callbackColumns + `,
	coalesce(p.name, '') AS contact_name, coalesce(p.name_en, '') AS contact_name_en, coalesce(p.phone, '') AS contact_phone,
	coalesce(p.salutation, '') AS salutation, coalesce(p.salutation_en, '') AS salutation_en,
	coalesce(cu.name, '') AS customer_name, coalesce(cu.name_en, '') AS customer_name_en,
	m.name AS machine_name, m.name_en AS machine_name_en,
	c.number AS case_number, c.title AS case_title, c.title_en AS case_title_en, c.state AS case_state
FROM callback k
JOIN service_case c ON c.id = k.case_id
JOIN machine m ON m.id = k.machine_id
LEFT JOIN contact p ON p.id = k.contact_id
LEFT JOIN customer cu ON cu.id = k.customer_id`

// callbackRows reads calls with what a list shows; k is the call, c its case, m
// the machine, p the contact, cu the customer.
func callbackRows(ctx context.Context, db postgres.DB, where string, args pgx.NamedArgs, tail string) ([]CallbackRow, error) {
	sql := callbackRowsSQL
	if where != "" {
		sql += ` WHERE ` + where
	}
	rows, err := postgres.All[CallbackRow](ctx, db, sql+` `+tail, args)
	if err != nil {
		return nil, fmt.Errorf("list callbacks: %w", err)
	}
	return rows, nil
}

// Callbacks lists calls, the one that is due first on top.
func Callbacks(ctx context.Context, db postgres.DB, now time.Time, f CallbackFilter) ([]CallbackRow, error) {
	where := `(@state = '' OR k.state = @state) AND (NOT @due OR k.state = 'due' AND k.due_at <= @now)
		AND (@case::uuid IS NULL OR k.case_id = @case)`
	rows, err := callbackRows(ctx, db, where, pgx.NamedArgs{"state": f.State, "due": f.Due, "now": now, "case": f.CaseID,
		"limit": machines.PageLimit(f.Limit)}, `ORDER BY k.due_at, k.id LIMIT @limit`)
	if err != nil {
		return nil, err
	}
	return rows, writeScripts(ctx, db, rows)
}

// GetCallback reads one call with whom to call and what to say.
func GetCallback(ctx context.Context, db postgres.DB, id uuid.UUID) (CallbackRow, error) {
	rows, err := callbackRows(ctx, db, `k.id = @id`, pgx.NamedArgs{"id": id}, ``)
	if err != nil {
		return CallbackRow{}, err
	}
	if len(rows) == 0 {
		return CallbackRow{}, notFound("callback")
	}
	if err := writeScripts(ctx, db, rows); err != nil {
		return CallbackRow{}, err
	}
	return rows[0], nil
}

const lockCallbackSQL = `SELECT ` + callbackColumns + ` FROM callback k WHERE k.id = @id FOR UPDATE`

// The person to call is the owner before all others; a customer without anybody
// has a call without a contact.
const dueCallbackSQL = `INSERT INTO callback (id, case_id, machine_id, customer_id, contact_id, kind, state, due_at, created_at)
VALUES (@id, @case, @machine, @customer, (
	SELECT p.id FROM contact p WHERE p.customer_id = @customer
	ORDER BY array_position(ARRAY['owner','manager','representative','legal','operator','finance'], p.capacity), p.name, p.id LIMIT 1),
	@kind, 'due', @at, @now)
ON CONFLICT (case_id, kind) WHERE state = 'due' DO NOTHING`

// dueCallback makes a call due, unless one of that kind is due for the case already.
func dueCallback(ctx context.Context, db postgres.DB, now time.Time, c Case, kind string, at time.Time) error {
	id := postgres.NewID()
	n, err := postgres.Run(ctx, db, dueCallbackSQL, pgx.NamedArgs{"id": id, "case": c.ID, "machine": c.MachineID, "customer": c.CustomerID,
		"kind": kind, "at": at, "now": now})
	if err != nil {
		return fmt.Errorf("plan the %s call of case %d: %w", kind, c.Number, err)
	}
	if n == 0 {
		return nil
	}
	after := map[string]any{"caseId": c.ID, "kind": kind, "state": "due", "dueAt": at}
	return machines.Audit(ctx, db, now, identity.Program("callbacks"), "callback", id, &c.MachineID, c.CustomerID, "added", nil, after)
}

const cancelCallbacksSQL = `UPDATE callback k SET state = 'cancelled', done_at = @now, done_by = @actor, version = version + 1
WHERE k.case_id = @case AND k.state = 'due' AND (cardinality(@kinds::text[]) = 0 OR k.kind = ANY(@kinds))
RETURNING ` + callbackColumns

// cancelCallbacks takes back the due calls of a case, of some kinds or of all.
func cancelCallbacks(ctx context.Context, db postgres.DB, now time.Time, actor string, caseID uuid.UUID, kinds ...string) error {
	if kinds == nil {
		kinds = []string{}
	}
	cancelled, err := postgres.All[Callback](ctx, db, cancelCallbacksSQL, pgx.NamedArgs{"case": caseID, "kinds": kinds, "now": now, "actor": actor})
	if err != nil {
		return fmt.Errorf("cancel the calls of case %s: %w", caseID, err)
	}
	for _, k := range cancelled {
		before := map[string]any{"state": "due", "dueAt": k.DueAt}
		if err := machines.Audit(ctx, db, now, identity.Principal{Name: actor}, "callback", k.ID, &k.MachineID, k.CustomerID, "cancelled", before, k); err != nil {
			return err
		}
	}
	return nil
}
