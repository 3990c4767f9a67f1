package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// grants let the app's role read and write what the owner made, and no more:
// the audit log can be added to and never changed.
const grants = `
GRANT USAGE ON SCHEMA public TO thirdstate_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO thirdstate_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO thirdstate_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO thirdstate_app;
REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM thirdstate_app;`

// Migrate brings the schema up to date and sees to the app's role. It may run
// from several processes at once: an advisory lock makes them take turns.
func Migrate(ctx context.Context, url string) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("read the database URL: %w", err)
	}
	db := stdlib.OpenDB(*cfg)
	err = migrate(ctx, db)
	if err == nil {
		err = migrateJobs(ctx, url)
	}
	if err == nil {
		_, err = db.ExecContext(ctx, grants)
	}
	return errors.Join(err, db.Close())
}

func migrate(ctx context.Context, db *sql.DB) error {
	if err := ensureRole(ctx, db); err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("open the migrations: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("make the migrations' lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema up to date: %w", err)
	}
	return nil
}

const roleSQL = `DO $$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'thirdstate_app') THEN
    CREATE ROLE thirdstate_app NOLOGIN;
  END IF;
  IF NOT pg_has_role(current_user, 'thirdstate_app', 'MEMBER') THEN
    EXECUTE format('GRANT thirdstate_app TO %I', current_user);
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; -- another process made it just now
END $$`

func ensureRole(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, roleSQL); err != nil {
		return fmt.Errorf("make the role %s (the database's user needs CREATEROLE, or an administrator makes the role and grants it): %w", appRole, err)
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
