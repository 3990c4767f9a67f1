package maintenance

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// callEnded does what the outcome of a call means for its case.
func callEnded(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, k Callback, c Case) (Case, error) {
	switch {
	case k.State == "unreachable":
		text := machines.Text{ZH: fmt.Sprintf("服务单 %d：打了 %d 次电话都无人接听（%s）。请决定下一步。", c.Number, k.Attempts, c.Title),
			EN: fmt.Sprintf("Case %d: %d calls without an answer (%s). Please decide what comes next.", c.Number, k.Attempts, machines.InLanguage("en", c.Title, c.TitleEN))}
		return c, tellManager(ctx, db, now, Notice{MachineID: &c.MachineID, CaseID: &c.ID}, text)
	case k.Outcome == "unreachable":
		return c, nil
	case k.Kind == "inform":
		return followInform(ctx, db, now, who, k, c)
	case k.Kind == "satisfaction" && k.Outcome == "satisfied":
		return closeSatisfied(ctx, db, now, who, k, c)
	case k.Outcome == "so_so" || k.Outcome == "dissatisfied":
		return followUnhappy(ctx, db, now, who, k, c)
	}
	return c, nil
}

// followInform notes that the customer knows, and that he put the matter off if
// he did: by name, with the risk that he heard, until we ask again.
func followInform(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, k Callback, c Case) (Case, error) {
	if c.State == Open || c.State == Triaged {
		var err error
		if c, err = stepTo(ctx, db, now, who, c, Informed, k.said()); err != nil {
			return c, err
		}
	}
	if k.Outcome != "deferred" {
		return c, nil
	}
	person, err := contactName(ctx, db, k.ContactID)
	if err != nil {
		return c, err
	}
	return moveCase(ctx, db, now, who, c.ID, Deferred, k.said(), func(c *Case) error {
		until := now.Add(askAgainIn)
		c.DeferredUntil, c.DeferredBy, c.Risk = &until, person, c.Title
		c.RiskEN = c.TitleEN
		return nil
	})
}

// stepTo moves an open case to a state that follows triage.
func stepTo(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case, to CaseState, note machines.Text) (Case, error) {
	if c.State == Open {
		var err error
		if c, err = moveCase(ctx, db, now, who, c.ID, Triaged, machines.Text{}, nil); err != nil {
			return c, err
		}
	}
	return moveCase(ctx, db, now, who, c.ID, to, note, nil)
}

// closeSatisfied ends a case. A finding behind it was true, unless somebody said
// otherwise.
func closeSatisfied(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, k Callback, c Case) (Case, error) {
	if _, err := moveCase(ctx, db, now, who, c.ID, Satisfied, k.said(), nil); err != nil {
		return c, err
	}
	findings, err := machines.CaseFindings(ctx, db, c.ID)
	if err != nil {
		return c, err
	}
	return moveCase(ctx, db, now, who, c.ID, Closed, machines.Text{}, func(c *Case) error {
		if c.Verdict == "" && len(findings) > 0 {
			c.Verdict = "true"
		}
		return nil
	})
}

// followUnhappy takes a case back to work with a new owner when the satisfaction
// call says so; so-so is not satisfied. A dissatisfied customer has complained,
// whichever call he said it on.
func followUnhappy(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, k Callback, c Case) (Case, error) {
	if k.Kind == "satisfaction" {
		owner, err := serviceManager(ctx, db, c.Assignee)
		if err != nil {
			return c, err
		}
		c, err = moveCase(ctx, db, now, who, c.ID, InWork, k.said(), func(c *Case) error {
			c.Assignee = owner.Name
			return nil
		})
		if err != nil {
			return c, err
		}
	}
	if k.Outcome == "dissatisfied" {
		return c, complain(ctx, db, now, who, k, c)
	}
	text := machines.Text{ZH: fmt.Sprintf("服务单 %d：客户说「一般」，不算满意。%s", c.Number, k.Note),
		EN: fmt.Sprintf("Case %d: the customer says so-so, which is not satisfied. %s", c.Number, k.words().EN)}
	return c, tellManager(ctx, db, now, Notice{MachineID: &c.MachineID, CaseID: &c.ID}, shorten(text))
}

func complain(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, k Callback, c Case) error {
	person, err := contactName(ctx, db, k.ContactID)
	if err != nil {
		return err
	}
	complaint := Complaint{CustomerID: c.CustomerID, MachineID: &c.MachineID, CaseID: &c.ID, Class: "service", Text: k.Note, TextEN: k.NoteEN, RaisedBy: person}
	if complaint.Text == "" {
		complaint.Text, complaint.TextEN = "电话回访：不满意", "Said on the phone: dissatisfied"
	}
	_, err = AddComplaint(ctx, db, now, who, complaint)
	return err
}

func contactName(ctx context.Context, db postgres.DB, id *uuid.UUID) (string, error) {
	if id == nil {
		return "", nil
	}
	name, err := postgres.Value[string](ctx, db, `SELECT name FROM contact WHERE id = @id`, pgx.NamedArgs{"id": *id})
	if problem.Of(err) == problem.NotFound {
		return "", nil
	}
	return name, err
}
