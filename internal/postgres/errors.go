package postgres

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// constraints says in words what a violated constraint means.
var constraints = map[string]*problem.Error{
	"machine_key":                problem.New(problem.Conflict, "a machine with this key exists already"),
	"machine_serial":             problem.New(problem.Conflict, "a machine of this manufacturer with this serial number exists already"),
	"case_open":                  problem.New(problem.Conflict, "this machine has an open case for this failure mode already"),
	"finding_open":               problem.New(problem.Conflict, "this finding is open already"),
	"work_order_technician_busy": problem.New(problem.Conflict, "this engineer is on the way or on site for another work order"),
	"work_order_plan_open":       problem.New(problem.Conflict, "this plan has an open work order already"),
	"assignment_active":          problem.New(problem.Conflict, "this work order is assigned already"),
	"customer_name":              problem.New(problem.Conflict, "a customer of this name exists already"),
	"site_name":                  problem.New(problem.Conflict, "this customer has a site of this name already"),
	"app_user_login_key":         problem.New(problem.Conflict, "this login is taken"),
	"user_scope":                 problem.New(problem.Invalid, "owners and representatives need a customer, others must have none"),
	"token_scope":                problem.New(problem.Invalid, "owners and representatives need a customer, others must have none"),
	"part_number_key":            problem.New(problem.Conflict, "a part with this number exists already"),
}

// Constraint is the name of the constraint that err violates, or "".
func Constraint(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && strings.HasPrefix(pg.Code, "23") {
		return pg.ConstraintName
	}
	return ""
}

// Translate turns what the database refuses into a problem that the caller can
// read; what it does not know stays internal.
func Translate(err error) error {
	if err == nil || problem.As(err) != nil {
		return err
	}
	if p, ok := constraints[Constraint(err)]; ok {
		return p
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		var connect *pgconn.ConnectError
		if errors.As(err, &connect) || pgconn.SafeToRetry(err) {
			return unavailable()
		}
		return err
	}
	switch {
	case pg.Code == "23503":
		return problem.New(problem.Invalid, "it names something that does not exist")
	case pg.Code == "22021" || pg.Code == "22P05":
		return problem.New(problem.Invalid, "the text holds a character that cannot be stored")
	case pg.Code == "42501":
		return problem.New(problem.Forbidden, "this belongs to somebody else")
	case strings.HasPrefix(pg.Code, "57P0") || pg.Code == "53300" || strings.HasPrefix(pg.Code, "08"):
		return unavailable()
	}
	return err
}

func unavailable() error {
	return problem.New(problem.Unavailable, "the database is away; try again in a moment")
}
