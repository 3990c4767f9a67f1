package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// meaning says in words what a violated constraint means. Names are those of
// the migrations; a test holds that each exists.
type meaning struct {
	constraint string
	kind       problem.Kind
	text       string
}

var meanings = []meaning{ //nolint:gochecknoglobals // an ordered list, never written
	{"machine_key", problem.Conflict, "a machine with this key exists already"},
	{"machine_key_check", problem.Invalid, "a machine's key has 1 to 64 letters, digits, _ or -"},
	{"machine_serial", problem.Conflict, "a machine of this manufacturer with this serial number exists already"},
	{"machine_alias_pkey", problem.Conflict, "another machine has this alias already"},
	{"model_manufacturer_name_key", problem.Conflict, "a model of this manufacturer and name exists already"},
	{"signal_model_id_name_key", problem.Conflict, "this model has a signal of this name already"},
	{"ownership_current", problem.Conflict, "this machine has a current owner already"},
	{"machine_ownership_check", problem.Invalid, "an ownership ends after it begins"},
	{"customer_name", problem.Conflict, "a customer of this name exists already"},
	{"site_name", problem.Conflict, "this customer has a site of this name already"},
	{"case_open", problem.Conflict, "this machine has an open case for this failure mode already"},
	{"finding_open", problem.Conflict, "this finding is open already"},
	{"finding_episode", problem.Conflict, "this finding was recorded already"},
	{"work_order_technician_busy", problem.Conflict, "this engineer is on the way or on site for another work order"},
	{"work_order_plan_open", problem.Conflict, "this plan has an open work order already"},
	{"assignment_active", problem.Conflict, "this work order is assigned already"},
	{"service_plan_interval_days_check", problem.Invalid, "a plan's interval is 1 to 3660 days"},
	{"attachment_media_type_check", problem.Invalid, "an attachment is a JPEG or PNG picture"},
	{"attachment_bytes_check", problem.TooLarge, "an attachment has 15 MiB at most"},
	{"app_user_login_key", problem.Conflict, "this login is taken"},
	{"user_scope", problem.Invalid, "owners and representatives need a customer, others must have none"},
	{"token_scope", problem.Invalid, "owners and representatives need a customer, others must have none"},
	{"part_number_key", problem.Conflict, "a part with this number exists already"},
	{"part_stock_quantity_check", problem.Conflict, "there are not so many of this part"},
	{"stock_place", problem.Invalid, "stock lies at a station or with a technician"},
	{"meeting_month_key", problem.Conflict, "this month has a meeting already"},
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
// read, and keeps the cause for the log and for Constraint; what it does not know
// stays internal.
func Translate(err error) error {
	if err == nil || problem.As(err) != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if said := meant(Constraint(err)); said != nil {
		return fmt.Errorf("%w: %w", said, err)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return refused(pg, err)
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) || pgconn.SafeToRetry(err) {
		return away(err)
	}
	return err
}

func meant(constraint string) *problem.Error {
	for _, m := range meanings {
		if m.constraint == constraint {
			return problem.New(m.kind, "%s", m.text)
		}
	}
	return nil
}

// refused tells what the server said by its SQLSTATE.
func refused(pg *pgconn.PgError, err error) error {
	switch {
	case pg.Code == "23503":
		return fmt.Errorf("%w: %w", problem.New(problem.Invalid, "it names something that does not exist"), err)
	case pg.Code == "22021" || pg.Code == "22P05":
		return fmt.Errorf("%w: %w", problem.New(problem.Invalid, "the text holds a character that cannot be stored"), err)
	case pg.Code == "42501":
		return fmt.Errorf("%w: %w", problem.New(problem.Forbidden, "this belongs to somebody else"), err)
	case pg.Code == "53100":
		return fmt.Errorf("%w: %w", problem.New(problem.Unavailable, "the database's disk is full; somebody has to free space"), err)
	case strings.HasPrefix(pg.Code, "57P0"), strings.HasPrefix(pg.Code, "53"), strings.HasPrefix(pg.Code, "08"):
		return away(err)
	case pg.Code == "40001" || pg.Code == "40P01":
		return fmt.Errorf("%w: %w", problem.New(problem.Unavailable, "others are changing the same things; try again in a moment"), err)
	}
	return err
}

func away(err error) error {
	return fmt.Errorf("%w: %w", problem.New(problem.Unavailable, "the database is away; try again in a moment"), err)
}
