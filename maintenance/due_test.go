package maintenance

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// runDue does what is due, and holds that doing it again does nothing.
func (s *shop) runDue(t *testing.T, now time.Time) (done int) {
	t.Helper()
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		var err error
		if done, err = RunDue(ctx, tx, now); err != nil {
			return err
		}
		before := traces(ctx, t, tx)
		again, err := RunDue(ctx, tx, now)
		if again != 0 || traces(ctx, t, tx) != before {
			t.Errorf("the second time did %d things", again)
		}
		return err
	})
	return done
}

func (s *shop) plan(t *testing.T, machine uuid.UUID, due time.Time) ServicePlan {
	t.Helper()
	return must[ServicePlan](t)(once(t, s, s.dispatcher, func(ctx context.Context, tx pgx.Tx) (ServicePlan, error) {
		return AddPlan(ctx, tx, morning, s.dispatcher, ServicePlan{MachineID: machine, Name: "90 天定期保养", NameEN: "90-day service", IntervalDays: 90, LeadDays: 7, DueAt: due})
	}))
}

func TestRunDue_APlanOpensOneVisit(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	due := morning.AddDate(0, 0, 10)
	p := s.plan(t, s.a.Machine, due)
	if n := s.runDue(t, morning); n != 0 {
		t.Errorf("ten days before, %d things were due", n)
	}
	if n := s.runDue(t, due.AddDate(0, 0, -7)); n != 1 {
		t.Errorf("%d things were due", n)
	}
	s.runDue(t, due.AddDate(0, 0, 200)) // the order is still open
	var o WorkOrder
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		page, err := WorkOrders(ctx, tx, OrderFilter{MachineID: &s.a.Machine})
		if err != nil || len(page.Items) != 1 {
			t.Fatalf("%d orders, %v", len(page.Items), err)
		}
		o = page.Items[0].WorkOrder
		plans, err := Plans(ctx, tx, &s.a.Machine)
		if err != nil || len(plans) != 1 || !plans[0].DueAt.Equal(due.AddDate(0, 0, 90)) {
			t.Errorf("the plan's next date: %+v %v", plans, err)
		}
		return nil
	})
	if o.Kind != "maintenance" || *o.PlanID != p.ID || !o.DueAt.Equal(due) || o.CaseID != nil {
		t.Errorf("%+v", o)
	}
	s.visit(t, o, due)
	s.fill(t, o, due.Add(time.Hour), nil)
	s.complete(t, o, due.Add(2*time.Hour))
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		plans, err := Plans(ctx, tx, nil)
		if err != nil || plans[0].LastDoneAt == nil || !plans[0].LastDoneAt.Equal(due.Add(2*time.Hour)) {
			t.Errorf("%+v %v", plans, err)
		}
		return nil
	})
}

func TestRunDue_AShutSiteAndALockWait(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.plan(t, s.a.Machine, morning)
	s.plan(t, s.b.Machine, morning)
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		s.run(ctx, t, tx, `UPDATE site SET shut_until = @until`, pgx.NamedArgs{"until": morning.AddDate(0, 0, 5)})
		s.run(ctx, t, tx, `UPDATE machine SET operating_status = 'locked' WHERE id = @id`, pgx.NamedArgs{"id": s.b.Machine})
		return nil
	})
	if n := s.runDue(t, morning.AddDate(0, 0, 1)); n != 0 {
		t.Errorf("%d visits at a shut site and a locked machine", n)
	}
	if n := s.runDue(t, morning.AddDate(0, 0, 5)); n != 1 {
		t.Errorf("%d visits when the site opens", n)
	}
}

func TestRunDue_ADeferralReturns(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c, o := s.planned(t, s.a.Machine, "repair")
	until := morning.Add(74 * time.Hour)
	deferred := must[Case](t)(once(t, s, s.a.who, func(ctx context.Context, tx pgx.Tx) (Case, error) {
		return MoveCase(ctx, tx, morning.Add(2*time.Hour), s.a.who, c.ID, CaseMove{To: Deferred, Until: &until, Reason: "浇筑中停泵、堵管"})
	}))
	if deferred.DeferredBy != "刘建国" || deferred.Risk == "" {
		t.Errorf("%+v", deferred)
	}
	if f := s.file(t, c.ID); f.WorkOrders[0].State != OrderCancelled || f.WorkOrders[0].ID != o.ID {
		t.Errorf("the visit of a deferred case is %s", f.WorkOrders[0].State)
	}
	if n := s.runDue(t, until.Add(-time.Minute)); n != 0 {
		t.Errorf("%d things before its time", n)
	}
	if n := s.runDue(t, until); n != 1 {
		t.Errorf("%d things were due", n)
	}
	f := s.file(t, c.ID)
	if f.State != Informed || f.DeferredUntil != nil {
		t.Errorf("%s until %v", f.State, f.DeferredUntil)
	}
	if k := f.Callbacks[0]; k.Kind != "inform" || k.State != "due" {
		t.Errorf("the customer is not asked again: %+v", k.Callback)
	}
}

func TestRunDue_AnOrderThatNobodyAcceptsGoesBack(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, o := s.planned(t, s.a.Machine, "repair")
	sent := morning.Add(2 * time.Hour)
	must[WorkOrder](t)(s.moveOrder(t, s.dispatcher, sent, o.ID, OrderMove{To: OrderDispatched, TechnicianID: &s.engineer}))
	if n := s.runDue(t, sent.Add(9*time.Minute)); n != 0 {
		t.Errorf("%d things before its time", n)
	}
	if n := s.runDue(t, sent.Add(10*time.Minute)); n != 1 {
		t.Errorf("%d things were due", n)
	}
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		f, err := GetWorkOrder(ctx, tx, s.dispatcher, o.ID)
		if err != nil || f.State != OrderOpen || f.TechnicianID != nil || f.Assignments[0].State != "declined" || !strings.Contains(f.Assignments[0].Reason, "10 minutes") {
			t.Errorf("%+v %v", f, err)
		}
		return nil
	})
}

func TestRunDue_AReadingOpensItsCase(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		s.run(ctx, t, tx, `UPDATE signal SET high = 80`, nil)
		_, f, err := machines.AddReading(ctx, tx, morning, s.haibo, machines.Reading{MachineID: s.b.Machine, At: morning, Signal: "hydraulic_oil_temp", Value: 91, Source: "daily_check"})
		if err != nil || f == nil {
			t.Fatalf("%+v %v", f, err)
		}
		return nil
	})
	if n := s.runDue(t, morning); n != 1 {
		t.Errorf("%d things were due", n)
	}
	if c := s.only(t, s.b.Machine); c.Origin != "daily_check" || c.Assignee != "赵敏" {
		t.Errorf("%+v", c.Case)
	}
}

func TestRunDue_ASatisfiedCaseCloses(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var c Case
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		c = s.aCase(ctx, t, tx, s.a, AwaitingCallback, "fouled_cooler")
		return nil
	})
	accepted := must[Case](t)(once(t, s, s.a.who, func(ctx context.Context, tx pgx.Tx) (Case, error) {
		return MoveCase(ctx, tx, morning, s.a.who, c.ID, CaseMove{To: Satisfied})
	}))
	if accepted.State != Satisfied {
		t.Fatalf("%s", accepted.State)
	}
	s.runDue(t, morning.Add(24*time.Hour))
	if f := s.file(t, c.ID); f.State != Closed {
		t.Errorf("%s", f.State)
	}
}

func TestAddPlan_RefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for name, p := range map[string]ServicePlan{
		"no name":     {MachineID: s.a.Machine, IntervalDays: 30},
		"no interval": {MachineID: s.a.Machine, Name: "月检"},
		"no list":     {MachineID: s.a.Machine, Name: "月检", IntervalDays: 30, Checklist: "nothing"},
	} {
		_, err := once(t, s, s.dispatcher, func(ctx context.Context, tx pgx.Tx) (ServicePlan, error) {
			return AddPlan(ctx, tx, morning, s.dispatcher, p)
		})
		if problem.Of(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	stranger := identity.Principal{Role: identity.OwnerAdmin, CustomerID: s.b.ID}
	_, err := once(t, s, stranger, func(ctx context.Context, tx pgx.Tx) (ServicePlan, error) {
		return AddPlan(ctx, tx, morning, stranger, ServicePlan{MachineID: s.a.Machine, Name: "月检", IntervalDays: 30})
	})
	wantProblem(t, err, problem.NotFound)
}
