package webhooks_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

func benchmarkAudit(b *testing.B, hooks int) {
	b.Helper()
	w := maintenancetest.New(b, postgrestest.New(b))
	who := w.Principal(w.Staff["service-manager"])
	err := postgres.As(b.Context(), w.Pool, who, func(tx pgx.Tx) error {
		for _, a := range []*maintenancetest.Tenant{w.A, w.B} {
			if err := webhooks.Remove(b.Context(), tx, maintenancetest.Now, who, a.Webhook.ID); err != nil {
				return err
			}
		}
		for range hooks {
			if _, _, err := webhooks.Add(b.Context(), tx, maintenancetest.Webhooks(), maintenancetest.Now, who, webhooks.New{URL: "https://x.example", Events: []string{"*"}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	c := w.A.Case
	err = postgres.As(b.Context(), w.Pool, who, func(tx pgx.Tx) error {
		for b.Loop() {
			if err := machines.Audit(b.Context(), tx, maintenancetest.Now, who, "case", c.ID, &c.MachineID, c.CustomerID, "moved", c, c); err != nil {
				return err
			}
		}
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		b.Fatal(err)
	}
}
