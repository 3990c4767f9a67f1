package maintenance

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// confirm closes a case as a true one.
func (s *shop) confirm(t *testing.T, id uuid.UUID, at time.Time) {
	t.Helper()
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		s.run(ctx, t, tx, `UPDATE service_case SET state = 'closed', verdict = 'true', closed_at = @at, state_at = @at WHERE id = @id`, pgx.NamedArgs{"id": id, "at": at})
		return nil
	})
}

func (s *shop) toSweep(t *testing.T, now time.Time) (list []CaseRow) {
	t.Helper()
	s.do(t, func(ctx context.Context, tx pgx.Tx) (err error) { list, err = CasesToSweep(ctx, tx, now); return err })
	return list
}

// First 11: a confirmed fault brings a list to act on, whose progress is that of its cases.
func TestSweep_AConfirmedFaultBringsAListToActOn(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	found := s.found(t, s.a.Machine, morning)
	if waiting := s.toSweep(t, morning); len(waiting) != 0 {
		t.Fatalf("an open case is swept: %+v", waiting)
	}
	closed := morning.Add(48 * time.Hour)
	s.confirm(t, found.ID, closed)
	if waiting := s.toSweep(t, closed.Add(time.Hour)); len(waiting) != 1 || waiting[0].ID != found.ID {
		t.Fatalf("to sweep: %+v", waiting)
	}
	score := 3.2
	record := func(ctx context.Context, tx pgx.Tx) error {
		return RecordSweep(ctx, tx, closed.Add(time.Hour), s.manager, Sweep{CaseID: found.ID, Component: "hydraulic_cooler", Batch: "B7", Signals: []string{"hydraulic_oil_temp"},
			Level: 0.05, Basis: "others", Alike: 1}, []SweepMachine{{MachineID: s.b.Machine, Shares: []string{"model", "batch"}, Score: &score, P: 0.001, Q: 0.004, Listed: true}})
	}
	s.do(t, record)
	s.do(t, record) // twice is as once
	if waiting := s.toSweep(t, closed.Add(2*time.Hour)); len(waiting) != 0 {
		t.Fatalf("it is swept again: %+v", waiting)
	}
	var file SweepFile
	read := func() SweepMachine {
		s.do(t, func(ctx context.Context, tx pgx.Tx) error {
			list, err := Sweeps(ctx, tx)
			if err != nil || len(list) != 1 {
				t.Fatalf("sweeps %+v, %v", list, err)
			}
			file, err = GetSweep(ctx, tx, list[0].ID)
			return err
		})
		return file.Machines[0]
	}
	if m := read(); m.Progress != "to_do" || m.MachineID != s.b.Machine || file.Listed != 1 || file.ToDo != 1 || file.Title != found.Title {
		t.Fatalf("%+v", file)
	}
	open := func(ctx context.Context, tx pgx.Tx) (Case, error) {
		return OpenSweepCase(ctx, tx, closed.Add(3*time.Hour), s.manager, file.ID, s.b.Machine)
	}
	opened := must[Case](t)(once(t, s, s.manager, open))
	again := must[Case](t)(once(t, s, s.manager, open))
	if opened.ID != again.ID || opened.Origin != "sweep" || opened.FailureMode != found.FailureMode || opened.State != Open {
		t.Errorf("opened %+v, then %+v", opened, again)
	}
	if m := read(); m.Progress != "planned" || m.CaseID == nil || *m.CaseID != opened.ID || file.Planned != 1 {
		t.Errorf("%+v", file)
	}
	s.confirm(t, opened.ID, closed.Add(30*time.Hour))
	if m := read(); m.Progress != "found" || file.Found != 1 || file.ToDo != 0 {
		t.Errorf("%+v", file)
	}
	if waiting := s.toSweep(t, closed.Add(31*time.Hour)); len(waiting) != 1 || waiting[0].ID != found.ID {
		t.Errorf("a day later the list is made anew, and the case of a sweep starts none: %+v", waiting)
	}
	if waiting := s.toSweep(t, closed.AddDate(0, 0, 40)); len(waiting) != 0 {
		t.Errorf("a month later: %+v", waiting)
	}
	looked := must[SweepFile](t)(once(t, s, s.manager, func(ctx context.Context, tx pgx.Tx) (SweepFile, error) {
		return LookedAt(ctx, tx, closed.Add(32*time.Hour), s.manager, file.ID, s.b.Machine, "clean", "motor of another batch")
	}))
	if m := looked.Machines[0]; m.Progress != "clean" || m.LookedBy != s.manager.Name || m.Note == "" || looked.Clean != 1 {
		t.Errorf("%+v", looked)
	}
}

func TestSweep_RefusesWhatIsNotInIt(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	found := s.found(t, s.a.Machine, morning)
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		return RecordSweep(ctx, tx, morning, s.manager, Sweep{CaseID: found.ID, Signals: []string{}, Level: 0.05, Basis: "itself"}, nil)
	})
	var id uuid.UUID
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		list, err := Sweeps(ctx, tx)
		id = list[0].ID
		return err
	})
	_, err := once(t, s, s.manager, func(ctx context.Context, tx pgx.Tx) (Case, error) {
		return OpenSweepCase(ctx, tx, morning, s.manager, id, s.b.Machine)
	})
	if problem.Of(err) != problem.NotFound {
		t.Errorf("a machine that is not in it: %v", err)
	}
	_, err = once(t, s, s.manager, func(ctx context.Context, tx pgx.Tx) (SweepFile, error) { return GetSweep(ctx, tx, s.b.Machine) })
	if problem.Of(err) != problem.NotFound {
		t.Errorf("no sweep: %v", err)
	}
}
