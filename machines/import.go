package machines

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// Report says what an import did, or would do.
type Report struct {
	Rows      int         // machines that the file names
	Added     int         // of which new
	Known     int         // of which known already; they are left as they are
	Customers []string    // made, in the file's order
	Sites     []string    // made
	Models    []string    // made: of no kind yet and without a rule pack
	Ignored   []string    // columns that are not read
	Faults    []LineFault // every line that cannot be imported; then nothing is
}

// LineFault is what is wrong with one line of a file.
type LineFault struct {
	Line   int
	Column string
	Detail string
}

func (f LineFault) String() string {
	if f.Column == "" {
		return fmt.Sprintf("line %d: %s", f.Line, f.Detail)
	}
	return fmt.Sprintf("line %d: %s %s", f.Line, f.Column, f.Detail)
}

// importBatch is how many machines one statement adds.
const importBatch = 1000

// Import adds the machines of a CSV file with the columns manufacturer, serial,
// model, name, customer and site, and makes the customers, sites and models that
// it names. All or nothing: with a fault in any line nothing is written, and
// the report and the problem name every one. A dry run writes nothing either.
func Import(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, r io.Reader, dryRun bool) (Report, error) {
	t, err := readTable(r)
	if err != nil {
		return Report{}, err
	}
	report := Report{Rows: len(t.lines), Ignored: t.ignored}
	w, err := meet(ctx, db, t)
	if err != nil {
		return report, fmt.Errorf("compare the file with what is known: %w", err)
	}
	w.plan(&report)
	if report.Faults = t.sortedFaults(); len(report.Faults) > 0 {
		return report, t.refusal(report)
	}
	if dryRun {
		return report, nil
	}
	if err := w.make(ctx, db, now, who); err != nil {
		return report, err
	}
	return report, w.addMachines(ctx, db, now, who)
}

// world is what a file names and what of it is there.
type world struct {
	table     *table
	customers map[string]uuid.UUID
	sites     map[pair]uuid.UUID // by customer's name and site's
	models    map[pair]uuid.UUID // by manufacturer and name
	fresh     []*line            // machines to add
	known     map[pair]bool      // by manufacturer and serial number
	keys      map[string]bool    // taken
	making    struct {
		customers     []string
		sites, models []pair
	}
}

type pair struct{ A, B string }

const (
	knownCustomersSQL = `SELECT '' AS a, name AS b, id FROM customer WHERE name = ANY(@names)`
	knownSitesSQL     = `SELECT c.name AS a, s.name AS b, s.id FROM site s JOIN customer c ON c.id = s.customer_id WHERE c.name = ANY(@names)`
	knownModelsSQL    = `SELECT manufacturer AS a, name AS b, id FROM model WHERE manufacturer = ANY(@names)`
	knownMachinesSQL  = `SELECT manufacturer AS a, serial AS b, id FROM machine WHERE serial = ANY(@names)`
	knownKeysSQL      = `SELECT '' AS a, key AS b, id FROM machine WHERE key = ANY(@names)`
)

type found struct {
	A  string    `db:"a"`
	B  string    `db:"b"`
	ID uuid.UUID `db:"id"`
}

// meet looks up all that a file names, with one statement a kind.
func meet(ctx context.Context, db postgres.DB, t *table) (*world, error) {
	w := &world{table: t, customers: map[string]uuid.UUID{}, sites: map[pair]uuid.UUID{}, models: map[pair]uuid.UUID{}, known: map[pair]bool{}, keys: map[string]bool{}}
	for _, look := range []struct {
		sql  string
		of   func(*line) string
		note func(found)
	}{
		{knownCustomersSQL, func(l *line) string { return l.customer }, func(f found) { w.customers[f.B] = f.ID }},
		{knownSitesSQL, func(l *line) string { return l.customer }, func(f found) { w.sites[pair{f.A, f.B}] = f.ID }},
		{knownModelsSQL, func(l *line) string { return l.manufacturer }, func(f found) { w.models[pair{f.A, f.B}] = f.ID }},
		{knownMachinesSQL, func(l *line) string { return l.serial }, func(f found) { w.known[pair{f.A, f.B}] = true }},
		{knownKeysSQL, func(l *line) string { return l.key }, func(f found) { w.keys[f.B] = true }},
	} {
		list, err := postgres.All[found](ctx, db, look.sql, pgx.NamedArgs{"names": t.distinct(look.of)})
		if err != nil {
			return nil, err
		}
		for _, f := range list {
			look.note(f)
		}
	}
	return w, nil
}

// plan says which lines are new machines, what has to be made for them, and which
// collide with a machine that is there.
func (w *world) plan(report *Report) {
	for _, l := range w.table.lines {
		if w.known[pair{l.manufacturer, l.serial}] {
			report.Known++
			continue
		}
		if w.keys[l.key] {
			w.table.fault(l.number, "serial", "gives the key "+l.key+", which another machine has; give a column key")
			continue
		}
		w.fresh = append(w.fresh, l)
		if l.customer != "" && once(w.customers, l.customer) {
			w.making.customers = append(w.making.customers, l.customer)
			report.Customers = append(report.Customers, l.customer)
		}
		if place := (pair{l.customer, l.site}); l.site != "" && once(w.sites, place) {
			w.making.sites = append(w.making.sites, place)
			report.Sites = append(report.Sites, l.site)
		}
		if model := (pair{l.manufacturer, l.model}); l.model != "" && once(w.models, model) {
			w.making.models = append(w.making.models, model)
			report.Models = append(report.Models, l.manufacturer+" "+l.model)
		}
	}
	report.Added = len(w.fresh)
}

// once says whether a name is new, and keeps it.
func once[K comparable](names map[K]uuid.UUID, name K) bool {
	if _, known := names[name]; known {
		return false
	}
	names[name] = uuid.Nil
	return true
}

// make adds the customers, sites and models that the new machines need.
func (w *world) make(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal) error {
	for _, name := range w.making.customers {
		c, err := AddCustomer(ctx, db, now, who, Customer{Name: name})
		if err != nil {
			return err
		}
		w.customers[name] = c.ID
	}
	for _, place := range w.making.sites {
		s, err := AddSite(ctx, db, now, who, Site{CustomerID: w.customers[place.A], Name: place.B})
		if err != nil {
			return err
		}
		w.sites[place] = s.ID
	}
	for _, model := range w.making.models {
		m, err := AddModel(ctx, db, now, who, Model{Manufacturer: model.A, Name: model.B, Kind: "other"})
		if err != nil {
			return err
		}
		w.models[model] = m.ID
	}
	return nil
}

// The machines of one batch with their ownership, first line of life and audit
// entry. COPY cannot be used: it does not go with row-level security.
const importSQL = `WITH row AS (
		SELECT * FROM unnest(@ids::uuid[], @keys::text[], @manufacturers::text[], @serials::text[], @names::text[], @namesEN::text[], @plates::text[], @duties::text[],
			@models::uuid[], @customers::uuid[], @sites::uuid[], @devices::bool[], @ownerships::uuid[], @events::uuid[], @audits::uuid[])
		AS r (id, key, manufacturer, serial, name, name_en, plate, duty, model_id, customer_id, site_id, has_device, ownership, event, audit)
	), machines AS (
		INSERT INTO machine (id, key, manufacturer, serial, name, name_en, plate, duty, model_id, customer_id, site_id, has_device, connectivity, health_since, created_at)
		SELECT id, key, manufacturer, serial, name, name_en, plate, duty, model_id, customer_id, site_id, has_device,
			CASE WHEN has_device THEN 'unknown' ELSE 'none' END, @now, @now FROM row
	), owned AS (
		INSERT INTO machine_ownership (id, machine_id, customer_id, valid_from) SELECT ownership, id, customer_id, @now FROM row WHERE customer_id IS NOT NULL
	), told AS (
		INSERT INTO lifecycle_event (id, machine_id, customer_id, at, kind, text, text_en, actor, entity, entity_id)
		SELECT event, id, customer_id, @now, 'added', '导入设备档案', 'Machine file imported', @actor, 'machine', id FROM row
	)
	INSERT INTO audit (id, entity, entity_id, machine_id, customer_id, at, actor, action, after)
	SELECT audit, 'machine', id, id, customer_id, @now, @actor, 'imported',
		jsonb_build_object('key', key, 'manufacturer', manufacturer, 'serial', serial, 'name', name, 'plate', plate, 'duty', duty,
			'modelId', model_id, 'customerId', customer_id, 'siteId', site_id, 'hasDevice', has_device) FROM row`

func (w *world) addMachines(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal) error {
	for from := 0; from < len(w.fresh); from += importBatch {
		batch := w.fresh[from:min(from+importBatch, len(w.fresh))]
		args := w.columns(batch)
		args["now"], args["actor"] = now, who.Name
		if _, err := postgres.Run(ctx, db, importSQL, args); err != nil {
			return fmt.Errorf("import the machines of lines %d to %d: %w", batch[0].number, batch[len(batch)-1].number, postgres.Translate(err))
		}
	}
	return nil
}

// columns turns lines into one array for each column.
func (w *world) columns(batch []*line) pgx.NamedArgs {
	texts := map[string][]string{}
	ids := map[string][]uuid.UUID{}
	refs := map[string][]*uuid.UUID{}
	var devices []bool
	for _, l := range batch {
		for name, value := range map[string]string{"keys": l.key, "manufacturers": l.manufacturer, "serials": l.serial, "names": l.name, "namesEN": l.nameEN, "plates": l.plate, "duties": l.duty} {
			texts[name] = append(texts[name], value)
		}
		for _, name := range []string{"ids", "ownerships", "events", "audits"} {
			ids[name] = append(ids[name], postgres.NewID())
		}
		refs["models"] = append(refs["models"], some(w.models[pair{l.manufacturer, l.model}], l.model))
		refs["customers"] = append(refs["customers"], some(w.customers[l.customer], l.customer))
		refs["sites"] = append(refs["sites"], some(w.sites[pair{l.customer, l.site}], l.site))
		devices = append(devices, l.device)
	}
	args := pgx.NamedArgs{"devices": devices}
	for name, list := range texts {
		args[name] = list
	}
	for name, list := range ids {
		args[name] = list
	}
	for name, list := range refs {
		args[name] = list
	}
	return args
}

func some(id uuid.UUID, name string) *uuid.UUID {
	if name == "" {
		return nil
	}
	return &id
}

// refusal is the problem with all faults of a file.
func (t *table) refusal(report Report) error {
	p := problem.New(problem.Invalid, "%d faults in the file, nothing was imported", len(report.Faults))
	if t.more > 0 {
		p = problem.New(problem.Invalid, "more than %d faults in the file, nothing was imported", len(report.Faults))
	}
	for _, f := range report.Faults {
		p = p.WithFields(problem.Field{Pointer: fmt.Sprintf("/lines/%d/%s", f.Line, f.Column), Detail: f.Detail})
	}
	return p
}
