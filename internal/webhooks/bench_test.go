package webhooks_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

// BenchmarkAudit is what an audit entry costs within a transaction: alone, as it
// would be without webhooks, and with so many that want to hear of it.
func BenchmarkAudit(b *testing.B) {
	for _, hooks := range []int{-1, 0, 1, 10} {
		name := fmt.Sprintf("webhooks=%d", hooks)
		if hooks < 0 {
			name = "alone"
		}
		b.Run(name, func(b *testing.B) { benchmarkAudit(b, hooks) })
	}
}

const aloneSQL = `INSERT INTO audit (id, entity, entity_id, machine_id, customer_id, at, actor, action, before, after)
	VALUES (@id, 'case', @entity, @machine, @customer, @at, @actor, 'moved', @before, @after)`

func alone(b *testing.B, tx pgx.Tx, actor string, c maintenance.Case) error {
	b.Helper()
	before, err := json.Marshal(c)
	if err != nil {
		return err
	}
	after, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = postgres.Run(b.Context(), tx, aloneSQL, pgx.NamedArgs{"id": postgres.NewID(), "entity": c.ID, "machine": c.MachineID, "customer": c.CustomerID, "at": now, "actor": actor,
		"before": before, "after": after})
	return err
}

func benchmarkAudit(b *testing.B, hooks int) {
	b.Helper()
	w := maintenancetest.New(b, postgrestest.New(b))
	who := w.Principal(w.Staff["service-manager"])
	err := postgres.As(b.Context(), w.Pool, who, func(tx pgx.Tx) error {
		for _, a := range []*maintenancetest.Tenant{w.A, w.B} {
			if err := webhooks.Remove(b.Context(), tx, now, who, a.Webhook.ID); err != nil {
				return err
			}
		}
		for range hooks {
			if _, _, err := webhooks.Add(b.Context(), tx, maintenancetest.Webhooks(), now, who, webhooks.New{URL: "https://x.example", Events: []string{"*"}}); err != nil {
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
			if hooks < 0 {
				if err := alone(b, tx, who.Name, c); err != nil {
					return err
				}
				continue
			}
			if err := machines.Audit(b.Context(), tx, now, who, "case", c.ID, &c.MachineID, c.CustomerID, "moved", c, c); err != nil {
				return err
			}
		}
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		b.Fatal(err)
	}
}
