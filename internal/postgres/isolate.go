package postgres

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// PanicError is a panic that Attempt has caught: a fault of the program over what
// it was to write.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("the program failed: %v", e.Value) }

// refusals are the classes of SQLSTATE that are about what was to be written:
// cardinality, data, constraints, views with a check, limits of the program (an
// index entry that is too long), what a trigger raises.
var refusals = []string{"21", "22", "23", "44", "54", "P0"} //nolint:gochecknoglobals // an ordered list, never written

// Refused says whether an error is about what was to be written: the database
// would not take it however often it is asked, nor would the program. It is false
// for whatever passes by itself or concerns everybody: connections, locks, disks,
// shut-downs, permissions, a schema that does not fit.
func Refused(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return len(pg.Code) == 5 && slices.Contains(refusals, pg.Code[:2])
	}
	var panicked *PanicError
	switch p := problem.As(err); {
	case p != nil:
		return p.Kind != problem.Unavailable && p.Kind != problem.Limited && p.Kind != problem.Internal
	case errors.As(err, &panicked):
		return true
	}
	var connect *pgconn.ConnectError
	return !errors.As(err, &connect) && !pgconn.SafeToRetry(err) && !pgconn.Timeout(err) &&
		!errors.Is(err, pgx.ErrTxClosed) && !errors.Is(err, pgx.ErrTxCommitRollback)
}

// Attempt runs fn in a savepoint: where it fails or panics nothing of it is left,
// and the transaction goes on.
func Attempt(ctx context.Context, tx pgx.Tx, fn func(tx pgx.Tx) error) error {
	inner, err := tx.Begin(ctx)
	if err != nil {
		return lost(ctx, fmt.Errorf("set a savepoint: %w", err))
	}
	if err = Guard(func() error { return fn(inner) }); err == nil {
		if err = inner.Commit(ctx); err == nil {
			return nil
		}
	}
	if tx.Conn().IsClosed() {
		return lost(ctx, err)
	}
	if back := inner.Rollback(ctx); back != nil && !errors.Is(back, pgx.ErrTxClosed) {
		return lost(ctx, fmt.Errorf("go back to a savepoint: %w", errors.Join(back, err)))
	}
	return err
}

// Guard gives back a panic of fn as a PanicError.
func Guard(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	return fn()
}

// Isolate does something for a list whose parts have nothing to do with each
// other. Where that is refused it is done for each half, and so on down to the
// part that is to blame, which is handed to refuse: one bad part among n costs
// about 2 log2(n) tries. Any other error ends it at once. do must leave nothing
// behind when it fails, see Attempt.
func Isolate[T any](list []T, do func(part []T) error, refuse func(one T, why error) error) error {
	if len(list) == 0 {
		return nil
	}
	err := do(list)
	switch {
	case !Refused(err):
		return err
	case len(list) == 1:
		return refuse(list[0], err)
	}
	half := len(list) / 2
	if err := Isolate(list[:half], do, refuse); err != nil {
		return err
	}
	return Isolate(list[half:], do, refuse)
}
