package maintenance

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

// Where two of one name write it in two ways nobody knows who is meant, and it
// stays as it is.
const personSQL = `SELECT CASE WHEN count(DISTINCT p.name_en) = 1 THEN min(p.name_en) ELSE '' END FROM (
	SELECT name_en FROM technician WHERE name = @name
	UNION ALL SELECT name_en FROM app_user WHERE name = @name
	UNION ALL SELECT name_en FROM contact WHERE name = @name AND customer_id = @customer) p
WHERE p.name_en <> ''`

// person is a person's name as each language writes it: who is named in a record
// is an engineer, a user or one of the customer's people. A name that none of them
// has is the same in both.
func person(ctx context.Context, db postgres.DB, customer *uuid.UUID, name string) (machines.Text, error) {
	if name == "" {
		return machines.Text{}, nil
	}
	en, err := postgres.Value[string](ctx, db, personSQL, pgx.NamedArgs{"name": name, "customer": customer})
	if err != nil {
		return machines.Text{}, fmt.Errorf("look for a person's name: %w", err)
	}
	return inBoth(name, en), nil
}
