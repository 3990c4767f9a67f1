package webhooks

import (
	"context"
	"encoding/json"
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

// mostReplayed bounds one call of ReplayFailed.
const mostReplayed = 10_000

// Delivery is one event on its way to one webhook.
type Delivery struct {
	ID         uuid.UUID  `json:"id" db:"id"`
	No         int64      `json:"-" db:"no"`
	WebhookID  uuid.UUID  `json:"webhookId" db:"webhook_id"`
	EventID    uuid.UUID  `json:"eventId" db:"event_id" doc:"the header webhook-id: the same at every try and replay"`
	Type       string     `json:"type" db:"type"`
	CreatedAt  time.Time  `json:"createdAt" db:"created_at" doc:"program clock"`
	State      string     `json:"state" db:"state" enum:"waiting,delivered,failed"`
	Tries      int        `json:"tries" db:"tries" doc:"since it was made or replayed"`
	NextAt     *time.Time `json:"nextAt" db:"next_at" doc:"of the next try, by the wall clock; null is at once"`
	TriedAt    *time.Time `json:"triedAt" db:"tried_at" doc:"by the wall clock"`
	SettledAt  *time.Time `json:"settledAt" db:"settled_at" doc:"program clock"`
	LastStatus *int       `json:"lastStatus" db:"last_status" doc:"HTTP status of the last try; null: there was no answer"`
	LastError  string     `json:"lastError" db:"last_error"`
	Replays    int        `json:"replays" db:"replays"`
}

// Sent is a delivery with the very body that is signed and sent.
type Sent struct {
	Delivery
	Body json.RawMessage `json:"body" db:"body"`
}

const deliveryColumns = `id, no, webhook_id, event_id, type, created_at, state, tries, next_at, tried_at, settled_at, last_status, last_error, replays`

const deliveriesSQL = `SELECT ` + deliveryColumns + ` FROM webhook_delivery
WHERE webhook_id = @webhook AND (@state = '' OR state = @state) AND (@before = 0 OR no < @before) ORDER BY no DESC LIMIT @limit`

// Filter narrows a list of deliveries.
type Filter struct {
	State  string
	Limit  int
	Cursor string
}

// Deliveries lists what was made for a webhook, newest first.
func Deliveries(ctx context.Context, db postgres.DB, webhook uuid.UUID, f Filter) (machines.Page[Delivery], error) {
	var none machines.Page[Delivery]
	before, err := readCursor(f.Cursor)
	if err != nil {
		return none, err
	}
	if _, err := Get(ctx, db, webhook); err != nil {
		return none, err
	}
	limit := machines.PageLimit(f.Limit)
	rows, err := postgres.All[Delivery](ctx, db, deliveriesSQL, pgx.NamedArgs{"webhook": webhook, "state": f.State, "before": before, "limit": limit + 1})
	if err != nil {
		return none, fmt.Errorf("list the deliveries of webhook %s: %w", webhook, err)
	}
	return machines.PageOf(rows, limit, func(d Delivery) string { return machines.EncodeCursor(strconv.FormatInt(d.No, 10)) }), nil
}

// readCursor is the number before which a page goes on, 0 for the first page.
func readCursor(cursor string) (int64, error) {
	parts, err := machines.DecodeCursor(cursor, 1)
	if err != nil || parts == nil {
		return 0, err
	}
	no, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil || no < 1 {
		return 0, problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/cursor", Detail: "is no cursor of this list"})
	}
	return no, nil
}

const deliverySQL = `SELECT ` + deliveryColumns + `, body::text::json AS body FROM webhook_delivery WHERE id = @id`

// GetDelivery reads one delivery with its body.
func GetDelivery(ctx context.Context, db postgres.DB, id uuid.UUID) (Sent, error) {
	d, err := postgres.One[Sent](ctx, db, deliverySQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return d, problem.New(problem.NotFound, "no such delivery")
	}
	if err != nil {
		return d, fmt.Errorf("read delivery %s: %w", id, err)
	}
	return d, nil
}

const (
	replaySQL = `UPDATE webhook_delivery SET state = 'waiting', tries = 0, next_at = NULL, settled_at = NULL, replays = replays + 1 WHERE id = @id`
	replayAll = `UPDATE webhook_delivery SET state = 'waiting', tries = 0, next_at = NULL, settled_at = NULL, replays = replays + 1
WHERE id IN (SELECT id FROM webhook_delivery WHERE webhook_id = @webhook AND state = 'failed' AND created_at >= @since ORDER BY no LIMIT @most)`
	wakeSQL = `UPDATE webhook SET rest_until = NULL WHERE id = @id AND rest_until IS NOT NULL`
)

// Replay sends a delivery once more, whatever became of it, under the same
// webhook-id: a receiver that had it knows it again.
func Replay(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID) (Delivery, error) {
	d, err := GetDelivery(ctx, db, id)
	if err != nil {
		return Delivery{}, err
	}
	w, err := get(ctx, db, lockSQL, d.WebhookID)
	if err != nil {
		return Delivery{}, err
	}
	if !w.Enabled {
		return Delivery{}, problem.New(problem.Conflict, "the webhook is switched off: switch it on first").WithZH("该推送已停用，请先启用")
	}
	for _, sql := range []string{replaySQL, wakeSQL} {
		args := pgx.NamedArgs{"id": id}
		if sql == wakeSQL {
			args["id"] = w.ID
		}
		if _, err := postgres.Run(ctx, db, sql, args); err != nil {
			return Delivery{}, fmt.Errorf("replay delivery %s: %w", id, err)
		}
	}
	if err := machines.Audit(ctx, db, now, who, "webhook", w.ID, nil, w.CustomerID, "replayed", nil, map[string]any{"id": w.ID, "deliveryId": id}); err != nil {
		return Delivery{}, err
	}
	d, err = GetDelivery(ctx, db, id)
	return d.Delivery, err
}

// ReplayFailed sends once more what has failed since an instant of the program
// clock, oldest first, and says how many; 10,000 at most, then call it again.
func ReplayFailed(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, webhook uuid.UUID, since time.Time) (int64, error) {
	w, err := get(ctx, db, lockSQL, webhook)
	if err != nil {
		return 0, err
	}
	if !w.Enabled {
		return 0, problem.New(problem.Conflict, "the webhook is switched off: switch it on first").WithZH("该推送已停用，请先启用")
	}
	n, err := postgres.Run(ctx, db, replayAll, pgx.NamedArgs{"webhook": webhook, "since": since, "most": mostReplayed})
	if err == nil && n > 0 {
		_, err = postgres.Run(ctx, db, wakeSQL, pgx.NamedArgs{"id": webhook})
	}
	if err != nil {
		return 0, fmt.Errorf("replay what failed of webhook %s: %w", webhook, err)
	}
	return n, machines.Audit(ctx, db, now, who, "webhook", webhook, nil, w.CustomerID, "replayed", nil, map[string]any{"id": webhook, "since": since, "deliveries": n})
}

const testSQL = `INSERT INTO webhook_delivery (id, webhook_id, customer_id, event_id, type, body, created_at) VALUES (@id, @webhook, @customer, @event, @type, @body, @now)`

// testType is the type of the event by which a receiver is tried out.
const testType = "webhook.test"

// Test sends a receiver an event that says nothing but that it is there.
func Test(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, webhook uuid.UUID) (Delivery, error) {
	w, err := get(ctx, db, lockSQL, webhook)
	if err != nil {
		return Delivery{}, err
	}
	if !w.Enabled {
		return Delivery{}, problem.New(problem.Conflict, "the webhook is switched off: switch it on first").WithZH("该推送已停用，请先启用")
	}
	id, event := postgres.NewID(), postgres.NewID()
	body, err := json.Marshal(machines.WebhookEvent{ID: event, Type: testType, Timestamp: now.UTC(),
		Data: machines.WebhookChange{Entity: "webhook", EntityID: w.ID, CustomerID: w.CustomerID, Actor: who.Name, Action: "test"}})
	if err != nil {
		return Delivery{}, fmt.Errorf("write a test event: %w", err)
	}
	if _, err := postgres.Run(ctx, db, testSQL, pgx.NamedArgs{"id": id, "webhook": w.ID, "customer": w.CustomerID, "event": event, "type": testType,
		"body": string(body), "now": now}); err != nil {
		return Delivery{}, fmt.Errorf("send a test event to webhook %s: %w", webhook, err)
	}
	if _, err := postgres.Run(ctx, db, wakeSQL, pgx.NamedArgs{"id": webhook}); err != nil {
		return Delivery{}, fmt.Errorf("wake webhook %s: %w", webhook, err)
	}
	if err := machines.Audit(ctx, db, now, who, "webhook", w.ID, nil, w.CustomerID, "tested", nil, map[string]any{"id": w.ID, "deliveryId": id}); err != nil {
		return Delivery{}, err
	}
	d, err := GetDelivery(ctx, db, id)
	return d.Delivery, err
}
