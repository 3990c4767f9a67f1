package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
)

func rows(ctx context.Context, db DB, sql string, args pgx.NamedArgs) (pgx.Rows, error) {
	if args == nil {
		return db.Query(ctx, sql)
	}
	return db.Query(ctx, sql, args)
}

// One reads one row into a struct by its db tags; no row is problem.NotFound.
func One[T any](ctx context.Context, db DB, sql string, args pgx.NamedArgs) (T, error) {
	var zero T
	r, err := rows(ctx, db, sql, args)
	if err != nil {
		return zero, err
	}
	v, err := pgx.CollectExactlyOneRow(r, pgx.RowToStructByNameLax[T])
	if errors.Is(err, pgx.ErrNoRows) {
		return zero, problem.New(problem.NotFound, "not found")
	}
	return v, err
}

// All reads rows into structs by their db tags; no row is an empty list.
func All[T any](ctx context.Context, db DB, sql string, args pgx.NamedArgs) ([]T, error) {
	r, err := rows(ctx, db, sql, args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(r, pgx.RowToStructByNameLax[T])
}

// Value reads one value; no row is problem.NotFound.
func Value[T any](ctx context.Context, db DB, sql string, args pgx.NamedArgs) (T, error) {
	var zero T
	r, err := rows(ctx, db, sql, args)
	if err != nil {
		return zero, err
	}
	v, err := pgx.CollectExactlyOneRow(r, pgx.RowTo[T])
	if errors.Is(err, pgx.ErrNoRows) {
		return zero, problem.New(problem.NotFound, "not found")
	}
	return v, err
}

// Values reads one value of each row; no row is an empty list.
func Values[T any](ctx context.Context, db DB, sql string, args pgx.NamedArgs) ([]T, error) {
	r, err := rows(ctx, db, sql, args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(r, pgx.RowTo[T])
}

// Run executes a statement and says how many rows it touched.
func Run(ctx context.Context, db DB, sql string, args pgx.NamedArgs) (int64, error) {
	if args == nil {
		tag, err := db.Exec(ctx, sql)
		return tag.RowsAffected(), err
	}
	tag, err := db.Exec(ctx, sql, args)
	return tag.RowsAffected(), err
}
