package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/thirdstate/thirdstate/internal/problem"
)

//go:embed migrations/*.sql
var migrations embed.FS

// takeTurns is held from the first to the last step: two processes granting at
// once would meet "tuple concurrently updated".
const takeTurns = `SELECT pg_advisory_lock(7337, 0)`

// roleSQL makes the app's role and lets us act as it. From version 16 on the
// maker of a role is a member that may not yet SET ROLE to it.
const roleSQL = `DO $$
DECLARE need text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'thirdstate_app') THEN
    BEGIN
      CREATE ROLE thirdstate_app NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; -- made for another database of this server just now
    END;
  END IF;
  IF NOT pg_has_role(current_user, 'thirdstate_app', need) THEN
    EXECUTE format('GRANT thirdstate_app TO %I', current_user);
  END IF;
END $$`

// grants let the app's role read and write what the owner made, and no more: the
// audit log can be added to and never changed, the list of migrations only read.
const grants = `
GRANT USAGE ON SCHEMA public TO thirdstate_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO thirdstate_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO thirdstate_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO thirdstate_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO thirdstate_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO thirdstate_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO thirdstate_app;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON goose_db_version FROM thirdstate_app;
DO $$ BEGIN
  IF to_regclass('public.audit') IS NOT NULL THEN
    REVOKE UPDATE, DELETE, TRUNCATE ON public.audit FROM thirdstate_app;
  END IF;
END $$;`

// Migrate brings the schema up to date, ours and that of the jobs, and sees to
// the app's role. It may run from several processes at once: they take turns. A
// database that a newer program has migrated is refused.
func Migrate(ctx context.Context, url string) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return badURL(err)
	}
	if err := refuseSimple(cfg); err != nil {
		return err
	}
	conn, err := connectPatiently(ctx, cfg)
	if err != nil {
		return cannotOpen(cfg, err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) // ends the turn
	if err := fits(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, takeTurns); err != nil {
		return fmt.Errorf("wait for another process's migration: %w", err)
	}
	if _, err := conn.Exec(ctx, roleSQL); err != nil {
		return fmt.Errorf("%w: %w", problem.New(problem.Invalid, "cannot make the role %s: give the database's user CREATEROLE, or let an administrator run CREATE ROLE %[1]s; GRANT %[1]s TO %[2]s", appRole, cfg.User), err)
	}
	if err := migrateRecords(ctx, cfg); err != nil {
		return err
	}
	if err := migrateJobs(ctx, url); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, grants); err != nil {
		return fmt.Errorf("grant the tables to %s: %w", appRole, err)
	}
	return nil
}

func migrateRecords(ctx context.Context, cfg *pgx.ConnConfig) (err error) {
	db := stdlib.OpenDB(*cfg)
	defer func() { err = errors.Join(err, db.Close()) }()
	return up(ctx, db)
}

func up(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("open the migrations: %w", err)
	}
	// A release may bring a number below one that is there: they are made side by
	// side, and none needs what another of the same release makes.
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithAllowOutofOrder(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	current, newest, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if current > newest {
		return problem.New(problem.Invalid, "the database was migrated by a newer thirdstate (schema %d, this program knows %d): run that one", current, newest)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema up to date: %w", err)
	}
	return nil
}

func migrateJobs(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return fmt.Errorf("open the database for the jobs' schema: %w", err)
	}
	defer pool.Close()
	m, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return fmt.Errorf("read the jobs' migrations: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("bring the jobs' schema up to date: %w", err)
	}
	return nil
}

// comesUpWithin is how long a server is waited for that is there and says that it
// starts, or recovers from a crash.
const comesUpWithin = 5 * time.Minute

func connectPatiently(ctx context.Context, cfg *pgx.ConnConfig) (*pgx.Conn, error) {
	for until := time.Now().Add(comesUpWithin); ; {
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err == nil || !comesUp(err) || time.Now().After(until) || !wait(ctx, 200*time.Millisecond) {
			return conn, err
		}
	}
}

// comesUp says whether a server has answered that it takes nobody in yet.
func comesUp(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "57P03"
}
