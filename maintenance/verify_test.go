package maintenance

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// request opens a case for the machine without a device.
func (s *shop) requested(t *testing.T) Case {
	t.Helper()
	return must[Case](t)(once(t, s, s.agent, func(ctx context.Context, tx pgx.Tx) (Case, error) {
		return OpenRequest(ctx, tx, morning, s.agent, Request{MachineID: s.b.Machine, Description: "回转无力", OperatorPhone: "+8613973420026"})
	}))
}

func (s *shop) repaired(t *testing.T, c Case, spoil func(ChecklistItem) bool) CaseFile {
	t.Helper()
	o := must[WorkOrder](t)(once(t, s, s.dispatcher, func(ctx context.Context, tx pgx.Tx) (WorkOrder, error) {
		return ScheduleOrder(ctx, tx, morning, s.dispatcher, NewOrder{CaseID: &c.ID, MachineID: c.MachineID, Kind: "repair"})
	}))
	s.visit(t, o, morning.Add(time.Hour))
	s.fill(t, o, morning.Add(2*time.Hour), spoil)
	s.complete(t, o, morning.Add(3*time.Hour))
	return s.file(t, c.ID)
}

// Row A12: a machine without a device has all the rest; its readings are the proof.
func TestVerify_WithoutADeviceTheReadingsProve(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	f := s.repaired(t, s.requested(t), nil)
	if f.State != AwaitingCallback || f.Verification.Signal != byChecklist {
		t.Errorf("%s, %+v", f.State, f.Verification)
	}
	due := map[string]time.Time{}
	for _, k := range f.Callbacks {
		if k.State == "due" {
			due[k.Kind] = k.DueAt
		}
	}
	if !due["courtesy"].Equal(morning.Add(27*time.Hour)) || !due["satisfaction"].Equal(morning.Add(3*time.Hour)) {
		t.Errorf("the calls that are due: %v", due)
	}
}

func TestVerify_AFailedTrialRunGoesBackToWork(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	f := s.repaired(t, s.requested(t), func(i ChecklistItem) bool { return i.Proof })
	if f.State != InWork || f.Comebacks != 1 {
		t.Fatalf("%s, %d come-backs", f.State, f.Comebacks)
	}
	s.openOrder(t, f.ID)
	if why := unproved(f.Case); why.EN != "the trial run or a reading after the repair was not in order" {
		t.Errorf("why: %q", why.EN)
	}
}

func TestVerify_AWaiverHasANameAndAReason(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var c Case
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		c = s.aCase(ctx, t, tx, s.a, Verifying, "fouled_cooler")
		return nil
	})
	for _, m := range []CaseMove{{To: AwaitingCallback}, {To: AwaitingCallback, Reason: "sold"}, {To: AwaitingCallback, Person: "赵敏"}} {
		_, err := once(t, s, s.manager, func(ctx context.Context, tx pgx.Tx) (Case, error) {
			return MoveCase(ctx, tx, morning, s.manager, c.ID, m)
		})
		if kind := problem.Of(err); kind != problem.Conflict && kind != problem.Invalid {
			t.Errorf("%+v: %v", m, err)
		}
	}
	waived := must[Case](t)(once(t, s, s.manager, func(ctx context.Context, tx pgx.Tx) (Case, error) {
		return MoveCase(ctx, tx, morning, s.manager, c.ID, CaseMove{To: AwaitingCallback, Person: "赵敏", Reason: "设备转场，一月内不开机"})
	}))
	if waived.WaivedBy != "赵敏" || waived.WaiveReason == "" || waived.State != AwaitingCallback {
		t.Errorf("%+v", waived)
	}
}

func TestVerify_ListsWhatTelemetryCanProve(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c, o := s.planned(t, s.a.Machine, "repair")
	s.visit(t, o, morning.Add(2*time.Hour))
	s.fill(t, o, morning.Add(3*time.Hour), nil)
	s.complete(t, o, morning.Add(4*time.Hour))
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		s.aCase(ctx, t, tx, s.b, Verifying, "no_device")
		list, err := CasesToVerify(ctx, tx)
		if err != nil || len(list) != 1 || list[0].ID != c.ID {
			t.Errorf("%+v %v", list, err)
		}
		return nil
	})
	first := s.verdict(t, c.ID, morning.Add(5*time.Hour), tooSoon)
	if again := s.verdict(t, c.ID, morning.Add(5*time.Hour+time.Minute), tooSoon); again.Version != first.Version || first.State != Verifying {
		t.Error("the same undecided verdict was written twice")
	}
}

func TestVerify_ALateVerdictChangesNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var c Case
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		c = s.aCase(ctx, t, tx, s.a, InWork, "fouled_cooler")
		return nil
	})
	if after := s.verdict(t, c.ID, morning, backInIt); after.State != InWork || after.Version != c.Version {
		t.Errorf("%+v", after)
	}
}
