package postgres_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
)

func asProgram(t *testing.T, pool *postgres.Pool, sql string) error {
	t.Helper()
	return postgres.As(t.Context(), pool, identity.Program("test"), func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), sql)
		return err
	})
}

func TestMigrate_KeepsTheAuditLogAppendOnly(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	for _, sql := range []string{`DELETE FROM audit`, `UPDATE audit SET actor = ''`, `TRUNCATE audit`} {
		if err := asProgram(t, pool, sql); problem.Of(err) != problem.Forbidden {
			t.Errorf("%s: %v, want forbidden", sql, err)
		}
	}
	if err := asProgram(t, pool, `SELECT count(*) FROM river_job`); err != nil {
		t.Errorf("the jobs' tables: %v", err)
	}
}

func TestMigrate_RunsFromSeveralProcessesAtOnce(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	if err := exec1(t, url, `DROP SCHEMA public CASCADE; CREATE SCHEMA public`); err != nil {
		t.Fatal(err)
	}
	const processes = 4
	done := make(chan error, processes)
	for range processes {
		go func() { done <- postgres.Migrate(t.Context(), url) }()
	}
	for range processes {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := asProgram(t, onePool(t, url), `SELECT count(*) FROM machine`); err != nil {
		t.Error(err)
	}
}

// A database that a build without one of the migrations has brought to a higher
// number gets that one later, with rows in its tables.
func TestMigrate_AddsWhatWasLeftOut(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	if err := exec1(t, url, `DELETE FROM goose_db_version WHERE version_id = 5; DROP TABLE sparkplug_event`); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if err := asProgram(t, onePool(t, url), `SELECT count(*) FROM sparkplug_event`); err != nil {
		t.Error(err)
	}
}

func TestMigrate_RefusesTheDatabaseOfANewerProgram(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	if err := exec1(t, url, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), url); problem.Of(err) != problem.Invalid || !strings.Contains(err.Error(), "newer") {
		t.Fatalf("got %v", err)
	}
}

// Tables that hold no customer's rows, or that the owner's rights protect.
var unowned = []string{
	"goose_db_version", "meeting", "model", "org_unit", "part", "program_clock",
	"sessions", "setting", "signal", "signal_no", "technician",
}

func TestSchema_ShowsNoRowOfATableWithoutAScope(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), `SELECT relname FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r','p') AND NOT (relrowsecurity AND relforcerowsecurity)`)
	if err != nil {
		t.Fatal(err)
	}
	open, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err = errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, table := range open {
		if !slices.Contains(unowned, table) && !strings.HasPrefix(table, "river_") {
			t.Errorf("%s has no row-level security: force it in its migration, or say here why nobody owns its rows", table)
		}
	}
}

func TestOpen_SaysWhatIsWrongWithTheDatabase(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	for _, c := range []struct {
		name, url string
		kind      problem.Kind
		says      string
	}{
		{"no URL", "postgres://%zz", problem.Invalid, "cannot be read"},
		{"nobody listens", "postgres://u:secret@127.0.0.1:1/db", problem.Unavailable, "127.0.0.1:1"},
		{"no such database", strings.Replace(url, "/test_", "/no_", 1), problem.Invalid, "has no database"},
		{"the simple protocol", url + "&default_query_exec_mode=simple_protocol", problem.Invalid, "simple protocol"},
	} {
		_, err := postgres.Open(t.Context(), c.url)
		if problem.Of(err) != c.kind || !strings.Contains(problem.As(err).Text, c.says) {
			t.Errorf("Open, %s: %v", c.name, err)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the password is in the error: %v", c.name, err)
		}
		if err := postgres.Migrate(t.Context(), c.url); problem.Of(err) != c.kind {
			t.Errorf("Migrate, %s: %v", c.name, err)
		}
	}
}

func TestOpen_RefusesAnotherEncoding(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	if err := exec1(t, url, `CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), url)
		if err == nil {
			_, err = conn.Exec(context.Background(), `DROP DATABASE latin`)
			err = errors.Join(err, conn.Close(context.Background()))
		}
		if err != nil {
			t.Error(err)
		}
	})
	path, query, _ := strings.Cut(url, "?")
	latin := path[:strings.LastIndex(path, "/")] + "/latin?" + query
	for _, err := range []error{postgres.Migrate(t.Context(), latin), openOnly(t, latin)} {
		if problem.Of(err) != problem.Invalid || !strings.Contains(err.Error(), "LATIN1") {
			t.Errorf("got %v", err)
		}
	}
}

func openOnly(t *testing.T, url string) error {
	t.Helper()
	pool, err := postgres.Open(t.Context(), url)
	if err == nil {
		pool.Close()
	}
	return err
}

func TestTranslate_KnowsConstraintsThatExist(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), `SELECT conname::text FROM pg_constraint UNION SELECT relname::text FROM pg_class WHERE relkind = 'i'`)
	if err != nil {
		t.Fatal(err)
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err = errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, name := range postgres.MappedConstraints() {
		if !slices.Contains(there, name) {
			t.Errorf("no migration makes %s", name)
		}
	}
}

// After a power cut the program is there before the database has read its own log.
func TestMigrate_WaitsForADatabaseThatComesUp(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket := u.Query().Get("host") + "/.s.PGSQL." + u.Query().Get("port")
	asked := make(chan struct{}, 100)
	var passing sync.WaitGroup
	passing.Go(func() {
		for n := 0; ; n++ {
			near, err := door.Accept()
			if err != nil {
				return
			}
			asked <- struct{}{}
			if n < 3 {
				sayStartingUp(t, near)
				continue
			}
			far, err := net.Dial("unix", socket)
			if err != nil {
				t.Error(err)
				return
			}
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				passing.Go(func() {
					_, _ = io.Copy(pair[0], pair[1]) // until one side has enough
					pair[0].Close()
				})
			}
		}
	})
	err = postgres.Migrate(t.Context(), "postgres://"+u.Query().Get("user")+"@"+door.Addr().String()+u.Path+"?sslmode=disable")
	door.Close()
	passing.Wait()
	if err != nil || len(asked) < 4 {
		t.Errorf("asked %d times: %v", len(asked), err)
	}
}

// sayStartingUp answers what PostgreSQL does until it takes connections.
func sayStartingUp(t *testing.T, c net.Conn) {
	t.Helper()
	defer c.Close()
	if _, err := c.Read(make([]byte, 1_024)); err != nil {
		t.Error(err)
	}
	said := "SFATAL\x00VFATAL\x00C57P03\x00Mthe database system is starting up\x00\x00"
	answer := append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(said))), said...)
	if _, err := c.Write(answer); err != nil {
		t.Error(err)
	}
}
