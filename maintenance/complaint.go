package maintenance

import (
	"context"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// answerWithin is when an answer is promised if nobody says otherwise.
const answerWithin = 48 * time.Hour

var complaintClasses = []string{"service", "quality", "parts", "billing", "other"}

const complaintColumns = `id, number, customer_id, machine_id, case_id, class, text, text_en, raised_by, state, received_at, promise_due_at, answered_at, answer, closed_at, version`

const complaintsSQL = `SELECT ` + complaintColumns + ` FROM complaint WHERE @state = '' OR state = @state
ORDER BY received_at DESC, id LIMIT 500`

// Complaints lists complaints in one state or all, newest first.
func Complaints(ctx context.Context, db postgres.DB, state string) ([]Complaint, error) {
	list, err := postgres.All[Complaint](ctx, db, complaintsSQL, pgx.NamedArgs{"state": state})
	if err != nil {
		return nil, fmt.Errorf("list complaints: %w", err)
	}
	return list, nil
}

const complaintsOfSQL = `SELECT ` + complaintColumns + ` FROM complaint WHERE case_id = @case ORDER BY received_at, id LIMIT 200`

// complaintsOf lists what was complained of in a case.
func complaintsOf(ctx context.Context, db postgres.DB, caseID uuid.UUID) ([]Complaint, error) {
	return postgres.All[Complaint](ctx, db, complaintsOfSQL, pgx.NamedArgs{"case": caseID})
}

const insertComplaintSQL = `INSERT INTO complaint (id, customer_id, machine_id, case_id, class, text, text_en, raised_by, state, received_at, promise_due_at)
VALUES (@id, @customer, @machine, @case, @class, @text, @text_en, @raised_by, 'received', @now, @due)
RETURNING ` + complaintColumns

// AddComplaint takes a complaint and promises an answer, within two days unless
// it says by when. The service manager is told.
func AddComplaint(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Complaint) (Complaint, error) {
	if c.Class == "" {
		c.Class = "service"
	}
	if c.Text == "" || utf8.RuneCountInString(c.Text) > longestComment || !slices.Contains(complaintClasses, c.Class) {
		return c, refuse(problem.Invalid, "a complaint has a text, not too long, and a known class", "投诉须有内容（不过长）和类别")
	}
	if c.PromiseDueAt != nil && !c.PromiseDueAt.After(now) {
		return c, refuse(problem.Invalid, "the answer must be promised for a time in the future", "答复时间须在将来").WithFields(problem.Field{Pointer: "/promiseDueAt", Detail: "must lie in the future"})
	}
	about, err := subjectOf(ctx, db, who, subject{Customer: c.CustomerID, Machine: c.MachineID, Case: c.CaseID})
	if err != nil {
		return c, err
	}
	due := now.Add(answerWithin)
	if c.PromiseDueAt != nil {
		due = *c.PromiseDueAt
	}
	if c.RaisedBy == "" {
		c.RaisedBy = who.Name
	}
	c, err = postgres.One[Complaint](ctx, db, insertComplaintSQL, pgx.NamedArgs{"id": postgres.NewID(), "customer": about.Customer,
		"machine": about.Machine, "case": about.Case, "class": c.Class, "text": c.Text, "text_en": c.TextEN, "raised_by": c.RaisedBy, "now": now, "due": due})
	if err != nil {
		return c, fmt.Errorf("store the complaint: %w", err)
	}
	text := machines.Text{ZH: "投诉：" + c.Text, EN: "Complaint: " + machines.InLanguage("en", c.Text, c.TextEN)}
	if err := complaintChanged(ctx, db, now, who, "added", nil, c, text); err != nil {
		return c, err
	}
	text = machines.Text{ZH: fmt.Sprintf("收到投诉 %d（%s）：%s。请于 %s 前答复。", c.Number, c.RaisedBy, c.Text, localTime(due).ZH),
		EN: fmt.Sprintf("Complaint %d (%s): %s. To be answered by %s.", c.Number, c.RaisedBy, machines.InLanguage("en", c.Text, c.TextEN), localTime(due).EN)}
	return c, tellManager(ctx, db, now, Notice{MachineID: c.MachineID, CaseID: c.CaseID}, shorten(text))
}

// complaintChanged writes what a change of a complaint leaves behind.
func complaintChanged(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, action string, before any, c Complaint, text machines.Text) error {
	if err := machines.Audit(ctx, db, now, who, "complaint", c.ID, c.MachineID, c.CustomerID, action, before, c); err != nil {
		return err
	}
	if c.MachineID == nil {
		return nil
	}
	return machines.AddEvent(ctx, db, machines.LifecycleEvent{MachineID: *c.MachineID, At: now, Kind: "complaint",
		Text: text.ZH, TextEN: text.EN, Actor: who.Name, Entity: "complaint", EntityID: &c.ID})
}

const lockComplaintSQL = `SELECT ` + complaintColumns + ` FROM complaint WHERE id = @id FOR UPDATE`

const answerComplaintSQL = `UPDATE complaint SET state = 'answered', answer = @answer, answered_at = @now, version = version + 1
WHERE id = @id RETURNING ` + complaintColumns

// AnswerComplaint answers a complaint; a better answer may follow until it is
// closed. version is the one that was read, 0 = whatever it is now.
func AnswerComplaint(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID, answer string, version int) (Complaint, error) {
	if answer == "" || utf8.RuneCountInString(answer) > longestComment {
		return Complaint{}, refuse(problem.Invalid, "an answer has a text, not too long", "请填写答复（不过长）")
	}
	before, err := postgres.One[Complaint](ctx, db, lockComplaintSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return before, notFound("complaint")
	}
	if err != nil {
		return before, fmt.Errorf("read complaint %s: %w", id, err)
	}
	if err := sameVersion(version, before.Version); err != nil {
		return before, err
	}
	if before.State != "received" && before.State != "answered" {
		return before, refuse(problem.Conflict, "the complaint is over and takes no answer", "投诉已结束，不能再答复")
	}
	c, err := postgres.One[Complaint](ctx, db, answerComplaintSQL, pgx.NamedArgs{"id": id, "answer": answer, "now": now})
	if err != nil {
		return c, fmt.Errorf("answer complaint %s: %w", id, err)
	}
	return c, complaintChanged(ctx, db, now, who, "answered", before, c, machines.Text{ZH: "投诉已答复", EN: "Complaint answered"})
}
