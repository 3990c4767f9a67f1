package demo

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

const (
	mostYours   = 4                  // cases left to the visitor at a time
	yoursWithin = 20 * time.Hour     // only what was found shortly before the present is his
	proofIn     = 4 * 24 * time.Hour // then a repair is waived by name
)

// ofCase is what office people have to do about a case.
func (b *board) ofCase(c maintenance.CaseRow) []deed {
	if c.PlayedBy == "" && !b.visitors {
		return []deed{{at: c.OpenedAt, words: about("case", c.Number, "is given out"), do: b.giveOut(c)}}
	}
	if !b.ours(c) || c.PlayedBy == scripted {
		return nil
	}
	words := about("case", c.Number, c.State, c.Comebacks)
	from, until := 6, 22
	if c.MachineDown || c.Severity == machines.Alarm {
		from, until = 0, 24 // there is always somebody
	}
	one := func(at time.Time, do func(context.Context, pgx.Tx, time.Time) error) []deed {
		return []deed{{at: at, words: words, do: do}}
	}
	switch c.State {
	case maintenance.Open:
		return one(after(c.StateAt, words, 4*time.Minute, 40*time.Minute, from, until), b.move(c, maintenance.CaseMove{To: maintenance.Triaged, Note: "数据与历史已核对", NoteEN: "Data and history compared"}))
	case maintenance.Triaged:
		return one(after(c.StateAt, words, 6*time.Minute, 45*time.Minute, from, until), b.tell(c))
	case maintenance.Informed:
		return b.decide(c, words)
	case maintenance.InWork, maintenance.Planned:
		if b.visits[c.ID] {
			return nil
		}
		return one(after(c.StateAt, words, 30*time.Minute, 90*time.Minute, 7, 20), b.schedule(c))
	case maintenance.Verifying:
		return one(after(b.proofEnds(c), words, 0, 2*time.Hour, 8, 18), b.waive(c))
	case maintenance.Satisfied:
		return one(after(c.StateAt, words, 5*time.Minute, 30*time.Minute, 7, 22), b.move(c, maintenance.CaseMove{To: maintenance.Closed}))
	case maintenance.Waiting:
		return one(after(c.StateAt, words, 4*24*time.Hour, 6*24*time.Hour, 7, 19), b.move(c, maintenance.CaseMove{To: c.PreviousState, Note: "等待结束", NoteEN: "The wait is over"}))
	case maintenance.Deferred:
		if c.MachineDown {
			return one(after(c.StateAt, words, 4*time.Minute, 15*time.Minute, from, until), b.move(c, maintenance.CaseMove{To: maintenance.Informed, Note: "机主来电：已停机，请马上来修", NoteEN: "The owner rings: it is down, please come at once"}))
		}
		return nil
	default:
		return nil
	}
}

// proofEnds is until when a repair may be proved: telemetry cannot prove it where
// no rule has found it or nothing is said any more.
func (b *board) proofEnds(c maintenance.CaseRow) time.Time {
	if c.Origin != "finding" || !b.machines[c.MachineKey].HasDevice {
		return c.StateAt.Add(20 * time.Hour)
	}
	return c.StateAt.Add(proofIn)
}

// scripted marks a case that the script moves itself.
const scripted = "script"

const playedBySQL = `UPDATE service_case SET played_by = @by WHERE id = @id`

const yoursSQL = `SELECT count(*) FROM service_case WHERE played_by = 'yours' AND state NOT IN ('closed', 'cancelled')`

// giveOut decides whether a new case is the visitor's or the demo's.
func (b *board) giveOut(c maintenance.CaseRow) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		by := "demo"
		mine, err := postgres.Value[int](ctx, tx, yoursSQL, nil)
		if err != nil {
			return err
		}
		fault, _ := b.fault(c)
		recent := !c.OpenedAt.Before(b.end().Add(-yoursWithin))
		if fault.Story == "hero" || fault.Story == "yours" || recent && mine < mostYours && c.Number%2 == 1 && c.FailureMode != "sensor_failure" && c.FailureMode != seepMode {
			by = "yours"
		}
		_, err = postgres.Run(ctx, tx, playedBySQL, pgx.NamedArgs{"by": by, "id": c.ID})
		return err
	}
}

func (b *board) move(c maintenance.CaseRow, m maintenance.CaseMove) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		_, err := maintenance.MoveCase(ctx, tx, now, b.manager, c.ID, m)
		return err
	}
}

// tell tells the owner by SMS.
func (b *board) tell(c maintenance.CaseRow) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		person, err := b.contact(ctx, tx, c.CustomerID)
		if err != nil {
			return err
		}
		var id *uuid.UUID
		if person.ID != uuid.Nil {
			id = &person.ID
		}
		_, err = maintenance.Inform(ctx, tx, now, b.caller, c.ID, id, "sms", "")
		return err
	}
}

// contact is the person whom one calls at a customer's: owner, else whoever comes first.
func (p *people) contact(ctx context.Context, tx pgx.Tx, customer *uuid.UUID) (machines.Contact, error) {
	if customer == nil {
		return machines.Contact{}, nil
	}
	list, err := machines.Contacts(ctx, tx, customer)
	if err != nil || len(list) == 0 {
		return machines.Contact{}, err
	}
	for _, c := range list {
		if c.Capacity == "owner" {
			return c, nil
		}
	}
	return list[0], nil
}

// decide is the owner's decision: mostly to have it done, once to put it off.
func (b *board) decide(c maintenance.CaseRow, words string) []deed {
	if b.visits[c.ID] {
		return nil
	}
	fault, _ := b.fault(c)
	if !c.MachineDown && (fault.Story == "declined" || fault.Story == "yours" && fault.Mode != plannedForYou && c.DeferredBy == "") {
		at := after(c.StateAt, words, 10*time.Minute, 40*time.Minute, 7, 21)
		return []deed{{at: at, words: words, do: b.putOff(c, fault.Story)}}
	}
	if c.FailureMode == "sensor_failure" && c.StateAt.Before(c.OpenedAt.Add(24*time.Hour)) { // afterwards the wait is over
		at := after(c.StateAt, words, 10*time.Minute, 40*time.Minute, 7, 21)
		return []deed{{at: at, words: words, do: b.move(c, maintenance.CaseMove{To: maintenance.Waiting, WaitingFor: "parts", Note: "设备正常，传感器随下次保养更换，不单独派工",
			NoteEN: "The machine is well; the sensor is changed at the next service, no visit for it"})}}
	}
	return []deed{{at: after(c.StateAt, words, 8*time.Minute, 80*time.Minute, 7, 21), words: words, do: b.schedule(c)}}
}

// plannedForYou is the fault for which the visitor finds a planned visit that
// waits for an engineer; the owner of the other one had put it off until today.
const plannedForYou = "imbalance"

func (b *board) putOff(c maintenance.CaseRow, story string) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		person, err := b.contact(ctx, tx, c.CustomerID)
		if err != nil {
			return err
		}
		until := now.Add(3 * 24 * time.Hour)
		if early := b.end().Add(-70 * time.Minute); story == "yours" && early.After(now) {
			until = early
		}
		_, err = maintenance.MoveCase(ctx, tx, now, b.caller, c.ID, maintenance.CaseMove{To: maintenance.Deferred, Until: &until, Person: person.Name,
			Reason: "作业中可能停机；机主知悉，忙完这一段再修", ReasonEN: "It may stop at work; the owner knows and wants it done after this job",
			Note: "机主推迟", NoteEN: "Put off by the owner"})
		return err
	}
}

// schedule plans the visit: at the time that the story wants, else on the next
// morning or, where the machine is down, in an hour.
func (b *board) schedule(c maintenance.CaseRow) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		at := b.visitAt(c, now)
		_, err := maintenance.ScheduleOrder(ctx, tx, now, b.dispatcher, maintenance.NewOrder{CaseID: &c.ID, MachineID: c.MachineID, Kind: "repair",
			Title: c.Title, TitleEN: c.TitleEN, PlannedAt: &at})
		return err
	}
}

// visit is the story's visit that comes next about a case's fault.
func (p *people) visit(c maintenance.CaseRow) (simulate.Visit, bool) {
	f, ok := p.fault(c)
	if !ok {
		return simulate.Visit{}, false
	}
	if f.Story == "hero" {
		return p.heroVisit(c)
	}
	done := 0
	for _, r := range p.ledger.Repairs {
		if r.Machine == c.MachineKey && r.Mode == f.Mode {
			done++
		}
	}
	if done >= len(f.Visits) {
		return simulate.Visit{}, false
	}
	return f.Visits[done], true
}

func (b *board) visitAt(c maintenance.CaseRow, now time.Time) time.Time {
	words := about("visit", c.MachineKey, c.FailureMode, c.Comebacks)
	if c.MachineDown || c.Severity == machines.Alarm {
		return now.Add(time.Hour).Truncate(time.Minute)
	}
	if f, _ := b.fault(c); f.Story == "hero" && c.Comebacks == 0 { // tonight, as its owner chooses
		return maintenance.VisitChoices(now, b.machines[c.MachineKey].Kind)[0]
	}
	if f, _ := b.fault(c); f.Story == "yours" && now.Before(b.end()) {
		return b.end().Add(3*time.Hour + 20*time.Minute)
	}
	if visit, ok := b.visit(c); ok && c.Severity != machines.Warning {
		if at := visit.At.Add(-90 * time.Minute); at.After(now.Add(time.Hour)) && at.Before(now.AddDate(0, 0, 6)) {
			return at
		}
	}
	day := now.In(Zone).AddDate(0, 0, 1)
	morning := time.Date(day.Year(), day.Month(), day.Day(), 8, 0, 0, 0, Zone).UTC()
	return morning.Add(spread(words, 0, 7*time.Hour).Truncate(30 * time.Minute))
}

// waive closes a repair that nothing has proved, by name and with the reason.
func (b *board) waive(c maintenance.CaseRow) func(context.Context, pgx.Tx, time.Time) error {
	return func(ctx context.Context, tx pgx.Tx, now time.Time) error {
		reason := machines.Text{ZH: "修后同工况运行时间不足，现场复测正常", EN: "Too little time at that load since the repair; measured in order on site"}
		if !b.machines[c.MachineKey].HasDevice {
			reason = machines.Text{ZH: "该设备无终端，按现场复测结果免验", EN: "No device on this machine; measured in order on site"}
		}
		_, err := maintenance.MoveCase(ctx, tx, now, b.manager, c.ID, maintenance.CaseMove{To: maintenance.AwaitingCallback, Person: b.manager.Name, Reason: reason.ZH, ReasonEN: reason.EN})
		return err
	}
}
