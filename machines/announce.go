package machines

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

// WebhookEvent is what a webhook is sent of one change, after the Standard
// Webhooks specification. Its id is that of the audit entry: the same for every
// webhook and every try, so that a receiver can tell what it has had.
type WebhookEvent struct {
	ID        uuid.UUID     `json:"id"`
	Type      string        `json:"type" doc:"entity.action, such as case.opened"`
	Timestamp time.Time     `json:"timestamp" doc:"when it happened, by the program clock"`
	Data      WebhookChange `json:"data"`
}

// WebhookChange is the change itself. After is the entity as the change left it;
// a customer's webhook gets those of its fields that a customer may see.
type WebhookChange struct {
	Entity     string          `json:"entity"`
	EntityID   uuid.UUID       `json:"entityId"`
	MachineID  *uuid.UUID      `json:"machineId"`
	CustomerID *uuid.UUID      `json:"customerId" doc:"whose it is"`
	Actor      string          `json:"actor"`
	Action     string          `json:"action" doc:"as in the audit log"`
	After      json.RawMessage `json:"after"`
	Truncated  bool            `json:"truncated,omitempty" doc:"after was too long and is left out: ask the API"`
}

// longestBody bounds what is sent of one event: 20 kB, as the specification says.
const longestBody = 20 << 10

// listener is a webhook that wants to hear of an event.
type listener struct {
	Entry         uuid.UUID  `db:"entry"` // of the audit log
	ID            uuid.UUID  `db:"id"`
	CustomerID    *uuid.UUID `db:"customer_id"` // nil: the service organisation's
	EventCustomer *uuid.UUID `db:"event_customer"`
}

// eventOf gives an entry's type of event: entity.action, and where the entity went
// from one state to another entity.state, such as work-order.completed.
func eventOf(e AuditEntry) string {
	action := e.Action
	if len(e.Before) > 0 && len(e.After) > 0 {
		var was, is struct {
			State string `json:"state"`
		}
		if json.Unmarshal(e.Before, &was) == nil && json.Unmarshal(e.After, &is) == nil && is.State != "" && was.State != is.State {
			action = is.State
		}
	}
	return hyphens.Replace(e.Entity) + "." + hyphens.Replace(action)
}

var hyphens = strings.NewReplacer("_", "-", " ", "-")

const announceSQL = `INSERT INTO webhook_delivery (id, webhook_id, customer_id, event_id, type, body, created_at)
	SELECT * FROM unnest(@ids::uuid[], @webhooks::uuid[], @customers::uuid[], @events::uuid[], @types::text[], @bodies::text[], @ats::timestamptz[])`

// announce writes what each listener will be sent, in the transaction of the
// changes: a body is fixed now, whatever becomes of the entity later.
func announce(ctx context.Context, db postgres.DB, entries []AuditEntry, to []listener) error {
	told := make(map[uuid.UUID]AuditEntry, len(entries))
	for _, e := range entries {
		told[e.ID] = e
	}
	var d deliveries
	for _, l := range to {
		if err := d.add(told[l.Entry], l); err != nil {
			return err
		}
	}
	if len(d.ids) == 0 {
		return nil
	}
	_, err := postgres.Run(ctx, db, announceSQL, pgx.NamedArgs{"ids": d.ids, "webhooks": d.webhooks, "customers": d.customers, "events": d.events,
		"types": d.types, "bodies": d.bodies, "ats": d.ats})
	if err != nil {
		return fmt.Errorf("announce %d events, %s first: %w", len(d.ids), d.types[0], err)
	}
	return nil
}

// deliveries are what waits to be sent, as columns.
type deliveries struct {
	ids, webhooks, events []uuid.UUID
	customers             []*uuid.UUID
	types, bodies         []string
	ats                   []time.Time
}

// add writes the body for one listener; a customer hears of what a customer may see.
func (d *deliveries) add(e AuditEntry, l listener) error {
	after, event := e.After, eventOf(e)
	if l.CustomerID != nil {
		fields, public := PublicFields(e.Entity)
		if !public {
			return nil
		}
		after = only(e.After, fields)
	}
	text, err := body(e, event, l.EventCustomer, after)
	if err != nil {
		return err
	}
	d.ids, d.webhooks, d.customers, d.events = append(d.ids, postgres.NewID()), append(d.webhooks, l.ID), append(d.customers, l.CustomerID), append(d.events, e.ID)
	d.types, d.bodies, d.ats = append(d.types, event), append(d.bodies, text), append(d.ats, e.At)
	return nil
}

// body writes an event; what became of the entity is left out where it is too long.
func body(e AuditEntry, event string, customer *uuid.UUID, after json.RawMessage) (string, error) {
	told := WebhookEvent{ID: e.ID, Type: event, Timestamp: e.At.UTC(), Data: WebhookChange{Entity: e.Entity, EntityID: e.EntityID, MachineID: e.MachineID,
		CustomerID: customer, Actor: e.Actor, Action: e.Action, After: after}}
	text, err := json.Marshal(told)
	if err == nil && len(text) > longestBody {
		told.Data.After, told.Data.Truncated = nil, true
		text, err = json.Marshal(told)
	}
	if err != nil {
		return "", fmt.Errorf("write down %s: %w", event, err)
	}
	return string(text), nil
}

// only keeps some fields of an object; of anything else it keeps nothing.
func only(after json.RawMessage, fields []string) json.RawMessage {
	var all map[string]json.RawMessage
	if len(after) == 0 || json.Unmarshal(after, &all) != nil || all == nil {
		return nil
	}
	some := make(map[string]json.RawMessage, len(fields))
	for _, name := range fields {
		if value, there := all[name]; there {
			some[name] = value
		}
	}
	text, err := json.Marshal(some)
	if err != nil {
		return nil // what was JSON is JSON
	}
	return text
}
