package machines

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

const fileFindingsSQL = `SELECT ` + findingColumns + ` FROM finding WHERE machine_id = @machineID ORDER BY opened_at DESC, id DESC LIMIT @limit`

const ownershipsSQL = `SELECT o.customer_id, COALESCE(c.name, '') AS customer_name, COALESCE(c.name_en, '') AS customer_name_en, o.valid_from, o.valid_to
	FROM machine_ownership o LEFT JOIN customer c ON c.id = o.customer_id WHERE o.machine_id = @machineID ORDER BY o.valid_from DESC LIMIT @limit`

// ReadFile reads the whole file of one machine, as far as the caller may see it.
func ReadFile(ctx context.Context, db postgres.DB, id uuid.UUID) (File, error) {
	f := File{Contacts: []Contact{}, Signals: []Signal{}}
	var err error
	if f.Machine, err = GetRow(ctx, db, id); err != nil {
		return File{}, err
	}
	if err := f.readIdentity(ctx, db); err != nil {
		return File{}, fmt.Errorf("read the file of machine %s: %w", f.Machine.Key, err)
	}
	if err := f.readLife(ctx, db, id); err != nil {
		return File{}, fmt.Errorf("read the file of machine %s: %w", f.Machine.Key, err)
	}
	return f, nil
}

const getSiteSQL = `SELECT ` + siteColumns + ` FROM site WHERE id = @id`

// readIdentity reads what the machine is and whose.
func (f *File) readIdentity(ctx context.Context, db postgres.DB) error {
	m := f.Machine
	if m.ModelID != nil {
		model, err := postgres.One[Model](ctx, db, getModelSQL, pgx.NamedArgs{"id": *m.ModelID})
		if err != nil {
			return err
		}
		f.Model = &model
		if f.Signals, err = Signals(ctx, db, model.ID); err != nil {
			return err
		}
	}
	if m.SiteID != nil {
		site, err := postgres.One[Site](ctx, db, getSiteSQL, pgx.NamedArgs{"id": *m.SiteID})
		if err != nil {
			return err
		}
		f.Site = &site
	}
	if m.CustomerID == nil {
		return nil
	}
	customer, err := GetCustomer(ctx, db, *m.CustomerID)
	if err != nil {
		return err
	}
	f.Customer = &customer
	f.Contacts, err = Contacts(ctx, db, m.CustomerID)
	return err
}

// readLife reads how the machine is doing and what has become of it.
func (f *File) readLife(ctx context.Context, db postgres.DB, id uuid.UUID) error {
	var err error
	if f.Components, err = components(ctx, db, id); err != nil {
		return err
	}
	args := pgx.NamedArgs{"machineID": id, "limit": longestLife}
	if f.Findings, err = findings(ctx, db, fileFindingsSQL, args); err != nil {
		return err
	}
	if f.TroubleCodes, err = troubleCodes(ctx, db, id); err != nil {
		return err
	}
	if f.HealthChanges, err = healthChanges(ctx, db, id); err != nil {
		return err
	}
	if f.Events, err = events(ctx, db, id); err != nil {
		return err
	}
	if f.Readings, err = readings(ctx, db, id); err != nil {
		return err
	}
	f.Ownerships, err = postgres.All[Ownership](ctx, db, ownershipsSQL, args)
	return err
}
