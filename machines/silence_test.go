package machines_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

// A machine falls silent, it is known why, it speaks again, and what it sends later
// shows that it was another thing.
func TestSilence_SaysWhatTheMachineIsAndCanBeCorrected(t *testing.T) {
	f := newFleet(t)
	detection := identity.Program("detection")
	f.do(func(ctx context.Context, db postgres.DB) error {
		return machines.SetSeen(ctx, db, []machines.Seen{{MachineID: f.machine.ID, At: start, First: &start}, {MachineID: f.other.ID, At: start, First: &start}})
	})
	until := start.Add(2 * time.Hour)
	f.do(func(ctx context.Context, db postgres.DB) error { // of the day before, found together with it
		return machines.NoteSilences(ctx, db, until, detection, []machines.Silence{{MachineID: f.machine.ID, Since: start.Add(-24 * time.Hour),
			NoticedAt: start.Add(-23 * time.Hour), Until: &start, Cause: "off", FirstCause: "off"}})
	})
	tell := func(s machines.Silence) string {
		t.Helper()
		s.MachineID, s.Since, s.NoticedAt = f.machine.ID, start, start.Add(15*time.Minute)
		before := f.writes()
		f.do(func(ctx context.Context, db postgres.DB) error {
			return machines.NoteSilences(ctx, db, until, detection, []machines.Silence{s})
		})
		m := f.get(f.machine.ID)
		told := m.Connectivity + " " + m.ConnectedSince.Sub(start).String() + " " + strings.Join(m.ConnectedWhy, ",")
		f.do(func(ctx context.Context, db postgres.DB) error {
			log, err := machines.Audits(ctx, db, machines.AuditFilter{Entity: "machine", EntityID: &f.machine.ID, Limit: f.writes() - before})
			for _, e := range log.Items {
				if f.writes() > before {
					told += " / " + e.Action
				}
			}
			return err
		})
		return told
	}
	for _, step := range []struct {
		silence machines.Silence
		want    string
	}{
		{machines.Silence{Cause: "silent", FirstCause: "silent", Why: []string{"at_work"}}, "silent 0s at_work / connectivity"},
		{machines.Silence{Cause: "silent", FirstCause: "silent", Why: []string{"at_work"}}, "silent 0s at_work"},
		{machines.Silence{Cause: "off", FirstCause: "silent", Why: []string{"at_work", "after_hours"}}, "off 0s at_work,after_hours / connectivity"},
		{machines.Silence{Cause: "off", FirstCause: "silent", Why: []string{"at_work", "after_hours"}, Until: &until}, "online 2h0m0s  / connectivity"},
		{machines.Silence{Cause: "no_coverage", FirstCause: "silent", Why: []string{"backlog", "at_work"}, Until: &until}, "online 2h0m0s  / silence explained"},
		{machines.Silence{Cause: "no_coverage", FirstCause: "silent", Why: []string{"backlog", "at_work"}, Until: &until}, "online 2h0m0s "},
	} {
		if got := tell(step.silence); got != step.want {
			t.Errorf("%q, want %q", got, step.want)
		}
	}
	f.do(func(ctx context.Context, db postgres.DB) error {
		page, err := machines.Silences(ctx, db, machines.SilenceFilter{MachineID: &f.machine.ID, Cause: "no_coverage"})
		if len(page.Items) != 1 || !page.Items[0].Until.Equal(until) || page.Items[0].FirstCause != "silent" {
			t.Errorf("%+v", page.Items)
		}
		return err
	})
}

// What detection does not remember any more does not go on for ever.
func TestSilence_EndsWhenNobodyRemembersIt(t *testing.T) {
	f := newFleet(t)
	detection := identity.Program("detection")
	f.do(func(ctx context.Context, db postgres.DB) error {
		return machines.NoteSilences(ctx, db, start, detection, []machines.Silence{{MachineID: f.machine.ID, Since: start, NoticedAt: start, Cause: "off", FirstCause: "off"}})
	})
	later := start.Add(time.Hour)
	f.do(func(ctx context.Context, db postgres.DB) error {
		return machines.SetSeen(ctx, db, []machines.Seen{{MachineID: f.machine.ID, At: later, First: &later}})
	})
	if m := f.get(f.machine.ID); m.Connectivity != "online" || !m.ConnectedSince.Equal(later) {
		t.Errorf("%s since %s", m.Connectivity, m.ConnectedSince)
	}
	f.do(func(ctx context.Context, db postgres.DB) error { // one that it does not know goes on behind it
		return machines.NoteSilences(ctx, db, start, detection, []machines.Silence{{MachineID: f.machine.ID, Since: later, NoticedAt: later, Cause: "off", FirstCause: "off"}})
	})
	f.do(func(ctx context.Context, db postgres.DB) error {
		return machines.NoteSilences(ctx, db, start, detection, []machines.Silence{{MachineID: f.machine.ID, Since: later.Add(time.Hour), NoticedAt: later.Add(time.Hour), Cause: "silent", FirstCause: "silent"}})
	})
	if n := f.count(`SELECT count(*) FROM silence WHERE until IS NULL`, nil); n != 1 {
		t.Errorf("%d silences go on", n)
	}
	f.do(func(ctx context.Context, db postgres.DB) error {
		return machines.ForgetSilences(ctx, db, later.Add(2*time.Hour))
	})
	if n := f.count(`SELECT count(*) FROM silence`, nil); n != 1 {
		t.Errorf("%d silences are kept", n)
	}
}
