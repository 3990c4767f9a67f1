// Package maintenancetest gives tests a small world on a real database: a service
// organisation with one person of each role, and two customers that have one of
// everything, made by the functions that the product uses.
package maintenancetest

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/accounts"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/seal"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

// Password is everybody's.
const Password = "correct horse battery 9"

// Now is the instant at which the world is looked at.
var Now = time.Date(2026, 6, 4, 8, 0, 0, 0, time.UTC)

// Webhooks are the settings under which the world's webhooks were made: a receiver
// may be on this machine.
func Webhooks() webhooks.Settings {
	secret := sha256.Sum256([]byte("made for tests"))
	key, _ := seal.New(secret[:]) // it has 32 bytes
	return webhooks.Settings{Key: key, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

// World is what the tests know of the database's contents.
type World struct {
	Pool       *postgres.Pool
	Model      machines.Model
	Technician uuid.UUID
	Staff      map[identity.Role]Person
	A, B       *Tenant
}

// Person may sign in, and holds a token.
type Person struct {
	ID          uuid.UUID
	Login, Name string
	Token       string
	TokenID     uuid.UUID
	Role        identity.Role
	CustomerID  uuid.UUID
}

// Tenant is a customer with one of everything. Mark stands in each of its names
// and texts and nowhere else.
type Tenant struct {
	Mark      string
	Phone     string
	Customer  machines.Customer
	Site      machines.Site
	Owner     machines.Contact
	Machine   machines.Machine // watched by telemetry, in the third state
	Bare      machines.Machine // without a device, down
	Component machines.Component
	Reading   machines.Reading
	Code      machines.TroubleCode // active at the machine
	Finding   machines.Finding
	Case      maintenance.Case // of the finding, with an order that is being worked on
	Request   maintenance.Case // of the bare machine, phoned in
	Order     maintenance.WorkOrder
	Item      maintenance.ChecklistItem
	Photo     maintenance.Attachment
	Callback  uuid.UUID
	Complaint maintenance.Complaint
	Promise   maintenance.Promise
	Plan      maintenance.ServicePlan
	Sweep     uuid.UUID         // of the case, with the bare machine
	Webhook   webhooks.Webhook  // hears of everything
	Delivery  webhooks.Delivery // a test event that nobody has sent yet
	People    map[identity.Role]Person
}

// names are what people are called, as on the pages.
var names = map[identity.Role][2]string{
	identity.Admin: {"周凯", "Zhou Kai"}, identity.ServiceManager: {"赵敏", "Zhao Min"}, identity.Dispatcher: {"何琳", "He Lin"}, identity.FieldEngineer: {"陈海波", "Chen Haibo"},
	identity.CallCentre: {"王倩", "Wang Qian"}, identity.OwnerAdmin: {"刘总", "Mr Liu"}, identity.OwnerViewer: {"张总", "Ms Zhang"}, identity.CustomerRepresentative: {"李代表", "Mr Li"},
}

// customerRoles are the roles on the customer's side.
var customerRoles = []identity.Role{identity.OwnerAdmin, identity.OwnerViewer, identity.CustomerRepresentative}

// Program acts where no person does.
var Program = identity.Program("scheduler")

// New fills the database.
func New(t testing.TB, pool *postgres.Pool) *World {
	t.Helper()
	w := &World{Pool: pool, Staff: map[identity.Role]Person{}}
	w.do(t, func(ctx context.Context, tx pgx.Tx) (err error) {
		if w.Technician, err = w.organisation(ctx, tx); err != nil {
			return err
		}
		w.Model, err = machines.AddModel(ctx, tx, Now, Program, machines.Model{Manufacturer: "Beichen", Name: "BC56", Kind: "concrete_pump", Label: "泵车", LabelEN: "pump truck"})
		if err != nil {
			return err
		}
		_, err = machines.AddSignals(ctx, tx, Now, Program, w.Model.ID, []machines.Signal{
			{Name: "hydraulic_oil_temp", Label: "液压油温", LabelEN: "hydraulic oil temperature", Unit: "Cel", Role: "condition"},
			{Name: "load", Label: "负荷", LabelEN: "load", Unit: "%", Role: "context"}})
		return err
	})
	for _, role := range identity.Roles {
		if !role.CustomerScoped() {
			w.Staff[role] = w.person(t, role, nil, "")
		}
	}
	w.A = w.tenant(t, "Aardvark", "+861380000000")
	w.B = w.tenant(t, "Quokka", "+861390000000")
	return w
}

func (w *World) do(t testing.TB, fn func(ctx context.Context, tx pgx.Tx) error) {
	t.Helper()
	if err := postgres.As(identity.With(t.Context(), Program), w.Pool, Program, func(tx pgx.Tx) error {
		return fn(identity.With(t.Context(), Program), tx)
	}); err != nil {
		t.Fatalf("build the test's world: %v", err)
	}
}

const (
	stationSQL  = `INSERT INTO org_unit (id, kind, name, name_en, latitude, longitude) VALUES (@id, 'station', '衡阳服务站', 'Hengyang station', 26.89, 112.57)`
	engineerSQL = `INSERT INTO technician (id, name, name_en, phone, station_id, latitude, longitude)
		VALUES (@id, '陈海波', 'Chen Haibo', '+8613875930121', @station, 26.89, 112.57)`
	skillSQL = `INSERT INTO technician_skill (technician_id, skill, level, valid_until) VALUES (@id, 'concrete_pump', 3, '2030-01-01'), (@id, 'hydraulics', 3, '2030-01-01')`
)

func (w *World) organisation(ctx context.Context, tx pgx.Tx) (uuid.UUID, error) {
	station, engineer := uuid.New(), uuid.New()
	for _, one := range []struct {
		sql  string
		args pgx.NamedArgs
	}{
		{stationSQL, pgx.NamedArgs{"id": station}},
		{engineerSQL, pgx.NamedArgs{"id": engineer, "station": station}},
		{skillSQL, pgx.NamedArgs{"id": engineer}},
	} {
		if _, err := postgres.Run(ctx, tx, one.sql, one.args); err != nil {
			return engineer, err
		}
	}
	return engineer, nil
}

// person makes a user and a token of a role; mark stands in a customer's names.
func (w *World) person(t testing.TB, role identity.Role, customer *uuid.UUID, mark string) Person {
	t.Helper()
	name, nameEN := strings.TrimSpace(mark+" "+names[role][0]), strings.TrimSpace(mark+" "+names[role][1])
	p := Person{Login: strings.ToLower(mark + string(role)), Name: name, Role: role}
	if customer != nil {
		p.CustomerID = *customer
	}
	w.do(t, func(ctx context.Context, tx pgx.Tx) error {
		user := accounts.NewUser{Login: p.Login, Name: name, NameEN: nameEN, Role: role, CustomerID: customer, Password: Password, Language: "zh"}
		token := accounts.NewToken{Name: name, Role: role, CustomerID: customer}
		if role == identity.FieldEngineer {
			user.TechnicianID, token.TechnicianID = &w.Technician, &w.Technician
		}
		u, err := accounts.AddUser(ctx, tx, Now, Program, user)
		if err != nil {
			return err
		}
		p.ID = u.ID
		secret, made, err := accounts.CreateToken(ctx, tx, Now, Program, token)
		p.Token, p.TokenID = secret, made.ID
		return err
	})
	return p
}

// Principal is a person as the database is asked in his name.
func (w *World) Principal(p Person) identity.Principal {
	who := identity.Principal{UserID: p.ID, Name: p.Name, Role: p.Role, CustomerID: p.CustomerID, Language: "zh"}
	if p.Role == identity.FieldEngineer {
		who.TechnicianID = w.Technician
	}
	return who
}
