package machines

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const (
	customerColumns = `id, name, name_en, tier, language, created_at`
	siteColumns     = `id, customer_id, name, name_en, latitude, longitude, time_zone, shut_until, shut_reason, shut_reason_en`
	contactColumns  = `id, customer_id, name, name_en, salutation, salutation_en, capacity, phone, language, last_confirmed_at`
)

const customersSQL = `SELECT ` + customerColumns + ` FROM customer ORDER BY name, id`

// Customers lists the customers that the caller sees, by name.
func Customers(ctx context.Context, db postgres.DB) ([]Customer, error) {
	return listed(postgres.All[Customer](ctx, db, customersSQL, nil))
}

const getCustomerSQL = `SELECT ` + customerColumns + ` FROM customer WHERE id = @id`

// GetCustomer reads one customer.
func GetCustomer(ctx context.Context, db postgres.DB, id uuid.UUID) (Customer, error) {
	c, err := postgres.One[Customer](ctx, db, getCustomerSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return c, problem.New(problem.NotFound, "no such customer")
	}
	if err != nil {
		return c, fmt.Errorf("read customer %s: %w", id, err)
	}
	return c, nil
}

const addCustomerSQL = `INSERT INTO customer (id, name, name_en, tier, language, created_at)
	VALUES (@id, @name, @nameEN, @tier, @language, @now) RETURNING ` + customerColumns

// AddCustomer adds a contract party; tier is B and language zh where none is given.
func AddCustomer(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Customer) (Customer, error) {
	if err := named("/name", c.Name); err != nil {
		return Customer{}, err
	}
	added, err := postgres.One[Customer](ctx, db, addCustomerSQL, pgx.NamedArgs{"id": postgres.NewID(), "name": strings.TrimSpace(c.Name), "nameEN": c.NameEN,
		"tier": cmp.Or(c.Tier, "B"), "language": cmp.Or(c.Language, "zh"), "now": now})
	if err != nil {
		return Customer{}, fmt.Errorf("add customer %s: %w", c.Name, postgres.Translate(err))
	}
	return added, Audit(ctx, db, now, who, "customer", added.ID, nil, &added.ID, "added", nil, added)
}

const sitesSQL = `SELECT ` + siteColumns + ` FROM site WHERE @customerID::uuid IS NULL OR customer_id = @customerID ORDER BY name, id`

// Sites lists sites by name, those of one customer or all that the caller sees.
func Sites(ctx context.Context, db postgres.DB, customerID *uuid.UUID) ([]Site, error) {
	return listed(postgres.All[Site](ctx, db, sitesSQL, pgx.NamedArgs{"customerID": customerID}))
}

const addSiteSQL = `INSERT INTO site (id, customer_id, name, name_en, latitude, longitude, time_zone, shut_until, shut_reason, shut_reason_en)
	VALUES (@id, @customerID, @name, @nameEN, @latitude, @longitude, @timeZone, @shutUntil, @shutReason, @shutReasonEN) RETURNING ` + siteColumns

// AddSite adds a place where a customer's machines work; its zone is Asia/Shanghai
// where none is given.
func AddSite(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, s Site) (Site, error) {
	if err := named("/name", s.Name); err != nil {
		return Site{}, err
	}
	s.TimeZone = cmp.Or(s.TimeZone, "Asia/Shanghai")
	if _, err := time.LoadLocation(s.TimeZone); err != nil || s.TimeZone == "Local" {
		return Site{}, problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/timeZone", Detail: "is no time zone of the IANA database"})
	}
	if _, err := GetCustomer(ctx, db, s.CustomerID); err != nil {
		return Site{}, unknownCustomer(err)
	}
	added, err := postgres.One[Site](ctx, db, addSiteSQL, pgx.NamedArgs{"id": postgres.NewID(), "customerID": s.CustomerID, "name": strings.TrimSpace(s.Name),
		"nameEN": s.NameEN, "latitude": s.Latitude, "longitude": s.Longitude, "timeZone": s.TimeZone,
		"shutUntil": s.ShutUntil, "shutReason": s.ShutReason, "shutReasonEN": s.ShutReasonEN})
	if err != nil {
		return Site{}, fmt.Errorf("add site %s: %w", s.Name, postgres.Translate(err))
	}
	return added, Audit(ctx, db, now, who, "site", added.ID, nil, &added.CustomerID, "added", nil, added)
}

const contactsSQL = `SELECT ` + contactColumns + ` FROM contact WHERE @customerID::uuid IS NULL OR customer_id = @customerID ORDER BY name, id`

// Contacts lists people by name, those of one customer or all that the caller sees.
func Contacts(ctx context.Context, db postgres.DB, customerID *uuid.UUID) ([]Contact, error) {
	return listed(postgres.All[Contact](ctx, db, contactsSQL, pgx.NamedArgs{"customerID": customerID}))
}

const addContactSQL = `INSERT INTO contact (id, customer_id, name, name_en, salutation, salutation_en, capacity, phone, language, last_confirmed_at)
	VALUES (@id, @customerID, @name, @nameEN, @salutation, @salutationEN, @capacity, @phone, @language, @lastConfirmedAt) RETURNING ` + contactColumns

// AddContact adds a person on the customer's side.
func AddContact(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Contact) (Contact, error) {
	if err := named("/name", c.Name); err != nil {
		return Contact{}, err
	}
	if _, err := GetCustomer(ctx, db, c.CustomerID); err != nil {
		return Contact{}, unknownCustomer(err)
	}
	added, err := postgres.One[Contact](ctx, db, addContactSQL, pgx.NamedArgs{"id": postgres.NewID(), "customerID": c.CustomerID, "name": strings.TrimSpace(c.Name),
		"nameEN": c.NameEN, "salutation": c.Salutation, "salutationEN": c.SalutationEN, "capacity": c.Capacity, "phone": c.Phone,
		"language": cmp.Or(c.Language, "zh"), "lastConfirmedAt": c.LastConfirmedAt})
	if err != nil {
		return Contact{}, fmt.Errorf("add contact: %w", postgres.Translate(err))
	}
	return added, Audit(ctx, db, now, who, "contact", added.ID, nil, &added.CustomerID, "added", nil, added)
}

// named refuses a thing without a name.
func named(pointer, name string) error {
	if strings.TrimSpace(name) == "" {
		return problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: pointer, Detail: "is empty"})
	}
	return nil
}

// unknownCustomer says that the request names no customer of the caller's, which
// is the caller's fault and no missing page.
func unknownCustomer(err error) error {
	if problem.Of(err) != problem.NotFound {
		return err
	}
	return problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/customerId", Detail: "there is no such customer"})
}

func listed[T any](list []T, err error) ([]T, error) {
	if err != nil {
		return nil, fmt.Errorf("list %T: %w", *new(T), err)
	}
	return list, nil
}
