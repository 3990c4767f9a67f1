package maintenance

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

const promiseColumns = `id, customer_id, machine_id, case_id, text, text_en, person, made_at, due_at, state, settled_at, evidence, evidence_en`

const promisesSQL = `SELECT ` + promiseColumns + ` FROM promise
WHERE @state = '' OR state = @state ORDER BY state = 'open' DESC, CASE WHEN state = 'open' THEN due_at END, due_at DESC, id LIMIT 500`

// Promises lists promises, in one state or all: open ones first, the next due on
// top, then the settled ones from the newest back.
func Promises(ctx context.Context, db postgres.DB, state string) ([]Promise, error) {
	list, err := postgres.All[Promise](ctx, db, promisesSQL, pgx.NamedArgs{"state": state})
	if err != nil {
		return nil, fmt.Errorf("list promises: %w", err)
	}
	return list, nil
}

const promisesOfSQL = `SELECT ` + promiseColumns + ` FROM promise WHERE case_id = @case ORDER BY due_at, id LIMIT 200`

// promisesOf lists what was promised about a case.
func promisesOf(ctx context.Context, db postgres.DB, caseID uuid.UUID) ([]Promise, error) {
	return postgres.All[Promise](ctx, db, promisesOfSQL, pgx.NamedArgs{"case": caseID})
}

const insertPromiseSQL = `INSERT INTO promise (` + promiseColumns + `)
VALUES (@id, @customer, @machine, @case, @text, @text_en, @person, @now, @due, 'open', NULL, '', '')
RETURNING ` + promiseColumns

// AddPromise notes what somebody promised a customer by a date.
func AddPromise(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, p Promise) (Promise, error) {
	if err := checkPromise(p, now); err != nil {
		return p, err
	}
	about, err := subjectOf(ctx, db, who, subject{Customer: p.CustomerID, Machine: p.MachineID, Case: p.CaseID})
	if err != nil {
		return p, err
	}
	if about.Customer == nil {
		return p, refuse(problem.Invalid, "see errors", "请填写客户").WithFields(problem.Field{Pointer: "/customerId", Detail: "to whom is it promised?"})
	}
	p, err = postgres.One[Promise](ctx, db, insertPromiseSQL, pgx.NamedArgs{"id": postgres.NewID(), "customer": about.Customer,
		"machine": about.Machine, "case": about.Case, "text": p.Text, "text_en": p.TextEN, "person": p.Person, "now": now, "due": p.DueAt})
	if err != nil {
		return p, fmt.Errorf("store the promise: %w", err)
	}
	text := machines.Text{ZH: "承诺：" + p.Text, EN: "Promise: " + machines.InLanguage("en", p.Text, p.TextEN)}
	return p, promiseChanged(ctx, db, now, who, "added", nil, p, text)
}

func checkPromise(p Promise, now time.Time) error {
	var faults []problem.Field
	if n := utf8.RuneCountInString(p.Text); n == 0 || n > noticeRunes {
		faults = append(faults, problem.Field{Pointer: "/text", Detail: "what is promised, in short"})
	}
	if p.Person == "" {
		faults = append(faults, problem.Field{Pointer: "/person", Detail: "who keeps it?"})
	}
	if !p.DueAt.After(now) {
		faults = append(faults, problem.Field{Pointer: "/dueAt", Detail: "must lie in the future"})
	}
	if faults == nil {
		return nil
	}
	return refuse(problem.Invalid, "something is missing, see errors", "信息不完整：请填写必填项").WithFields(faults...)
}

// promiseChanged writes what a change of a promise leaves behind.
func promiseChanged(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, action string, before any, p Promise, text machines.Text) error {
	if err := machines.Audit(ctx, db, now, who, "promise", p.ID, p.MachineID, p.CustomerID, action, before, p); err != nil {
		return err
	}
	if p.MachineID == nil {
		return nil
	}
	return machines.AddEvent(ctx, db, machines.LifecycleEvent{MachineID: *p.MachineID, At: now, Kind: "promise",
		Text: text.ZH, TextEN: text.EN, Actor: who.Name, Entity: "promise", EntityID: &p.ID})
}

const lockPromiseSQL = `SELECT ` + promiseColumns + ` FROM promise WHERE id = @id FOR UPDATE`

const settlePromiseSQL = `UPDATE promise SET state = @state, settled_at = @now, evidence = @evidence, evidence_en = @evidence_en
WHERE id = @id RETURNING ` + promiseColumns

// SettlePromise says whether an open promise was kept, broken or withdrawn, and why.
func SettlePromise(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID, state, evidence, evidenceEN string) (Promise, error) {
	if state != "kept" && state != "broken" && state != "withdrawn" {
		return Promise{}, refuse(problem.Invalid, "a promise is settled as kept, broken or withdrawn", "承诺只能确认为兑现、未兑现或撤回")
	}
	before, err := postgres.One[Promise](ctx, db, lockPromiseSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return before, notFound("promise")
	}
	if err != nil {
		return before, fmt.Errorf("read promise %s: %w", id, err)
	}
	if before.State != "open" {
		return before, refuse(problem.Conflict, "the promise is settled already", "这个承诺已经确认过")
	}
	return settlePromise(ctx, db, now, who, before, state, machines.Text{ZH: evidence, EN: evidenceEN})
}

func settlePromise(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, before Promise, state string, evidence machines.Text) (Promise, error) {
	p, err := postgres.One[Promise](ctx, db, settlePromiseSQL, pgx.NamedArgs{"id": before.ID, "state": state, "now": now,
		"evidence": evidence.ZH, "evidence_en": evidence.EN})
	if err != nil {
		return p, fmt.Errorf("settle promise %s: %w", before.ID, err)
	}
	said := settledAs(state)
	text := machines.Text{ZH: "承诺" + said.ZH + "：" + p.Text, EN: "Promise " + said.EN + ": " + machines.InLanguage("en", p.Text, p.TextEN)}
	return p, promiseChanged(ctx, db, now, who, "settled", before, p, text)
}

func settledAs(state string) machines.Text {
	switch state {
	case "kept":
		return machines.Text{ZH: "已兑现", EN: "kept"}
	case "broken":
		return machines.Text{ZH: "未兑现", EN: "broken"}
	default:
		return machines.Text{ZH: "已撤回", EN: "withdrawn"}
	}
}

const brokenPromisesSQL = `SELECT ` + promiseColumns + ` FROM promise WHERE state = 'open' AND due_at < @now
ORDER BY due_at, id LIMIT 200 FOR UPDATE SKIP LOCKED`

// settleDuePromises finds open promises past their due time broken, once each,
// and tells the service manager; it says how many.
func settleDuePromises(ctx context.Context, db postgres.DB, now time.Time) (int, error) {
	list, err := postgres.All[Promise](ctx, db, brokenPromisesSQL, pgx.NamedArgs{"now": now})
	if err != nil {
		return 0, fmt.Errorf("list promises past their due time: %w", err)
	}
	who := identity.Program("scheduler")
	for _, p := range list {
		evidence := machines.Text{ZH: "到期时没有人确认已兑现", EN: "nobody had confirmed it by its due time"}
		if p, err = settlePromise(ctx, db, now, who, p, "broken", evidence); err != nil {
			return 0, err
		}
		named, err := person(ctx, db, p.CustomerID, p.Person)
		if err != nil {
			return 0, err
		}
		text := machines.Text{ZH: fmt.Sprintf("承诺未兑现：%s（责任人 %s，应于 %s）", p.Text, named.ZH, localTime(p.DueAt).ZH),
			EN: fmt.Sprintf("Promise broken: %s (%s, was due %s)", machines.InLanguage("en", p.Text, p.TextEN), named.EN, localTime(p.DueAt).EN)}
		if err := tellManager(ctx, db, now, Notice{MachineID: p.MachineID, CaseID: p.CaseID}, shorten(text)); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}
