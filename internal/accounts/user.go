// Package accounts is who may come in: people with a password and tokens with a
// secret. It keeps neither password nor secret, only what they can be checked
// against. What somebody may do is decided by api and dashboards.
package accounts

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
	"github.com/thirdstate/thirdstate/machines"
)

// User is a person who may sign in.
type User struct {
	ID           uuid.UUID     `json:"id" db:"id"`
	Login        string        `json:"login" db:"login"`
	Name         string        `json:"name" db:"name"`
	NameEN       string        `json:"nameEn" db:"name_en"`
	Role         identity.Role `json:"role" db:"role"`
	CustomerID   *uuid.UUID    `json:"customerId" db:"customer_id"`
	TechnicianID *uuid.UUID    `json:"technicianId" db:"technician_id"`
	ContactID    *uuid.UUID    `json:"contactId" db:"contact_id"`
	Language     string        `json:"language" db:"language"`
	OneClick     bool          `json:"oneClick" db:"one_click" doc:"one of the demo's people, who need no password"`
	DisabledAt   *time.Time    `json:"disabledAt" db:"disabled_at"`
	CreatedAt    time.Time     `json:"createdAt" db:"created_at"`
}

// Principal is who a user is when signed in.
func (u User) Principal() identity.Principal {
	p := identity.Principal{UserID: u.ID, Name: u.Name, NameEN: u.NameEN, Role: u.Role, Language: u.Language}
	if u.CustomerID != nil {
		p.CustomerID = *u.CustomerID
	}
	if u.TechnicianID != nil {
		p.TechnicianID = *u.TechnicianID
	}
	return p
}

const userColumns = `id, login, name, name_en, role, customer_id, technician_id, contact_id, language, one_click, disabled_at, created_at`

const usersSQL = `SELECT ` + userColumns + ` FROM app_user ORDER BY login`

// Users lists the people who may sign in, the disabled ones too.
func Users(ctx context.Context, db postgres.DB) ([]User, error) {
	list, err := postgres.All[User](ctx, db, usersSQL, nil)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return list, nil
}

// NewUser asks for somebody to be let in. Customer is for owners and
// representatives, technician for field engineers. OneClick is for the demo's
// people, who may have no password.
type NewUser struct {
	Login        string
	Name         string
	NameEN       string
	Role         identity.Role
	CustomerID   *uuid.UUID
	TechnicianID *uuid.UUID
	ContactID    *uuid.UUID
	Password     string
	Language     string
	OneClick     bool
}

const addUserSQL = `INSERT INTO app_user (id, login, name, name_en, role, customer_id, technician_id, contact_id, password_hash, language, one_click, created_at)
	VALUES (@id, @login, @name, @nameEN, @role, @customerID, @technicianID, @contactID, @hash, @language, @oneClick, @now) RETURNING ` + userColumns

// AddUser lets somebody sign in.
func AddUser(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, n NewUser) (User, error) {
	n.Login = plainLogin(n.Login)
	if err := n.check(); err != nil {
		return User{}, err
	}
	hash := ""
	if n.Password != "" {
		hash = hashPassword(n.Password)
	}
	u, err := postgres.One[User](ctx, db, addUserSQL, pgx.NamedArgs{"id": postgres.NewID(), "login": n.Login, "name": cmp.Or(strings.TrimSpace(n.Name), n.Login),
		"nameEN": n.NameEN, "role": n.Role, "customerID": n.CustomerID, "technicianID": n.TechnicianID, "contactID": n.ContactID, "hash": hash,
		"language": cmp.Or(n.Language, "zh"), "oneClick": n.OneClick, "now": now})
	if err != nil {
		return User{}, fmt.Errorf("add user: %w", postgres.Translate(err))
	}
	return u, machines.Audit(ctx, db, now, who, "user", u.ID, nil, u.CustomerID, "added", nil, u)
}

// plainLogin is a login as it is kept: nobody remembers capital letters.
func plainLogin(login string) string { return strings.ToLower(strings.TrimSpace(login)) }

func (n NewUser) check() error {
	faults := checkScope(n.Role, n.CustomerID, n.TechnicianID)
	if n.Login == "" || len(n.Login) > 100 || strings.ContainsAny(n.Login, " \t\r\n\x00") {
		faults = append(faults, problem.Field{Pointer: "/login", Detail: "has 1 to 100 characters and no space"})
	}
	if n.Language != "" && n.Language != "zh" && n.Language != "en" {
		faults = append(faults, problem.Field{Pointer: "/language", Detail: "is zh or en"})
	}
	if !n.OneClick || n.Password != "" {
		if detail := weak(n.Password, n.Login); detail != "" {
			faults = append(faults, problem.Field{Pointer: "/password", Detail: detail})
		}
	}
	return refuse(faults)
}

func refuse(faults []problem.Field) error {
	if len(faults) == 0 {
		return nil
	}
	var said []string
	for _, f := range faults {
		said = append(said, strings.TrimPrefix(f.Pointer, "/")+" "+f.Detail)
	}
	return problem.New(problem.Invalid, "%s", strings.Join(said, "; ")).WithFields(faults...)
}

// checkScope holds a role against the customer and the technician that it is for.
func checkScope(role identity.Role, customerID, technicianID *uuid.UUID) []problem.Field {
	var faults []problem.Field
	switch {
	case !role.Valid():
		faults = append(faults, problem.Field{Pointer: "/role", Detail: "is none of ours"})
	case role.CustomerScoped() && customerID == nil:
		faults = append(faults, problem.Field{Pointer: "/customerId", Detail: "is needed for this role"})
	case !role.CustomerScoped() && customerID != nil:
		faults = append(faults, problem.Field{Pointer: "/customerId", Detail: "is for owners and representatives only"})
	}
	if technicianID != nil && role != identity.FieldEngineer {
		faults = append(faults, problem.Field{Pointer: "/technicianId", Detail: "is for field engineers only"})
	}
	return faults
}

const (
	lockUserSQL    = `SELECT ` + userColumns + ` FROM app_user WHERE id = @id FOR UPDATE`
	disableUserSQL = `UPDATE app_user SET disabled_at = @now WHERE id = @id RETURNING ` + userColumns
	adminsSQL      = `SELECT id FROM app_user WHERE role = 'admin' AND disabled_at IS NULL ORDER BY id FOR UPDATE`
)

// Disable shuts somebody out, at once: a session asks ByID at each request. The
// last administrator stays.
func Disable(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID) error {
	before, err := postgres.One[User](ctx, db, lockUserSQL, pgx.NamedArgs{"id": id})
	if err != nil {
		return named("user", err)
	}
	if before.DisabledAt != nil {
		return nil
	}
	if before.Role == identity.Admin {
		type admin struct {
			ID uuid.UUID `db:"id"`
		}
		left, err := postgres.All[admin](ctx, db, adminsSQL, nil)
		if err != nil {
			return fmt.Errorf("count the administrators: %w", err)
		}
		if len(left) < 2 {
			return problem.New(problem.Conflict, "the last administrator cannot be disabled")
		}
	}
	after, err := postgres.One[User](ctx, db, disableUserSQL, pgx.NamedArgs{"id": id, "now": now})
	if err != nil {
		return fmt.Errorf("disable user %s: %w", id, err)
	}
	return machines.Audit(ctx, db, now, who, "user", id, nil, after.CustomerID, "disabled", before, after)
}

// named says what was not found.
func named(what string, err error) error {
	if problem.Of(err) == problem.NotFound {
		return problem.New(problem.NotFound, "no such %s", what)
	}
	return fmt.Errorf("read the %s: %w", what, err)
}
