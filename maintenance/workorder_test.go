package maintenance

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// lawfulOrders is the way of a work order, written down a second time.
const lawfulOrders = `
open        dispatched       AMD
open        cancelled        AMD
dispatched  open             AMDE
dispatched  accepted         AMDE
dispatched  cancelled        AMD
accepted    open             AMDE
accepted    en_route         AMDE
accepted    on_site          AMDE
accepted    cannot_complete  AMDE
accepted    cancelled        AMD
en_route    on_site          AMDE
en_route    cannot_complete  AMDE
en_route    cancelled        AMD
on_site     completed        AMDE
on_site     cannot_complete  AMDE
on_site     cancelled        AMD
`

func TestOrderMoves_AreLawful(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(lawfulOrders)) {
		f := strings.Fields(line)
		want[f[0]+" "+f[1]] = f[2]
	}
	for _, from := range OrderStates {
		for _, to := range OrderStates {
			step := orderStepOf(from, to)
			roles, ok := want[string(from)+" "+string(to)]
			if (step != nil) != ok {
				t.Errorf("%s to %s stands in the table: %v", from, to, step != nil)
				continue
			}
			for role, letter := range roleLetters {
				if step != nil && step.mayTake(role) != strings.Contains(roles, letter) {
					t.Errorf("%s to %s by %s: %v", from, to, role, step.mayTake(role))
				}
			}
		}
		if text := from.Text(); text.ZH == string(from) {
			t.Errorf("%s has no name in Chinese", from)
		}
	}
}

func TestMoveOrder_RefusesAndWritesNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, o := s.planned(t, s.a.Machine, "repair")
	stranger := identity.Principal{Name: "李强", Role: identity.FieldEngineer, TechnicianID: s.qiang, Language: "zh"}
	s.sent(t, o, morning.Add(2*time.Hour))
	for name, tc := range map[string]struct {
		who  identity.Principal
		move OrderMove
		kind problem.Kind
		says string
	}{
		"not in the table":  {s.haibo, OrderMove{To: OrderCompleted, Result: "done"}, problem.Conflict, "accepted"},
		"somebody else's":   {stranger, OrderMove{To: OrderEnRoute}, problem.Forbidden, "somebody else"},
		"not his part":      {s.haibo, OrderMove{To: OrderCancelled, Reason: "no"}, problem.Forbidden, "role"},
		"without a reason":  {s.dispatcher, OrderMove{To: OrderCancelled}, problem.Invalid, "errors"},
		"a stale version":   {s.dispatcher, OrderMove{To: OrderCancelled, Reason: "no", Version: 1}, problem.PreconditionFailed, "changed"},
		"a customer's role": {s.a.who, OrderMove{To: OrderEnRoute}, problem.Forbidden, "role"},
	} {
		s.do(t, func(ctx context.Context, tx pgx.Tx) error {
			before := traces(ctx, t, tx)
			_, err := MoveOrder(ctx, tx, morning.Add(3*time.Hour), tc.who, o.ID, tc.move)
			p := problem.As(err)
			if p == nil || p.Kind != tc.kind || !strings.Contains(p.Text, tc.says) {
				t.Errorf("%s: %v", name, err)
			}
			if p != nil && p.Kind == problem.Conflict && !slices.Contains(p.Allowed, "en_route") {
				t.Errorf("%s: allowed %v", name, p.Allowed)
			}
			if after := traces(ctx, t, tx); after != before {
				t.Errorf("%s: was refused and left a trace", name)
			}
			return nil
		})
	}
}

func TestMoveOrder_DispatchAsksForTheCertificateAgain(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, o := s.planned(t, s.a.Machine, "repair")
	_, err := s.moveOrder(t, s.dispatcher, morning.Add(2*time.Hour), o.ID, OrderMove{To: OrderDispatched, TechnicianID: &s.qiang})
	if p := problem.As(err); p == nil || p.Kind != problem.Conflict || !strings.Contains(p.Text, "not qualified on this model") || !strings.Contains(p.ZH, "没有该机型资质") {
		t.Errorf("an engineer without the skill: %v", err)
	}
	later := morning.AddDate(1, 0, 0)
	_, err = s.moveOrder(t, s.dispatcher, later, o.ID, OrderMove{To: OrderDispatched, TechnicianID: &s.engineer})
	if p := problem.As(err); p == nil || !strings.Contains(p.Text, "certificate expired 31 Mar 2027") {
		t.Errorf("a certificate that has run out: %v", err)
	}
	s.sent(t, o, morning.Add(2*time.Hour))
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		f, err := GetWorkOrder(ctx, tx, s.haibo, o.ID)
		if err != nil || len(f.Assignments) != 1 || f.Assignments[0].Score <= 0 || f.Assignments[0].Explanation.Terms[0].Points != 35 {
			t.Errorf("why he was chosen: %+v %v", f.Assignments, err)
		}
		if n := noted(ctx, t, tx, `SELECT count(*) FROM notice WHERE technician_id IS NOT NULL`, nil); n != 1 {
			t.Errorf("the engineer was told %d times", n)
		}
		ranked, err := Candidates(ctx, tx, morning, o.ID)
		if err != nil || len(ranked) != 2 || ranked[0].TechnicianID != s.engineer || ranked[1].Excluded == nil || !strings.HasPrefix(ranked[1].Excluded.EN, "Li Qiang is nearer") {
			t.Errorf("the ranking: %+v %v", ranked, err)
		}
		return nil
	})
}

func TestMoveOrder_OneVisitAtATime(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, first := s.planned(t, s.a.Machine, "repair")
	s.visit(t, first, morning.Add(2*time.Hour))
	second := must[WorkOrder](t)(once(t, s, s.dispatcher, func(ctx context.Context, tx pgx.Tx) (WorkOrder, error) {
		return ScheduleOrder(ctx, tx, morning, s.dispatcher, NewOrder{MachineID: s.a.Machine, Kind: "inspection"})
	}))
	s.sent(t, second, morning.Add(3*time.Hour))
	_, err := s.moveOrder(t, s.haibo, morning.Add(4*time.Hour), second.ID, OrderMove{To: OrderEnRoute})
	wantProblem(t, err, problem.Conflict)
}

func TestMoveOrder_CompletedNeedsEveryRequiredItem(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, o := s.planned(t, s.a.Machine, "repair")
	s.visit(t, o, morning.Add(2*time.Hour))
	_, err := s.moveOrder(t, s.haibo, morning.Add(3*time.Hour), o.ID, OrderMove{To: OrderCompleted})
	p := problem.As(err)
	if p == nil || p.Kind != problem.Invalid || len(p.Fields) < 5 || p.Fields[0].Pointer != "/result" {
		t.Errorf("nothing done: %+v", p)
	}
	s.fill(t, o, morning.Add(3*time.Hour), nil)
	done := s.complete(t, o, morning.Add(4*time.Hour))
	if done.WrenchMinutes != 56 || done.TravelKM <= 0 { // 78 min on site, 22 waited
		t.Errorf("wrench %d min, %v km", done.WrenchMinutes, done.TravelKM)
	}
}

// Row F8: what could not be done goes to the next visit, and nothing else.
func TestMoveOrder_FollowUpHoldsWhatIsLeft(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c, o := s.planned(t, s.a.Machine, "repair")
	s.visit(t, o, morning.Add(2*time.Hour))
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		items, err := checklistOf(ctx, tx, o.ID)
		if err != nil {
			return err
		}
		for _, i := range items[:3] {
			if _, _, err := Answer(ctx, tx, morning.Add(3*time.Hour), s.haibo, i.ID, fitting(i, false)); err != nil {
				return err
			}
		}
		return nil
	})
	must[WorkOrder](t)(s.moveOrder(t, s.haibo, morning.Add(4*time.Hour), o.ID, OrderMove{To: OrderCannotComplete, Reason: "缺风扇马达"}))
	next := s.openOrder(t, c.ID)
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		was, err := checklistOf(ctx, tx, o.ID)
		if err != nil {
			return err
		}
		left, err := checklistOf(ctx, tx, next.ID)
		if err != nil || len(left) != len(was)-3 || left[0].Text != was[3].Text || left[0].DoneAt != nil {
			t.Errorf("%d items of %d are left: %v", len(left), len(was), err)
		}
		return nil
	})
	if state := s.only(t, s.a.Machine).State; state != InWork {
		t.Errorf("the case is %s", state)
	}
}

// Row F4: what an inspection finds is repaired in the same visit.
func TestAnswer_AFailedItemOpensItsRepairInTheSameVisit(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	o := must[WorkOrder](t)(once(t, s, s.dispatcher, func(ctx context.Context, tx pgx.Tx) (WorkOrder, error) {
		return ScheduleOrder(ctx, tx, morning, s.dispatcher, NewOrder{MachineID: s.a.Machine, Kind: "inspection"})
	}))
	s.visit(t, o, morning.Add(time.Hour))
	opened := s.fill(t, o, morning.Add(2*time.Hour), func(i ChecklistItem) bool { return i.FailureMode == "worn_wear_plate" })
	if len(opened) != 1 || opened[0].FailureMode != "worn_wear_plate" || opened[0].Origin != "inspection" || opened[0].State != Planned {
		t.Fatalf("opened %+v", opened)
	}
	repair := s.openOrder(t, opened[0].ID)
	if repair.Kind != "repair" || repair.State != OrderAccepted || *repair.TechnicianID != s.engineer {
		t.Errorf("the repair: %+v", repair)
	}
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		m, err := machines.Get(ctx, tx, s.a.Machine)
		if m.Health != machines.ThirdState {
			t.Errorf("the machine is %s", m.Health)
		}
		return err
	})
	s.complete(t, o, morning.Add(3*time.Hour))
	must[WorkOrder](t)(s.moveOrder(t, s.haibo, morning.Add(3*time.Hour), repair.ID, OrderMove{To: OrderOnSite}))
	if again := s.fill(t, repair, morning.Add(4*time.Hour), nil); len(again) != 0 {
		t.Errorf("the repair opened %+v", again)
	}
	s.complete(t, repair, morning.Add(5*time.Hour))
	if c := s.file(t, opened[0].ID); c.State != AwaitingCallback || !c.Verification.proved() { // found by a person, so proved by his readings
		t.Errorf("after the repair: %s %+v", c.State, c.Verification)
	}
}

func TestAnswer_LimitsDecideAndReadingsAreKept(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, o := s.planned(t, s.a.Machine, "inspection")
	s.visit(t, o, morning.Add(2*time.Hour))
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		items, err := checklistOf(ctx, tx, o.ID)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(items, func(i ChecklistItem) bool { return i.Signal == "hydraulic_oil_temp" })
		hot := *items[at].High + 6
		item, c, err := Answer(ctx, tx, morning.Add(3*time.Hour), s.haibo, items[at].ID, ItemAnswer{Result: "pass", Number: &hot})
		if err != nil || item.Result != "fail" || c == nil || c.FailureMode != "fouled_cooler" {
			t.Errorf("86 degrees passed: %+v %+v %v", item, c, err)
		}
		if n := noted(ctx, t, tx, `SELECT count(*) FROM reading WHERE signal = 'hydraulic_oil_temp' AND source = 'visit' AND value = @hot`, pgx.NamedArgs{"hot": hot}); n != 1 {
			t.Errorf("%d readings", n)
		}
		meter := slices.IndexFunc(items, func(i ChecklistItem) bool { return i.Kind == "meter" })
		turned := 2800.0
		if _, _, err := Answer(ctx, tx, morning.Add(3*time.Hour), s.haibo, items[meter].ID, ItemAnswer{Number: &turned}); err != nil {
			return err
		}
		if n := noted(ctx, t, tx, `SELECT count(*) FROM lifecycle_event WHERE kind = 'meter'`, nil); n != 1 {
			t.Errorf("a meter that was turned back was noted %d times", n)
		}
		return nil
	})
}

func TestAnswer_OnSiteOnlyAndByItsEngineer(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, o := s.planned(t, s.a.Machine, "repair")
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		items, err := checklistOf(ctx, tx, o.ID)
		if err != nil {
			return err
		}
		_, _, err = Answer(ctx, tx, morning, s.dispatcher, items[0].ID, ItemAnswer{Result: "pass"})
		wantProblem(t, err, problem.Conflict)
		_, _, err = Answer(ctx, tx, morning, s.haibo, items[0].ID, ItemAnswer{Result: "pass"})
		wantProblem(t, err, problem.Forbidden)
		return nil
	})
}

func TestWorkOrders_DownMachinesComeFirst(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		for i, priority := range []int{3, 5, 1, 2, 3, 1} {
			at := morning.Add(time.Duration(-i) * time.Hour)
			if _, err := ScheduleOrder(ctx, tx, morning.Add(time.Duration(i)*time.Minute), s.dispatcher, NewOrder{MachineID: s.a.Machine, Kind: "patrol", Priority: priority, PlannedAt: &at}); err != nil {
				return err
			}
		}
		var got []int
		var seen []int64
		f := OrderFilter{Open: true, Limit: 2}
		for {
			page, err := WorkOrders(ctx, tx, f)
			if err != nil {
				return err
			}
			for _, o := range page.Items {
				got, seen = append(got, o.Priority), append(seen, o.Number)
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
		slices.Sort(seen)
		if !slices.Equal(got, []int{1, 1, 2, 3, 3, 5}) || len(slices.Compact(seen)) != 6 {
			t.Errorf("priorities in order: %v", got)
		}
		_, err := WorkOrders(ctx, tx, OrderFilter{Open: true, Cursor: "nonsense"})
		wantProblem(t, err, problem.Invalid)
		return nil
	})
}

func TestScheduleOrder_PlansTheCaseAndTellsTheCustomer(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c, o := s.planned(t, s.a.Machine, "repair")
	f := s.file(t, c.ID)
	if f.State != Planned || f.InformedAt == nil || len(f.Notices) != 1 {
		t.Errorf("%s, told %v, %d notices", f.State, f.InformedAt, len(f.Notices))
	}
	cancelled := must[WorkOrder](t)(s.moveOrder(t, s.dispatcher, morning.Add(2*time.Hour), o.ID, OrderMove{To: OrderCancelled, Reason: "客户改期"}))
	if back := s.only(t, s.a.Machine); cancelled.State != OrderCancelled || back.State != Informed {
		t.Errorf("without a visit the case is %s", back.State)
	}
	_, err := once(t, s, s.dispatcher, func(ctx context.Context, tx pgx.Tx) (WorkOrder, error) {
		return ScheduleOrder(ctx, tx, morning, s.dispatcher, NewOrder{CaseID: &c.ID, MachineID: s.b.Machine, Kind: "repair"})
	})
	wantProblem(t, err, problem.Invalid)
	_, err = once(t, s, s.dispatcher, func(ctx context.Context, tx pgx.Tx) (WorkOrder, error) {
		return ScheduleOrder(ctx, tx, morning, s.dispatcher, NewOrder{MachineID: s.b.Machine, Kind: "repair", Checklist: "no such list"})
	})
	wantProblem(t, err, problem.Invalid)
}
