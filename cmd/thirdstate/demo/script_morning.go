package demo

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

// nightMode is the failure that was phoned in before dawn.
const nightMode = "hydraulic_hose_burst"

// morning is what the visitor finds: a machine that broke down before dawn, whose
// engineer has been sent and has not accepted yet, and an inspection on the
// engineer's list of today.
func (p *people) morning() []event {
	night := p.end().Add(-52 * time.Minute)
	return []event{
		{p.end().Add(-15 * time.Hour), "inspection of today", p.inspection},
		{night, "night breakdown", p.breaksDown},
		{night.Add(9 * time.Minute), "night breakdown is looked at", p.atNight(func(ctx context.Context, tx pgx.Tx, now time.Time, c maintenance.CaseRow) error {
			_, err := maintenance.MoveCase(ctx, tx, now, p.manager, c.ID, maintenance.CaseMove{To: maintenance.Triaged, Note: "停机，优先派工", NoteEN: "Down: goes first"})
			return err
		})},
		{night.Add(15 * time.Minute), "night breakdown is answered", p.atNight(func(ctx context.Context, tx pgx.Tx, now time.Time, c maintenance.CaseRow) error {
			_, err := maintenance.Inform(ctx, tx, now, p.caller, c.ID, nil, "sms", "")
			return err
		})},
		{night.Add(31 * time.Minute), "night breakdown is planned", p.atNight(func(ctx context.Context, tx pgx.Tx, now time.Time, c maintenance.CaseRow) error {
			at := p.end().Add(50 * time.Minute)
			_, err := maintenance.ScheduleOrder(ctx, tx, now, p.dispatcher, maintenance.NewOrder{CaseID: &c.ID, MachineID: c.MachineID, Kind: "repair", Title: c.Title, TitleEN: c.TitleEN, PlannedAt: &at})
			return err
		})},
		{p.end().Add(-time.Minute), "night breakdown is dispatched", p.atNight(func(ctx context.Context, tx pgx.Tx, now time.Time, c maintenance.CaseRow) error {
			file, err := maintenance.GetCase(ctx, tx, p.dispatcher, c.ID)
			if err != nil {
				return err
			}
			b := board{people: p}
			for _, o := range file.WorkOrders {
				if o.State == maintenance.OrderOpen {
					if err := b.send(o)(ctx, tx, now); err != nil {
						return err
					}
				}
			}
			_, err = postgres.Run(ctx, tx, playedBySQL, pgx.NamedArgs{"by": "demo", "id": c.ID})
			return err
		})},
	}
}

// bare is a machine without telematics that the story can let break down.
func (p *people) bare(nth int) (machines.Row, bool) {
	for _, m := range p.fleet.Machines() {
		row := p.machines[m.Key]
		if m.HasDevice || m.Key == seeping || row.Kind != "excavator" {
			continue
		}
		if nth--; nth < 0 {
			return row, true
		}
	}
	return machines.Row{}, false
}

func (p *people) breaksDown(ctx context.Context, tx pgx.Tx, now time.Time) error {
	row, ok := p.bare(1)
	if !ok {
		return nil
	}
	c, err := p.phoneIn(ctx, tx, now, row, nightMode, machines.Text{ZH: "动臂油管爆管，夜班停工", EN: "Boom hose burst, the night shift stands"})
	if err != nil {
		return err
	}
	_, err = postgres.Run(ctx, tx, playedBySQL, pgx.NamedArgs{"by": scripted, "id": c.ID})
	return err
}

// phoneIn is a breakdown that a customer rings up about.
func (p *people) phoneIn(ctx context.Context, tx pgx.Tx, now time.Time, row machines.Row, mode string, words machines.Text) (maintenance.Case, error) {
	caller, err := p.contact(ctx, tx, row.CustomerID)
	if err != nil {
		return maintenance.Case{}, err
	}
	return maintenance.OpenRequest(ctx, tx, now, p.caller, maintenance.Request{MachineID: row.ID, Down: true, PouringNow: row.Kind == "concrete_pump",
		Latitude: row.Latitude, Longitude: row.Longitude, OperatorPhone: caller.Phone, CallerName: caller.Name, CallerNameEN: caller.NameEN, FailureMode: mode,
		Description: words.ZH, DescriptionEN: words.EN})
}

// atNight does something about the night's breakdown, if it is still as the
// script knows it.
func (p *people) atNight(do func(context.Context, pgx.Tx, time.Time, maintenance.CaseRow) error) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		open, err := maintenance.Cases(ctx, tx, maintenance.CaseFilter{Open: true, Limit: most})
		if err != nil {
			return err
		}
		for _, c := range open.Items {
			if c.PlayedBy == scripted && c.FailureMode == nightMode {
				return do(ctx, tx, now, c)
			}
		}
		return nil
	}
}

// inspection puts a visit on the list of the engineer whom the visitor can play.
func (p *people) inspection(ctx context.Context, tx pgx.Tx, now time.Time) error {
	var who uuid.UUID
	for id, t := range p.technicians {
		if t.Name == "陈海波" {
			who = id
		}
	}
	for _, m := range p.fleet.Machines() {
		row := p.machines[m.Key]
		if m.Customer != "tongda" || len(m.Faults) > 0 {
			continue
		}
		at := p.end().Add(7*time.Hour + 20*time.Minute)
		o, err := maintenance.ScheduleOrder(ctx, tx, now, p.dispatcher, maintenance.NewOrder{MachineID: row.ID, Kind: "inspection", Title: "高温季前检查", TitleEN: "Check before the hot season", PlannedAt: &at})
		if err != nil {
			return err
		}
		if _, err := maintenance.MoveOrder(ctx, tx, now, p.dispatcher, o.ID, maintenance.OrderMove{To: maintenance.OrderDispatched, TechnicianID: &who}); err != nil {
			return err
		}
		_, err = maintenance.MoveOrder(ctx, tx, now, p.technicians[who], o.ID, maintenance.OrderMove{To: maintenance.OrderAccepted})
		return err
	}
	return nil
}
