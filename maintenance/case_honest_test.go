package maintenance

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// A blank is no name and no reason.
func TestMoveCase_ABlankIsNotAName(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	until := morning.Add(48 * time.Hour)
	mode := 0
	for _, c := range []struct {
		from CaseState
		move CaseMove
	}{
		{Verifying, CaseMove{To: AwaitingCallback, Person: " \t", Reason: "设备转场"}},
		{Verifying, CaseMove{To: AwaitingCallback, Person: "赵敏", Reason: "\u3000"}},
		{Informed, CaseMove{To: Deferred, Until: &until, Person: " ", Reason: "x"}},
		{Informed, CaseMove{To: Cancelled, Reason: "  "}},
	} {
		err := o.as(t, o.manager, func(ctx context.Context, tx pgx.Tx) error {
			mode++
			_, err := MoveCase(ctx, tx, morning, o.manager, o.aCase(ctx, t, tx, o.a, c.from, fmt.Sprint("mode", mode)).ID, c.move)
			return err
		})
		if kind := problem.Of(err); err == nil || kind != problem.Conflict && kind != problem.Invalid {
			t.Errorf("%+v: %v", c.move, err)
		}
	}
}

func TestMoveOrder_ABlankIsNotAReason(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, order := s.planned(t, s.a.Machine, "repair")
	_, err := once(t, s, s.dispatcher, func(ctx context.Context, tx pgx.Tx) (WorkOrder, error) {
		return MoveOrder(ctx, tx, morning, s.dispatcher, order.ID, OrderMove{To: OrderCancelled, Reason: " \u3000"})
	})
	wantProblem(t, err, problem.Invalid)
}

// Whether an alarm was a false one is for those to say who have seen the machine:
// an owner's word would dismiss the findings of the rules.
func TestMoveCase_TheVerdictIsNotTheOwners(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	err := o.as(t, o.a.who, func(ctx context.Context, tx pgx.Tx) error {
		c := o.aCase(ctx, t, tx, o.a, AwaitingCallback, "fouled_cooler")
		_, err := MoveCase(ctx, tx, morning, o.a.who, c.ID, CaseMove{To: Satisfied, Verdict: "false_alarm"})
		return err
	})
	wantProblem(t, err, problem.Forbidden)
}

// An owner who has said by himself that he is satisfied is not called about it.
func TestMoveCase_ASatisfiedOwnerIsNotCalled(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c, _ := o.calling(t, o.a, AwaitingCallback, "satisfaction")
	err := o.as(t, o.a.who, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := MoveCase(ctx, tx, morning, o.a.who, c.ID, CaseMove{To: Satisfied}); err != nil {
			return err
		}
		f, err := GetCase(ctx, tx, o.a.who, c.ID)
		for _, k := range f.Callbacks {
			if k.Kind == "satisfaction" && k.State == "due" {
				t.Errorf("he is still to be called: %+v", k.Callback)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A verdict about one repair says nothing of the next, though the case is being
// verified again when it comes.
func TestRecordVerdict_IsOfTheRepairThatItLookedAt(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	who := identity.Program("verification")
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		c := o.aCase(ctx, t, tx, o.a, InWork, "fouled_cooler")
		if _, err := moveCase(ctx, tx, morning.Add(time.Hour), who, c.ID, Verifying, machines.Text{}, nil); err != nil {
			return err
		}
		early := Verdict{Enough: true, Passed: true, At: morning} // reckoned from what was before the second repair
		after, err := RecordVerdict(ctx, tx, morning.Add(time.Hour), who, c.ID, early)
		if err == nil && (after.State != Verifying || after.Verification != nil) {
			t.Errorf("%s, %+v", after.State, after.Verification)
		}
		return err
	})
}
