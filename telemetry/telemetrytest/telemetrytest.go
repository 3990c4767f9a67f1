// Package telemetrytest has what the tests of telemetry and of its rooms share: a time
// to begin at, machines and their owners, and a real InfluxDB.
package telemetrytest

import (
	"context"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

// Start is the program time at which tests begin.
var Start = time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)

// Program acts as the program.
func Program(ctx context.Context) context.Context {
	return identity.With(ctx, identity.Program("test"))
}

// Do runs fn as the program.
func Do(t testing.TB, pool *postgres.Pool, fn func(tx pgx.Tx) error) {
	t.Helper()
	if err := postgres.As(context.Background(), pool, identity.Program("test"), fn); err != nil {
		t.Fatal(err)
	}
}

// Value reads one value as the program.
func Value[T any](t testing.TB, pool *postgres.Pool, sql string) (v T) {
	t.Helper()
	Do(t, pool, func(tx pgx.Tx) (err error) {
		v, err = postgres.Value[T](t.Context(), tx, sql, nil)
		return err
	})
	return v
}

const addMachineSQL = `INSERT INTO machine (id, key, manufacturer, serial, created_at) VALUES (@id, @key, 'Acme', @key, @at) RETURNING no`

// AddMachine enters a machine without a model and an owner, and returns its id and
// its number.
func AddMachine(t testing.TB, pool *postgres.Pool, key string) (id uuid.UUID, no int) {
	t.Helper()
	id = postgres.NewID()
	Do(t, pool, func(tx pgx.Tx) (err error) {
		no, err = postgres.Value[int](t.Context(), tx, addMachineSQL, pgx.NamedArgs{"id": id, "key": key, "at": Start})
		return err
	})
	return id, no
}

const endOwnershipSQL = `UPDATE machine_ownership SET valid_to = @at WHERE machine_id = @machine AND valid_to IS NULL`

const addOwnerSQL = `WITH c AS (INSERT INTO customer (id, name, created_at) VALUES (@customer, @name, @at) ON CONFLICT DO NOTHING),
  m AS (UPDATE machine SET customer_id = @customer WHERE id = @machine)
INSERT INTO machine_ownership (id, machine_id, customer_id, valid_from) VALUES (@id, @machine, @customer, @at)`

// Sell gives a machine to a new owner, who is returned.
func Sell(t testing.TB, pool *postgres.Pool, machine uuid.UUID, at time.Time) identity.Principal {
	t.Helper()
	who := identity.Principal{Name: "owner", Role: identity.OwnerAdmin, CustomerID: postgres.NewID()}
	Do(t, pool, func(tx pgx.Tx) error {
		args := pgx.NamedArgs{"id": postgres.NewID(), "customer": who.CustomerID, "name": who.CustomerID.String(), "machine": machine, "at": at}
		if _, err := postgres.Run(t.Context(), tx, endOwnershipSQL, args); err != nil {
			return err
		}
		_, err := postgres.Run(t.Context(), tx, addOwnerSQL, args)
		return err
	})
	return who
}

// Quiet is a log that nobody reads.
func Quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Want ends the test where two values differ.
func Want(t testing.TB, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %v\nwant %v", got, want)
	}
}
