package maintenance

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// subject is what a complaint or a promise is about.
type subject struct {
	Customer *uuid.UUID
	Machine  *uuid.UUID
	Case     *uuid.UUID
}

// subjectOf fills in what follows (the case's machine and customer, the machine's
// customer) and refuses what contradicts itself or is not the caller's: a foreign
// key alone would accept another customer's machine.
func subjectOf(ctx context.Context, db postgres.DB, who identity.Principal, s subject) (subject, error) {
	if who.Role.CustomerScoped() {
		if s.Customer != nil && *s.Customer != who.CustomerID {
			return s, notFound("customer")
		}
		s.Customer = &who.CustomerID
	}
	if s.Case != nil {
		c, err := loadCase(ctx, db, *s.Case)
		if err != nil {
			return s, err
		}
		if s.Machine == nil {
			s.Machine = &c.MachineID
		}
		if *s.Machine != c.MachineID {
			return s, refuse(problem.Invalid, "the case is about another machine", "服务单属于另一台设备")
		}
		return sameCustomer(s, c.CustomerID)
	}
	if s.Machine != nil {
		owner, err := postgres.Value[*uuid.UUID](ctx, db, `SELECT customer_id FROM machine WHERE id = @id`, pgx.NamedArgs{"id": *s.Machine})
		if problem.Of(err) == problem.NotFound {
			return s, notFound("machine")
		}
		if err != nil {
			return s, fmt.Errorf("read the machine's owner: %w", err)
		}
		return sameCustomer(s, owner)
	}
	return s, nil
}

func sameCustomer(s subject, owner *uuid.UUID) (subject, error) {
	if s.Customer == nil {
		s.Customer = owner
	}
	if s.Customer != nil && owner != nil && *s.Customer != *owner {
		return s, refuse(problem.Invalid, "the machine belongs to another customer", "设备属于另一客户")
	}
	return s, nil
}

// notFound says that a thing does not exist, or is not the caller's: nobody
// learns which.
func notFound(what string) error {
	return problem.New(problem.NotFound, "no such %s", what).WithZH("没有这一项")
}

// sameVersion refuses a change that was decided on another version than the one
// that is stored; 0 = whatever it is now.
func sameVersion(asked, is int) error {
	if asked != 0 && asked != is {
		return refuse(problem.PreconditionFailed, "it has changed since you read it (version %d, now %d)", "内容已被更新（您看到的是第 %d 版，现在是第 %d 版）", asked, is)
	}
	return nil
}
