// Package identity says who is asking: a signed-in person, a token or the
// program itself. It decides nothing; permissions are looked up by api and
// dashboards, and the tenant scope is enforced by the database.
package identity

import (
	"context"

	"github.com/google/uuid"
)

// Role is what a person or a token may do.
type Role string

// The roles.
const (
	Admin                  Role = "admin"
	ServiceManager         Role = "service-manager"
	Dispatcher             Role = "dispatcher"
	FieldEngineer          Role = "field-engineer"
	CallCentre             Role = "call-centre"
	OwnerAdmin             Role = "owner-admin"
	OwnerViewer            Role = "owner-viewer"
	CustomerRepresentative Role = "customer-representative"
	System                 Role = "system" // the program itself: intake, jobs, seeding; never given to a person or token
)

// Roles lists the roles that a user or token can have.
var Roles = []Role{Admin, ServiceManager, Dispatcher, FieldEngineer, CallCentre, OwnerAdmin, OwnerViewer, CustomerRepresentative}

// Valid says whether a user or token can have this role.
func (r Role) Valid() bool {
	for _, known := range Roles {
		if r == known {
			return true
		}
	}
	return false
}

// CustomerScoped says whether the role sees one customer's things only.
func (r Role) CustomerScoped() bool {
	return r == OwnerAdmin || r == OwnerViewer || r == CustomerRepresentative
}

// Principal is who is asking.
type Principal struct {
	UserID       uuid.UUID // zero for tokens and the program itself
	TokenID      uuid.UUID // zero for people
	Name         string    // shown and written to the audit log
	NameEN       string    // shown on English pages; "" where there is none
	Role         Role
	CustomerID   uuid.UUID // set for customer-scoped roles: all that they see
	TechnicianID uuid.UUID // set for field engineers
	Language     string    // "zh" or "en"
}

// Program is the program itself; part names the acting part in the audit log.
func Program(part string) Principal {
	return Principal{Name: part, Role: System, Language: "zh"}
}

// Has says whether the principal has one of the roles.
func (p Principal) Has(roles ...Role) bool {
	for _, r := range roles {
		if p.Role == r {
			return true
		}
	}
	return false
}

type key struct{}

// With returns a context that carries who is asking.
func With(ctx context.Context, p Principal) context.Context { return context.WithValue(ctx, key{}, p) }

// From returns who is asking; ok is false where nobody has signed in.
func From(ctx context.Context) (p Principal, ok bool) {
	p, ok = ctx.Value(key{}).(Principal)
	return p, ok
}
