package machines

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const componentColumns = `id, machine_id, parent_id, code, name, name_en, serial, batch, firmware, installed_at, removed_at`

const componentsSQL = `SELECT ` + componentColumns + ` FROM component WHERE machine_id = @machineID ORDER BY code, installed_at, id`

func components(ctx context.Context, db postgres.DB, machineID uuid.UUID) ([]Component, error) {
	return listed(postgres.All[Component](ctx, db, componentsSQL, pgx.NamedArgs{"machineID": machineID}))
}

const isPartSQL = `SELECT EXISTS (SELECT FROM component WHERE id = @id AND machine_id = @machineID)`

const addComponentSQL = `INSERT INTO component (id, machine_id, customer_id, parent_id, code, name, name_en, serial, batch, firmware, installed_at)
	VALUES (@id, @machineID, @customerID, @parentID, @code, @name, @nameEN, @serial, @batch, @firmware, @installedAt) RETURNING ` + componentColumns

// AddComponent installs a component in a machine, below its parent where one is named.
func AddComponent(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Component) (Component, error) {
	m, err := Get(ctx, db, c.MachineID)
	if err != nil {
		return Component{}, err
	}
	if c.ParentID != nil {
		fits, err := postgres.Value[bool](ctx, db, isPartSQL, pgx.NamedArgs{"id": *c.ParentID, "machineID": m.ID})
		if err != nil {
			return Component{}, fmt.Errorf("find the component above: %w", err)
		}
		if !fits {
			return Component{}, problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/parentId", Detail: "is no component of this machine"})
		}
	}
	if c.InstalledAt.IsZero() {
		c.InstalledAt = now
	}
	added, err := postgres.One[Component](ctx, db, addComponentSQL, pgx.NamedArgs{"id": postgres.NewID(), "machineID": m.ID, "customerID": m.CustomerID,
		"parentID": c.ParentID, "code": c.Code, "name": c.Name, "nameEN": c.NameEN, "serial": c.Serial,
		"batch": c.Batch, "firmware": c.Firmware, "installedAt": c.InstalledAt})
	if err != nil {
		return Component{}, fmt.Errorf("install %s in machine %s: %w", c.Code, m.Key, postgres.Translate(err))
	}
	if err := AddEvent(ctx, db, LifecycleEvent{MachineID: m.ID, At: c.InstalledAt, Kind: "part", Text: "安装部件：" + InLanguage("zh", c.Name, c.NameEN),
		TextEN: "Installed: " + InLanguage("en", c.Name, c.NameEN), Actor: who.Name, Entity: "component", EntityID: &added.ID}); err != nil {
		return Component{}, err
	}
	return added, Audit(ctx, db, now, who, "component", added.ID, &m.ID, m.CustomerID, "added", nil, added)
}
