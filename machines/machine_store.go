package machines

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/text/unicode/norm"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// machineColumns are the columns of a Machine, with m as the table's alias.
const machineColumns = `m.id, m.no, m.key, m.manufacturer, m.serial, m.name, m.name_en, m.plate, m.model_id, m.customer_id, m.site_id, m.responsible_id,
	m.built_on, m.handed_over_on, m.warranty_months, m.warranty_hours, m.contract, m.duty, m.has_device, m.operating_status, m.operating_note, m.operating_note_en,
	m.health, m.health_since, m.score, m.contributors, m.connectivity, m.connectivity_since, m.connectivity_why, m.last_seen_at, m.operating_hours, m.pumped_volume, m.created_at, m.version`

const getSQL = `SELECT ` + machineColumns + ` FROM machine m WHERE m.id = @id`

// Get reads one machine.
func Get(ctx context.Context, db postgres.DB, id uuid.UUID) (Machine, error) {
	return one(ctx, db, getSQL, pgx.NamedArgs{"id": id})
}

// Lock reads one machine and keeps it from changing until the transaction ends. Rows
// that refer to it may still come: FOR UPDATE would wait for whoever has just added
// one, and he for us.
func Lock(ctx context.Context, db postgres.DB, id uuid.UUID) (Machine, error) {
	return one(ctx, db, getSQL+` FOR NO KEY UPDATE`, pgx.NamedArgs{"id": id})
}

const byKeySQL = `SELECT ` + machineColumns + ` FROM machine m
	WHERE m.key = @key OR (NOT EXISTS (SELECT FROM machine k WHERE k.key = @key) AND m.id = (SELECT machine_id FROM machine_alias WHERE alias = @key))`

// ByKey reads the machine with a key or, where none has it, with an alias.
func ByKey(ctx context.Context, db postgres.DB, key string) (Machine, error) {
	return one(ctx, db, byKeySQL, pgx.NamedArgs{"key": key})
}

func one(ctx context.Context, db postgres.DB, sql string, args pgx.NamedArgs) (Machine, error) {
	m, err := postgres.One[Machine](ctx, db, sql, args)
	if problem.Of(err) == problem.NotFound {
		return m, problem.New(problem.NotFound, "no such machine")
	}
	if err != nil {
		return m, fmt.Errorf("read the machine: %w", err)
	}
	return m, nil
}

// longestKey of a machine; the constraint machine_key_check says the same.
const longestKey = 64

// KeyOf is the key that a serial number gives: itself where it can be one; else
// with full-width letters made plain, and what a topic cannot hold turned into one
// dash. "" where nothing is left.
func KeyOf(serial string) string {
	if validKey(serial) {
		return serial
	}
	var key strings.Builder
	for _, r := range norm.NFKC.String(serial) {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			key.WriteRune(r)
		case key.Len() > 0 && !strings.HasSuffix(key.String(), "-"):
			key.WriteByte('-')
		}
		if key.Len() == longestKey {
			break
		}
	}
	return strings.Trim(key.String(), "-")
}

const addMachineSQL = `INSERT INTO machine AS m (id, key, manufacturer, serial, name, name_en, plate, model_id, customer_id, site_id, responsible_id,
		built_on, handed_over_on, warranty_months, warranty_hours, contract, duty, has_device, operating_status, operating_note, operating_note_en,
		health_since, connectivity, operating_hours, pumped_volume, created_at)
	VALUES (@id, @key, @manufacturer, @serial, @name, @nameEN, @plate, @modelID, @customerID, @siteID, @responsibleID,
		@builtOn, @handedOverOn, @warrantyMonths, @warrantyHours, @contract, @duty, @hasDevice, @operatingStatus, @operatingNote, @operatingNoteEN,
		@now, @connectivity, @operatingHours, @pumpedVolume, @now)
	RETURNING ` + machineColumns

// AddMachine opens the file of a machine. Its key is by default the normalised
// serial number; its owner's time begins with the hand-over, or now.
func AddMachine(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, m Machine) (Machine, error) {
	m.Manufacturer, m.Serial = strings.TrimSpace(m.Manufacturer), strings.TrimSpace(m.Serial)
	if m.Key == "" {
		m.Key = KeyOf(m.Serial)
	}
	if m.OperatingStatus == "" {
		m.OperatingStatus = Working
	}
	m.Connectivity = "none"
	if m.HasDevice {
		m.Connectivity = "unknown"
	}
	if err := checkMachine(ctx, db, m); err != nil {
		return Machine{}, err
	}
	added, err := postgres.One[Machine](ctx, db, addMachineSQL, pgx.NamedArgs{"id": postgres.NewID(), "key": m.Key, "manufacturer": m.Manufacturer, "serial": m.Serial,
		"name": m.Name, "nameEN": m.NameEN, "plate": m.Plate, "modelID": m.ModelID, "customerID": m.CustomerID, "siteID": m.SiteID, "responsibleID": m.ResponsibleID,
		"builtOn": m.BuiltOn, "handedOverOn": m.HandedOverOn, "warrantyMonths": m.WarrantyMonths, "warrantyHours": m.WarrantyHours, "contract": m.Contract, "duty": m.Duty,
		"hasDevice": m.HasDevice, "operatingStatus": m.OperatingStatus, "operatingNote": m.OperatingNote, "operatingNoteEN": m.OperatingNoteEN,
		"connectivity": m.Connectivity, "operatingHours": m.OperatingHours, "pumpedVolume": m.PumpedVolume, "now": now})
	if err != nil {
		return Machine{}, fmt.Errorf("add machine %s: %w", m.Key, postgres.Translate(err))
	}
	if added.CustomerID != nil {
		from := now
		if m.HandedOverOn != nil && m.HandedOverOn.Before(now) {
			from = *m.HandedOverOn
		}
		if err := own(ctx, db, added.ID, *added.CustomerID, from); err != nil {
			return Machine{}, err
		}
	}
	if err := AddEvent(ctx, db, LifecycleEvent{MachineID: added.ID, At: now, Kind: "added", Text: "建立设备档案", TextEN: "Machine file opened",
		Actor: who.Name, Entity: "machine", EntityID: &added.ID}); err != nil {
		return Machine{}, err
	}
	return added, Audit(ctx, db, now, who, "machine", added.ID, &added.ID, nil, "added", nil, added)
}

// checkMachine says all that is wrong with a new machine at once.
func checkMachine(ctx context.Context, db postgres.DB, m Machine) error {
	var faults []problem.Field
	if m.Manufacturer == "" {
		faults = append(faults, problem.Field{Pointer: "/manufacturer", Detail: "is empty"})
	}
	if m.Serial == "" {
		faults = append(faults, problem.Field{Pointer: "/serial", Detail: "is empty"})
	}
	if m.Serial != "" && !validKey(m.Key) {
		faults = append(faults, problem.Field{Pointer: "/key", Detail: "has 1 to 64 letters, digits, _ or -; this serial number gives none"})
	}
	if m.SiteID != nil {
		fits, err := siteFits(ctx, db, *m.SiteID, m.CustomerID)
		if err != nil {
			return err
		}
		if !fits {
			faults = append(faults, problem.Field{Pointer: "/siteId", Detail: "is no site of this customer"})
		}
	}
	if len(faults) > 0 {
		return problem.New(problem.Invalid, "see errors").WithFields(faults...)
	}
	return nil
}

func validKey(key string) bool {
	return key != "" && len(key) <= longestKey && strings.IndexFunc(key, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}) < 0
}

const siteFitsSQL = `SELECT EXISTS (SELECT FROM site WHERE id = @id AND customer_id = @customerID::uuid)`

func siteFits(ctx context.Context, db postgres.DB, id uuid.UUID, customerID *uuid.UUID) (bool, error) {
	fits, err := postgres.Value[bool](ctx, db, siteFitsSQL, pgx.NamedArgs{"id": id, "customerID": customerID})
	if err != nil {
		return false, fmt.Errorf("find the site: %w", err)
	}
	return fits, nil
}

const ownSQL = `INSERT INTO machine_ownership (id, machine_id, customer_id, valid_from) VALUES (@id, @machineID, @customerID, @from)`

func own(ctx context.Context, db postgres.DB, machineID, customerID uuid.UUID, from time.Time) error {
	_, err := postgres.Run(ctx, db, ownSQL, pgx.NamedArgs{"id": postgres.NewID(), "machineID": machineID, "customerID": customerID, "from": from})
	if err != nil {
		return fmt.Errorf("open the ownership of machine %s: %w", machineID, err)
	}
	return nil
}
