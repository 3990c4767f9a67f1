package machines

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const addEventSQL = `INSERT INTO lifecycle_event (id, machine_id, customer_id, at, kind, text, text_en, actor, entity, entity_id)
	SELECT @id, m.id, m.customer_id, @at, @kind, @text, @textEN, @actor, @entity, @entityID::uuid FROM machine m WHERE m.id = @machineID`

// AddEvent writes one line into a machine's life; it belongs to the machine's
// present owner.
func AddEvent(ctx context.Context, db postgres.DB, e LifecycleEvent) error {
	written, err := postgres.Run(ctx, db, addEventSQL, pgx.NamedArgs{"id": postgres.NewID(), "machineID": e.MachineID, "at": e.At, "kind": e.Kind,
		"text": e.Text, "textEN": e.TextEN, "actor": e.Actor, "entity": e.Entity, "entityID": e.EntityID})
	if err != nil {
		return fmt.Errorf("note %s in the life of machine %s: %w", e.Kind, e.MachineID, err)
	}
	if written == 0 {
		return problem.New(problem.NotFound, "no such machine")
	}
	return nil
}

// longestLife bounds the events of one file.
const longestLife = 200

const eventsSQL = `SELECT id, machine_id, at, kind, text, text_en, actor, entity, entity_id FROM lifecycle_event
	WHERE machine_id = @machineID ORDER BY at DESC, id DESC LIMIT @limit`

func events(ctx context.Context, db postgres.DB, machineID uuid.UUID) ([]LifecycleEvent, error) {
	return postgres.All[LifecycleEvent](ctx, db, eventsSQL, pgx.NamedArgs{"machineID": machineID, "limit": longestLife})
}
