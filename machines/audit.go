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

// One round trip for all, and where nobody listens no other one follows.
const auditSQL = `WITH told AS (SELECT * FROM unnest(@ids::uuid[], @entities::text[], @entityIDs::uuid[], @machineIDs::uuid[], @customerIDs::uuid[],
		@ats::timestamptz[], @actors::text[], @actions::text[], @befores::text[], @afters::text[], @events::text[])
		AS t (id, entity, entity_id, machine_id, customer_id, at, actor, action, before, after, event)),
	entry AS (INSERT INTO audit (id, entity, entity_id, machine_id, customer_id, at, actor, action, before, after)
		SELECT t.id, t.entity, t.entity_id, t.machine_id, COALESCE(t.customer_id, m.customer_id), t.at, t.actor, t.action, t.before::jsonb, t.after::jsonb
		FROM told t LEFT JOIN machine m ON m.id = t.machine_id RETURNING id, customer_id)
SELECT e.id AS entry, w.id, w.customer_id, e.customer_id AS event_customer
	FROM entry e JOIN told t ON t.id = e.id CROSS JOIN LATERAL webhooks_for(ARRAY['*', split_part(t.event, '.', 1) || '.*', t.event], e.customer_id) w`

// Audit writes down one change, in the transaction that makes it, and puts what
// webhooks hear of it into the same transaction. Where no customer is named, the
// entry belongs to the owner of the machine; with neither it is for staff only.
// before and after are kept as JSON, nil as nothing.
func Audit(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, entity string, id uuid.UUID,
	machineID, customerID *uuid.UUID, action string, before, after any) error {
	var log auditLog
	if err := log.add(now, who, entity, id, machineID, customerID, action, before, after); err != nil {
		return err
	}
	return log.write(ctx, db)
}

// auditLog are changes of one transaction that are written down together.
type auditLog struct {
	entries   []AuditEntry
	customers []*uuid.UUID
}

func (l *auditLog) add(at time.Time, who identity.Principal, entity string, id uuid.UUID, machineID, customerID *uuid.UUID, action string, before, after any) error {
	was, err := recorded(before)
	if err != nil {
		return fmt.Errorf("audit %s %s: %w", action, entity, err)
	}
	is, err := recorded(after)
	if err != nil {
		return fmt.Errorf("audit %s %s: %w", action, entity, err)
	}
	l.customers = append(l.customers, customerID)
	l.entries = append(l.entries, AuditEntry{ID: postgres.NewID(), Entity: entity, EntityID: id, MachineID: machineID, At: at, Actor: who.Name, Action: action, Before: was, After: is})
	return nil
}

func (l *auditLog) write(ctx context.Context, db postgres.DB) error {
	if len(l.entries) == 0 {
		return nil
	}
	n := len(l.entries)
	ids, entityIDs, machineIDs, ats := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]*uuid.UUID, n), make([]time.Time, n)
	entities, actors, actions, events := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	befores, afters := make([]*string, n), make([]*string, n)
	for i, e := range l.entries {
		ids[i], entities[i], entityIDs[i], machineIDs[i], ats[i], actors[i], actions[i] = e.ID, e.Entity, e.EntityID, e.MachineID, e.At, e.Actor, e.Action
		befores[i], afters[i], events[i] = textOf(e.Before), textOf(e.After), eventOf(e)
	}
	listeners, err := postgres.All[listener](ctx, db, auditSQL, pgx.NamedArgs{"ids": ids, "entities": entities, "entityIDs": entityIDs, "machineIDs": machineIDs,
		"customerIDs": l.customers, "ats": ats, "actors": actors, "actions": actions, "befores": befores, "afters": afters, "events": events})
	if err == nil && len(listeners) > 0 {
		err = announce(ctx, db, l.entries, listeners)
	}
	if err != nil {
		return fmt.Errorf("audit %s %s: %w", l.entries[0].Action, l.entries[0].Entity, err)
	}
	return nil
}

func textOf(raw json.RawMessage) *string {
	if raw == nil {
		return nil
	}
	text := string(raw)
	return &text
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
