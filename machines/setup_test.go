package machines_test

import (
	"context"
	"encoding/json"
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

var (
	start = time.Date(2026, 6, 4, 6, 10, 0, 0, time.UTC)
	admin = identity.Principal{Name: "赵敏", Role: identity.ServiceManager, Language: "zh"}
)

// fleet is two customers with a machine each, of one model.
type fleet struct {
	*testing.T
	pool    *postgres.Pool
	model   machines.Model
	tongda  machines.Customer
	henggu  machines.Customer
	machine machines.Machine // tongda's
	other   machines.Machine // henggu's
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{T: t, pool: postgrestest.New(t)}
	f.do(func(ctx context.Context, db postgres.DB) (err error) {
		if f.tongda, err = machines.AddCustomer(ctx, db, start, admin, machines.Customer{Name: "砼达泵送", NameEN: "Tongda Pumping", Tier: "A"}); err != nil {
			return err
		}
		if f.henggu, err = machines.AddCustomer(ctx, db, start, admin, machines.Customer{Name: "恒固混凝土", NameEN: "Henggu Concrete"}); err != nil {
			return err
		}
		if f.model, err = machines.AddModel(ctx, db, start, admin, machines.Model{Manufacturer: "Beichen", Name: "BC5430THB-56", Kind: "concrete_pump", Label: "泵车"}); err != nil {
			return err
		}
		low, high := 10.0, 85.0
		_, err = machines.AddSignals(ctx, db, start, admin, f.model.ID, []machines.Signal{
			{Name: "oil_temp", Label: "液压油温", LabelEN: "Hydraulic oil temperature", Unit: "Cel", Low: &low, High: &high}, {Name: "load", Role: "context"}})
		return err
	})
	f.machine = f.add(machines.Machine{Serial: "BC56T2411418", Name: "56 米泵车", Plate: "湘D12345", CustomerID: &f.tongda.ID})
	f.other = f.add(machines.Machine{Serial: "BC37T2001526", Name: "37 米泵车", CustomerID: &f.henggu.ID})
	return f
}

func (f *fleet) add(m machines.Machine) (added machines.Machine) {
	f.Helper()
	if m.Manufacturer == "" {
		m.Manufacturer, m.ModelID, m.HasDevice = "Beichen", &f.model.ID, true
	}
	f.do(func(ctx context.Context, db postgres.DB) (err error) {
		added, err = machines.AddMachine(ctx, db, start, admin, m)
		return err
	})
	return added
}

// as runs fn as somebody and gives the error back.
func (f *fleet) as(who identity.Principal, fn func(ctx context.Context, db postgres.DB) error) error {
	return postgres.As(f.Context(), f.pool, who, func(tx pgx.Tx) error { return fn(f.Context(), tx) })
}

// do runs fn as staff; it must not fail.
func (f *fleet) do(fn func(ctx context.Context, db postgres.DB) error) {
	f.Helper()
	if err := f.as(admin, fn); err != nil {
		f.Fatal(err)
	}
}

func (f *fleet) count(sql string, args pgx.NamedArgs) (n int) {
	f.Helper()
	f.do(func(ctx context.Context, db postgres.DB) (err error) {
		n, err = postgres.Value[int](ctx, db, sql, args)
		return err
	})
	return n
}

// writes counts all that a change may leave behind.
func (f *fleet) writes() int {
	f.Helper()
	return f.count(`SELECT (SELECT count(*) FROM audit) + (SELECT count(*) FROM lifecycle_event) + (SELECT count(*) FROM finding) + (SELECT count(*) FROM health_change)`, nil)
}

func (f *fleet) get(id uuid.UUID) (m machines.Machine) {
	f.Helper()
	f.do(func(ctx context.Context, db postgres.DB) (err error) {
		m, err = machines.Get(ctx, db, id)
		return err
	})
	return m
}

func owner(c machines.Customer) identity.Principal {
	return identity.Principal{Name: c.Name, Role: identity.OwnerViewer, CustomerID: c.ID}
}

func hot(machine uuid.UUID, change machines.Change, opened, at time.Time) machines.FindingChange {
	component := "hydraulic_cooler"
	f := machines.Finding{MachineID: machine, Component: &component, Rule: "oil-hot", RuleHash: "r1", FailureMode: "cooler_fouled", Title: "液压油温偏高", TitleEN: "Hydraulic oil running hot",
		Severity: machines.Warning, Source: "rule", OpenedAt: opened, UpdatedAt: at, Evidence: json.RawMessage(`{"signal": "oil_temp"}`), Facts: machines.Facts{Parts: []string{"FM-2208"}}}
	if change == machines.FindingClosed {
		f.ClosedAt, f.CloseReason = &at, "cleared"
	}
	return machines.FindingChange{Change: change, Finding: f}
}

func (f *fleet) apply(c machines.FindingChange) (stored machines.Finding, fresh bool) {
	f.Helper()
	f.do(func(ctx context.Context, db postgres.DB) (err error) {
		stored, fresh, err = machines.ApplyFinding(ctx, db, start, c)
		return err
	})
	return stored, fresh
}

func (f *fleet) refused(kind problem.Kind, err error) {
	f.Helper()
	if problem.Of(err) != kind {
		f.Errorf("got %v, want a problem of kind %s", err, kind)
	}
}
