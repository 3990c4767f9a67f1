package maintenance

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
)

func TestComplaint_IsTakenAnsweredAndOnRecord(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	var c Complaint
	err := o.as(t, o.a.who, func(ctx context.Context, tx pgx.Tx) (err error) {
		c, err = AddComplaint(ctx, tx, morning, o.a.who, Complaint{MachineID: &o.a.Machine, Text: "等了两天没人来"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.State != "received" || *c.CustomerID != o.a.ID || c.RaisedBy != "刘建国" || c.Class != "service" || !c.PromiseDueAt.Equal(morning.Add(answerWithin)) || c.Number == 0 {
		t.Errorf("taken: %+v", c)
	}
	if told := o.notices(t); len(told) != 1 || told[0].CustomerID != nil || told[0].Channel != "page" {
		t.Errorf("the manager was told: %+v", told)
	}
	err = o.as(t, o.manager, func(ctx context.Context, tx pgx.Tx) error {
		_, err := AnswerComplaint(ctx, tx, morning, o.manager, c.ID, "对不起", c.Version+1)
		wantProblem(t, err, problem.PreconditionFailed)
		answered, err := AnswerComplaint(ctx, tx, morning.Add(time.Hour), o.manager, c.ID, "对不起，明天到场", c.Version)
		if err != nil {
			return err
		}
		if answered.State != "answered" || answered.Version != c.Version+1 || answered.AnsweredAt == nil || answered.Answer != "对不起，明天到场" {
			t.Errorf("answered: %+v", answered)
		}
		if n := noted(ctx, t, tx, `SELECT count(*) FROM audit WHERE entity = 'complaint' AND customer_id = @c`, pgx.NamedArgs{"c": o.a.ID}); n != 2 {
			t.Errorf("%d audit entries, want 2", n)
		}
		list, err := Complaints(ctx, tx, "answered")
		if err != nil || len(list) != 1 {
			t.Errorf("the list: %v %v", list, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestComplaint_NobodyComplainsOfAnothersMachine(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	var other Complaint
	var matter Case
	o.do(t, func(ctx context.Context, tx pgx.Tx) (err error) {
		matter = o.aCase(ctx, t, tx, o.b, Open, "x")
		other, err = AddComplaint(ctx, tx, morning, o.manager, Complaint{CaseID: &matter.ID, Text: "x"})
		return err
	})
	if *other.CustomerID != o.b.ID || *other.MachineID != o.b.Machine {
		t.Errorf("what follows from the case: %+v", other)
	}
	err := o.as(t, o.a.who, func(ctx context.Context, tx pgx.Tx) error {
		for name, c := range map[string]Complaint{"machine": {MachineID: &o.b.Machine, Text: "x"}, "case": {CaseID: &matter.ID, Text: "x"}, "customer": {CustomerID: &o.b.ID, Text: "x"}} {
			_, err := AddComplaint(ctx, tx, morning, o.a.who, c)
			if problem.Of(err) != problem.NotFound {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err := AnswerComplaint(ctx, tx, morning, o.a.who, other.ID, "x", 0)
		wantProblem(t, err, problem.NotFound)
		_, err = AddComplaint(ctx, tx, morning, o.a.who, Complaint{})
		wantProblem(t, err, problem.Invalid)
		list, err := Complaints(ctx, tx, "")
		if err != nil || len(list) != 0 {
			t.Errorf("the owner sees %v %v", list, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = o.as(t, o.manager, func(ctx context.Context, tx pgx.Tx) error {
		_, err := AddComplaint(ctx, tx, morning, o.manager, Complaint{CustomerID: &o.a.ID, MachineID: &o.b.Machine, Text: "x"})
		wantProblem(t, err, problem.Invalid)
		_, err = AddComplaint(ctx, tx, morning, o.manager, Complaint{CaseID: &matter.ID, MachineID: &o.a.Machine, Text: "x"})
		wantProblem(t, err, problem.Invalid)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
