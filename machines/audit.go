package machines

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

// AuditEntry is one write: who changed what, and what was before and after.
type AuditEntry struct {
	ID        uuid.UUID       `json:"id" db:"id"`
	Entity    string          `json:"entity" db:"entity"`
	EntityID  uuid.UUID       `json:"entityId" db:"entity_id"`
	MachineID *uuid.UUID      `json:"machineId" db:"machine_id"`
	At        time.Time       `json:"at" db:"at"`
	Actor     string          `json:"actor" db:"actor"`
	Action    string          `json:"action" db:"action"`
	Before    json.RawMessage `json:"before" db:"before"`
	After     json.RawMessage `json:"after" db:"after"`
}

// AuditFilter narrows the audit log.
type AuditFilter struct {
	Entity    string
	EntityID  *uuid.UUID
	MachineID *uuid.UUID
	Limit     int
	Cursor    string
}

// One round trip, and where nobody listens no other one follows.
const auditSQL = `WITH entry AS (INSERT INTO audit (id, entity, entity_id, machine_id, customer_id, at, actor, action, before, after)
	VALUES (@id, @entity, @entityID, @machineID, COALESCE(@customerID::uuid, (SELECT customer_id FROM machine WHERE id = @machineID)),
		@at, @actor, @action, @before, @after) RETURNING customer_id)
SELECT w.id, w.customer_id, e.customer_id AS event_customer FROM entry e CROSS JOIN LATERAL webhooks_for(@types, e.customer_id) w`

// Audit writes down one change, in the transaction that makes it, and puts what
// webhooks hear of it into the same transaction. Where no customer is named, the
// entry belongs to the owner of the machine; with neither it is for staff only.
// before and after are kept as JSON, nil as nothing.
func Audit(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, entity string, id uuid.UUID,
	machineID, customerID *uuid.UUID, action string, before, after any) error {
	was, err := recorded(before)
	if err != nil {
		return fmt.Errorf("audit %s %s: %w", action, entity, err)
	}
	is, err := recorded(after)
	if err != nil {
		return fmt.Errorf("audit %s %s: %w", action, entity, err)
	}
	e := AuditEntry{ID: postgres.NewID(), Entity: entity, EntityID: id, MachineID: machineID, At: now, Actor: who.Name, Action: action, Before: was, After: is}
	event := eventOf(e)
	listeners, err := postgres.All[listener](ctx, db, auditSQL, pgx.NamedArgs{"id": e.ID, "entity": entity, "entityID": id, "machineID": machineID,
		"customerID": customerID, "at": now, "actor": who.Name, "action": action, "before": was, "after": is, "types": matching(event)})
	if err == nil && len(listeners) > 0 {
		err = announce(ctx, db, e, event, listeners)
	}
	if err != nil {
		return fmt.Errorf("audit %s %s: %w", action, entity, err)
	}
	return nil
}

func recorded(state any) ([]byte, error) {
	if state == nil {
		return nil, nil
	}
	return json.Marshal(state)
}

const auditsSQL = `SELECT id, entity, entity_id, machine_id, at, actor, action, before, after FROM audit
	WHERE (@entity = '' OR entity = @entity) AND (@entityID::uuid IS NULL OR entity_id = @entityID)
		AND (@machineID::uuid IS NULL OR machine_id = @machineID)
		AND (@beforeAt::timestamptz IS NULL OR (at, id) < (@beforeAt, @beforeID::uuid))
	ORDER BY at DESC, id DESC LIMIT @limit`

// Audits lists the audit log, newest first.
func Audits(ctx context.Context, db postgres.DB, f AuditFilter) (Page[AuditEntry], error) {
	at, id, err := ReadTimeCursor(f.Cursor)
	if err != nil {
		return Page[AuditEntry]{}, err
	}
	limit := PageLimit(f.Limit)
	rows, err := postgres.All[AuditEntry](ctx, db, auditsSQL, pgx.NamedArgs{"entity": f.Entity, "entityID": f.EntityID, "machineID": f.MachineID,
		"beforeAt": at, "beforeID": id, "limit": limit + 1})
	if err != nil {
		return Page[AuditEntry]{}, fmt.Errorf("list the audit log: %w", err)
	}
	return PageOf(rows, limit, func(a AuditEntry) string { return TimeCursor(a.At, a.ID) }), nil
}
