package telemetry

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

// start is the program time at which tests begin.
var start = time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)

func program(ctx context.Context) context.Context {
	return identity.With(ctx, identity.Program("test"))
}

// do runs fn as the program.
func do(t testing.TB, pool *postgres.Pool, fn func(tx pgx.Tx) error) {
	t.Helper()
	if err := postgres.As(context.Background(), pool, identity.Program("test"), fn); err != nil {
		t.Fatal(err)
	}
}

// value reads one value as the program.
func value[T any](t testing.TB, pool *postgres.Pool, sql string) (v T) {
	t.Helper()
	do(t, pool, func(tx pgx.Tx) (err error) {
		v, err = postgres.Value[T](t.Context(), tx, sql, nil)
		return err
	})
	return v
}

const addMachineSQL = `INSERT INTO machine (id, key, manufacturer, serial, created_at) VALUES (@id, @key, 'Acme', @key, @at) RETURNING no`

// addMachine enters a machine without a model and an owner.
func addMachine(t testing.TB, pool *postgres.Pool, key string) (uuid.UUID, Ref) {
	t.Helper()
	id, ref := postgres.NewID(), Ref{Key: key}
	do(t, pool, func(tx pgx.Tx) (err error) {
		ref.No, err = postgres.Value[int](t.Context(), tx, addMachineSQL, pgx.NamedArgs{"id": id, "key": key, "at": start})
		return err
	})
	return id, ref
}

const endOwnershipSQL = `UPDATE machine_ownership SET valid_to = @at WHERE machine_id = @machine AND valid_to IS NULL`

const addOwnerSQL = `WITH c AS (INSERT INTO customer (id, name, created_at) VALUES (@customer, @name, @at) ON CONFLICT DO NOTHING),
  m AS (UPDATE machine SET customer_id = @customer WHERE id = @machine)
INSERT INTO machine_ownership (id, machine_id, customer_id, valid_from) VALUES (@id, @machine, @customer, @at)`

// sell gives a machine to a new owner, who is returned.
func sell(t testing.TB, pool *postgres.Pool, machine uuid.UUID, at time.Time) identity.Principal {
	t.Helper()
	who := identity.Principal{Name: "owner", Role: identity.OwnerAdmin, CustomerID: postgres.NewID()}
	do(t, pool, func(tx pgx.Tx) error {
		args := pgx.NamedArgs{"id": postgres.NewID(), "customer": who.CustomerID, "name": who.CustomerID.String(), "machine": machine, "at": at}
		if _, err := postgres.Run(t.Context(), tx, endOwnershipSQL, args); err != nil {
			return err
		}
		_, err := postgres.Run(t.Context(), tx, addOwnerSQL, args)
		return err
	})
	return who
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
