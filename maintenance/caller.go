package maintenance

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// brokenShown is how long a broken promise is on the screen when its customer calls.
const brokenShown = 30 * 24 * time.Hour

// Somebody who has a number at two customers calls about the one with a matter open.
const callerContactSQL = `SELECT p.id, p.customer_id, p.name, p.name_en, p.salutation, p.salutation_en, p.capacity, p.phone, p.language, p.last_confirmed_at
FROM contact p WHERE p.phone = ANY(@writings)
ORDER BY EXISTS (SELECT 1 FROM service_case c WHERE c.customer_id = p.customer_id AND c.state NOT IN ('closed','cancelled')) DESC,
	p.last_confirmed_at DESC NULLS LAST, p.id LIMIT 1`

// An operator who is nobody's contact is known by the request that he once made.
const callerRequestSQL = `SELECT c.customer_id FROM service_case c WHERE c.operator_phone = ANY(@writings) AND c.customer_id IS NOT NULL
ORDER BY c.opened_at DESC, c.id DESC LIMIT 1`

// Caller is what is on the screen when a number rings: who it is, the machines,
// the open matters and the first sentence to say. An unknown number is NotFound.
func Caller(ctx context.Context, db postgres.DB, now time.Time, phone string) (CallerFile, error) {
	number, err := normalPhone(phone)
	if err != nil {
		return CallerFile{}, err
	}
	f := CallerFile{}
	if f.Contact, err = callerContact(ctx, db, number); err != nil {
		return CallerFile{}, err
	}
	for _, read := range []func() error{
		func() (err error) { f.Customer, err = machines.GetCustomer(ctx, db, f.Contact.CustomerID); return err },
		func() (err error) { f.Owner, err = decider(ctx, db, f.Contact.CustomerID); return err },
		func() error {
			page, err := machines.List(ctx, db, machines.Filter{CustomerID: &f.Customer.ID, Limit: 100})
			f.Machines = page.Items
			return err
		},
		func() error {
			page, err := Cases(ctx, db, CaseFilter{CustomerID: &f.Customer.ID, Open: true, Limit: 50})
			f.OpenCases = page.Items
			return err
		},
		func() (err error) {
			f.Promises, err = callerPromises(ctx, db, now, f.Customer.ID)
			return err
		},
		func() (err error) {
			f.LastContactAt, err = lastContact(ctx, db, f.Customer.ID)
			return err
		},
		func() (err error) { f.FirstSentence, err = firstSentence(ctx, db, now, f); return err },
	} {
		if err := read(); err != nil {
			return CallerFile{}, fmt.Errorf("read who calls: %w", err)
		}
	}
	return f, nil
}

func callerContact(ctx context.Context, db postgres.DB, number string) (machines.Contact, error) {
	args := pgx.NamedArgs{"writings": writings(number)}
	contact, err := postgres.One[machines.Contact](ctx, db, callerContactSQL, args)
	if problem.Of(err) != problem.NotFound {
		return contact, err
	}
	customer, err := postgres.Value[uuid.UUID](ctx, db, callerRequestSQL, args)
	if problem.Of(err) == problem.NotFound {
		return machines.Contact{}, refuse(problem.NotFound, "nobody is known under this number", "没有登记这个号码")
	}
	return machines.Contact{CustomerID: customer, Capacity: "operator", Phone: number, Language: "zh"}, err
}

const callerPromisesSQL = `SELECT ` + promiseColumns + ` FROM promise WHERE customer_id = @customer
	AND (state = 'open' OR state = 'broken' AND settled_at >= @since) ORDER BY state = 'open' DESC, due_at, id LIMIT 100`

func callerPromises(ctx context.Context, db postgres.DB, now time.Time, customer uuid.UUID) ([]Promise, error) {
	return postgres.All[Promise](ctx, db, callerPromisesSQL, pgx.NamedArgs{"customer": customer, "since": now.Add(-brokenShown)})
}

// GREATEST passes over what never happened.
const lastContactSQL = `SELECT GREATEST(
	(SELECT max(a.at) FROM callback_attempt a WHERE a.customer_id = @customer AND a.outcome <> 'unreachable'),
	(SELECT max(n.created_at) FROM notice n WHERE n.customer_id = @customer AND n.contact_id IS NOT NULL),
	(SELECT max(c.opened_at) FROM service_case c WHERE c.customer_id = @customer AND c.origin = 'request'),
	(SELECT max(o.on_site_at) FROM work_order o WHERE o.customer_id = @customer))`

func lastContact(ctx context.Context, db postgres.DB, customer uuid.UUID) (*time.Time, error) {
	return postgres.Value[*time.Time](ctx, db, lastContactSQL, pgx.NamedArgs{"customer": customer})
}

// firstSentence knows the customer already: what was done, what the data say, what
// is promised by when.
func firstSentence(ctx context.Context, db postgres.DB, now time.Time, f CallerFile) (machines.Text, error) {
	hello := greeting(f.Contact.Salutation, f.Contact.SalutationEN, speaker(ctx))
	if len(f.OpenCases) == 0 {
		return and(hello, machines.Text{ZH: "您的设备目前没有未了结的事项。请问有什么可以帮您？", EN: "There is no open matter with your machines. What can I do for you?"}), nil
	}
	ids := make([]uuid.UUID, len(f.OpenCases))
	for i, c := range f.OpenCases {
		ids[i] = c.ID
	}
	facts, err := matters(ctx, db, ids)
	if err != nil {
		return machines.Text{}, err
	}
	return and(hello, mostPressing(ids, facts).news(now)), nil
}

// mostPressing is what the caller most likely calls about: a machine that is down,
// else what has a promise running, else the newest.
func mostPressing(ids []uuid.UUID, facts map[uuid.UUID]matter) matter {
	weight := func(m matter) int {
		w := 0
		if m.MachineDown {
			w += 2
		}
		if m.PromiseDueAt != nil {
			w++
		}
		return w
	}
	best := facts[ids[0]]
	for _, id := range ids[1:] {
		if m := facts[id]; weight(m) > weight(best) {
			best = m
		}
	}
	return best
}

// news says how a matter stands.
func (m matter) news(now time.Time) machines.Text {
	machine, title := m.machine(), m.title()
	said := machines.Text{ZH: machine.ZH + "的「" + title.ZH + "」我们在处理", EN: machine.EN + ": " + title.EN + ", we are on it"}
	if m.DoneAt != nil {
		day, done := dayFrom(now, *m.DoneAt), workDone(m.Result, m.ResultEN, m.Activity)
		said = machines.Text{ZH: machine.ZH + day.ZH + done.ZH, EN: machine.EN + ": " + done.EN + " " + day.EN}
	}
	if left := deviationLeft(m.Verification); left.ZH != "" {
		said = and(said, machines.Text{ZH: "，" + left.ZH, EN: ", " + left.EN})
	}
	switch {
	case m.PromiseDueAt != nil:
		by := clockFrom(now, *m.PromiseDueAt)
		said = and(said, machines.Text{ZH: fmt.Sprintf("，%s答应 %s 前：%s", m.Promiser, by.ZH, machines.InLanguage("zh", m.Promise, m.PromiseEN)),
			EN: fmt.Sprintf(", and %s promised by %s: %s", machines.InLanguage("en", m.Promiser, m.PromiserEN), by.EN, machines.InLanguage("en", m.Promise, m.PromiseEN))})
	case m.VisitAt != nil && m.VisitAt.After(now):
		at := clockFrom(now, *m.VisitAt)
		said = and(said, machines.Text{ZH: "，定于 " + at.ZH + " 上门", EN: ", a visit is planned for " + at.EN})
	}
	return and(said, m.question())
}

// question is what one asks who calls: whether the machine is needed today, or how it is.
func (m matter) question() machines.Text {
	if m.Kind == "concrete_pump" && !m.MachineDown {
		return machines.Text{ZH: "。今天还要打方吗？", EN: ". Are you pouring today?"}
	}
	return machines.Text{ZH: "。现在设备怎么样？", EN: ". How is it running now?"}
}
