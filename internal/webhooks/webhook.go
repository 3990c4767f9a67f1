// Package webhooks tells other people's programs what has happened: signed after
// the Standard Webhooks specification, tried again until it is taken, and sent
// once more on demand. What is told is written by machines.Audit in the
// transaction of the change; this package keeps who wants to hear it and carries
// it there. It must not know what the events are about.
package webhooks

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/internal/seal"
	"github.com/thirdstate/thirdstate/machines"
)

// Limits of what one asks for.
const (
	mostWebhooks     = 20 // of a customer, and as many of the service organisation
	mostEvents       = 50 // patterns of a webhook
	longestURL       = 2000
	longestWords     = 200 // runes of a description
	disabledByHand   = "by_hand"
	disabledGone     = "gone"
	disabledFailing  = "failing"
	disabledOverfull = "overfull"
)

// Settings are what the installation says about webhooks.
type Settings struct {
	Key   *seal.Key      // seals the secrets; without one no webhook can be made
	Allow []netip.Prefix // addresses that are not public and may be reached all the same, also without TLS
}

// Webhook is one receiver and what it wants to hear. Its secret is told once.
type Webhook struct {
	ID             uuid.UUID  `json:"id" db:"id"`
	CustomerID     *uuid.UUID `json:"customerId" db:"customer_id" doc:"hears of this customer's things only; null is the service organisation's, which hears of all"`
	URL            string     `json:"url" db:"url"`
	Description    string     `json:"description" db:"description"`
	Events         []string   `json:"events" db:"events" doc:"types such as case.opened, case.* or *"`
	Enabled        bool       `json:"enabled" db:"enabled"`
	DisabledReason string     `json:"disabledReason" db:"disabled_reason" enum:",by_hand,gone,failing,overfull" doc:"gone: it answered 410; failing: nothing was taken for days; overfull: too much waits for it"`
	DisabledAt     *time.Time `json:"disabledAt" db:"disabled_at"`
	FailingSince   *time.Time `json:"failingSince" db:"failing_since" doc:"by the wall clock; null while the last try was taken"`
	OldSecretUntil *time.Time `json:"oldSecretUntil" db:"old_secret_until" doc:"by the wall clock: until then both secrets sign"`
	CreatedAt      time.Time  `json:"createdAt" db:"created_at"`
	CreatedBy      string     `json:"createdBy" db:"created_by"`
	Version        int        `json:"version" db:"version"`
}

const webhookColumns = `id, customer_id, url, description, events, enabled, disabled_reason, disabled_at, failing_since, old_secret_until, created_at, created_by, version`

// New asks for a webhook.
type New struct {
	CustomerID  *uuid.UUID // owners: their own, whether it is said or not
	URL         string
	Description string
	Events      []string
}

// Change is what is to become of a webhook; nil leaves a part as it is.
type Change struct {
	URL         *string
	Description *string
	Events      []string
	Enabled     *bool
	Version     int // the version it was decided on; 0 = whatever it is now
}

const addSQL = `INSERT INTO webhook (id, customer_id, url, description, events, secret, created_at, created_by)
VALUES (@id, @customer, @url, @description, @events, @secret, @now, @who) RETURNING ` + webhookColumns

const countSQL = `SELECT count(*) FROM webhook WHERE customer_id IS NOT DISTINCT FROM @customer::uuid`

// Add makes a webhook and its secret, which cannot be had again.
func Add(ctx context.Context, db postgres.DB, s Settings, now time.Time, who identity.Principal, n New) (Webhook, string, error) {
	if s.Key == nil {
		return Webhook{}, "", problem.New(problem.Unavailable, "this server has no key to seal secrets with")
	}
	if who.Role.CustomerScoped() {
		if n.CustomerID != nil && *n.CustomerID != who.CustomerID {
			return Webhook{}, "", problem.New(problem.NotFound, "no such customer")
		}
		n.CustomerID = &who.CustomerID
	}
	n.URL, n.Description = strings.TrimSpace(n.URL), strings.TrimSpace(n.Description)
	if err := refuse(append(s.checkURL(n.URL), checkWords(n.Description, n.Events)...)); err != nil {
		return Webhook{}, "", err
	}
	have, err := postgres.Value[int](ctx, db, countSQL, pgx.NamedArgs{"customer": n.CustomerID})
	if err != nil {
		return Webhook{}, "", fmt.Errorf("count webhooks: %w", err)
	}
	if have >= mostWebhooks {
		return Webhook{}, "", problem.New(problem.Conflict, "there are %d webhooks already: remove one first", have)
	}
	id, secret := postgres.NewID(), newSecret()
	w, err := postgres.One[Webhook](ctx, db, addSQL, pgx.NamedArgs{"id": id, "customer": n.CustomerID, "url": n.URL, "description": n.Description, "events": n.Events,
		"secret": s.Key.Seal(secret, id.String()), "now": now, "who": who.Name})
	if err != nil {
		return Webhook{}, "", fmt.Errorf("add a webhook: %w", postgres.Translate(err))
	}
	return w, secretText(secret), record(ctx, db, now, who, "added", nil, w)
}

// record writes a change of a webhook to the audit log.
func record(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, action string, before any, w Webhook) error {
	return machines.Audit(ctx, db, now, who, "webhook", w.ID, nil, w.CustomerID, action, before, w)
}

func checkWords(description string, events []string) []problem.Field {
	var faults []problem.Field
	if utf8.RuneCountInString(description) > longestWords {
		faults = append(faults, problem.Field{Pointer: "/description", Detail: fmt.Sprintf("has more than %d characters", longestWords)})
	}
	if len(events) == 0 || len(events) > mostEvents {
		faults = append(faults, problem.Field{Pointer: "/events", Detail: fmt.Sprintf("has 1 to %d entries", mostEvents)})
		return faults
	}
	for i, pattern := range events {
		if !machines.KnowsEvents(pattern) {
			faults = append(faults, problem.Field{Pointer: fmt.Sprintf("/events/%d", i), Detail: "is no type of event: see /webhook-events, entity.* or *"})
		}
	}
	return faults
}

func refuse(faults []problem.Field) error {
	if len(faults) == 0 {
		return nil
	}
	return problem.New(problem.Invalid, "see errors").WithFields(faults...)
}

const listSQL = `SELECT ` + webhookColumns + ` FROM webhook ORDER BY created_at, id LIMIT 500`

// List gives the webhooks that the caller may see, oldest first.
func List(ctx context.Context, db postgres.DB) ([]Webhook, error) {
	list, err := postgres.All[Webhook](ctx, db, listSQL, nil)
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	return list, nil
}

const (
	getSQL  = `SELECT ` + webhookColumns + ` FROM webhook WHERE id = @id`
	lockSQL = getSQL + ` FOR NO KEY UPDATE`
)

// Get reads one webhook.
func Get(ctx context.Context, db postgres.DB, id uuid.UUID) (Webhook, error) {
	return get(ctx, db, getSQL, id)
}

func get(ctx context.Context, db postgres.DB, sql string, id uuid.UUID) (Webhook, error) {
	w, err := postgres.One[Webhook](ctx, db, sql, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return w, problem.New(problem.NotFound, "no such webhook")
	}
	if err != nil {
		return w, fmt.Errorf("read webhook %s: %w", id, err)
	}
	return w, nil
}

// Who enables it again gives the receiver a fresh start.
const changeSQL = `UPDATE webhook SET url = @url, description = @description, events = @events, enabled = @enabled, disabled_reason = @reason, disabled_at = @disabled_at,
  failures = 0, failing_since = NULL, rest_until = NULL, version = version + 1
WHERE id = @id RETURNING ` + webhookColumns

// Update changes a webhook and begins anew with a receiver that had failed.
func Update(ctx context.Context, db postgres.DB, s Settings, now time.Time, who identity.Principal, id uuid.UUID, c Change) (Webhook, error) {
	before, err := get(ctx, db, lockSQL, id)
	if err != nil {
		return Webhook{}, err
	}
	if c.Version != 0 && c.Version != before.Version {
		return Webhook{}, problem.New(problem.PreconditionFailed, "the webhook was changed meanwhile: it has version %d", before.Version)
	}
	after := before
	var faults []problem.Field
	if c.URL != nil {
		after.URL = strings.TrimSpace(*c.URL)
		faults = s.checkURL(after.URL)
	}
	if c.Description != nil {
		after.Description = strings.TrimSpace(*c.Description)
	}
	if c.Events != nil {
		after.Events = c.Events
	}
	if err := refuse(append(faults, checkWords(after.Description, after.Events)...)); err != nil {
		return Webhook{}, err
	}
	if c.Enabled != nil && *c.Enabled != before.Enabled {
		after.Enabled, after.DisabledReason, after.DisabledAt = *c.Enabled, "", nil
		if !after.Enabled {
			after.DisabledReason, after.DisabledAt = disabledByHand, &now
		}
	}
	after, err = postgres.One[Webhook](ctx, db, changeSQL, pgx.NamedArgs{"id": id, "url": after.URL, "description": after.Description, "events": after.Events,
		"enabled": after.Enabled, "reason": after.DisabledReason, "disabled_at": after.DisabledAt})
	if err != nil {
		return Webhook{}, fmt.Errorf("change webhook %s: %w", id, postgres.Translate(err))
	}
	return after, record(ctx, db, now, who, "changed", before, after)
}

const removeSQL = `DELETE FROM webhook WHERE id = @id`

// Remove ends a webhook; what waits for it is dropped with it.
func Remove(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID) error {
	before, err := get(ctx, db, getSQL, id)
	if err != nil {
		return err
	}
	if _, err := postgres.Run(ctx, db, removeSQL, pgx.NamedArgs{"id": id}); err != nil {
		return fmt.Errorf("remove webhook %s: %w", id, err)
	}
	return machines.Audit(ctx, db, now, who, "webhook", id, nil, before.CustomerID, "removed", before, nil)
}
