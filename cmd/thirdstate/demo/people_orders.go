package demo

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

// goodRepair is how much of a fault an ordinary repair removes.
const goodRepair = 0.97

// ofOrder is what dispatcher and engineers have to do about a work order.
func (b *board) ofOrder(o maintenance.WorkOrderRow) []deed {
	c := maintenance.CaseRow{}
	if o.CaseID != nil {
		if c = b.cases[*o.CaseID]; c.PlayedBy == "" || c.State == maintenance.Waiting {
			return nil
		}
	}
	if !b.ours(c) {
		return nil
	}
	words := about("order", o.Number, o.State)
	one := func(at time.Time, do func(context.Context, pgx.Tx, time.Time) error) []deed {
		return []deed{{at: at, words: words, do: do}}
	}
	switch o.State {
	case maintenance.OrderOpen:
		at := after(o.StateAt, words, 5*time.Minute, 35*time.Minute, 6, 21)
		if early := o.PlannedAt; early != nil && early.Add(-30*time.Hour).After(at) {
			at = within(early.Add(-30*time.Hour), words, 6, 21)
		}
		return one(at, b.send(o))
	case maintenance.OrderDispatched:
		at := o.StateAt.Add(spread(words, 2*time.Minute, 9*time.Minute).Truncate(time.Minute)) // not accepted in 10 minutes, it goes back
		return one(at, b.work(o, maintenance.OrderMove{To: maintenance.OrderAccepted}))
	case maintenance.OrderAccepted:
		return one(b.leaves(o, c, words), b.work(o, maintenance.OrderMove{To: maintenance.OrderEnRoute}))
	case maintenance.OrderEnRoute:
		return one(o.StateAt.Add(spread(words, 20*time.Minute, 70*time.Minute).Truncate(time.Minute)), b.work(o, maintenance.OrderMove{To: maintenance.OrderOnSite}))
	case maintenance.OrderOnSite:
		ready := o.StateAt.Add(spread(words, 15*time.Minute, 40*time.Minute).Truncate(time.Minute))
		done := ready.Add(spread(words+" wrench", 25*time.Minute, 95*time.Minute).Truncate(time.Minute))
		if f, ok := b.fault(c); ok && f.Story == "false_alarm" {
			return one(done, b.falseAlarm(o, c))
		}
		return []deed{{at: ready, words: words + " checklist", do: b.check(o)}, {at: done, words: words, do: b.finish(o, c)}}
	default:
		return nil
	}
}

// leaves is when the engineer sets off: in time for what was planned, once much
// too late.
func (b *board) leaves(o maintenance.WorkOrderRow, c maintenance.CaseRow, words string) time.Time {
	at := o.StateAt.Add(spread(words, 4*time.Minute, 20*time.Minute).Truncate(time.Minute))
	if o.PlannedAt != nil {
		if start := o.PlannedAt.Add(-45 * time.Minute); start.After(at) {
			at = start
		}
	}
	if f, ok := b.fault(c); ok && f.Story == "late_visit" && c.Comebacks == 0 {
		at = at.Add(2*time.Hour + 40*time.Minute)
	}
	return within(at, words, 6, 20)
}

// send gives the order to the best engineer who may go.
func (b *board) send(o maintenance.WorkOrderRow) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		ranked, err := maintenance.Candidates(ctx, tx, now, o.ID)
		if err != nil {
			return err
		}
		for _, candidate := range ranked {
			if candidate.Excluded != nil {
				continue
			}
			move := maintenance.OrderMove{To: maintenance.OrderDispatched, TechnicianID: &candidate.TechnicianID}
			if o.PlannedAt == nil {
				at := nextSlot(now, about("slot", o.MachineKey, o.Number))
				move.PlannedAt = &at
			}
			_, err := maintenance.MoveOrder(ctx, tx, now, b.dispatcher, o.ID, move)
			return err
		}
		return problem.New(problem.Conflict, "nobody may go to order %d now", o.Number)
	}
}

// nextSlot is a time on the next working day.
func nextSlot(now time.Time, words string) time.Time {
	day := now.In(Zone).AddDate(0, 0, 1)
	morning := time.Date(day.Year(), day.Month(), day.Day(), 8, 0, 0, 0, Zone)
	return morning.Add(spread(words, 0, 8*time.Hour).Truncate(30 * time.Minute)).UTC()
}

func (p *people) engineer(o maintenance.WorkOrderRow) identity.Principal {
	if o.TechnicianID == nil {
		return p.dispatcher
	}
	return p.technicians[*o.TechnicianID]
}

func (b *board) work(o maintenance.WorkOrderRow, m maintenance.OrderMove) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		_, err := maintenance.MoveOrder(ctx, tx, now, b.engineer(o), o.ID, m)
		return err
	}
}

// check answers the checklist on site.
func (b *board) check(o maintenance.WorkOrderRow) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		who := b.engineer(o)
		file, err := maintenance.GetWorkOrder(ctx, tx, who, o.ID)
		if err != nil {
			return err
		}
		for _, item := range file.Checklist {
			if item.DoneAt != nil {
				continue
			}
			if _, _, err := maintenance.Answer(ctx, tx, now, who, item.ID, answerTo(item, file)); err != nil {
				return err
			}
		}
		return nil
	}
}

// answerTo finds everything in order: what was wrong is repaired by then.
func answerTo(item maintenance.ChecklistItem, file maintenance.OrderFile) maintenance.ItemAnswer {
	switch item.Kind {
	case "number":
		n := numberFor(item)
		return maintenance.ItemAnswer{Number: &n}
	case "meter":
		hours := 1000.0
		if file.Machine.OperatingHours != nil {
			hours = *file.Machine.OperatingHours
		}
		return maintenance.ItemAnswer{Number: &hours, Result: "pass"}
	case "text":
		return maintenance.ItemAnswer{Result: "pass", Note: "正常", NoteEN: "In order"}
	case "choice":
		if len(item.Choices) > 0 {
			return maintenance.ItemAnswer{Result: "pass", Note: item.Choices[0]}
		}
	case "photo":
		return maintenance.ItemAnswer{Result: "na", Note: "无照片", NoteEN: "No photo"}
	}
	return maintenance.ItemAnswer{Result: "pass"}
}

func numberFor(item maintenance.ChecklistItem) float64 {
	switch {
	case item.Low != nil && item.High != nil:
		return (*item.Low + *item.High) / 2
	case item.High != nil:
		return *item.High * 0.8
	case item.Low != nil:
		return *item.Low * 1.2
	}
	return 1
}

// finish completes the order; a repair takes effect on the simulated machine, once
// a bad one.
func (b *board) finish(o maintenance.WorkOrderRow, c maintenance.CaseRow) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		_, known := b.fault(c)
		quality := goodRepair
		if visit, ok := b.visit(c); ok {
			quality = visit.Quality
		}
		person, err := b.contact(ctx, tx, o.CustomerID)
		if err != nil {
			return err
		}
		said := result(o, quality, !known && b.causeKnown(c))
		move := maintenance.OrderMove{To: maintenance.OrderCompleted, Result: said.ZH, ResultEN: said.EN, FailureMode: c.FailureMode, Activity: activity(o, known),
			SignedBy: person.Name, SignerCapacity: person.Capacity, WrenchMinutes: int(spread(about("wrench", o.Number), 25*time.Minute, 95*time.Minute).Minutes()),
			WaitedMinutes: int(spread(about("waits", o.Number), 0, 30*time.Minute).Minutes()), TravelKM: float64(2 * int(spread(about("km", o.Number), 8*time.Second, 60*time.Second).Seconds()))}
		if _, err := maintenance.MoveOrder(ctx, tx, now, b.engineer(o), o.ID, move); err != nil {
			return err
		}
		if o.CaseID == nil || !known && b.causeKnown(c) {
			return nil
		}
		return b.repaired(ctx, tx, o.Number, repair{Machine: c.MachineKey, Mode: modeOf(c, known), At: now, Quality: quality})
	}
}

// causeKnown says whether the fault behind a case that is only its effect (oil too
// hot) has a case of its own, in which it is repaired.
func (b *board) causeKnown(c maintenance.CaseRow) bool {
	for _, other := range b.cases {
		if _, known := b.fault(other); known && other.MachineKey == c.MachineKey {
			return true
		}
	}
	return false
}

// modeOf is what a repair touches: where the report did not name it, everything.
func modeOf(c maintenance.CaseRow, known bool) string {
	if known {
		return c.FailureMode
	}
	return ""
}

// repaired lets the repair of an order take effect and keeps it for the next start.
func (p *people) repaired(ctx context.Context, tx pgx.Tx, order int64, r repair) error {
	next := p.ledger.with(effectOf(order), r)
	if err := next.write(ctx, tx); err != nil {
		return err
	}
	p.then = append(p.then, func() {
		p.ledger = next
		p.fleet.Repair(r.Machine, r.Mode, r.At, r.Quality)
	})
	return nil
}

func result(o maintenance.WorkOrderRow, quality float64, elsewhere bool) machines.Text {
	switch {
	case elsewhere:
		return machines.Text{ZH: "停机降温后试机；根本原因另有服务单处理", EN: "Cooled down and tried; the cause has a case of its own"}
	case o.CaseID == nil:
		return machines.Text{ZH: "按保养单完成，试机正常", EN: "Done by the service list, trial run in order"}
	case quality < 0.5:
		return machines.Text{ZH: "清洗了散热器，试机后交车", EN: "Cleaned the cooler, handed over after a trial run"}
	}
	return machines.Text{ZH: "已修复，带载试机正常", EN: "Repaired, trial run under load in order"}
}

func activity(o maintenance.WorkOrderRow, known bool) string {
	switch {
	case o.CaseID == nil:
		return "service"
	case known:
		return "repair"
	}
	return "check"
}

// falseAlarm ends a case for which the engineer has found nothing on site.
func (b *board) falseAlarm(o maintenance.WorkOrderRow, c maintenance.CaseRow) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		if err := maintenance.Comment(ctx, tx, now, b.engineer(o), c.ID, machines.Text{ZH: "现场检查未见异常，数值已自行恢复", EN: "Nothing found on site; the values have come back by themselves"}); err != nil {
			return err
		}
		_, err := maintenance.MoveCase(ctx, tx, now, b.manager, c.ID, maintenance.CaseMove{To: maintenance.Cancelled, Verdict: "false_alarm", Reason: "现场检查无故障：误报", ReasonEN: "No fault on site: false alarm"})
		return err
	}
}
