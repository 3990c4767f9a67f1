package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
)

func customers(t *testing.T, pool *postgres.Pool, who identity.Principal) []uuid.UUID {
	t.Helper()
	var ids []uuid.UUID
	err := postgres.As(context.Background(), pool, who, func(tx pgx.Tx) error {
		rows, err := tx.Query(context.Background(), `SELECT id FROM customer`)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestAs_ShowsEachCustomerItsOwnRowsAndNobodyElseAny(t *testing.T) {
	url := postgrestest.URL(t)
	pool, err := postgres.Open(context.Background(), url, postgres.MaxConns(1)) // one connection: a leaked scope would show
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	ids := []uuid.UUID{postgres.NewID(), postgres.NewID()}
	err = postgres.As(context.Background(), pool, identity.Program("test"), func(tx pgx.Tx) error {
		for i, id := range ids {
			if _, err := tx.Exec(context.Background(), `INSERT INTO customer (id, name, created_at) VALUES ($1, $2, $3)`,
				id, string(rune('a'+i)), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := customers(t, pool, identity.Principal{Role: identity.ServiceManager}); len(got) != 2 {
		t.Fatalf("staff see %d customers, want 2", len(got))
	}
	if got := customers(t, pool, identity.Principal{}); len(got) != 0 {
		t.Fatalf("nobody sees %d customers, want 0", len(got))
	}
	for i := range 200 {
		id := ids[i%2]
		got := customers(t, pool, identity.Principal{Role: identity.OwnerViewer, CustomerID: id})
		if len(got) != 1 || got[0] != id {
			t.Fatalf("round %d: customer %s sees %v", i, id, got)
		}
	}
	var n int
	if err := pool.Raw().QueryRow(context.Background(), `SELECT count(*) FROM customer`).Scan(&n); err != nil || n != 0 {
		t.Fatalf("without a scope %d customers are seen (%v), want 0", n, err)
	}
}

func TestAs_RefusesToWriteForAnotherCustomer(t *testing.T) {
	pool := postgrestest.New(t)
	who := identity.Principal{Role: identity.OwnerAdmin, CustomerID: postgres.NewID()}
	err := postgres.As(context.Background(), pool, who, func(tx pgx.Tx) error {
		_, err := tx.Exec(context.Background(), `INSERT INTO customer (id, name, created_at) VALUES ($1, 'x', $2)`, postgres.NewID(), time.Unix(0, 0))
		return err
	})
	if problem.Of(err) != problem.Forbidden {
		t.Fatalf("writing another customer's row: %v, want forbidden", err)
	}
}

func TestMigrate_CanRunTwiceAndKeepsTheAuditLogAppendOnly(t *testing.T) {
	url := postgrestest.URL(t)
	if err := postgres.Migrate(context.Background(), url); err != nil {
		t.Fatal(err)
	}
	pool, err := postgres.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	err = postgres.As(context.Background(), pool, identity.Program("test"), func(tx pgx.Tx) error {
		_, err := tx.Exec(context.Background(), `DELETE FROM audit`)
		return err
	})
	if problem.Of(err) != problem.Forbidden {
		t.Fatalf("deleting from the audit log: %v, want forbidden", err)
	}
}
