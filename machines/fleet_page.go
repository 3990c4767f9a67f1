package machines

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const fleetPageSQL = rowSQL + ` ORDER BY m.key LIMIT @size OFFSET @skip`

const fleetSizeSQL = `SELECT count(*) FROM machine`

// FleetPage gives a numbered page, from 1, of the machines that the caller sees, and
// how many pages there are: the fleets of ISO 15143-3 are read by number.
func FleetPage(ctx context.Context, db postgres.DB, page, size int) (rows []Row, pages int, err error) {
	count, err := postgres.Value[int](ctx, db, fleetSizeSQL, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("count the fleet: %w", err)
	}
	rows, err = postgres.All[Row](ctx, db, fleetPageSQL, pgx.NamedArgs{"size": size, "skip": (page - 1) * size})
	if err != nil {
		return nil, 0, fmt.Errorf("read page %d of the fleet: %w", page, err)
	}
	return rows, max((count+size-1)/size, 1), nil
}

const byNameplateSQL = rowSQL + ` WHERE m.manufacturer = @make AND COALESCE(d.name, '') = @model AND m.serial = @serial`

const byNumberSQL = rowSQL + ` WHERE upper(m.serial) = upper(@number) OR upper(m.key) = upper(@number) ORDER BY m.key LIMIT 2`

// ByNameplate finds a machine by maker, model and serial number.
func ByNameplate(ctx context.Context, db postgres.DB, maker, model, serial string) (Row, error) {
	row, err := postgres.One[Row](ctx, db, byNameplateSQL, pgx.NamedArgs{"make": maker, "model": model, "serial": serial})
	if problem.Of(err) == problem.NotFound {
		return row, problem.New(problem.NotFound, "no such machine")
	}
	return row, err
}

// ByNumber finds a machine by serial number or key, in any case; one of two that
// share a number is none.
func ByNumber(ctx context.Context, db postgres.DB, number string) (Row, error) {
	rows, err := postgres.All[Row](ctx, db, byNumberSQL, pgx.NamedArgs{"number": number})
	if err != nil {
		return Row{}, fmt.Errorf("find a machine by its number: %w", err)
	}
	if len(rows) != 1 {
		return Row{}, problem.New(problem.NotFound, "no such machine")
	}
	return rows[0], nil
}
