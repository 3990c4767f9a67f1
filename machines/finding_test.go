package machines_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

func TestFinding_OpensOnceUnderHundredWriters(t *testing.T) {
	f := newFleet(t)
	before := f.writes()
	type result struct {
		id    uuid.UUID
		fresh bool
		err   error
	}
	results := make(chan result, 100)
	var writers sync.WaitGroup
	for range 100 {
		writers.Go(func() {
			var r result
			r.err = f.as(identity.Program("detection"), func(ctx context.Context, db postgres.DB) error {
				stored, fresh, err := machines.ApplyFinding(ctx, db, start, hot(f.machine.ID, machines.FindingOpened, start, start))
				r.id, r.fresh = stored.ID, fresh
				return err
			})
			results <- r
		})
	}
	writers.Wait()
	close(results)
	ids, fresh := map[uuid.UUID]bool{}, 0
	for r := range results {
		if r.err != nil {
			t.Fatal(r.err)
		}
		ids[r.id] = true
		if r.fresh {
			fresh++
		}
	}
	if len(ids) != 1 || fresh != 1 {
		t.Errorf("%d findings, fresh %d times", len(ids), fresh)
	}
	if wrote := f.writes() - before; wrote != 3 { // finding, audit entry, line of life
		t.Errorf("%d rows were written, want 3", wrote)
	}
}

func TestFinding_ReplayChangesNothing(t *testing.T) {
	f := newFleet(t)
	at := func(hours int) time.Time { return start.Add(time.Duration(hours) * time.Hour) }
	worse := hot(f.machine.ID, machines.FindingUpdated, at(0), at(2))
	worse.Finding.Severity = machines.Alarm
	worse.Finding.Evidence = json.RawMessage(`{"deviation": 9}`)
	story := []machines.FindingChange{
		hot(f.machine.ID, machines.FindingOpened, at(0), at(0)),
		hot(f.machine.ID, machines.FindingUpdated, at(0), at(1)),
		worse,
		hot(f.machine.ID, machines.FindingClosed, at(0), at(3)),
		hot(f.machine.ID, machines.FindingOpened, at(5), at(5)),
		hot(f.machine.ID, machines.FindingUpdated, at(5), at(6)),
	}
	for i, c := range story {
		if stored, fresh := f.apply(c); !fresh || stored.MachineID != f.machine.ID {
			t.Errorf("change %d was not taken: %+v", i, stored)
		}
	}
	wrote := f.writes()
	for from := range story { // as after a restart from any checkpoint
		for i, c := range story[from:] {
			if stored, fresh := f.apply(c); fresh || stored.ID == uuid.Nil {
				t.Errorf("replay from %d: change %d was taken again: %+v", from, from+i, stored)
			}
		}
	}
	if again := f.writes(); again != wrote {
		t.Errorf("the replay wrote %d rows", again-wrote)
	}
	f.do(func(ctx context.Context, db postgres.DB) error {
		page, err := machines.Findings(ctx, db, machines.FindingFilter{MachineID: &f.machine.ID})
		if len(page.Items) != 2 {
			t.Fatalf("%d findings", len(page.Items))
		}
		second, first := page.Items[0], page.Items[1]
		if second.State != "open" || !second.UpdatedAt.Equal(at(6)) || !second.DetectedAt.Equal(start) {
			t.Errorf("second episode: %+v", second)
		}
		if first.State != "closed" || !first.ClosedAt.Equal(at(3)) || first.Severity != machines.Alarm || first.CloseReason != "cleared" || first.Facts.Parts[0] != "FM-2208" {
			t.Errorf("first episode: %+v", first)
		}
		if string(first.Evidence) != `{"deviation": 9}` {
			t.Errorf("its end took the evidence of the fault: %s", first.Evidence)
		}
		if first.CustomerID == nil || *first.CustomerID != f.tongda.ID {
			t.Error("the finding is not its owner's")
		}
		return err
	})
}

func TestFinding_AnEpisodeWithinAnOpenOneIsPartOfIt(t *testing.T) {
	f := newFleet(t)
	first, _ := f.apply(hot(f.machine.ID, machines.FindingOpened, start, start))
	later := start.Add(time.Hour)
	if same, fresh := f.apply(hot(f.machine.ID, machines.FindingOpened, later, later)); fresh || same.ID != first.ID {
		t.Errorf("a second one opened: %+v", same)
	}
	ended, fresh := f.apply(hot(f.machine.ID, machines.FindingClosed, later, later.Add(time.Hour)))
	if !fresh || ended.ID != first.ID || ended.State != "closed" {
		t.Errorf("its end was lost: %+v", ended)
	}
	for _, c := range []machines.Change{machines.FindingOpened, machines.FindingClosed} {
		if same, fresh := f.apply(hot(f.machine.ID, c, later, later.Add(time.Hour))); fresh || same.ID != first.ID {
			t.Errorf("replay of %s: %+v, fresh %v", c, same, fresh)
		}
	}
}

func TestFinding_ComponentsAndRulesAreApart(t *testing.T) {
	f := newFleet(t)
	plain := hot(f.machine.ID, machines.FindingOpened, start, start)
	plain.Finding.Component = nil
	if _, fresh := f.apply(plain); !fresh {
		t.Error("without a component")
	}
	if _, fresh := f.apply(plain); fresh {
		t.Error("without a component it opens twice")
	}
	if _, fresh := f.apply(hot(f.machine.ID, machines.FindingOpened, start, start)); !fresh {
		t.Error("with a component")
	}
	if _, fresh := f.apply(hot(f.other.ID, machines.FindingOpened, start, start)); !fresh {
		t.Error("of another machine")
	}
	if stored, fresh := f.apply(hot(f.other.ID, machines.FindingUpdated, start.Add(-time.Hour), start)); fresh || stored.ID != uuid.Nil {
		t.Error("news of an episode that nobody knows")
	}
	f.refused(problem.NotFound, f.as(admin, func(ctx context.Context, db postgres.DB) error {
		_, _, err := machines.ApplyFinding(ctx, db, start, hot(uuid.New(), machines.FindingOpened, start, start))
		return err
	}))
	f.refused(problem.Invalid, f.as(admin, func(ctx context.Context, db postgres.DB) error {
		_, _, err := machines.ApplyFinding(ctx, db, start, hot(f.machine.ID, "vanished", start, start))
		return err
	}))
}

func TestFinding_EndsByAWordOnce(t *testing.T) {
	f := newFleet(t)
	stored, _ := f.apply(hot(f.machine.ID, machines.FindingOpened, start, start))
	for i, want := range []bool{true, false} {
		f.do(func(ctx context.Context, db postgres.DB) error {
			ended, changed, err := machines.CloseFinding(ctx, db, start.Add(time.Hour), admin, stored.ID, "dismissed", "传感器线束松动")
			if changed != want || ended.State != "dismissed" {
				t.Errorf("time %d: %v, %+v", i, changed, ended)
			}
			return err
		})
	}
	if _, fresh := f.apply(hot(f.machine.ID, machines.FindingUpdated, start, start.Add(2*time.Hour))); fresh {
		t.Error("a false alarm is news again")
	}
	f.refused(problem.Invalid, f.as(admin, func(ctx context.Context, db postgres.DB) error {
		_, _, err := machines.CloseFinding(ctx, db, start, admin, stored.ID, "open", "")
		return err
	}))
	f.refused(problem.NotFound, f.as(admin, func(ctx context.Context, db postgres.DB) error {
		return machines.AttachFinding(ctx, db, uuid.New(), uuid.New())
	}))
}

func TestFinding_PagesVisitEachOnce(t *testing.T) {
	f := newFleet(t)
	want := map[uuid.UUID]bool{}
	for i := range 7 {
		opened := start.Add(time.Duration(i/2) * 2 * time.Hour) // two at a time
		c := hot(f.machine.ID, machines.FindingOpened, opened, opened)
		if i%2 == 1 {
			c.Finding.Component = nil
		}
		stored, _ := f.apply(c)
		want[stored.ID] = true
		c.Change, c.Finding.ClosedAt = machines.FindingClosed, &opened
		f.apply(c)
	}
	cursor := ""
	for range 10 {
		f.do(func(ctx context.Context, db postgres.DB) error {
			page, err := machines.Findings(ctx, db, machines.FindingFilter{Limit: 2, Cursor: cursor})
			for _, item := range page.Items {
				if !want[item.ID] {
					t.Errorf("%s came twice", item.ID)
				}
				delete(want, item.ID)
			}
			cursor = page.Next
			return err
		})
		if cursor == "" {
			break
		}
	}
	if len(want) > 0 {
		t.Errorf("%d findings never came", len(want))
	}
}
