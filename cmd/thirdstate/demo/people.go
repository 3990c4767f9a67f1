package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/internal/accounts"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

// people play the seeded persons, through the same functions as pages and API.
type people struct {
	*Demo
	manager, dispatcher, caller identity.Principal
	technicians                 map[uuid.UUID]identity.Principal
	faults                      map[string]simulate.Fault // by machine key and failure mode
	machines                    map[string]machines.Row   // by key
	later                       map[string]time.Time      // deeds that were refused: not before
	script                      []event
	open                        int      // cases, when they last looked
	then                        []func() // what follows when the transaction of a deed is committed
}

// deed is one thing that a person will do at a time.
type deed struct {
	at    time.Time
	words string // tells it from others, also in the next step
	do    func(ctx context.Context, tx pgx.Tx, now time.Time) error
}

const (
	mostRounds = 12 // of deeds in one step: one deed brings about the next
	againAfter = 20 * time.Minute
)

// meet finds the people who were seeded.
func (d *Demo) meet(ctx context.Context) (*people, error) {
	p := &people{Demo: d, technicians: map[uuid.UUID]identity.Principal{}, faults: map[string]simulate.Fault{}, machines: map[string]machines.Row{}, later: map[string]time.Time{}}
	err := postgres.As(ctx, d.Pool, identity.Program("demo"), func(tx pgx.Tx) error {
		users, err := accounts.Users(ctx, tx)
		if err != nil {
			return err
		}
		for _, u := range users {
			who := identity.Principal{UserID: u.ID, Name: u.Name, Role: u.Role, Language: "zh"}
			switch u.Login {
			case "zhaomin":
				p.manager = who
			case "helin":
				p.dispatcher = who
			case "wangqian":
				p.caller = who
			}
		}
		all, err := maintenance.Technicians(ctx, tx)
		if err != nil {
			return err
		}
		for _, t := range all {
			p.technicians[t.ID] = identity.Principal{Name: t.Name, Role: identity.FieldEngineer, TechnicianID: t.ID, Language: "zh"}
		}
		for cursor := ""; ; {
			page, err := machines.List(ctx, tx, machines.Filter{Limit: 500, Cursor: cursor})
			if err != nil {
				return err
			}
			for _, m := range page.Items {
				p.machines[m.Key] = m
			}
			if cursor = page.Next; cursor == "" {
				return nil
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for _, m := range d.fleet.Machines() {
		for _, f := range m.Faults {
			p.faults[m.Key+"/"+f.Mode] = f
		}
	}
	p.script = p.events()
	return p, nil
}

// play lets the people do what is due in (from, to], in the order of time; what
// one does may bring about what another does next.
func (p *people) play(ctx context.Context, from, to time.Time) error {
	from, err := p.perform(ctx, from, to)
	if err != nil {
		return err
	}
	if err := p.visitorsRepairs(ctx, to); err != nil {
		return err
	}
	for range mostRounds {
		deeds, err := p.due(ctx, to, false)
		if err != nil {
			return err
		}
		if len(deeds) == 0 {
			return nil
		}
		latest := from
		for _, d := range deeds {
			done, err := p.act(ctx, d, from, to)
			if err != nil {
				return err
			}
			if done.After(latest) {
				latest = done
			}
		}
		from = latest // what this round brought about comes after it
	}
	return nil
}

// act does one deed in a transaction of its own and says when. What the product
// refuses (a busy engineer, a visitor who was quicker) is tried again later.
func (p *people) act(ctx context.Context, d deed, from, to time.Time) (time.Time, error) {
	now := d.at
	if !now.After(from) { // a minute later, so that what follows can be told from what it follows
		now = earlier(from.Add(time.Minute), later(from, to))
	}
	err := postgres.As(ctx, p.Pool, identity.Program("demo"), func(tx pgx.Tx) error {
		p.then = nil // it may run again
		return d.do(ctx, tx, now)
	})
	if err == nil {
		delete(p.later, d.words)
		for _, do := range p.then {
			do()
		}
		return now, nil
	}
	if said := problem.As(err); said != nil && said.Kind != problem.Internal && said.Kind != problem.Unavailable {
		p.Log.Debug("the demo's person was refused", "deed", d.words, "at", now, "error", err)
		p.later[d.words] = now.Add(againAfter)
		return from, nil
	}
	return from, fmt.Errorf("%s: %w", d.words, err)
}

// most bounds how much people look at in one round.
const most = 200

// due lists, in the order of time, what has to be done by an instant: by the
// demo's people, or in the visitor's matters.
func (p *people) due(ctx context.Context, to time.Time, visitors bool) ([]deed, error) {
	deeds, err := p.planned(ctx, to, visitors)
	if err != nil {
		return nil, err
	}
	deeds = slices.DeleteFunc(deeds, func(d deed) bool { return d.at.After(to) || p.later[d.words].After(to) })
	slices.SortStableFunc(deeds, func(a, b deed) int { return a.at.Compare(b.at) })
	return deeds, nil
}

// planned lists what people will have to do about the matters that are open now.
func (p *people) planned(ctx context.Context, to time.Time, visitors bool) ([]deed, error) {
	var cases []maintenance.CaseRow
	var orders []maintenance.WorkOrderRow
	var calls []maintenance.CallbackRow
	err := postgres.As(ctx, p.Pool, identity.Program("demo"), func(tx pgx.Tx) error {
		page, err := maintenance.Cases(ctx, tx, maintenance.CaseFilter{Open: true, Limit: most})
		if err != nil {
			return err
		}
		cases = page.Items
		open, err := maintenance.WorkOrders(ctx, tx, maintenance.OrderFilter{Open: true, Limit: most})
		if err != nil {
			return err
		}
		orders = open.Items
		calls, err = maintenance.Callbacks(ctx, tx, to, maintenance.CallbackFilter{Due: true, Limit: most})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look what is open: %w", err)
	}
	b := board{people: p, visitors: visitors, cases: map[uuid.UUID]maintenance.CaseRow{}, visits: map[uuid.UUID]bool{}}
	if p.open = len(cases); p.open > 0 {
		p.noteFirst()
	}
	for _, c := range cases {
		b.cases[c.ID] = c
	}
	for _, o := range orders {
		if o.CaseID != nil {
			b.visits[*o.CaseID] = true
		}
	}
	var deeds []deed
	for _, c := range cases {
		deeds = append(deeds, b.ofCase(c)...)
	}
	for _, o := range orders {
		deeds = append(deeds, b.ofOrder(o)...)
	}
	for _, k := range calls {
		deeds = append(deeds, b.ofCall(k)...)
	}
	if !visitors {
		deeds = append(deeds, p.breakdowns(cases, to)...)
	}
	return deeds, nil
}

// noteFirst tells who waits for it that a case has been opened.
func (p *people) noteFirst() {
	select {
	case <-p.opened:
	default:
		close(p.opened)
	}
}

// board is what is open in one round.
type board struct {
	*people
	visitors bool // deeds in the visitor's cases, else in the demo's
	cases    map[uuid.UUID]maintenance.CaseRow
	visits   map[uuid.UUID]bool // cases with an open work order
}

// ours says whether a matter is one of those that this board is for. A matter of
// no case is the demo's; so is the visitor's case until the present, as far as the
// story prepares it for him.
func (b *board) ours(c maintenance.CaseRow) bool {
	if c.PlayedBy != "yours" {
		return !b.visitors
	}
	return b.prepared(c) != b.visitors
}

// prepared says whether the demo still prepares a case that will be the visitor's:
// nobody lets a customer wait for days until a visitor comes.
func (b *board) prepared(c maintenance.CaseRow) bool {
	f, ok := b.fault(c)
	if !ok || f.Story != "yours" || !b.at.Before(b.end()) {
		return false
	}
	switch c.State {
	case maintenance.Open, maintenance.Triaged:
		return true
	case maintenance.Informed:
		return c.DeferredBy == "" // once put off, the visitor asks again
	}
	return false
}

// fault is the simulated one behind a case, if there is one.
func (p *people) fault(c maintenance.CaseRow) (simulate.Fault, bool) {
	f, ok := p.faults[c.MachineKey+"/"+c.FailureMode]
	return f, ok
}

// after is a time a while after another, the same in each telling, and within
// the hours in which the person works.
func after(at time.Time, words string, low, high time.Duration, from, until int) time.Time {
	return within(at.Add(spread(words, low, high).Truncate(time.Minute)), words, from, until)
}

// within moves a time that lies outside the hours [from, until) to a little after
// the next beginning.
func within(at time.Time, words string, from, until int) time.Time {
	local := at.In(Zone)
	if h := local.Hour(); h >= from && h < until {
		return at
	}
	day := local
	if local.Hour() >= until {
		day = local.AddDate(0, 0, 1)
	}
	start := time.Date(day.Year(), day.Month(), day.Day(), from, 0, 0, 0, Zone)
	return start.Add(spread(words+" morning", 2*time.Minute, 40*time.Minute).Truncate(time.Minute)).UTC()
}

func about(words ...any) string { return strings.TrimSpace(fmt.Sprintln(words...)) }
