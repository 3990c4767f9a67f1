package maintenance

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// morning is 4 June, 07:50 in Hunan.
var morning = time.Date(2026, 6, 3, 23, 50, 0, 0, time.UTC)

// errUndo ends a transaction that only wanted to look.
var errUndo = errors.New("undo")

// party is a customer with one machine and its people.
type party struct {
	ID, Machine, Owner, Operator uuid.UUID
	who                          identity.Principal // its owner, signed in
}

// office is a service organisation with two customers.
type office struct {
	pool     *postgres.Pool
	a, b     party
	manager  identity.Principal
	agent    identity.Principal
	engineer uuid.UUID
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{pool: postgrestest.New(t)}
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		o.engineer = postgres.NewID()
		o.run(ctx, t, tx, `INSERT INTO technician (id, name, name_en) VALUES (@id, '陈海波', 'Chen Haibo')`, pgx.NamedArgs{"id": o.engineer})
		o.manager = o.user(ctx, t, tx, "赵敏", identity.ServiceManager)
		o.agent = o.user(ctx, t, tx, "王倩", identity.CallCentre)
		o.a = o.party(ctx, t, tx, "砼达泵送", "Tongda Pumping", "BC56T2411418", "041")
		o.b = o.party(ctx, t, tx, "恒固混凝土", "Henggu Concrete", "BC37T200152X", "026")
		return nil
	})
	return o
}

func (o *office) as(t *testing.T, who identity.Principal, fn func(ctx context.Context, tx pgx.Tx) error) error {
	t.Helper()
	ctx := identity.With(t.Context(), who)
	return postgres.As(ctx, o.pool, who, func(tx pgx.Tx) error { return fn(ctx, tx) })
}

func (o *office) do(t *testing.T, fn func(ctx context.Context, tx pgx.Tx) error) {
	t.Helper()
	if err := o.as(t, identity.Program("test"), fn); err != nil {
		t.Fatal(err)
	}
}

func (o *office) run(ctx context.Context, t *testing.T, tx pgx.Tx, sql string, args pgx.NamedArgs) {
	t.Helper()
	if _, err := postgres.Run(ctx, tx, sql, args); err != nil {
		t.Fatal(err)
	}
}

func (o *office) user(ctx context.Context, t *testing.T, tx pgx.Tx, name string, role identity.Role) identity.Principal {
	t.Helper()
	who := identity.Principal{UserID: postgres.NewID(), Name: name, Role: role, Language: "zh"}
	o.run(ctx, t, tx, `INSERT INTO app_user (id, login, name, role, created_at) VALUES (@id, @login, @name, @role, @at)`,
		pgx.NamedArgs{"id": who.UserID, "login": string(role) + name, "name": name, "role": role, "at": morning})
	return who
}

const machineSQL = `INSERT INTO machine (id, key, manufacturer, serial, name, name_en, customer_id, created_at, health, connectivity)
VALUES (@id, @serial, 'Beichen', @serial, @name, @name_en, @customer, @at, 'well', 'online')`

const contactSQL = `INSERT INTO contact (id, customer_id, name, name_en, salutation, salutation_en, capacity, phone)
VALUES (@id, @customer, @name, @name_en, @salutation, @salutation_en, @capacity, @phone)`

func (o *office) party(ctx context.Context, t *testing.T, tx pgx.Tx, name, nameEN, serial, phone string) party {
	t.Helper()
	p := party{ID: postgres.NewID(), Machine: postgres.NewID(), Owner: postgres.NewID(), Operator: postgres.NewID()}
	o.run(ctx, t, tx, `INSERT INTO customer (id, name, name_en, created_at) VALUES (@id, @name, @name_en, @at)`,
		pgx.NamedArgs{"id": p.ID, "name": name, "name_en": nameEN, "at": morning})
	o.run(ctx, t, tx, machineSQL, pgx.NamedArgs{"id": p.Machine, "serial": serial, "name": name + "泵车", "name_en": nameEN + " pump", "customer": p.ID, "at": morning})
	o.run(ctx, t, tx, `INSERT INTO machine_ownership (id, machine_id, customer_id, valid_from) VALUES (@id, @machine, @customer, @at)`,
		pgx.NamedArgs{"id": postgres.NewID(), "machine": p.Machine, "customer": p.ID, "at": morning.AddDate(-1, 0, 0)})
	o.run(ctx, t, tx, contactSQL, pgx.NamedArgs{"id": p.Operator, "customer": p.ID, "name": "周志强", "name_en": "Zhou Zhiqiang", "salutation": "周师傅",
		"salutation_en": "Mr Zhou", "capacity": "operator", "phone": "+8613973420" + phone})
	o.run(ctx, t, tx, contactSQL, pgx.NamedArgs{"id": p.Owner, "customer": p.ID, "name": "刘建国", "name_en": "Liu Jianguo", "salutation": "刘总",
		"salutation_en": "Mr Liu", "capacity": "owner", "phone": "+8613807340" + phone})
	p.who = identity.Principal{UserID: postgres.NewID(), Name: "刘建国", Role: identity.OwnerAdmin, CustomerID: p.ID, Language: "zh"}
	return p
}

const seedCaseSQL = `INSERT INTO service_case (id, machine_id, customer_id, failure_mode, title, title_en, severity, origin, state, previous_state, opened_at, state_at, assignee)
VALUES (@id, @machine, @customer, @mode, '液压油温偏高', 'Hydraulic oil running hot', 'warning', 'finding', @state, @previous, @at, @at, '王倩')`

// aCase is a case in some state, opened the day before.
func (o *office) aCase(ctx context.Context, t *testing.T, tx pgx.Tx, p party, state CaseState, mode string) Case {
	t.Helper()
	id := postgres.NewID()
	previous := ""
	if state == Waiting {
		previous = string(Informed)
	}
	o.run(ctx, t, tx, seedCaseSQL, pgx.NamedArgs{"id": id, "machine": p.Machine, "customer": p.ID, "mode": mode, "state": state, "previous": previous,
		"at": morning.Add(-26 * time.Hour)})
	c, err := loadCase(ctx, tx, id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// aCall is a due call of a case.
func (o *office) aCall(ctx context.Context, t *testing.T, tx pgx.Tx, c Case, kind string) CallbackRow {
	t.Helper()
	if err := dueCallback(ctx, tx, morning, c, kind, morning); err != nil {
		t.Fatal(err)
	}
	rows, err := callbackRows(ctx, tx, `k.case_id = @case AND k.kind = @kind AND k.state = 'due'`, pgx.NamedArgs{"case": c.ID, "kind": kind}, ``)
	if err != nil || len(rows) != 1 {
		t.Fatalf("the due call: %v %v", rows, err)
	}
	return rows[0]
}

// calling is a case with a due call, stored.
func (o *office) calling(t *testing.T, p party, state CaseState, kind string) (c Case, call CallbackRow) {
	t.Helper()
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		c = o.aCase(ctx, t, tx, p, state, "fouled_cooler")
		call = o.aCall(ctx, t, tx, c, kind)
		return nil
	})
	return c, call
}

// aFinding is an open finding of a machine.
func (o *office) aFinding(ctx context.Context, t *testing.T, tx pgx.Tx, f machines.Finding) uuid.UUID {
	t.Helper()
	f.ID = postgres.NewID()
	o.run(ctx, t, tx, `INSERT INTO finding (id, machine_id, customer_id, rule, failure_mode, title, title_en, severity, source, opened_at, detected_at, updated_at, case_id)
		VALUES (@id, @machine, (SELECT customer_id FROM machine WHERE id = @machine), @rule, @mode, @title, @title_en, @severity, @source, @at, @at, @at, @case)`,
		pgx.NamedArgs{"id": f.ID, "machine": f.MachineID, "rule": f.Rule, "mode": f.FailureMode, "title": f.Title, "title_en": f.TitleEN,
			"severity": f.Severity, "source": f.Source, "at": f.OpenedAt, "case": f.CaseID})
	return f.ID
}

// noted is a count of what the database says, for what must or must not be written.
func noted(ctx context.Context, t *testing.T, tx pgx.Tx, sql string, args pgx.NamedArgs) int {
	t.Helper()
	n, err := postgres.Value[int](ctx, tx, sql, args)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func wantProblem(t *testing.T, err error, kind problem.Kind) {
	t.Helper()
	if problem.Of(err) != kind {
		t.Errorf("got %v, want %s", err, kind)
	}
}
