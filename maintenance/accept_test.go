package maintenance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// Row D2: a hundred writers at once, half of them the same finding, half another
// rule of the same failure mode, and people on the phone in between.
func TestAccept_HundredWritersOneCase(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	errs := make(chan error, 100)
	var all sync.WaitGroup
	for n := range 100 {
		all.Go(func() {
			change := hotOil(s.a.Machine, morning)
			if n%2 == 0 {
				change.Finding.Rule = fmt.Sprintf("oil-rule-%d", n%10)
			}
			ctx := identity.With(t.Context(), identity.Program("detection"))
			errs <- postgres.As(ctx, s.pool, identity.Program("detection"), func(tx pgx.Tx) error {
				if n%10 == 9 {
					_, err := OpenRequest(ctx, tx, morning, s.agent, Request{MachineID: s.a.Machine, Description: "油温高", OperatorPhone: "+8613973420041", FailureMode: "fouled_cooler"})
					return err
				}
				return Accept(ctx, tx, morning, []machines.FindingChange{change})
			})
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		if n := noted(ctx, t, tx, `SELECT count(*) FROM service_case`, nil); n != 1 {
			t.Errorf("%d cases, want 1", n)
		}
		if n := noted(ctx, t, tx, `SELECT count(*) FROM finding WHERE case_id IS NULL`, nil); n != 0 {
			t.Errorf("%d findings without their case", n)
		}
		if n := noted(ctx, t, tx, `SELECT count(*) FROM callback WHERE state = 'due'`, nil); n != 1 {
			t.Errorf("%d calls due, want 1", n)
		}
		return nil
	})
}

func TestAccept_TwiceIsOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.found(t, s.a.Machine, morning)
	var before int
	s.do(t, func(ctx context.Context, tx pgx.Tx) error { before = traces(ctx, t, tx); return nil })
	s.found(t, s.a.Machine, morning)
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		if after := traces(ctx, t, tx); after != before {
			t.Errorf("the second time wrote %d things", after-before)
		}
		return nil
	})
}

func TestAccept_WhatOpensACaseAndWhatDoesNot(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for name, tc := range map[string]struct {
		machine string // an UPDATE of the machine
		change  func(*machines.FindingChange)
		opens   bool
		want    machines.Severity
	}{
		"a warning":              {"", func(*machines.FindingChange) {}, true, machines.Warning},
		"a note":                 {"", func(c *machines.FindingChange) { c.Finding.Severity = machines.Info }, false, ""},
		"late data":              {"", func(c *machines.FindingChange) { c.Propose = true }, false, ""},
		"a locked machine":       {"operating_status = 'locked'", func(*machines.FindingChange) {}, false, ""},
		"a scrapped machine":     {"operating_status = 'scrapped'", func(*machines.FindingChange) {}, false, ""},
		"silence out of network": {"connectivity = 'no_coverage'", func(c *machines.FindingChange) { c.Finding.FailureMode = "no_data" }, false, ""},
		"a dead sensor": {"", func(c *machines.FindingChange) {
			c.Finding.FailureMode = "sensor_failure"
			c.Finding.Severity = machines.Alarm
		}, true, machines.Advice},
	} {
		err := s.as(t, identity.Program("detection"), func(ctx context.Context, tx pgx.Tx) error {
			if tc.machine != "" {
				s.run(ctx, t, tx, `UPDATE machine SET `+tc.machine+` WHERE id = @id`, pgx.NamedArgs{"id": s.a.Machine})
			}
			change := hotOil(s.a.Machine, morning)
			tc.change(&change)
			if err := Accept(ctx, tx, morning, []machines.FindingChange{change}); err != nil {
				return err
			}
			cases, err := Cases(ctx, tx, CaseFilter{MachineID: &s.a.Machine})
			if err != nil {
				return err
			}
			if (len(cases.Items) == 1) != tc.opens {
				t.Errorf("%s: %d cases", name, len(cases.Items))
			}
			if tc.opens && cases.Items[0].Severity != tc.want {
				t.Errorf("%s: %s, want %s", name, cases.Items[0].Severity, tc.want)
			}
			m, err := machines.Get(ctx, tx, s.a.Machine)
			if name == "a dead sensor" && m.Health != machines.Well {
				t.Errorf("%s: the machine is %s", name, m.Health)
			}
			if err != nil {
				return err
			}
			return errUndo
		})
		if err != errUndo { //nolint:errorlint // returned as it is
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAccept_SeverityEscalatesTheCaseAndTheEndIsNoted(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c := s.found(t, s.a.Machine, morning)
	worse := hotOil(s.a.Machine, morning)
	worse.Change, worse.Finding.Severity, worse.Finding.UpdatedAt = machines.FindingUpdated, machines.Alarm, morning.Add(time.Hour)
	gone := hotOil(s.a.Machine, morning)
	end := morning.Add(2 * time.Hour)
	gone.Change, gone.Finding.ClosedAt, gone.Finding.UpdatedAt, gone.Finding.CloseReason = machines.FindingClosed, &end, end, "cleared"
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		return Accept(ctx, tx, end, []machines.FindingChange{worse, gone})
	})
	f := s.file(t, c.ID)
	if f.Severity != machines.Alarm || f.State != Open {
		t.Errorf("the case is %s and %s", f.Severity, f.State)
	}
	if len(f.Moves) != 3 || f.Moves[2].NoteEN != "the finding is gone: Hydraulic oil runs hot at equal load" {
		t.Errorf("the notes: %+v", f.Moves)
	}
}

func TestAccept_AFaultThatShowsAgainGoesBackToWork(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var c Case
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		c = s.aCase(ctx, t, tx, s.a, AwaitingCallback, "fouled_cooler")
		return nil
	})
	s.found(t, s.a.Machine, morning)
	f := s.file(t, c.ID)
	if f.State != InWork || f.Comebacks != 1 || len(f.Findings) != 1 || len(f.WorkOrders) != 1 {
		t.Errorf("%s, %d come-backs, %d findings, %d orders", f.State, f.Comebacks, len(f.Findings), len(f.WorkOrders))
	}
}

func TestAccept_AClosedCasesFaultThatGrowsOpensANewOne(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c := s.found(t, s.a.Machine, morning)
	must[Case](t)(once(t, s, s.manager, func(ctx context.Context, tx pgx.Tx) (Case, error) {
		return MoveCase(ctx, tx, morning.Add(time.Minute), s.manager, c.ID, CaseMove{To: Cancelled, Reason: "重复"})
	}))
	for i, severity := range []machines.Severity{machines.Warning, machines.Alarm} {
		worse := hotOil(s.a.Machine, morning)
		worse.Change, worse.Finding.Severity, worse.Finding.UpdatedAt = machines.FindingUpdated, severity, morning.Add(time.Duration(i+1)*time.Hour)
		s.do(t, func(ctx context.Context, tx pgx.Tx) error {
			return Accept(ctx, tx, morning.Add(3*time.Hour), []machines.FindingChange{worse})
		})
		if next := s.only(t, s.a.Machine); (next.ID != c.ID) != (severity == machines.Alarm) {
			t.Errorf("%s: the newest case is %d, the old one %d", severity, next.Number, c.Number)
		}
	}
}

func TestRequest_AnOwnerReportsHisOwnMachineOnly(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	request := func(machine party) error {
		_, err := once(t, s, s.b.who, func(ctx context.Context, tx pgx.Tx) (Case, error) {
			return OpenRequest(ctx, tx, morning, s.b.who, Request{MachineID: machine.Machine, Description: "回转无力", OperatorPhone: "+8613973420026"})
		})
		return err
	}
	if err := request(s.b); err != nil {
		t.Error(err)
	}
	wantProblem(t, request(s.a), problem.NotFound)
	_, err := once(t, s, s.agent, func(ctx context.Context, tx pgx.Tx) (Case, error) {
		return OpenRequest(ctx, tx, morning, s.agent, Request{MachineID: s.b.Machine})
	})
	if p := problem.As(err); p == nil || len(p.Fields) != 2 {
		t.Errorf("without words and number: %+v", p)
	}
}

// Row D10: what is asked first stands first, and a down machine goes before all.
func TestRequest_DownMachineComesFirst(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c := must[Case](t)(once(t, s, s.agent, func(ctx context.Context, tx pgx.Tx) (Case, error) {
		return OpenRequest(ctx, tx, morning, s.agent, Request{MachineID: s.a.Machine, Description: "泵不了", OperatorPhone: "+8613973420041", CallerName: "周志强"})
	}))
	first := must[WorkOrder](t)(once(t, s, s.dispatcher, func(ctx context.Context, tx pgx.Tx) (WorkOrder, error) {
		return ScheduleOrder(ctx, tx, morning, s.dispatcher, NewOrder{CaseID: &c.ID, MachineID: s.a.Machine, Kind: "repair"})
	}))
	lat, lon := 26.7, 112.5
	down := must[Case](t)(once(t, s, s.a.who, func(ctx context.Context, tx pgx.Tx) (Case, error) {
		return OpenRequest(ctx, tx, morning.Add(time.Hour), s.a.who, Request{MachineID: s.a.Machine, Down: true, PouringNow: true, Description: "停机了", OperatorPhone: "+8613973420041", Latitude: &lat, Longitude: &lon})
	}))
	if down.ID != c.ID || !down.MachineDown || !down.PouringNow || *down.Latitude != lat || down.Severity != machines.Alarm {
		t.Errorf("the second call: %+v", down)
	}
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		o, err := loadOrder(ctx, tx, first.ID)
		if err != nil || o.Priority != 1 || first.Priority != 3 {
			t.Errorf("priority %d, %v", o.Priority, err)
		}
		m, err := machines.Get(ctx, tx, s.a.Machine)
		if m.Health != machines.Faulty {
			t.Errorf("a down machine is %s", m.Health)
		}
		return err
	})
}

// A rule on trial opens a case on which somebody decides before the customer is told;
// one in the shadow opens none; what is not on trial makes it a case as any other.
func TestAccept_ARuleOnTrialWaitsForAPerson(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	manager := identity.Principal{Name: "赵敏", Role: identity.ServiceManager}
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		open := func(stage machines.Stage, at time.Time, mode string) []CaseRow {
			c := hotOil(s.a.Machine, at)
			c.Stage, c.Finding.FailureMode, c.Finding.Rule = stage, mode, "rule of "+string(stage)
			if err := Accept(ctx, tx, morning, []machines.FindingChange{c}); err != nil {
				t.Fatal(err)
			}
			page, err := Cases(ctx, tx, CaseFilter{MachineID: &s.a.Machine})
			if err != nil {
				t.Fatal(err)
			}
			return page.Items
		}
		if cases := open(machines.Shadow, morning, "x"); len(cases) != 0 {
			t.Fatalf("the shadow opens %+v", cases)
		}
		cases := open(machines.Advise, morning, "fouled_cooler")
		if len(cases) != 1 || !cases[0].Advised || cases[0].InformDueAt != nil {
			t.Fatalf("%+v", cases)
		}
		id := cases[0].ID
		file, err := GetCase(ctx, tx, manager, id)
		if err != nil || len(file.Callbacks) != 0 || slices.Contains(file.Allowed, Informed) || !slices.Contains(file.Allowed, Triaged) {
			t.Fatalf("%+v, %v", file, err)
		}
		for name, try := range map[string]func(tx pgx.Tx) error{
			"a visit": func(tx pgx.Tx) error {
				_, err := ScheduleOrder(ctx, tx, morning, manager, NewOrder{CaseID: &id, MachineID: s.a.Machine, Kind: "repair"})
				return err
			},
			"the customer": func(tx pgx.Tx) error { _, err := Inform(ctx, tx, morning, manager, id, nil, "sms", ""); return err },
		} {
			if err := postgres.Attempt(ctx, tx, try); problem.Of(err) != problem.Conflict {
				t.Errorf("%s before anybody has looked at it: %v", name, err)
			}
		}
		c, err := MoveCase(ctx, tx, morning, manager, id, CaseMove{To: Triaged})
		if err != nil || c.InformDueAt == nil || !c.InformDueAt.Equal(morning.Add(informWithin)) {
			t.Fatalf("%+v, %v", c, err)
		}
		if _, err := ScheduleOrder(ctx, tx, morning, manager, NewOrder{CaseID: &id, MachineID: s.a.Machine, Kind: "repair"}); err != nil {
			t.Errorf("a visit after it: %v", err)
		}
		open(machines.Advise, morning.Add(time.Hour), "worn_seal")
		cases = open(machines.Dispatch, morning.Add(2*time.Hour), "worn_seal")
		at := slices.IndexFunc(cases, func(c CaseRow) bool { return c.FailureMode == "worn_seal" })
		if len(cases) != 2 || cases[at].Advised || cases[at].InformDueAt == nil {
			t.Errorf("a proven rule says the same: %+v", cases)
		}
		return nil
	})
}
