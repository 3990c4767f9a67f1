package telemetry

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

// How old what is known of the machines may be. A name of which nobody knows is
// looked up before it counts as unknown; where a batch holds more of them than
// maxAsked, everything is read again, at most once in unknownAge.
const (
	unknownAge = time.Second
	fleetAge   = 30 * time.Second
	maxAsked   = 1_000
)

// fleet knows which machine a name means: its key, an alias, the key of the
// device that speaks for it, or its serial number, in this order.
type fleet struct {
	mu      sync.RWMutex
	names   map[string]*knownMachine
	devices map[string]knownDevice
	read    time.Time // wall clock
	took    time.Duration
	stale   bool // somebody said that machines have changed
}

// asked is what the names of a batch want to know.
type asked struct {
	unknown map[string]struct{} // names of which nobody has heard yet, at most maxAsked
	many    bool                // there are more
	replay  bool                // a replayed record holds one: whoever asked for that may just have entered it
}

type knownMachine struct {
	ID      uuid.UUID
	No      int
	Key     string
	Model   string
	Pack    string
	Site    uuid.UUID         // zero without one
	zone    *time.Location    // of its site, nil when it has none
	signals map[string]string // mapped signals of its model, with their units
	own     meanings          // of the names that it sends, nil where none is mapped
	models  meanings          // of the names that all of its model send
}

type knownDevice struct {
	machine uuid.UUID // zero when it has none
	gateway bool
}

// called returns the machine that the longer of two names means, else the other,
// nil when nobody has entered it. Only who has several machines of the same name
// needs the longer one.
func (f *fleet) called(longer, name string) *knownMachine {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if m := f.names[longer]; m != nil {
		return m
	}
	return f.names[name]
}

// ask notes what a name that stands in a record wants to know.
func (f *fleet) ask(a *asked, name string, replay bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.names[name] != nil {
		return
	}
	if a.unknown == nil {
		a.unknown = map[string]struct{}{}
	}
	if len(a.unknown) < maxAsked {
		a.unknown[storable(name)] = struct{}{}
	} else {
		a.many = true
	}
	a.replay = a.replay || replay
}

// maySpeak says whether a signed-in device may speak for the machine of a name,
// nil where nobody has entered it: a gateway for any, another one for its own and
// under its own key.
func (f *fleet) maySpeak(device, name string, machine *knownMachine) bool {
	if device == "" || device == name {
		return true
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	d := f.devices[device]
	return d.gateway || machine != nil && (d.machine == machine.ID || f.names[device] == machine)
}

// due says whether the machines should be read again whatever the names are.
// For names alone that takes at most a tenth of the time, however many come in.
func (f *fleet) due(now time.Time, a asked) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	age := now.Sub(f.read)
	return f.names == nil || f.stale || age > fleetAge || a.many && age > max(unknownAge, 10*f.took)
}

// A serial number that two makers gave means neither, see serials.
const enteredSQL = `SELECT EXISTS (SELECT 1 FROM machine WHERE key = ANY (@names))
  OR EXISTS (SELECT 1 FROM machine_alias WHERE alias = ANY (@names))
  OR EXISTS (SELECT 1 FROM device WHERE key = ANY (@names) AND machine_id IS NOT NULL AND revoked_at IS NULL)
  OR EXISTS (SELECT 1 FROM machine WHERE serial = ANY (@names) GROUP BY serial HAVING count(*) = 1)`

// entered says whether one of the names that nobody has heard of has been entered
// since the machines were read, by whomever: another process does not tell.
func (a asked) entered(ctx context.Context, pool *postgres.Pool) (yes bool, err error) {
	err = postgres.As(ctx, pool, identity.Program("intake"), func(tx pgx.Tx) error {
		yes, err = postgres.Value[bool](ctx, tx, enteredSQL, pgx.NamedArgs{"names": sortedKeys(a.unknown)})
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look up %d unknown names: %w", len(a.unknown), err)
	}
	return yes, nil
}

func (f *fleet) changed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stale = true
}

// A model without a rule pack of its own is watched by the pack of its name.
const fleetSQL = `SELECT m.id, m.no, m.key, m.serial, m.model_id, coalesce(o.name, '') AS model, coalesce(nullif(o.pack, ''), o.name, '') AS pack,
  coalesce(t.time_zone, '') AS zone, m.site_id
FROM machine m LEFT JOIN model o ON o.id = m.model_id LEFT JOIN site t ON t.id = m.site_id`

const fleetAliasSQL = `SELECT alias, machine_id FROM machine_alias`

const fleetDeviceSQL = `SELECT DISTINCT ON (key) key, machine_id, gateway, revoked_at IS NOT NULL AS revoked FROM device ORDER BY key, revoked_at DESC NULLS FIRST`

const fleetSignalSQL = `SELECT model_id, name, unit FROM signal`

type fleetRows struct {
	machines []struct {
		ID      uuid.UUID  `db:"id"`
		No      int        `db:"no"`
		Key     string     `db:"key"`
		Serial  string     `db:"serial"`
		ModelID *uuid.UUID `db:"model_id"`
		Model   string     `db:"model"`
		Pack    string     `db:"pack"`
		Zone    string     `db:"zone"`
		SiteID  *uuid.UUID `db:"site_id"`
	}
	aliases []struct {
		Alias     string    `db:"alias"`
		MachineID uuid.UUID `db:"machine_id"`
	}
	devices []struct {
		Key       string     `db:"key"`
		MachineID *uuid.UUID `db:"machine_id"`
		Gateway   bool       `db:"gateway"`
		Revoked   bool       `db:"revoked"`
	}
	signals []struct {
		ModelID uuid.UUID `db:"model_id"`
		Name    string    `db:"name"`
		Unit    string    `db:"unit"`
	}
	mappings []mappingRow
}

// load reads all machines, aliases, devices, signals and what names mean in a log.
func (f *fleet) load(ctx context.Context, pool *postgres.Pool, log uuid.UUID) error {
	f.mu.Lock()
	f.stale = false // what changes from here on is a new change
	f.mu.Unlock()
	var rows fleetRows
	var start time.Time
	err := postgres.As(ctx, pool, identity.Program("intake"), func(tx pgx.Tx) error {
		start = time.Now() // that a connection had to be made is not the reading's cost
		var err error
		rows, err = readFleet(ctx, tx)
		return err
	})
	if err != nil {
		f.changed()
		return fmt.Errorf("read the machines: %w", err)
	}
	names, devices := rows.index(log)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names, f.devices, f.read, f.took = names, devices, time.Now(), time.Since(start)
	return nil
}

const awaitClaimsSQL = `SELECT pg_advisory_xact_lock_shared(7337, @lock)`

// readFleet waits for claims that are being made: their messages may be in the
// log already.
func readFleet(ctx context.Context, tx pgx.Tx) (rows fleetRows, err error) {
	if _, err = tx.Exec(ctx, awaitClaimsSQL, pgx.NamedArgs{"lock": claimsLock}); err != nil {
		return rows, err
	}
	if rows.machines, err = all(ctx, tx, fleetSQL, rows.machines); err != nil {
		return rows, err
	}
	if rows.aliases, err = all(ctx, tx, fleetAliasSQL, rows.aliases); err != nil {
		return rows, err
	}
	if rows.devices, err = all(ctx, tx, fleetDeviceSQL, rows.devices); err != nil {
		return rows, err
	}
	if rows.signals, err = all(ctx, tx, fleetSignalSQL, rows.signals); err != nil {
		return rows, err
	}
	rows.mappings, err = all(ctx, tx, fleetMappingSQL, rows.mappings)
	return rows, err
}

// all is postgres.All for a list whose element type has no name.
func all[T any](ctx context.Context, tx pgx.Tx, sql string, _ []T) ([]T, error) {
	return postgres.All[T](ctx, tx, sql, nil)
}

func (rows *fleetRows) index(log uuid.UUID) (map[string]*knownMachine, map[string]knownDevice) {
	signals := map[uuid.UUID]map[string]string{}
	for _, s := range rows.signals {
		if signals[s.ModelID] == nil {
			signals[s.ModelID] = map[string]string{}
		}
		signals[s.ModelID][s.Name] = s.Unit
	}
	meant := meant(rows.mappings, log)
	zones := zones{}
	byID := make(map[uuid.UUID]*knownMachine, len(rows.machines))
	names := make(map[string]*knownMachine, len(rows.machines))
	for _, m := range rows.machines {
		k := &knownMachine{ID: m.ID, No: m.No, Key: m.Key, Model: m.Model, Pack: m.Pack, zone: zones.of(m.Zone), own: meant[m.ID]}
		if m.SiteID != nil {
			k.Site = *m.SiteID
		}
		if m.ModelID != nil {
			k.signals, k.models = signals[*m.ModelID], meant[*m.ModelID]
		}
		byID[m.ID], names[m.Key] = k, k
	}
	for _, a := range rows.aliases {
		name(names, a.Alias, byID[a.MachineID])
	}
	devices := make(map[string]knownDevice, len(rows.devices))
	for _, d := range rows.devices {
		known := knownDevice{gateway: d.Gateway} // a revoked one is still held to what it might say
		if d.MachineID != nil {
			known.machine = *d.MachineID
		}
		if d.MachineID != nil && !d.Revoked {
			name(names, d.Key, byID[*d.MachineID])
		}
		devices[d.Key] = known
	}
	for serial, m := range rows.serials(byID) {
		name(names, serial, m)
	}
	return names, devices
}

// zones are the time zones met while the machines are read.
type zones map[string]*time.Location

// of returns a zone, nil for one that nobody knows.
func (z zones) of(name string) *time.Location {
	if zone, met := z[name]; met || name == "" {
		return zone
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		zone = nil // its machines keep the receive time
	}
	z[name] = zone
	return zone
}

// serials are the machines by serial number, which is what makers' fleets call them;
// a number that two makers gave means neither.
func (rows *fleetRows) serials(byID map[uuid.UUID]*knownMachine) map[string]*knownMachine {
	out := make(map[string]*knownMachine, len(rows.machines))
	for _, m := range rows.machines {
		if _, twice := out[m.Serial]; twice {
			out[m.Serial] = nil
			continue
		}
		out[m.Serial] = byID[m.ID]
	}
	return out
}

// name adds a name that does not hide an earlier one.
func name(names map[string]*knownMachine, alias string, m *knownMachine) {
	if _, taken := names[alias]; !taken && m != nil {
		names[alias] = m
	}
}
