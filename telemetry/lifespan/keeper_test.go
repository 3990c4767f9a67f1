package lifespan

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
)

// Two models by two names of the same machines do not undo each other's work.
func TestKeeper_FollowsAMachineByOneModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	model := learnt(t, nil)
	w.put("BC56", model)
	w.put("Beichen", learnt(t, func(m *prognosis.Model) { m.For, m.Cap = "Beichen BC56", 99 }))
	m, life := w.machine("M1"), worn(7)
	w.says(m, life.Rows[:60], at(0), nil)
	w.round(at(60).Add(settled))
	w.same(m, model, life.Rows[:60])
	if n, err := w.Round(t.Context(), at(60).Add(settled)); n != 0 || err != nil {
		t.Errorf("%d machines are looked at again: %v", n, err)
	}
}

// broken cannot read the history of some machines.
type broken struct {
	history.Store
	fault error
	keys  []string
}

func (b broken) Range(ctx context.Context, q history.Query) ([]history.Series, error) {
	if slices.Contains(b.keys, q.Machine.Key) {
		return nil, b.fault
	}
	return b.Store.Range(ctx, q)
}

// A machine that cannot be looked at is tried again later and holds up no other; a state
// that cannot be read is made anew from the history.
func TestKeeper_OneMachineHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]error{"damaged": errors.New("a block is damaged"), "slow": problem.New(problem.Unavailable, "a query takes too long")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			holdsUpNoOther(t, fault)
		})
	}
}

func holdsUpNoOther(t *testing.T, fault error) {
	w := newWorld(t)
	model := learnt(t, nil)
	w.put("BC56", model)
	bad, good, life := w.machine("A1"), w.machine("B1"), worn(7)
	w.says(bad, life.Rows[:60], at(0), nil)
	w.says(good, life.Rows[:60], at(0), nil)
	whole := w.History
	w.History = broken{whole, fault, []string{bad.Key}}
	if _, err := w.Round(t.Context(), at(60).Add(settled)); err == nil || !strings.Contains(err.Error(), fault.Error()) {
		t.Errorf("%v", err)
	}
	w.same(good, model, life.Rows[:60])
	if w.Failures() != 1 {
		t.Errorf("%d failures", w.Failures())
	}
	if n, err := w.Round(t.Context(), at(60).Add(settled)); n != 0 || err != nil {
		t.Errorf("%d machines are looked at again at once: %v", n, err)
	}
	w.History = whole
	w.do(func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE remaining_life SET state = 'torn' WHERE machine_id = $1`, good.ID)
		return err
	})
	w.says(good, life.Rows[60:90], at(60), nil)
	w.round(at(90).Add(settled))
	w.same(bad, model, life.Rows[:60])
	w.same(good, model, life.Rows[:90])
}

// Where three machines in a row cannot be asked the round ends, and the next begins with others.
func TestKeeper_AsksOthersWhereSomeAreSilent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	model := learnt(t, nil)
	w.put("BC56", model)
	life := worn(7)
	var bad []string
	for _, serial := range []string{"A1", "A2", "A3"} {
		m := w.machine(serial)
		w.says(m, life.Rows[:60], at(0), nil)
		bad = append(bad, m.Key)
	}
	good := w.machine("B1")
	w.says(good, life.Rows[:60], at(0), nil)
	w.History = broken{w.History, problem.New(problem.Unavailable, "no answer"), bad}
	if n, err := w.Round(t.Context(), at(60).Add(settled)); n != mostAway || err == nil || len(w.said(good)) != 0 {
		t.Errorf("%d machines, %v, %+v", n, err, w.said(good))
	}
	w.round(at(60).Add(settled))
	w.same(good, model, life.Rows[:60])
}

func TestPause_HasABound(t *testing.T) {
	t.Parallel()
	for _, speed := range []float64{0, 1, 60, 1e6} {
		for n, err := range map[int]error{0: nil, atOnce: nil, 3: errors.New("away")} {
			if d := pause(n, err, speed); d < breath || d > time.Minute {
				t.Errorf("%v after %d machines at %g times the speed", d, n, speed)
			}
		}
	}
}
