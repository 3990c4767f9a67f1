package maintenance

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// branches puts a branch with the engineer's station below the organisation, to which
// machines without an engineer in charge belong.
func (s *shop) branches(t *testing.T) (branch, organisation uuid.UUID) {
	t.Helper()
	branch, organisation = postgres.NewID(), postgres.NewID()
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		args := pgx.NamedArgs{"root": organisation, "branch": branch, "station": postgres.NewID(), "haibo": s.engineer, "qiang": s.qiang}
		for _, sql := range []string{
			`INSERT INTO org_unit (id, kind, name, name_en) VALUES (@root, 'organisation', '北辰', 'Beichen')`,
			`INSERT INTO org_unit (id, parent_id, kind, name, name_en) VALUES (@branch, @root, 'branch', '湖南分公司', 'Hunan branch')`,
			`INSERT INTO org_unit (id, parent_id, kind, name) VALUES (@station, @branch, 'station', '衡阳服务站')`,
			`UPDATE technician SET station_id = @station WHERE id IN (@haibo, @qiang)`,
		} {
			s.run(ctx, t, tx, sql, args)
		}
		return nil
	})
	return branch, organisation
}

// flag opens one finding, and gives the case that has come of it.
func (s *shop) flag(t *testing.T, machine uuid.UUID, at time.Time, mode string, severity machines.Severity) CaseRow {
	t.Helper()
	return s.news(t, machines.FindingOpened, machine, at, at, mode, severity)
}

// news is a change of the finding of a mode that was opened at an instant.
func (s *shop) news(t *testing.T, kind machines.Change, machine uuid.UUID, opened, at time.Time, mode string, severity machines.Severity) CaseRow {
	t.Helper()
	change := hotOil(machine, opened)
	change.Change, change.Stage, change.Finding.UpdatedAt = kind, machines.Dispatch, at
	change.Finding.Rule, change.Finding.FailureMode, change.Finding.Severity = "rule of "+mode, mode, severity
	if kind == machines.FindingClosed {
		change.Finding.ClosedAt, change.Finding.CloseReason = &at, "cleared"
	}
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		return Accept(ctx, tx, at, []machines.FindingChange{change})
	})
	return s.ofMode(t, machine, mode)
}

func (s *shop) ofMode(t *testing.T, machine uuid.UUID, mode string) (c CaseRow) {
	t.Helper()
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		page, err := Cases(ctx, tx, CaseFilter{MachineID: &machine})
		for _, row := range page.Items {
			if row.FailureMode == mode {
				c = row
			}
		}
		return err
	})
	return c
}

func (s *shop) budget(t *testing.T, unit uuid.UUID, at time.Time) (b AlertBudget) {
	t.Helper()
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		list, err := AlertBudgets(ctx, tx, at)
		for _, x := range list {
			if x.ID == unit {
				b = x
			}
		}
		return err
	})
	return b
}

func (s *shop) due(t *testing.T, at time.Time) {
	t.Helper()
	s.do(t, func(ctx context.Context, tx pgx.Tx) error { _, err := RunDue(ctx, tx, at); return err })
}

// First 4: flags stay below what the branch's engineers can take up; what is more waits
// for somebody or for room, and an alarm never does.
func TestAlertBudget_KeepsFlagsBelowWhatTheBranchCanTakeUp(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	if c := s.flag(t, s.a.Machine, morning, "before there were branches", machines.Advice); c.Advised {
		t.Errorf("no branch is known, and it waits: %+v", c)
	}
	branch, organisation := s.branches(t)
	if b := s.budget(t, branch, morning); b.Engineers != 2 || b.PerWeek == nil || *b.PerWeek != 2*alertsPerEngineer || b.Used != 1 {
		t.Errorf("as it comes: %+v", b)
	}
	if b := s.budget(t, organisation, morning); b.Engineers != 0 || b.PerWeek != nil {
		t.Errorf("the organisation has no engineers of its own: %+v", b)
	}
	three := 3
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		b, err := SetAlertBudget(ctx, tx, morning, s.manager, branch, &three)
		if err == nil && (b.PerWeek == nil || *b.PerWeek != 3 || *b.Stated != 3) {
			t.Errorf("set: %+v", b)
		}
		return err
	})
	at := func(hours int) time.Time { return morning.Add(time.Duration(hours) * time.Hour) }
	for n := 1; n <= 6; n++ {
		c := s.flag(t, s.a.Machine, at(n), fmt.Sprint("mode ", n), machines.Warning)
		if held := n > 2; c.OverBudget != held || c.Advised != held || (c.InformDueAt == nil) != held {
			t.Errorf("flag %d: %+v", n, c)
		}
		if b := s.budget(t, branch, at(n)); b.Used != min(n+1, 3) || b.Held != max(n-2, 0) {
			t.Errorf("after flag %d: %+v", n, b)
		}
	}
	if c := s.flag(t, s.b.Machine, at(7), "elsewhere", machines.Warning); c.Advised {
		t.Errorf("a machine of no branch waits: %+v", c)
	}
	if c := s.flag(t, s.a.Machine, at(7), "on fire", machines.Alarm); c.Advised {
		t.Errorf("an alarm waits: %+v", c)
	}
	told := 0
	s.do(t, func(ctx context.Context, tx pgx.Tx) (err error) {
		told, err = postgres.Value[int](ctx, tx, `SELECT count(*) FROM notice WHERE text LIKE '%额度已满%'`, nil)
		return err
	})
	if told != 1 {
		t.Errorf("the manager was told %d times of a branch in a day, want once", told)
	}
	third := s.news(t, machines.FindingUpdated, s.a.Machine, at(3), at(8), "mode 3", machines.Alarm) // it grew worse
	if third.Advised || third.OverBudget || third.InformDueAt == nil {
		t.Errorf("what has become an alarm waits: %+v", third)
	}
	s.due(t, at(9))
	if b := s.budget(t, branch, at(9)); b.Used != 5 || b.Held != 3 {
		t.Errorf("there is no room, and it was taken up: %+v", b)
	}
	s.do(t, func(ctx context.Context, tx pgx.Tx) error { // somebody decides
		_, err := MoveCase(ctx, tx, at(10), s.manager, s.ofMode(t, s.a.Machine, "mode 4").ID, CaseMove{To: Triaged})
		return err
	})
	if b := s.budget(t, branch, at(10)); b.Used != 6 || b.Held != 2 {
		t.Errorf("what a person takes up counts: %+v", b)
	}
	s.news(t, machines.FindingClosed, s.a.Machine, at(5), at(12), "mode 5", machines.Warning)
	week := morning.Add(budgetWeek)
	s.due(t, week.Add(90*time.Minute))
	if c := s.ofMode(t, s.a.Machine, "mode 6"); !c.OverBudget {
		t.Errorf("four are younger than a week, and it is taken up: %+v", c.Case)
	}
	s.due(t, week.Add(9*time.Hour))
	if c := s.ofMode(t, s.a.Machine, "mode 6"); c.Advised || c.OverBudget || c.InformDueAt == nil {
		t.Errorf("there is room, and it waits: %+v", c.Case)
	}
	if c := s.ofMode(t, s.a.Machine, "mode 5"); !c.OverBudget {
		t.Errorf("what is not there any more is taken up: %+v", c.Case)
	}
}

// What a rule on trial has found waits for somebody; when a proven rule says the same and
// there is no room it waits for room.
func TestAlertBudget_AProvenRuleBringsATrialCaseIntoTheQueue(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	branch, _ := s.branches(t)
	set := func(n int) {
		s.do(t, func(ctx context.Context, tx pgx.Tx) error {
			_, err := SetAlertBudget(ctx, tx, morning, s.manager, branch, &n)
			return err
		})
	}
	set(0)
	trial := hotOil(s.a.Machine, morning)
	trial.Stage, trial.Finding.Rule, trial.Finding.FailureMode = machines.Advise, "on trial", "worn_seal"
	s.do(t, func(ctx context.Context, tx pgx.Tx) error {
		return Accept(ctx, tx, morning, []machines.FindingChange{trial})
	})
	hour := morning.Add(time.Hour)
	if c := s.flag(t, s.a.Machine, hour, "worn_seal", machines.Warning); !c.Advised || !c.OverBudget {
		t.Errorf("without room: %+v", c.Case)
	}
	if b := s.budget(t, branch, hour); b.Held != 1 {
		t.Errorf("it is not in the queue: %+v", b)
	}
	set(5)
	s.due(t, hour)
	if c := s.ofMode(t, s.a.Machine, "worn_seal"); c.Advised || c.OverBudget || c.InformDueAt == nil {
		t.Errorf("with room: %+v", c.Case)
	}
}

func TestAlertBudget_RefusesWhatIsNoBudget(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	branch, _ := s.branches(t)
	tooMany, negative := mostAlerts+1, -1
	for name, try := range map[string]struct {
		unit uuid.UUID
		n    *int
		want problem.Kind
	}{"too many": {branch, &tooMany, problem.Invalid}, "negative": {branch, &negative, problem.Invalid}, "no branch": {s.qiang, nil, problem.NotFound}} {
		s.do(t, func(ctx context.Context, tx pgx.Tx) error {
			if _, err := SetAlertBudget(ctx, tx, morning, s.manager, try.unit, try.n); problem.Of(err) != try.want {
				t.Errorf("%s: %v", name, err)
			}
			return nil
		})
	}
}
