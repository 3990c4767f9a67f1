package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const (
	mostForgotten = 20_000 // deliveries in one transaction
	mostWaiting   = 50_000 // for one webhook; then it is switched off
)

const (
	forgetSQL   = `DELETE FROM webhook_delivery WHERE id IN (SELECT id FROM webhook_delivery WHERE created_at < @before ORDER BY created_at LIMIT @most)`
	overfullSQL = `SELECT w.id FROM webhook w WHERE w.enabled AND (SELECT count(*) FROM webhook_delivery d WHERE d.webhook_id = w.id AND d.state = 'waiting') > @most`
)

// ForgetOld removes deliveries that were made before an instant, delivered or not,
// and switches off webhooks for which too much waits.
func ForgetOld(ctx context.Context, db postgres.DB, now, before time.Time) error {
	if _, err := postgres.Run(ctx, db, forgetSQL, pgx.NamedArgs{"before": before, "most": mostForgotten}); err != nil {
		return fmt.Errorf("remove old deliveries: %w", err)
	}
	type row struct {
		ID uuid.UUID `db:"id"`
	}
	full, err := postgres.All[row](ctx, db, overfullSQL, pgx.NamedArgs{"most": mostWaiting})
	if err != nil {
		return fmt.Errorf("look for webhooks that fall behind: %w", err)
	}
	for _, w := range full {
		if err := disable(ctx, db, now, w.ID, disabledOverfull); err != nil {
			return err
		}
	}
	return nil
}

const brokenSQL = `SELECT count(*) FROM webhook WHERE disabled_reason NOT IN ('', 'by_hand')`

// Broken counts the webhooks that the program has switched off.
func Broken(ctx context.Context, db postgres.DB) (int, error) {
	n, err := postgres.Value[int](ctx, db, brokenSQL, nil)
	if err != nil {
		return 0, fmt.Errorf("count webhooks that were switched off: %w", err)
	}
	return n, nil
}

const disableSQL = `UPDATE webhook SET enabled = false, disabled_reason = @reason, disabled_at = @now, version = version + 1 WHERE id = @id RETURNING ` + webhookColumns

// disable switches a webhook off, with the reason that its page shows. What waits
// for it stays, until it is switched on again or too old.
func disable(ctx context.Context, db postgres.DB, now time.Time, id uuid.UUID, reason string) error {
	before, err := get(ctx, db, lockSQL, id)
	if problem.Of(err) == problem.NotFound || err == nil && !before.Enabled {
		return nil
	}
	if err != nil {
		return err
	}
	after, err := postgres.One[Webhook](ctx, db, disableSQL, pgx.NamedArgs{"id": id, "reason": reason, "now": now})
	if err != nil {
		return fmt.Errorf("switch webhook %s off: %w", id, err)
	}
	return record(ctx, db, now, program, "disabled", before, after)
}

func (d *Dispatcher) disable(ctx context.Context, tx pgx.Tx, now time.Time, id uuid.UUID, reason string) error {
	d.log.WarnContext(ctx, "a webhook was switched off", "webhook_id", id, "reason", reason)
	return disable(ctx, tx, now, id, reason)
}
