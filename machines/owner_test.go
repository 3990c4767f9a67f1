package machines_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

func TestOwner_SeesHisOwnAndNothingElse(t *testing.T) {
	f := newFleet(t)
	mine, _ := f.apply(hot(f.machine.ID, machines.FindingOpened, start, start))
	others, _ := f.apply(hot(f.other.ID, machines.FindingOpened, start, start))
	if err := f.as(owner(f.tongda), func(ctx context.Context, db postgres.DB) error {
		page, err := machines.List(ctx, db, machines.Filter{})
		if err != nil {
			return err
		}
		if len(page.Items) != 1 || page.Items[0].ID != f.machine.ID {
			t.Errorf("he lists %d machines", len(page.Items))
		}
		found, err := machines.Findings(ctx, db, machines.FindingFilter{})
		if err != nil {
			return err
		}
		if len(found.Items) != 1 || found.Items[0].ID != mine.ID {
			t.Errorf("he lists %d findings", len(found.Items))
		}
		customers, err := machines.Customers(ctx, db)
		if err != nil {
			return err
		}
		if len(customers) != 1 {
			t.Errorf("he lists %d customers", len(customers))
		}
		log, err := machines.Audits(ctx, db, machines.AuditFilter{Limit: 500})
		if err != nil {
			return err
		}
		for _, entry := range log.Items {
			if entry.MachineID != nil && *entry.MachineID != f.machine.ID {
				t.Errorf("he reads the audit log of another's machine: %+v", entry)
			}
		}
		_, err = machines.ReadFile(ctx, db, f.machine.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for name, look := range map[string]func(ctx context.Context, db postgres.DB) error{
		"machine": func(ctx context.Context, db postgres.DB) error {
			_, err := machines.Get(ctx, db, f.other.ID)
			return err
		},
		"file": func(ctx context.Context, db postgres.DB) error {
			_, err := machines.ReadFile(ctx, db, f.other.ID)
			return err
		},
		"key": func(ctx context.Context, db postgres.DB) error {
			_, err := machines.ByKey(ctx, db, f.other.Key)
			return err
		},
		"finding": func(ctx context.Context, db postgres.DB) error {
			_, err := machines.GetFinding(ctx, db, others.ID)
			return err
		},
		"customer": func(ctx context.Context, db postgres.DB) error {
			_, err := machines.GetCustomer(ctx, db, f.henggu.ID)
			return err
		},
	} {
		if err := f.as(owner(f.tongda), look); problem.Of(err) != problem.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOwner_WritesToAnothersMachineAreRefused(t *testing.T) {
	f := newFleet(t)
	who := identity.Principal{Name: "刘建国", Role: identity.OwnerAdmin, CustomerID: f.tongda.ID}
	before := f.writes()
	for name, write := range map[string]func(ctx context.Context, db postgres.DB) error{
		"reading": func(ctx context.Context, db postgres.DB) error {
			_, _, err := machines.AddReading(ctx, db, start, who, machines.Reading{MachineID: f.other.ID, Signal: "oil_temp", Value: 99, Source: "daily_check"})
			return err
		},
		"status": func(ctx context.Context, db postgres.DB) error {
			return machines.SetOperatingStatus(ctx, db, start, who, f.other.ID, machines.Locked, "", "")
		},
		"finding": func(ctx context.Context, db postgres.DB) error {
			_, _, err := machines.ApplyFinding(ctx, db, start, hot(f.other.ID, machines.FindingOpened, start, start))
			return err
		},
		"event": func(ctx context.Context, db postgres.DB) error {
			return machines.AddEvent(ctx, db, machines.LifecycleEvent{MachineID: f.other.ID, At: start, Kind: "note", Text: "x"})
		},
		"component": func(ctx context.Context, db postgres.DB) error {
			_, err := machines.AddComponent(ctx, db, start, who, machines.Component{MachineID: f.other.ID, Code: "x", Name: "x"})
			return err
		},
		"health": func(ctx context.Context, db postgres.DB) error {
			_, _, err := machines.SetHealth(ctx, db, start, f.other.ID, true, machines.Text{}, "", nil)
			return err
		},
		"theft": func(ctx context.Context, db postgres.DB) error {
			return machines.Transfer(ctx, db, start, who, f.other.ID, f.tongda.ID)
		},
	} {
		if err := f.as(who, write); problem.Of(err) != problem.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.as(who, func(ctx context.Context, db postgres.DB) error {
		return machines.Audit(ctx, db, start, who, "machine", f.other.ID, nil, &f.henggu.ID, "forged", nil, nil)
	}); err == nil {
		t.Error("an audit entry in another's name was taken")
	}
	if wrote := f.writes() - before; wrote != 0 {
		t.Errorf("%d rows were written", wrote)
	}
	if err := f.as(who, func(ctx context.Context, db postgres.DB) error { // his own he may
		return machines.SetOperatingStatus(ctx, db, start, who, f.machine.ID, machines.Stored, "", "")
	}); err != nil {
		t.Error(err)
	}
}

func TestTransfer_EndsTheOldOwnersSight(t *testing.T) {
	f := newFleet(t)
	sold := start.Add(24 * time.Hour)
	old, _ := f.apply(hot(f.machine.ID, machines.FindingOpened, start, start))
	f.apply(hot(f.machine.ID, machines.FindingClosed, start, start.Add(time.Hour)))
	open, _ := f.apply(hot(f.machine.ID, machines.FindingOpened, start.Add(2*time.Hour), start.Add(2*time.Hour)))
	var part machines.Component
	caseID := uuid.New()
	f.do(func(ctx context.Context, db postgres.DB) (err error) {
		if part, err = machines.AddComponent(ctx, db, start, admin, machines.Component{MachineID: f.machine.ID, Code: "cooler", Name: "散热器"}); err != nil {
			return err
		}
		_, err = postgres.Run(ctx, db, `INSERT INTO service_case (id, machine_id, customer_id, failure_mode, title, severity, origin, state, opened_at, state_at)
			VALUES (@id, @machine, @customer, 'x', 'x', 'warning', 'finding', 'open', @at, @at)`,
			pgx.NamedArgs{"id": caseID, "machine": f.machine.ID, "customer": f.tongda.ID, "at": start})
		return err
	})
	f.do(func(ctx context.Context, db postgres.DB) error {
		return machines.Transfer(ctx, db, sold, admin, f.machine.ID, f.henggu.ID)
	})

	sees := func(c machines.Customer, id uuid.UUID, sql string) bool {
		var n int
		if err := f.as(owner(c), func(ctx context.Context, db postgres.DB) (err error) {
			n, err = postgres.Value[int](ctx, db, sql, pgx.NamedArgs{"id": id})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
	for _, c := range []struct {
		what, sql string
		id        uuid.UUID
		old, now  bool
	}{
		{"machine", `SELECT count(*) FROM machine WHERE id = @id`, f.machine.ID, false, true},
		{"open finding", `SELECT count(*) FROM finding WHERE id = @id`, open.ID, false, true},
		{"finding of before", `SELECT count(*) FROM finding WHERE id = @id`, old.ID, true, false},
		{"component", `SELECT count(*) FROM component WHERE id = @id`, part.ID, false, true},
		{"open case", `SELECT count(*) FROM service_case WHERE id = @id`, caseID, false, true},
	} {
		if sees(f.tongda, c.id, c.sql) != c.old {
			t.Errorf("%s: the old owner sees it: %v", c.what, !c.old)
		}
		if sees(f.henggu, c.id, c.sql) != c.now {
			t.Errorf("%s: the new owner sees it: %v", c.what, !c.now)
		}
	}
	if err := f.as(owner(f.henggu), func(ctx context.Context, db postgres.DB) error {
		file, err := machines.ReadFile(ctx, db, f.machine.ID)
		if len(file.Ownerships) != 1 || !file.Ownerships[0].From.Equal(sold) || len(file.Findings) != 1 || len(file.Events) != 1 || file.Events[0].Kind != "ownership" {
			t.Errorf("the new owner's file: %+v, %d findings, events %+v", file.Ownerships, len(file.Findings), file.Events)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if n := f.count(`SELECT count(*) FROM machine_ownership WHERE machine_id = @id AND valid_to = @sold`, pgx.NamedArgs{"id": f.machine.ID, "sold": sold}); n != 1 {
		t.Error("the old ownership has no end")
	}
	later, _ := f.apply(hot(f.machine.ID, machines.FindingOpened, sold.Add(-time.Hour), sold)) // meets the open one
	if later.ID != open.ID || *later.CustomerID != f.henggu.ID {
		t.Errorf("a finding after the sale: %+v", later)
	}
	f.refused(problem.Conflict, f.as(admin, func(ctx context.Context, db postgres.DB) error {
		return machines.Transfer(ctx, db, sold, admin, f.machine.ID, f.henggu.ID)
	}))
	f.refused(problem.Invalid, f.as(admin, func(ctx context.Context, db postgres.DB) error {
		return machines.Transfer(ctx, db, sold, admin, f.machine.ID, uuid.New())
	}))
}

func TestTelemetry_IsSeenFromTheTransferOn(t *testing.T) {
	f := newFleet(t)
	sold := start.Add(24 * time.Hour)
	f.do(func(ctx context.Context, db postgres.DB) error {
		if err := machines.Transfer(ctx, db, sold, admin, f.machine.ID, f.henggu.ID); err != nil {
			return err
		}
		for hour := range 48 {
			at := start.Add(time.Duration(hour) * time.Hour)
			if _, err := postgres.Run(ctx, db, `SELECT ensure_sample_partition((@at::timestamptz AT TIME ZONE 'UTC')::date)`, pgx.NamedArgs{"at": at}); err != nil {
				return err
			}
			if _, err := postgres.Run(ctx, db, `INSERT INTO sample (machine_no, at, signal_nos, vals) VALUES (@no, @at, '{1}', '{80}')`, pgx.NamedArgs{"no": f.machine.No, "at": at}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := f.as(owner(f.henggu), func(ctx context.Context, db postgres.DB) error {
		first, err := postgres.Value[time.Time](ctx, db, `SELECT min(at) FROM sample`, nil)
		if !first.Equal(sold) {
			t.Errorf("the new owner sees telemetry from %s, want %s", first, sold)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
