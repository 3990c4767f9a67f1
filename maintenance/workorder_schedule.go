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

// ScheduleOrder asks for work on a machine, for a case or for itself. The case
// becomes planned; a customer who was not told of it yet is told now. Checklist,
// skills, parts, priority and title are filled in where they are not given.
func ScheduleOrder(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, n NewOrder) (WorkOrder, error) {
	kind, known := kindText(n.Kind)
	if !known {
		return WorkOrder{}, refuse(problem.Invalid, "see errors", "工单类型不正确").WithFields(problem.Field{Pointer: "/kind", Detail: "is no kind of work"})
	}
	if n.Checklist != "" && !knownChecklist(n.Checklist) {
		return WorkOrder{}, unknownChecklist()
	}
	m, err := machines.Lock(ctx, db, n.MachineID)
	if err != nil {
		return WorkOrder{}, err
	}
	if m.OperatingStatus == machines.Scrapped {
		return WorkOrder{}, refuse(problem.Conflict, "the machine is scrapped", "该设备已报废")
	}
	o := WorkOrder{CaseID: n.CaseID, PlanID: n.PlanID, MachineID: m.ID, CustomerID: m.CustomerID, Kind: n.Kind, Title: n.Title, TitleEN: n.TitleEN,
		Priority: n.Priority, PlannedAt: n.PlannedAt, DueAt: n.DueAt, Skills: n.Skills, Parts: n.Parts}
	if n.CaseID != nil {
		if err := forCase(ctx, db, now, who, &o); err != nil {
			return WorkOrder{}, err
		}
	}
	if o.Title == "" {
		o.Title, o.TitleEN = kind.ZH, kind.EN
	}
	if o.Priority == 0 {
		o.Priority = 3
	}
	machineKind, err := kindOfMachine(ctx, db, m)
	if err != nil {
		return WorkOrder{}, err
	}
	return addOrder(ctx, db, now, who, o, checklistFor(n.Checklist, o.Kind, o.FailureMode, machineKind))
}

// forCase fills an order in from its case and moves the case to planned.
func forCase(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, o *WorkOrder) error {
	c, err := lockCase(ctx, db, *o.CaseID)
	if err != nil {
		return err
	}
	if c.MachineID != o.MachineID {
		return refuse(problem.Invalid, "the case is about another machine", "该服务单属于另一台设备")
	}
	if c, err = planCase(ctx, db, now, who, c, o.PlannedAt); err != nil {
		return err
	}
	o.CustomerID, o.FailureMode = c.CustomerID, c.FailureMode
	if o.Title == "" {
		o.Title, o.TitleEN = c.Title, c.TitleEN
	}
	if c.MachineDown {
		o.Priority = 1 // whatever was asked for: it never stands behind a preventive visit
	}
	if o.DueAt == nil {
		due := now.Add(visitWithin(c))
		o.DueAt = &due
	}
	return factsOf(ctx, db, o)
}

// visitWithin is how soon somebody should be there.
func visitWithin(c Case) time.Duration {
	switch {
	case c.MachineDown:
		return 4 * time.Hour
	case c.Severity == machines.Alarm:
		return 24 * time.Hour
	case c.Severity == machines.Warning:
		return 3 * 24 * time.Hour
	}
	return 7 * 24 * time.Hour
}

// factsOf takes skills and parts from what the fault catalogue says of the case's
// findings, where the planner named none.
func factsOf(ctx context.Context, db postgres.DB, o *WorkOrder) error {
	if o.Skills != nil && o.Parts != nil {
		return nil
	}
	findings, err := machines.CaseFindings(ctx, db, *o.CaseID)
	if err != nil {
		return fmt.Errorf("read what is known of the fault: %w", err)
	}
	for _, f := range findings {
		if o.Skills == nil {
			o.Skills = f.Facts.Skills
		}
		if o.Parts == nil {
			o.Parts = f.Facts.Parts
		}
	}
	return nil
}

// planCase takes a case to planned, through the table. Where the customer was not
// told yet he is told of the visit first; where nobody is known who could be told
// the call stays due.
func planCase(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case, at *time.Time) (Case, error) {
	var err error
	switch c.State {
	case Planned, InWork:
		return c, nil
	case Open, Triaged:
		if c, err = tellOfVisit(ctx, db, now, who, c, at); err != nil {
			return Case{}, err
		}
	case RemoteGuidance, Deferred:
		if c, err = stepCase(ctx, db, now, who, c, Informed, machines.Text{ZH: "改为上门", EN: "a visit is needed"}, nil); err != nil {
			return Case{}, err
		}
		if err := cancelCallbacks(ctx, db, now, who.Name, c.ID, "inform"); err != nil {
			return Case{}, err
		}
	}
	note := machines.Text{ZH: "已安排上门", EN: "visit planned"}
	if at != nil {
		when := localTime(*at)
		note = machines.Text{ZH: "已安排上门：" + when.ZH, EN: "visit planned for " + when.EN}
	}
	if c, err = stepCase(ctx, db, now, who, c, Planned, note, nil); err != nil || at == nil {
		return c, err
	}
	return c, tellOperators(ctx, db, now, c, *at)
}

func tellOfVisit(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case, at *time.Time) (Case, error) {
	contact, err := contactOf(ctx, db, c, nil)
	if err == nil && c.InformedAt == nil {
		t, err := messageAbout(ctx, db, c, contact)
		if err != nil {
			return Case{}, err
		}
		t.visitAt = at
		return inform(ctx, db, now, who, c, contact, "sms", t.text(now))
	}
	if err != nil && problem.Of(err) != problem.Conflict {
		return Case{}, err
	}
	told := c.InformedAt
	note := machines.Text{ZH: "没有可告知的联系人", EN: "nobody is known who could be told"}
	if told != nil {
		note = machines.Text{ZH: "客户已知悉", EN: "the customer knows"}
	}
	return stepCase(ctx, db, now, who, c, Informed, note, func(c *Case) error { c.InformedAt = told; return nil })
}

const kindOfMachineSQL = `SELECT kind FROM model WHERE id = @id`

// kindOfMachine is the kind of a machine's model, "" for a machine without one.
func kindOfMachine(ctx context.Context, db postgres.DB, m machines.Machine) (string, error) {
	if m.ModelID == nil || *m.ModelID == uuid.Nil {
		return "", nil
	}
	kind, err := postgres.Value[string](ctx, db, kindOfMachineSQL, pgx.NamedArgs{"id": *m.ModelID})
	if err != nil {
		return "", fmt.Errorf("read the kind of machine %s: %w", m.Key, err)
	}
	return kind, nil
}
