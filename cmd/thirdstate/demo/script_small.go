package demo

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

// smallMatter is something that a customer rang up about and that was put right
// on the evening before the visitor comes: its callback is on the list.
type smallMatter struct {
	machine, mode string
	words, done   machines.Text
	visit         time.Duration // before the end
}

var smallMatterList = []smallMatter{
	{"BC37T1507214", "remote_control", machines.Text{ZH: "臂架遥控器时断时续", EN: "The boom's remote control drops out"},
		machines.Text{ZH: "更换遥控器接收天线，试机正常", EN: "Receiver aerial changed, trial run in order"}, 13 * time.Hour},
	{"BE21N1308126", "air_conditioning", machines.Text{ZH: "驾驶室空调不制冷", EN: "The cab's air conditioning does not cool"},
		machines.Text{ZH: "清洗冷凝器并补冷媒，出风 9 ℃", EN: "Condenser cleaned, refrigerant filled up, 9 °C at the outlet"}, 12*time.Hour + 40*time.Minute},
	{"KF13A1500096", "display", machines.Text{ZH: "控制屏偶尔黑屏", EN: "The control display goes dark now and then"},
		machines.Text{ZH: "重新插接屏线并紧固，观察 30 分钟正常", EN: "Cable plugged in anew and fixed, watched for 30 minutes"}, 12*time.Hour + 10*time.Minute},
}

// smallMatters are the calls of the day before last and the visits of yesterday
// evening. Nobody but the script moves them; the calls are the visitor's or, in the
// morning, Wang Qian's.
func (p *people) smallMatters() []event {
	var list []event
	for _, m := range smallMatterList {
		row, ok := p.machines[m.machine]
		if !ok {
			continue
		}
		visit := p.end().Add(-m.visit)
		list = append(list,
			event{visit.Add(-31 * time.Hour), about("small matter", m.machine), func(ctx context.Context, tx pgx.Tx, now time.Time) error {
				return p.reportSmall(ctx, tx, now, row, m, visit)
			}},
			event{visit, about("small matter is put right", m.machine), func(ctx context.Context, tx pgx.Tx, now time.Time) error {
				return p.putRight(ctx, tx, now, row, m)
			}})
	}
	return list
}

func (p *people) reportSmall(ctx context.Context, tx pgx.Tx, now time.Time, row machines.Row, m smallMatter, visit time.Time) error {
	caller, err := p.contact(ctx, tx, row.CustomerID)
	if err != nil {
		return err
	}
	c, err := maintenance.OpenRequest(ctx, tx, now, p.caller, maintenance.Request{MachineID: row.ID, OperatorPhone: caller.Phone, CallerName: caller.Name, CallerNameEN: caller.NameEN,
		FailureMode: m.mode, Description: m.words.ZH, DescriptionEN: m.words.EN})
	if err != nil {
		return err
	}
	if _, err = postgres.Run(ctx, tx, playedBySQL, pgx.NamedArgs{"by": scripted, "id": c.ID}); err != nil {
		return err
	}
	_, err = maintenance.ScheduleOrder(ctx, tx, now.Add(20*time.Minute), p.dispatcher, maintenance.NewOrder{CaseID: &c.ID, MachineID: row.ID, Kind: "repair", PlannedAt: &visit})
	return err
}

// putRight is the whole visit, whose times lie between its beginning and an hour
// and a quarter later.
func (p *people) putRight(ctx context.Context, tx pgx.Tx, now time.Time, row machines.Row, m smallMatter) error {
	work, err := maintenance.ReadMachine(ctx, tx, row.ID)
	if err != nil {
		return err
	}
	b := board{people: p}
	for _, o := range work.WorkOrders {
		if o.FailureMode != m.mode || o.State != maintenance.OrderOpen {
			continue
		}
		if err := b.send(o)(ctx, tx, now.Add(-75*time.Minute)); err != nil {
			return err
		}
		if err := b.visitOnce(ctx, tx, now, o, m); err != nil {
			return err
		}
		_, err := postgres.Run(ctx, tx, playedBySQL, pgx.NamedArgs{"by": "demo", "id": o.CaseID})
		return err
	}
	return nil
}

func (b *board) visitOnce(ctx context.Context, tx pgx.Tx, now time.Time, o maintenance.WorkOrderRow, m smallMatter) error {
	file, err := maintenance.GetWorkOrder(ctx, tx, b.dispatcher, o.ID)
	if err != nil {
		return err
	}
	o = file.WorkOrderRow
	at := now.Add(-70 * time.Minute)
	for _, to := range []maintenance.WorkOrderState{maintenance.OrderAccepted, maintenance.OrderEnRoute, maintenance.OrderOnSite} {
		if err := b.work(o, maintenance.OrderMove{To: to})(ctx, tx, at); err != nil {
			return err
		}
		at = at.Add(25 * time.Minute)
	}
	if err := b.check(o)(ctx, tx, at); err != nil {
		return err
	}
	person, err := b.contact(ctx, tx, o.CustomerID)
	if err != nil {
		return err
	}
	return b.work(o, maintenance.OrderMove{To: maintenance.OrderCompleted, Result: m.done.ZH, ResultEN: m.done.EN, FailureMode: m.mode, Activity: "repair",
		SignedBy: person.Name, SignerCapacity: person.Capacity, WrenchMinutes: 40})(ctx, tx, now)
}
