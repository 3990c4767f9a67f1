package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// onePool has one connection, so that a scope that outlives its transaction shows.
func onePool(t *testing.T, url string) *postgres.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), url, postgres.MaxConns(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// owned makes a table that customers own, with one row for each of ids and one
// for nobody.
func owned(t *testing.T, url string, ids ...uuid.UUID) {
	t.Helper()
	sql := `CREATE TABLE belonging (customer_id uuid);
		ALTER TABLE belonging ENABLE ROW LEVEL SECURITY;
		ALTER TABLE belonging FORCE ROW LEVEL SECURITY;
		CREATE POLICY tenant ON belonging USING (app_sees(customer_id)) WITH CHECK (app_sees(customer_id));
		INSERT INTO belonging VALUES (NULL);`
	for _, id := range ids {
		sql += fmt.Sprintf(`INSERT INTO belonging VALUES ('%s');`, id)
	}
	if err := exec1(t, url, sql); err != nil {
		t.Fatal(err)
	}
}

const readBelongings = `SELECT coalesce(customer_id, '00000000-0000-0000-0000-000000000000') FROM belonging`

func seen(t *testing.T, pool *postgres.Pool, who identity.Principal) []uuid.UUID {
	t.Helper()
	var ids []uuid.UUID
	err := postgres.As(t.Context(), pool, who, func(tx pgx.Tx) error {
		rows, err := tx.Query(t.Context(), readBelongings)
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
	t.Parallel()
	url := postgrestest.URL(t)
	ids := []uuid.UUID{postgres.NewID(), postgres.NewID(), postgres.NewID()}
	owned(t, url, ids...)
	pool := onePool(t, url)
	for _, c := range []struct {
		name string
		who  identity.Principal
		want int
	}{
		{"the program", identity.Program("test"), 4},
		{"staff", identity.Principal{Role: identity.Dispatcher}, 4},
		{"nobody", identity.Principal{}, 0},
		{"an unknown role", identity.Principal{Role: "root", CustomerID: ids[0]}, 0},
		{"an owner without a customer", identity.Principal{Role: identity.OwnerAdmin}, 0},
		{"an owner", identity.Principal{Role: identity.OwnerAdmin, CustomerID: ids[0]}, 1},
		{"an owner of nothing", identity.Principal{Role: identity.OwnerViewer, CustomerID: postgres.NewID()}, 0},
	} {
		if got := seen(t, pool, c.who); len(got) != c.want {
			t.Errorf("%s sees %d rows, want %d", c.name, len(got), c.want)
		}
	}
	for i := range 1000 {
		who := identity.Principal{Role: identity.OwnerViewer, CustomerID: ids[i%len(ids)]}
		if got := seen(t, pool, who); len(got) != 1 || got[0] != who.CustomerID {
			t.Fatalf("round %d: customer %s sees %v", i, who.CustomerID, got)
		}
	}
	rows, err := pool.Raw().Query(t.Context(), readBelongings)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID]); err != nil || len(left) != 0 {
		t.Fatalf("without a scope %d rows are seen (%v), want 0", len(left), err)
	}
}

func TestAs_RefusesToWriteForAnotherCustomer(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	who := identity.Principal{Role: identity.OwnerAdmin, CustomerID: postgres.NewID()}
	err := postgres.As(t.Context(), pool, who, addCustomer(t.Context(), postgres.NewID(), "x"))
	if problem.Of(err) != problem.Forbidden {
		t.Fatalf("writing another customer's row: %v, want forbidden", err)
	}
}

func addCustomer(ctx context.Context, id uuid.UUID, name string) func(pgx.Tx) error {
	return func(tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, `INSERT INTO customer (id, name, created_at) VALUES (@id, @name, @at)`,
			pgx.NamedArgs{"id": id, "name": name, "at": time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)})
		return err
	}
}

func countCustomers(t *testing.T, pool *postgres.Pool) (n int) {
	t.Helper()
	err := postgres.As(t.Context(), pool, identity.Program("test"), func(tx pgx.Tx) (err error) {
		n, err = postgres.Value[int](t.Context(), tx, `SELECT count(*) FROM customer`, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAs_KeepsNothingAfterAnErrorOrAPanic(t *testing.T) {
	t.Parallel()
	pool := onePool(t, postgrestest.URL(t))
	odd := errors.New("odd")
	err := postgres.As(t.Context(), pool, identity.Program("test"), func(tx pgx.Tx) error {
		return errors.Join(addCustomer(t.Context(), postgres.NewID(), "a")(tx), odd)
	})
	if !errors.Is(err, odd) {
		t.Errorf("got %v, want fn's own error", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = postgres.As(t.Context(), pool, identity.Program("test"), func(tx pgx.Tx) error {
			_ = addCustomer(t.Context(), postgres.NewID(), "b")(tx)
			panic("in fn")
		})
	}()
	over, cancel := context.WithCancel(t.Context())
	err = postgres.As(over, pool, identity.Program("test"), func(tx pgx.Tx) error {
		defer cancel()
		return addCustomer(over, postgres.NewID(), "c")(tx)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the caller's end", err)
	}
	if n := countCustomers(t, pool); n != 0 { // also: the one connection came back each time
		t.Errorf("%d customers were kept, want 0", n)
	}
}

func TestAs_SaysInWordsWhatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	for _, want := range []string{"", "a customer of this name exists already"} {
		err := postgres.As(t.Context(), pool, identity.Program("test"), addCustomer(t.Context(), postgres.NewID(), "a"))
		if want == "" && err == nil {
			continue
		}
		said := problem.As(err)
		if said == nil || said.Kind != problem.Conflict || said.Text != want || postgres.Constraint(err) != "customer_name" {
			t.Fatalf("got %v (constraint %q), want %q", err, postgres.Constraint(err), want)
		}
		said.WithFields(problem.Field{Pointer: "/name"}) // one caller's remark must not reach the next
		again := problem.As(postgres.Translate(&pgconn.PgError{Code: "23505", ConstraintName: "customer_name"}))
		if len(again.Fields) != 0 {
			t.Error("problems are shared between callers")
		}
	}
}

func TestAs_SaysThatTheDatabaseIsAwayWhenItsConnectionIsCut(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	pool := onePool(t, url)
	err := postgres.As(t.Context(), pool, identity.Program("test"), func(tx pgx.Tx) error {
		if err := exec1(t, url, fmt.Sprintf(`SELECT pg_terminate_backend(%d)`, tx.Conn().PgConn().PID())); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `SELECT 1`)
		return err
	})
	if problem.Of(err) != problem.Unavailable {
		t.Fatalf("got %v, want unavailable", err)
	}
	if n := countCustomers(t, pool); n != 0 {
		t.Fatal(n)
	}
}

func TestAs_RunsAgainAfterADeadlock(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	var met sync.WaitGroup // both hold one lock before either asks for the other's
	met.Add(2)
	done := make(chan error, 2)
	for i := range 2 {
		go func() {
			var first sync.Once
			done <- postgres.As(t.Context(), pool, identity.Program("test"), func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock(99, $1)`, i); err != nil {
					return err
				}
				first.Do(func() { met.Done(); met.Wait() })
				_, err := tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock(99, $1)`, 1-i)
				return err
			})
		}()
	}
	if err := errors.Join(<-done, <-done); err != nil {
		t.Fatal(err)
	}
}

func TestAs_RunsAgainOnceWhenAMigrationMadeAPlanStale(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	owned(t, url)
	pool := onePool(t, url)
	runs := 0
	read := func(tx pgx.Tx) error {
		runs++
		rows, err := tx.Query(t.Context(), `SELECT * FROM belonging`)
		if err != nil {
			return err
		}
		rows.Close()
		return rows.Err()
	}
	for range 2 {
		if err := postgres.As(t.Context(), pool, identity.Program("test"), read); err != nil {
			t.Fatal(err)
		}
	}
	if err := exec1(t, url, `ALTER TABLE belonging ADD COLUMN more int`); err != nil {
		t.Fatal(err)
	}
	if err := postgres.As(t.Context(), pool, identity.Program("test"), read); err != nil {
		t.Fatal(err)
	}
	if runs != 4 {
		t.Errorf("fn ran %d times, want 4: twice before, and once more after the change", runs)
	}
}

func TestOne_SaysNotFound(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	type name struct{ Name string }
	err := postgres.As(t.Context(), pool, identity.Program("test"), func(tx pgx.Tx) error {
		_, err := postgres.One[name](t.Context(), tx, `SELECT name FROM customer WHERE id = @id`, pgx.NamedArgs{"id": postgres.NewID()})
		return fmt.Errorf("read the customer: %w", err)
	})
	if problem.Of(err) != problem.NotFound || !strings.Contains(err.Error(), "not found") {
		t.Fatalf("got %v", err)
	}
}
