package main

import (
	"context"
	"path/filepath"

	"github.com/thirdstate/thirdstate/internal/seal"
	"github.com/thirdstate/thirdstate/internal/webhooks"
)

// openWebhooks reads what seals the webhooks' secrets, and where they may go.
func (y *system) openWebhooks(context.Context) (err error) {
	if y.webhooks.Key, err = seal.Load(filepath.Join(y.Data, "secrets.key")); err != nil {
		return err
	}
	y.webhooks.Allow, err = webhooks.ReadAllow(y.WebhookAllow)
	return err
}

// runWebhooks tells other people's programs what transactions have announced.
func (y *system) runWebhooks(ctx context.Context) error {
	d := webhooks.NewDispatcher(y.pool, y.clock, y.log, y.webhooks)
	if err := y.registry.Register(d); err != nil {
		return err
	}
	return d.Run(ctx)
}
