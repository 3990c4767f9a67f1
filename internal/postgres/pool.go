// Package postgres is the way to the records: the pool, transactions that see
// what their principal may see, migrations, and the private server that a fresh
// machine starts with.
package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// DB is what a store function needs: a transaction or a connection.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// appRole is the role that every statement of the program runs as. It owns
// nothing, so that row-level security holds for it.
const appRole = "thirdstate_app"

// Pool is a bounded set of connections as the app's role.
type Pool struct{ raw *pgxpool.Pool }

// Option changes a pool's settings.
type Option func(*pgxpool.Config)

// MaxConns bounds the connections of a pool (default 16).
func MaxConns(n int32) Option { return func(c *pgxpool.Config) { c.MaxConns = n } }

// Open connects to a migrated database. The URL's user must be a member of
// thirdstate_app, which Migrate sees to. What is wrong with the database is said
// in a problem: Unavailable when it cannot be reached, Invalid when it will not do.
func Open(ctx context.Context, url string, opts ...Option) (*Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, badURL(err)
	}
	if err := refuseSimple(cfg.ConnConfig); err != nil {
		return nil, err
	}
	cfg.MaxConns = 16
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	cfg.ConnConfig.RuntimeParams["application_name"] = "thirdstate"
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		pgxuuid.Register(c.TypeMap()) // as bytes; else each goes through its text
		_, err := c.Exec(ctx, "SET ROLE "+appRole)
		return err
	}
	for _, o := range opts {
		o(cfg)
	}
	raw, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := fits(ctx, raw); err != nil {
		raw.Close()
		return nil, cannotOpen(cfg.ConnConfig, err)
	}
	return &Pool{raw: raw}, nil
}

// refuseSimple keeps values out of the text of statements: the simple protocol
// puts them there.
func refuseSimple(cfg *pgx.ConnConfig) error {
	if cfg.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol {
		return problem.New(problem.Invalid, "the database URL asks for the simple protocol, which is not used; take default_query_exec_mode out, or say exec")
	}
	return nil
}

// fits checks what we rely on: PostgreSQL 15 (NULLS NOT DISTINCT) and UTF-8.
func fits(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) error {
	var version int
	var encoding string
	err := db.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_encoding')`).Scan(&version, &encoding)
	switch {
	case err != nil:
		return err
	case version < 150000:
		return problem.New(problem.Invalid, "the database runs PostgreSQL %d, which is too old: 15 or newer is needed", version/10000)
	case encoding != "UTF8":
		return problem.New(problem.Invalid, "the database's encoding is %s, UTF8 is needed (CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0)", encoding)
	}
	return nil
}

func badURL(err error) error {
	return fmt.Errorf("%w: %w", problem.New(problem.Invalid, "the database URL cannot be read; it looks like postgres://user:password@host:5432/name"), err)
}

// cannotOpen says what an administrator can do about a database that we could
// not connect to.
func cannotOpen(cfg *pgx.ConnConfig, err error) error {
	if problem.As(err) != nil || errors.Is(err, context.Canceled) {
		return err
	}
	said := problem.New(problem.Unavailable, "the database at %s:%d cannot be reached", cfg.Host, cfg.Port)
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "28P01", "28000":
			said = problem.New(problem.Invalid, "the database at %s:%d refuses user %s: wrong password, or not allowed", cfg.Host, cfg.Port, cfg.User)
		case "3D000":
			said = problem.New(problem.Invalid, "the database server at %s:%d has no database %s", cfg.Host, cfg.Port, cfg.Database)
		case "22023", "42501": // SET ROLE: no such role, or not a member
			said = problem.New(problem.Invalid, "user %s of the database cannot act as %s: run thirdstate migrate first", cfg.User, appRole)
		}
	}
	return fmt.Errorf("%w: %w", said, err)
}

// Close waits for the connections in use and closes all.
func (p *Pool) Close() { p.raw.Close() }

// Raw is the pool itself, for libraries that need one (River, sessions). What
// runs on it has no principal and sees no owned row.
func (p *Pool) Raw() *pgxpool.Pool { return p.raw }

// Statistics of the pool, for metrics.
func (p *Pool) Statistics() *pgxpool.Stat { return p.raw.Stat() }

// NewID returns a UUIDv7: unique and in the order of making.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
