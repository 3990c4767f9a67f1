package machines_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

func (f *fleet) setHealth(down bool, cause string, finding *uuid.UUID) (health machines.Health, changed bool) {
	f.Helper()
	f.do(func(ctx context.Context, db postgres.DB) (err error) {
		health, changed, err = machines.SetHealth(ctx, db, start.Add(time.Hour), f.machine.ID, down, machines.Text{ZH: cause, EN: cause}, "r1", finding)
		return err
	})
	return health, changed
}

func TestHealth_IsOneStateWithItsCause(t *testing.T) {
	f := newFleet(t)
	step := func(want machines.Health, wantChanged, down bool, cause string, finding *uuid.UUID) {
		t.Helper()
		if health, changed := f.setHealth(down, cause, finding); health != want || changed != wantChanged {
			t.Errorf("%s: %s, changed %v; want %s, %v", cause, health, changed, want, wantChanged)
		}
	}
	step(machines.Unknown, false, false, "nothing was heard", nil)
	info := hot(f.machine.ID, machines.FindingOpened, start, start)
	info.Finding.Rule, info.Finding.Severity = "note", machines.Info
	f.apply(info)
	sensor := hot(f.machine.ID, machines.FindingOpened, start, start)
	sensor.Finding.Rule, sensor.Finding.FailureMode = "stuck", machines.SensorFailure
	f.apply(sensor)
	step(machines.Unknown, false, false, "a note and a broken sensor say nothing of the machine", nil)
	found, _ := f.apply(hot(f.machine.ID, machines.FindingOpened, start, start))
	step(machines.ThirdState, true, false, "a finding", &found.ID)
	step(machines.ThirdState, false, false, "the same again", &found.ID)
	step(machines.Faulty, true, true, "the case says it is down", nil)
	step(machines.ThirdState, true, false, "it works again", nil)
	f.apply(hot(f.machine.ID, machines.FindingClosed, start, start.Add(time.Hour)))
	step(machines.Well, true, false, "the finding is over", &found.ID)

	f.do(func(ctx context.Context, db postgres.DB) error {
		file, err := machines.ReadFile(ctx, db, f.machine.ID)
		if err != nil {
			return err
		}
		if len(file.HealthChanges) != 4 {
			t.Fatalf("%d changes of health", len(file.HealthChanges))
		}
		for i := range 3 {
			if newer, older := file.HealthChanges[i], file.HealthChanges[i+1]; newer.Previous != older.Health {
				t.Errorf("%s follows %s, not %s", newer.Health, newer.Previous, older.Health)
			}
		}
		first := file.HealthChanges[3]
		if first.Cause != "a finding" || first.RuleHash != "r1" || first.FindingID == nil || *first.FindingID != found.ID || !first.At.Equal(start.Add(time.Hour)) {
			t.Errorf("the first change: %+v", first)
		}
		if m := file.Machine; m.Health != machines.Well || m.HealthSince == nil || !m.HealthSince.Equal(start.Add(time.Hour)) {
			t.Errorf("the machine is %s since %v", m.Health, m.HealthSince)
		}
		log, err := machines.Audits(ctx, db, machines.AuditFilter{Entity: "machine", EntityID: &f.machine.ID})
		if len(log.Items) != 5 || log.Items[0].Action != "health" {
			t.Errorf("audit: %+v", log.Items)
		}
		return err
	})
}

func TestSeen_NeverGoesBack(t *testing.T) {
	f := newFleet(t)
	number := func(v float64) *float64 { return &v }
	seen := func(list ...machines.Seen) {
		t.Helper()
		f.do(func(ctx context.Context, db postgres.DB) error { return machines.SetSeen(ctx, db, list) })
	}
	seen()
	seen(machines.Seen{MachineID: f.machine.ID, At: start, First: &start, Hours: number(3219), Volume: number(118400)},
		machines.Seen{MachineID: f.other.ID, At: start, First: &start},
		machines.Seen{MachineID: uuid.New(), At: start}) // one that was deleted
	seen(machines.Seen{MachineID: f.machine.ID, At: start.Add(-time.Hour), Hours: number(3218)})
	m := f.get(f.machine.ID)
	if !m.LastSeenAt.Equal(start) || m.Connectivity != "online" || *m.OperatingHours != 3219 || *m.PumpedVolume != 118400 {
		t.Errorf("an old sign of life moved the machine back: %+v", m)
	}
	if m.Health != machines.Well {
		t.Errorf("a machine that speaks is %s", m.Health)
	}
	seen(machines.Seen{MachineID: f.machine.ID, At: start.Add(2 * time.Hour)},
		machines.Seen{MachineID: f.machine.ID, At: start.Add(time.Hour), Hours: number(3220)})
	m = f.get(f.machine.ID)
	if !m.LastSeenAt.Equal(start.Add(2*time.Hour)) || m.Connectivity != "online" || !m.ConnectedSince.Equal(start) || *m.OperatingHours != 3220 {
		t.Errorf("two in one batch: %+v", m)
	}
	if n := f.count(`SELECT count(*) FROM health_change`, nil); n != 2 {
		t.Errorf("%d changes of health, want one a machine", n)
	}
}

// Of several that are heard first, one on which something was found before is in
// its third state; each has its change, its line of life and its audit entry.
func TestSeen_GivesEachMachineItsOwnHealth(t *testing.T) {
	f := newFleet(t)
	third := f.add(machines.Machine{Serial: "S3", CustomerID: &f.tongda.ID})
	f.apply(hot(f.other.ID, machines.FindingOpened, start, start))
	before := f.writes()
	f.do(func(ctx context.Context, db postgres.DB) error {
		return machines.SetSeen(ctx, db, []machines.Seen{{MachineID: f.machine.ID, At: start}, {MachineID: f.other.ID, At: start}, {MachineID: third.ID, At: start.Add(time.Hour)}})
	})
	if n := f.writes() - before; n != 9 { // a change, a line of life and an audit entry each
		t.Errorf("%d audit entries", n)
	}
	for _, want := range []struct {
		id     uuid.UUID
		health machines.Health
		at     time.Time
		text   string
	}{{f.machine.ID, machines.Well, start, "Well: first data received"}, {f.other.ID, machines.ThirdState, start, "Third state: first data received"}, {third.ID, machines.Well, start.Add(time.Hour), "Well: first data received"}} {
		f.do(func(ctx context.Context, db postgres.DB) error {
			file, err := machines.ReadFile(ctx, db, want.id)
			if err != nil {
				return err
			}
			m := file.Machine
			if m.Health != want.health || !m.HealthSince.Equal(want.at) || len(file.HealthChanges) != 1 || file.HealthChanges[0].Previous != machines.Unknown {
				t.Errorf("%s is %s since %s: %+v", m.Key, m.Health, m.HealthSince, file.HealthChanges)
			}
			if e := file.Events[0]; e.TextEN != want.text || *e.EntityID != file.HealthChanges[0].ID {
				t.Errorf("in the life of %s: %+v", m.Key, e)
			}
			return nil
		})
	}
}

func TestScore_ShowsItsContributors(t *testing.T) {
	f := newFleet(t)
	f.do(func(ctx context.Context, db postgres.DB) error {
		return machines.SetSeen(ctx, db, []machines.Seen{{MachineID: f.machine.ID, Score: &machines.Score{Points: 120, Contributors: []machines.Contributor{{Signal: "oil_temp", Weight: 1, Loss: 13}}}}, {MachineID: f.other.ID, Score: &machines.Score{Points: -1}}})
	})
	if m := f.get(f.other.ID); *m.Score != 0 || m.Health != machines.Unknown || m.LastSeenAt != nil {
		t.Errorf("a score alone is a sign of life: %+v", m)
	}
	if m := f.get(f.machine.ID); m.Score == nil || *m.Score != 100 || len(m.Contributors) != 1 || m.Contributors[0].Loss != 13 {
		t.Errorf("score %v, contributors %v", m.Score, m.Contributors)
	}
	f.do(func(ctx context.Context, db postgres.DB) error {
		return machines.SetSeen(ctx, db, []machines.Seen{{MachineID: f.machine.ID, Score: &machines.Score{Points: 87}}})
	})
	if m := f.get(f.machine.ID); *m.Score != 87 || m.Contributors == nil || len(m.Contributors) != 0 {
		t.Errorf("score %v, contributors %v", *m.Score, m.Contributors)
	}
}

// Two that note signs of life of the same machines, in whatever order, never wait
// for each other.
func TestSeen_OfTwoWritersDoNotDeadlock(t *testing.T) {
	f := newFleet(t)
	forth := []machines.Seen{{MachineID: f.machine.ID, At: start}, {MachineID: f.other.ID, At: start}}
	for i := range 30 {
		added := f.add(machines.Machine{Serial: fmt.Sprintf("S%02d", i), CustomerID: &f.tongda.ID})
		forth = append(forth, machines.Seen{MachineID: added.ID, At: start})
	}
	back := slices.Clone(forth)
	slices.Reverse(back)
	var both sync.WaitGroup
	for _, list := range [][]machines.Seen{forth, back} {
		both.Go(func() {
			for range 60 {
				if err := noteSeen(t.Context(), f.pool, list); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	both.Wait()
}

// noteSeen is one transaction, unlike As not tried again.
func noteSeen(ctx context.Context, pool *postgres.Pool, list []machines.Seen) error {
	tx, err := pool.Raw().Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // after the commit it does nothing
	if _, err := tx.Exec(ctx, "SELECT set_config('app.scope', 'all', true)"); err != nil {
		return err
	}
	if err := machines.SetSeen(ctx, tx, list); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
