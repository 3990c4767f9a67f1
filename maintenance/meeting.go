package maintenance

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

// packMachines bounds the machines that a pack names.
const packMachines = 500

// MeetingPack is what lies before the representatives' meeting of a month: what
// was promised and became of it, what was raised, how the represented fleet does.
// customer narrows it to one; a representative gets its own machines by name and
// all others as numbers.
func MeetingPack(ctx context.Context, pool *postgres.Pool, who identity.Principal, now, month time.Time, customer *uuid.UUID) (Pack, error) {
	if who.Role.CustomerScoped() {
		customer = &who.CustomerID
	}
	month = time.Date(month.Year(), month.Month(), 1, 0, 0, 0, 0, time.UTC)
	p := Pack{Month: month, CustomerID: customer}
	if err := postgres.As(ctx, pool, who, func(tx pgx.Tx) error { return readPack(ctx, tx, now, &p) }); err != nil {
		return Pack{}, fmt.Errorf("read the meeting's pack: %w", err)
	}
	if customer == nil {
		return p, nil
	}
	// Only the program may count what the caller must not see.
	err := postgres.As(ctx, pool, identity.Program("meeting"), func(tx pgx.Tx) (err error) {
		if p.Others, err = postgres.One[HealthCount](ctx, tx, othersSQL, pgx.NamedArgs{"customer": *customer}); err != nil {
			return err
		}
		p.All, err = packNumbers(ctx, tx, now, month)
		return err
	})
	if err != nil {
		return Pack{}, fmt.Errorf("count the machines of others: %w", err)
	}
	return p, nil
}

// packNumbers counts for all customers what their packs show them in rows.
func packNumbers(ctx context.Context, db postgres.DB, now, month time.Time) (*PackNumbers, error) {
	all := Pack{Month: month}
	before, first, end := all.period()
	var err error
	if all.Promises, err = packPromises(ctx, db, all); err != nil {
		return nil, err
	}
	all.judge(now, before, first)
	s, err := summarise(ctx, db, before, end, nil)
	return &PackNumbers{Kept: all.Kept, Broken: all.Broken, FoundEarly: len(s.FoundEarly), FalseAlarms: len(s.FalseAlarms), Missed: len(s.Missed), Deferred: len(s.Deferred)}, err
}

// period is the month before, and the month itself as the organisation counts it.
func (p *Pack) period() (before, first, end time.Time) {
	return localMonth(p.Month.AddDate(0, -1, 0)), localMonth(p.Month), localMonth(p.Month.AddDate(0, 1, 0))
}

func packPromises(ctx context.Context, db postgres.DB, p Pack) ([]Promise, error) {
	before, first, _ := p.period()
	return postgres.All[Promise](ctx, db, packPromisesSQL, pgx.NamedArgs{"customer": p.CustomerID, "from": before, "to": first})
}

const othersSQL = `SELECT count(*) FILTER (WHERE health = 'well') AS well, count(*) FILTER (WHERE health = 'third_state') AS third_state,
	count(*) FILTER (WHERE health = 'faulty') AS faulty, count(*) FILTER (WHERE health = 'unknown') AS unknown
FROM machine WHERE customer_id IS DISTINCT FROM @customer AND operating_status <> 'scrapped'`

const packPromisesSQL = `SELECT ` + promiseColumns + ` FROM promise WHERE (@customer::uuid IS NULL OR customer_id = @customer)
	AND (state = 'open' OR state <> 'withdrawn' AND due_at >= @from AND due_at < @to) ORDER BY due_at, id LIMIT 500`

const packIssuesSQL = `SELECT i.id, i.case_id, i.text, i.text_en, i.raised_by, i.raised_by_en, i.raised_at FROM meeting_issue i
JOIN meeting g ON g.id = i.meeting_id
WHERE g.month = @month::date AND (@customer::uuid IS NULL OR i.customer_id = @customer) ORDER BY i.raised_at, i.id LIMIT 500`

const packComplaintsSQL = `SELECT ` + complaintColumns + ` FROM complaint WHERE (@customer::uuid IS NULL OR customer_id = @customer)
	AND (state IN ('received','answered') OR received_at >= @from AND received_at < @end) ORDER BY received_at DESC, id LIMIT 500`

// readPack reads what the caller may see. Its figures run from the
// first day of the month before; promises are those of that month.
func readPack(ctx context.Context, db postgres.DB, now time.Time, p *Pack) error {
	before, first, end := p.period()
	args := pgx.NamedArgs{"customer": p.CustomerID, "month": p.Month, "from": before, "to": first, "end": end}
	for _, read := range []func() error{
		func() (err error) {
			p.Promises, err = packPromises(ctx, db, *p)
			return err
		},
		func() (err error) { p.Issues, err = postgres.All[Issue](ctx, db, packIssuesSQL, args); return err },
		func() (err error) {
			p.Complaints, err = postgres.All[Complaint](ctx, db, packComplaintsSQL, args)
			return err
		},
		func() (err error) {
			p.Summary, err = summarise(ctx, db, before, end, p.CustomerID)
			return err
		},
		func() error {
			page, err := machines.List(ctx, db, machines.Filter{CustomerID: p.CustomerID, Limit: packMachines})
			p.Fleet = page.Items
			return err
		},
		func() error {
			page, err := Cases(ctx, db, CaseFilter{CustomerID: p.CustomerID, Open: true, Limit: 500})
			p.OpenCases = page.Items
			return err
		},
	} {
		if err := read(); err != nil {
			return err
		}
	}
	p.judge(now, before, first)
	return nil
}

// judge counts the promises of [from, to) by what became of them. One that is past
// due and was not settled is broken, whether or not anybody noted it.
func (p *Pack) judge(now, from, to time.Time) {
	for i := range p.Promises {
		promise := &p.Promises[i]
		if promise.State == "open" && promise.DueAt.Before(now) {
			promise.State = "broken"
		}
		switch {
		case promise.DueAt.Before(from) || !promise.DueAt.Before(to):
		case promise.State == "kept":
			p.Kept++
		case promise.State == "broken":
			p.Broken++
		}
	}
}

// localMonth is when a calendar month begins for the service organisation.
func localMonth(month time.Time) time.Time {
	return time.Date(month.Year(), month.Month(), 1, 0, 0, 0, 0, zone).UTC()
}
