package machines

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// Kin is what machines of a model may share: the batch and firmware of a component, and
// what the machine does; "" = nobody has written it down.
type Kin struct {
	MachineID uuid.UUID `db:"id"`
	Key       string    `db:"key"`
	Batch     string    `db:"batch"`
	Firmware  string    `db:"firmware"`
	Duty      string    `db:"duty"`
}

// Shares names what two machines of a model have in common, as far as it is known, and
// says whether nothing that is known of both differs.
func (k Kin) Shares(with Kin) (shared []string, alike bool) {
	shared, alike = []string{"model"}, true
	for _, c := range []struct{ name, a, b string }{{"batch", k.Batch, with.Batch}, {"firmware", k.Firmware, with.Firmware}, {"duty", k.Duty, with.Duty}} {
		switch {
		case c.a == "" || c.b == "":
		case c.a == c.b:
			shared = append(shared, c.name)
		default:
			alike = false
		}
	}
	return shared, alike
}

// mostSisters bounds how many machines of a model are compared with one.
const mostSisters = 5000

// Of the machine itself the component counts that was in it at the time.
const sistersSQL = `SELECT m.id, m.key, COALESCE(c.batch, '') AS batch, COALESCE(c.firmware, '') AS firmware, m.duty FROM machine m
LEFT JOIN LATERAL (SELECT c.batch, c.firmware FROM component c CROSS JOIN (SELECT CASE WHEN m.id = @id THEN @at::timestamptz ELSE @now::timestamptz END AS at) t
	WHERE c.machine_id = m.id AND c.code = @component AND c.installed_at <= t.at AND (c.removed_at IS NULL OR c.removed_at > t.at)
	ORDER BY c.installed_at DESC, c.id LIMIT 1) c ON true
WHERE m.model_id = (SELECT model_id FROM machine WHERE id = @id) AND (m.operating_status <> 'scrapped' OR m.id = @id)
ORDER BY m.id <> @id, m.id LIMIT @limit`

// Sisters gives what a machine was at an instant, as far as one of its components is
// concerned, and what the other machines of its model are now.
func Sisters(ctx context.Context, db postgres.DB, now time.Time, id uuid.UUID, component string, at time.Time) (Kin, []Kin, error) {
	list, err := postgres.All[Kin](ctx, db, sistersSQL, pgx.NamedArgs{"id": id, "component": component, "at": at, "now": now, "limit": mostSisters + 1})
	if err != nil {
		return Kin{}, nil, fmt.Errorf("list the sisters of machine %s: %w", id, err)
	}
	if len(list) == 0 || list[0].MachineID != id {
		return Kin{}, nil, problem.New(problem.NotFound, "the machine is not there, or of no model")
	}
	return list[0], list[1:], nil
}
