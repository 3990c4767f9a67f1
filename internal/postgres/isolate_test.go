package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
)

func TestRefused_TellsWhatIsWrongWithTheDataFromWhatPassesBy(t *testing.T) {
	t.Parallel()
	pg := func(code string) error { return fmt.Errorf("insert: %w", &pgconn.PgError{Code: code}) }
	_, unwritable := json.Marshal(math.NaN())
	for what, c := range map[string]struct {
		err  error
		want bool
	}{
		"nothing":                 {nil, false},
		"a check":                 {pg("23514"), true},
		"a foreign key, in words": {postgres.Translate(pg("23503")), true},
		"a NUL in a text":         {pg("22021"), true},
		"a NUL in a jsonb":        {pg("22P05"), true},
		"an index entry too long": {pg("54000"), true},
		"what a trigger raises":   {pg("P0001"), true},
		"a number JSON lacks":     {fmt.Errorf("write: %w", unwritable), true},
		"a machine that is gone":  {problem.New(problem.NotFound, "no such machine"), true},
		"a panic":                 {fmt.Errorf("accept: %w", &postgres.PanicError{Value: "x"}), true},
		"a deadlock":              {pg("40P01"), false},
		"a lock":                  {pg("55P03"), false},
		"a full disk":             {postgres.Translate(pg("53100")), false},
		"a shut-down":             {pg("57P01"), false},
		"a cancelled statement":   {pg("57014"), false},
		"a lost connection":       {pg("08006"), false},
		"a table that is missing": {pg("42P01"), false},
		"a damaged page":          {pg("XX001"), false},
		"the database away":       {problem.New(problem.Unavailable, "away"), false},
		"the end of the program":  {context.Canceled, false},
		"no time left":            {fmt.Errorf("x: %w", context.DeadlineExceeded), false},
		"a transaction that died": {pgx.ErrTxCommitRollback, false},
	} {
		if got := postgres.Refused(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
}

// Four names of a thousand cannot be stored, each for another reason: all others are.
func TestIsolate_LeavesOutWhoIsToBlameAndNobodyElse(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	names := make([]string, 1_000)
	for i := range names {
		names[i] = fmt.Sprintf("customer %d", i)
	}
	names[3], names[500], names[501], names[999] = "a\x00b", "customer 17", "panic", "a\xffb"
	tries := 0
	var blamed []string
	err := postgres.As(t.Context(), pool, identity.Program("test"), func(tx pgx.Tx) error {
		return postgres.Isolate(names, func(part []string) error {
			tries++
			return postgres.Attempt(t.Context(), tx, func(tx pgx.Tx) error {
				for _, name := range part {
					if name == "panic" {
						panic(name)
					}
					if err := addCustomer(t.Context(), postgres.NewID(), name)(tx); err != nil {
						return err
					}
				}
				return nil
			})
		}, func(name string, why error) error {
			blamed = append(blamed, name)
			if !postgres.Refused(why) {
				t.Errorf("%q: %v", name, why)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(blamed, "|"); got != "a\x00b|customer 17|panic|a\xffb" {
		t.Errorf("%q", got)
	}
	if n := countCustomers(t, pool); n != 996 || tries > 8*11 {
		t.Errorf("%d customers after %d tries", n, tries)
	}
}

func TestIsolate_EndsWithWhatIsNobodysFault(t *testing.T) {
	t.Parallel()
	tries := 0
	err := postgres.Isolate(make([]int, 64), func([]int) error {
		if tries++; tries > 3 {
			return problem.New(problem.Unavailable, "the database is away")
		}
		return problem.New(problem.Invalid, "no")
	}, func(int, error) error { return errors.New("nobody is to blame") })
	if problem.Of(err) != problem.Unavailable || tries != 4 {
		t.Errorf("%v after %d tries", err, tries)
	}
}

// A connection that is cut in a savepoint is nobody's data, and the transaction
// leaves nothing.
func TestAttempt_ACutConnectionIsNoRefusal(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	pool := onePool(t, url)
	err := postgres.As(t.Context(), pool, identity.Program("test"), func(tx pgx.Tx) error {
		if err := addCustomer(t.Context(), postgres.NewID(), "a")(tx); err != nil {
			return err
		}
		return postgres.Attempt(t.Context(), tx, func(inner pgx.Tx) error {
			if err := tx.Conn().PgConn().Conn().Close(); err != nil {
				return err
			}
			_, err := inner.Exec(t.Context(), `SELECT 1`)
			if err == nil || errors.Is(err, io.EOF) {
				return err
			}
			return fmt.Errorf("write: %w", err)
		})
	})
	if postgres.Refused(err) || problem.Of(err) != problem.Unavailable {
		t.Errorf("%v", err)
	}
	if n := countCustomers(t, pool); n != 0 {
		t.Errorf("%d customers", n)
	}
}
