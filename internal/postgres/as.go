package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// scopeSQL says who is asking until the transaction ends (true = local), so that
// the next borrower of the connection starts with nobody.
const scopeSQL = `SELECT set_config('app.scope', $1, true), set_config('app.customer', $2, true), set_config('app.actor', $3, true)`

const (
	maxTries       = 3               // of a transaction that met a serialization failure or a deadlock
	rollbackWithin = 5 * time.Second // though the caller's context may be over
)

// As runs fn in one transaction that sees and may write what who may: staff and
// the program everything, customer-scoped roles their customer's rows, an unknown
// role nothing. An error or a panic rolls back; what the database refuses comes
// back as a problem (see Translate). After a deadlock, a serialization failure or
// a plan that a migration made stale fn runs again, so it must change nothing
// outside the transaction; and it must not call As, which would wait for a second
// connection.
func As(ctx context.Context, p *Pool, who identity.Principal, fn func(tx pgx.Tx) error) error {
	stale := false
	for try := 1; ; try++ {
		err := once(ctx, p, who, fn)
		if err == nil {
			return nil
		}
		again := try < maxTries && collided(err)
		if !again && !stale && stalePlan(err) {
			stale, again = true, true
		}
		if !again {
			return Translate(err)
		}
	}
}

func once(ctx context.Context, p *Pool, who identity.Principal, fn func(tx pgx.Tx) error) error {
	scope, customer := scopeOf(who)
	var begin pgx.Batch // BEGIN and the scope in one round trip
	begin.BeginTx(pgx.TxOptions{})
	begin.Queue(scopeSQL, scope, customer, who.Name)
	results := p.raw.SendBatch(ctx, &begin)
	tx := results.Tx()
	defer func() { // after a commit it does nothing
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackWithin)
		defer cancel()
		_ = tx.Rollback(ctx)
	}()
	if err := results.Close(); err != nil {
		return lost(ctx, fmt.Errorf("begin: %w", err))
	}
	if err := fn(tx); err != nil {
		if tx.Conn().IsClosed() {
			return lost(ctx, err)
		}
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return lost(ctx, fmt.Errorf("commit: %w", err))
	}
	return nil
}

// lost marks an error that came from the connection, not from the server or the
// caller, as the database being away.
func lost(ctx context.Context, err error) error {
	var pg *pgconn.PgError
	if ctx.Err() != nil || problem.As(err) != nil || errors.As(err, &pg) ||
		errors.Is(err, pgx.ErrTxCommitRollback) || errors.Is(err, pgx.ErrTxClosed) {
		return err
	}
	return away(err)
}

// scopeOf is what a principal may see. A customer's role without a customer sees
// nothing, rather than the rows that by mistake carry no customer's id.
func scopeOf(who identity.Principal) (scope, customer string) {
	switch {
	case who.Role == identity.System:
		return "all", ""
	case !who.Role.Valid():
		return "none", ""
	case !who.Role.CustomerScoped():
		return "all", ""
	case who.CustomerID == uuid.Nil:
		return "none", ""
	}
	return "customer", who.CustomerID.String()
}

// collided says whether two transactions met and one has to run again.
func collided(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// stalePlan says whether a prepared statement no longer fits its table; the
// connection has forgotten the statement by now.
func stalePlan(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "0A000" && pg.Routine == "RevalidateCachedQuery"
}
