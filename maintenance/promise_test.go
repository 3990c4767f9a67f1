package maintenance

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
)

func TestPromise_IsKeptBrokenOrWithdrawnOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	err := o.as(t, o.manager, func(ctx context.Context, tx pgx.Tx) error {
		for _, state := range []string{"kept", "broken", "withdrawn"} {
			p, err := AddPromise(ctx, tx, morning, o.manager, Promise{MachineID: &o.a.Machine, Text: "带件到场", Person: "陈海波", DueAt: morning.Add(time.Hour)})
			if err != nil {
				return err
			}
			if p.State != "open" || *p.CustomerID != o.a.ID || !p.MadeAt.Equal(morning) {
				t.Errorf("made: %+v", p)
			}
			p, err = SettlePromise(ctx, tx, morning, o.manager, p.ID, state, "到场 11:40", "arrived 11:40")
			if err != nil {
				return err
			}
			if p.State != state || p.SettledAt == nil || p.EvidenceEN != "arrived 11:40" {
				t.Errorf("settled: %+v", p)
			}
			_, err = SettlePromise(ctx, tx, morning, o.manager, p.ID, "kept", "", "")
			wantProblem(t, err, problem.Conflict)
		}
		if n := noted(ctx, t, tx, `SELECT count(*) FROM audit WHERE entity = 'promise'`, nil); n != 6 {
			t.Errorf("%d audit entries, want 6", n)
		}
		_, err := AddPromise(ctx, tx, morning, o.manager, Promise{CustomerID: &o.a.ID, DueAt: morning})
		if p := problem.As(err); p == nil || len(p.Fields) != 3 {
			t.Errorf("all faults at once: %v", err)
		}
		_, err = AddPromise(ctx, tx, morning, o.manager, Promise{Text: "x", Person: "y", DueAt: morning.Add(time.Hour)})
		wantProblem(t, err, problem.Invalid)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSettleDuePromises_FindsThemBrokenOnceAndTellsTheManager(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	var late, early Promise
	o.do(t, func(ctx context.Context, tx pgx.Tx) (err error) {
		if late, err = AddPromise(ctx, tx, morning, o.manager, Promise{CustomerID: &o.a.ID, Text: "衡阳站风扇马达常备 2 台", Person: "赵敏", DueAt: morning.Add(time.Hour)}); err != nil {
			return err
		}
		early, err = AddPromise(ctx, tx, morning, o.manager, Promise{CustomerID: &o.a.ID, Text: "别的", Person: "赵敏", DueAt: morning.Add(3 * time.Hour)})
		return err
	})
	for _, want := range []int{1, 0} {
		o.do(t, func(ctx context.Context, tx pgx.Tx) error {
			if n, err := settleDuePromises(ctx, tx, morning.Add(2*time.Hour)); err != nil || n != want {
				t.Errorf("%d broken, want %d: %v", n, want, err)
			}
			return nil
		})
	}
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		list, err := Promises(ctx, tx, "")
		if err != nil || len(list) != 2 || list[0].ID != early.ID || list[1].ID != late.ID || list[1].State != "broken" || list[1].EvidenceEN == "" {
			t.Errorf("promises: %+v %v", list, err)
		}
		return nil
	})
	if told := o.notices(t); len(told) != 1 || !anyNotice(told, "赵敏", "衡阳站风扇马达常备 2 台") {
		t.Errorf("the manager was told: %+v", told)
	}
}

func TestPromises_AreTheirCustomersAlone(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	var other Promise
	o.do(t, func(ctx context.Context, tx pgx.Tx) (err error) {
		for _, p := range []party{o.a, o.b} {
			c := o.aCase(ctx, t, tx, p, Open, "x")
			if other, err = AddPromise(ctx, tx, morning, o.manager, Promise{CaseID: &c.ID, Text: "x", Person: "y", DueAt: morning.Add(time.Hour)}); err != nil {
				return err
			}
		}
		return nil
	})
	err := o.as(t, o.a.who, func(ctx context.Context, tx pgx.Tx) error {
		list, err := Promises(ctx, tx, "open")
		if err != nil || len(list) != 1 || *list[0].CustomerID != o.a.ID {
			t.Errorf("the owner sees %v %v", list, err)
		}
		if list, err = promisesOf(ctx, tx, *other.CaseID); err != nil || len(list) != 0 {
			t.Errorf("of another's case the owner sees %v %v", list, err)
		}
		_, err = SettlePromise(ctx, tx, morning, o.a.who, other.ID, "broken", "", "")
		wantProblem(t, err, problem.NotFound)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
