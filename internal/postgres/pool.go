// Package postgres is the way to the records: the pool, transactions that see
// what their principal may see, migrations, and the private server that a fresh
// machine starts with.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/thirdstate/thirdstate/internal/identity"
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
// thirdstate_app, which Migrate sees to.
func Open(ctx context.Context, url string, opts ...Option) (*Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, problem.New(problem.Invalid, "the database URL cannot be read; it looks like postgres://user:password@host:5432/name")
	}
	cfg.MaxConns = 16
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	cfg.ConnConfig.RuntimeParams["application_name"] = "thirdstate"
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
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
	p := &Pool{raw: raw}
	if err := p.check(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return p, nil
}

func (p *Pool) check(ctx context.Context) error {
	var version int
	var encoding string
	err := p.raw.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_encoding')`).Scan(&version, &encoding)
	if err != nil {
		return fmt.Errorf("reach the database: %w", err)
	}
	if version < 150000 {
		return problem.New(problem.Invalid, "PostgreSQL %d is too old, 15 or newer is needed", version/10000)
	}
	if encoding != "UTF8" {
		return problem.New(problem.Invalid, "the database's encoding is %s, UTF8 is needed", encoding)
	}
	return nil
}

// Close waits for the connections in use and closes all.
func (p *Pool) Close() { p.raw.Close() }

// Raw is the pool itself, for libraries that need one (River, sessions). What
// runs on it has no principal and sees no owned row.
func (p *Pool) Raw() *pgxpool.Pool { return p.raw }

// Statistics of the pool, for metrics.
func (p *Pool) Statistics() *pgxpool.Stat { return p.raw.Stat() }

const scopeSQL = `SELECT set_config('app.scope', $1, true), set_config('app.customer', $2, true), set_config('app.actor', $3, true)`

// maxTries bounds how often a transaction is run again after a serialization
// failure or deadlock.
const maxTries = 3

// As runs fn in one transaction that sees and may write what who may: staff and
// the program everything, customer-scoped roles their customer's rows, an unknown
// role nothing. An error rolls back. fn may run again after a deadlock, so it
// must change nothing outside the transaction.
func As(ctx context.Context, p *Pool, who identity.Principal, fn func(tx pgx.Tx) error) error {
	for try := 1; ; try++ {
		err := once(ctx, p, who, fn)
		if err == nil {
			return nil
		}
		if try == maxTries || !again(err) {
			return Translate(err)
		}
	}
}

func once(ctx context.Context, p *Pool, who identity.Principal, fn func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, p.raw, func(tx pgx.Tx) error {
		scope, customer := scopeOf(who)
		if _, err := tx.Exec(ctx, scopeSQL, scope, customer, who.Name); err != nil {
			return fmt.Errorf("set the scope: %w", err)
		}
		return fn(tx)
	})
}

func scopeOf(who identity.Principal) (scope, customer string) {
	switch {
	case who.Role == identity.System:
		return "all", ""
	case !who.Role.Valid():
		return "none", ""
	case who.Role.CustomerScoped():
		return "customer", who.CustomerID.String()
	default:
		return "all", ""
	}
}

// again says whether running the transaction once more can help.
func again(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "40001", "40P01", "0A000": // serialization, deadlock, a cached plan that a migration made stale
		return true
	}
	return false
}

// NewID returns a UUIDv7: unique and in the order of making.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// Wait tries to reach the database until it answers or the time is over.
func Wait(ctx context.Context, url string, atMost time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("reach the database: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
