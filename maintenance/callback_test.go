package maintenance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// afterCall says in which state a case is after a call, "" where it is refused.
func afterCall(kind, outcome string, from CaseState) CaseState {
	switch kind + " " + outcome {
	case "inform informed", "inform deferred", "inform unreachable":
		switch from {
		case Open, Triaged:
			return map[string]CaseState{"informed": Informed, "deferred": Deferred, "unreachable": from}[outcome]
		case Informed, Planned:
			return map[string]CaseState{"informed": from, "deferred": Deferred, "unreachable": from}[outcome]
		case InWork, RemoteGuidance, Deferred, Waiting:
			if outcome != "deferred" {
				return from
			}
		}
	case "satisfaction satisfied":
		return map[CaseState]CaseState{AwaitingCallback: Closed}[from]
	case "satisfaction so_so", "satisfaction dissatisfied":
		return map[CaseState]CaseState{AwaitingCallback: InWork}[from]
	case "satisfaction deferred", "satisfaction unreachable":
		return map[CaseState]CaseState{AwaitingCallback: AwaitingCallback}[from]
	}
	if kind == "courtesy" && outcome != "" && !from.Ended() && from != Open && from != Triaged {
		return from // never moves a case
	}
	return ""
}

// TestAttempt_OfEachKindOutcomeAndState goes through all calls that can be thought of.
func TestAttempt_OfEachKindOutcomeAndState(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, kind := range []string{"inform", "courtesy", "satisfaction"} {
		for _, outcome := range []string{"informed", "satisfied", "so_so", "dissatisfied", "unreachable", "deferred", ""} {
			for _, from := range CaseStates {
				o.tryCall(t, kind, outcome, from)
			}
		}
	}
}

// tryCall makes one attempt and undoes it.
func (o *office) tryCall(t *testing.T, kind, outcome string, from CaseState) {
	t.Helper()
	name := fmt.Sprintf("%s %s in %s", kind, outcome, from)
	want := afterCall(kind, outcome, from)
	err := o.as(t, o.agent, func(ctx context.Context, tx pgx.Tx) error {
		c := o.aCase(ctx, t, tx, o.a, from, "fouled_cooler")
		call := o.aCall(ctx, t, tx, c, kind)
		audits := noted(ctx, t, tx, `SELECT count(*) FROM audit`, nil)
		_, after, err := Attempt(ctx, tx, morning, o.agent, call.ID, CallbackResult{Outcome: outcome})
		switch {
		case want == "" && err == nil:
			t.Errorf("%s: allowed, the case is %s", name, after.State)
		case want == "":
			if k := problem.Of(err); k != problem.Conflict && k != problem.Invalid {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case after.State != want:
			t.Errorf("%s: the case is %s, want %s", name, after.State, want)
		case noted(ctx, t, tx, `SELECT count(*) FROM callback_attempt WHERE callback_id = @id AND outcome = @outcome`, pgx.NamedArgs{"id": call.ID, "outcome": outcome}) != 1:
			t.Errorf("%s: the attempt is not on record", name)
		}
		if err == nil && noted(ctx, t, tx, `SELECT count(*) FROM audit`, nil) == audits {
			t.Errorf("%s: nothing in the audit log", name)
		}
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestAttempt_SatisfiedClosesTheCaseAndItsFindingWasTrue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ before, after string }{{"", "true"}, {"unclear", "unclear"}, {"false_alarm", "false_alarm"}} {
		o := newOffice(t)
		matter, call := o.calling(t, o.a, AwaitingCallback, "satisfaction")
		o.do(t, func(ctx context.Context, tx pgx.Tx) error {
			o.aFinding(ctx, t, tx, machines.Finding{MachineID: o.a.Machine, Rule: "oil", FailureMode: "fouled_cooler", Severity: "warning", Source: "rule", OpenedAt: morning, CaseID: &matter.ID})
			o.run(ctx, t, tx, `UPDATE service_case SET verdict = @v WHERE id = @id`, pgx.NamedArgs{"v": c.before, "id": matter.ID})
			o.aCall(ctx, t, tx, matter, "courtesy")
			return nil
		})
		err := o.as(t, o.agent, func(ctx context.Context, tx pgx.Tx) error {
			k, after, err := Attempt(ctx, tx, morning, o.agent, call.ID, CallbackResult{Outcome: "satisfied", Note: "修好了", Version: call.Version})
			if err != nil {
				return err
			}
			if after.State != Closed || after.Verdict != c.after || after.SatisfiedAt == nil || after.ClosedAt == nil {
				t.Errorf("the case: %+v", after)
			}
			if k.State != "done" || k.DoneBy != "王倩" || k.DoneAt == nil || k.Version != call.Version+1 {
				t.Errorf("the call: %+v", k)
			}
			if n := noted(ctx, t, tx, `SELECT count(*) FROM callback WHERE state = 'due'`, nil); n != 0 {
				t.Errorf("%d calls are still due", n)
			}
			if n := noted(ctx, t, tx, `SELECT count(*) FROM lifecycle_event WHERE kind = 'callback' AND text LIKE '满意度回访：满意%' AND text_en LIKE 'Satisfaction call: satisfied%'`, nil); n != 1 {
				t.Errorf("%d lines in the machine's file", n)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAttempt_SoSoIsNotSatisfied(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, call := o.calling(t, o.a, AwaitingCallback, "satisfaction")
	err := o.as(t, o.agent, func(ctx context.Context, tx pgx.Tx) error {
		_, c, err := Attempt(ctx, tx, morning, o.agent, call.ID, CallbackResult{Outcome: "so_so", Note: "就是跑了两趟"})
		if err != nil {
			return err
		}
		if c.State != InWork || c.Assignee != "赵敏" || c.Comebacks != 1 {
			t.Errorf("back to work with a new owner: %+v", c)
		}
		if list, err := Complaints(ctx, tx, ""); err != nil || len(list) != 0 {
			t.Errorf("so-so is no complaint: %v %v", list, err)
		}
		told, err := noticesOf(ctx, tx, c.ID)
		if err != nil || !anyNotice(told, "赵敏", "一般") {
			t.Errorf("the manager was not told: %v %v", told, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func anyNotice(list []Notice, recipient, part string) bool {
	for _, n := range list {
		if n.Recipient == recipient && strings.Contains(n.Text, part) {
			return true
		}
	}
	return false
}

func TestAttempt_DissatisfiedIsAComplaint(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, call := o.calling(t, o.a, AwaitingCallback, "satisfaction")
	err := o.as(t, o.agent, func(ctx context.Context, tx pgx.Tx) error {
		_, c, err := Attempt(ctx, tx, morning, o.agent, call.ID, CallbackResult{Outcome: "dissatisfied", Note: "同一个毛病别让我跑两趟"})
		if err != nil {
			return err
		}
		list, err := complaintsOf(ctx, tx, c.ID)
		if err != nil || len(list) != 1 {
			t.Fatalf("complaints: %v %v", list, err)
		}
		if got := list[0]; got.Text != "同一个毛病别让我跑两趟" || got.RaisedBy != "刘建国" || *got.CustomerID != o.a.ID || !got.PromiseDueAt.Equal(morning.Add(48*time.Hour)) {
			t.Errorf("the complaint: %+v", got)
		}
		if c.State != InWork || c.Assignee != "赵敏" {
			t.Errorf("the case: %+v", c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAttempt_UnreachableIsTriedFiveTimesAndThenTheManagerDecides(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, call := o.calling(t, o.a, AwaitingCallback, "satisfaction")
	hunan := func(day, hour, minute int) time.Time { return time.Date(2026, 6, day, hour, minute, 0, 0, zone) }
	now := hunan(4, 9, 30)
	for i, due := range []time.Time{hunan(4, 11, 30), hunan(5, 9, 0), hunan(5, 11, 0), hunan(6, 9, 0)} {
		o.do(t, func(ctx context.Context, tx pgx.Tx) error {
			k, c, err := Attempt(ctx, tx, now, o.agent, call.ID, CallbackResult{Outcome: "unreachable"})
			if err != nil {
				return err
			}
			if k.State != "due" || k.Attempts != i+1 || !k.DueAt.Equal(due) || c.State != AwaitingCallback {
				t.Errorf("attempt %d: %+v, want due %v", i+1, k, due)
			}
			return nil
		})
		now = due
	}
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		k, c, err := Attempt(ctx, tx, now, o.agent, call.ID, CallbackResult{Outcome: "unreachable"})
		if err != nil {
			return err
		}
		if k.State != "unreachable" || c.State != AwaitingCallback {
			t.Errorf("the last attempt: %+v", k)
		}
		told, err := noticesOf(ctx, tx, c.ID)
		if err != nil || !anyNotice(told, "赵敏", "5 次电话") {
			t.Errorf("the manager was not told: %v %v", told, err)
		}
		for _, outcome := range []string{"unreachable", "deferred"} {
			_, _, err = Attempt(ctx, tx, now, o.agent, call.ID, CallbackResult{Outcome: outcome})
			wantProblem(t, err, problem.Conflict)
		}
		if _, c, err = Attempt(ctx, tx, now, o.agent, call.ID, CallbackResult{Outcome: "satisfied"}); err != nil || c.State != Closed {
			t.Errorf("he rings up and is satisfied: %s %v", c.State, err)
		}
		return nil
	})
}

func TestAttempt_OfTwoAgentsAtOnceOneCounts(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, call := o.calling(t, o.a, AwaitingCallback, "satisfaction")
	went := make(chan error, 2)
	for _, outcome := range []string{"satisfied", "dissatisfied"} {
		go func() {
			went <- o.as(t, o.agent, func(ctx context.Context, tx pgx.Tx) error {
				_, _, err := Attempt(ctx, tx, morning, o.agent, call.ID, CallbackResult{Outcome: outcome, Version: call.Version})
				return err
			})
		}()
	}
	first, second := <-went, <-went
	if (first == nil) == (second == nil) {
		t.Fatalf("%v, %v: want one to count", first, second)
	}
	wantProblem(t, errors.Join(first, second), problem.PreconditionFailed)
}

func TestDueCallback_OfManyAtOnceOneIsMade(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c, _ := o.calling(t, o.a, Verifying, "courtesy")
	went := make(chan error, 20)
	for range cap(went) {
		go func() {
			went <- o.as(t, o.agent, func(ctx context.Context, tx pgx.Tx) error {
				return dueCallback(ctx, tx, morning, c, "satisfaction", morning)
			})
		}()
	}
	for range cap(went) {
		if err := <-went; err != nil {
			t.Error(err)
		}
	}
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		if n := noted(ctx, t, tx, `SELECT count(*) FROM callback WHERE kind = 'satisfaction'`, nil); n != 1 {
			t.Errorf("%d calls", n)
		}
		return nil
	})
}

func TestNextCall_KeepsToTheHoursOfTheDay(t *testing.T) {
	t.Parallel()
	at := func(day, hour int) time.Time { return time.Date(2026, 6, day, hour, 0, 0, 0, zone) }
	for _, c := range []struct {
		now      time.Time
		attempts int
		want     time.Time
	}{
		{at(4, 10), 1, at(4, 12)}, {at(4, 17), 3, at(4, 19)}, {at(4, 19), 1, at(5, 9)}, {at(4, 23), 1, at(5, 9)},
		{at(4, 3), 1, at(4, 9)}, {at(4, 10), 2, at(5, 9)}, {at(30, 22), 4, at(31, 9)},
	} {
		if got := nextCall(c.now, c.attempts); !got.Equal(c.want) {
			t.Errorf("attempt %d at %v: next %v, want %v", c.attempts, c.now, got.In(zone), c.want)
		}
	}
}

func TestAttempt_AnOwnerPutsTheMatterOffByNameAndKnowsTheRisk(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, call := o.calling(t, o.a, Open, "inform")
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		_, c, err := Attempt(ctx, tx, morning, o.agent, call.ID, CallbackResult{Outcome: "deferred", Note: "先不处理"})
		if err != nil {
			return err
		}
		if c.State != Deferred || c.DeferredBy != "刘建国" || !strings.Contains(c.Risk, "液压油温偏高") || !c.DeferredUntil.Equal(morning.Add(72*time.Hour)) || c.InformedAt == nil {
			t.Errorf("the case: %+v", c)
		}
		return nil
	})
}

func TestAttempt_RefusesAStaleVersionAndASecondTime(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, call := o.calling(t, o.a, Open, "inform")
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		_, _, err := Attempt(ctx, tx, morning, o.agent, call.ID, CallbackResult{Outcome: "informed", Version: call.Version + 1})
		wantProblem(t, err, problem.PreconditionFailed)
		if _, _, err := Attempt(ctx, tx, morning, o.agent, call.ID, CallbackResult{Outcome: "informed", Version: call.Version}); err != nil {
			return err
		}
		_, _, err = Attempt(ctx, tx, morning, o.agent, call.ID, CallbackResult{Outcome: "informed"})
		wantProblem(t, err, problem.Conflict)
		return nil
	})
}

func TestCallbacks_AreTheirCustomersAlone(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, mine := o.calling(t, o.a, AwaitingCallback, "satisfaction")
	_, other := o.calling(t, o.b, AwaitingCallback, "satisfaction")
	err := o.as(t, o.a.who, func(ctx context.Context, tx pgx.Tx) error {
		list, err := Callbacks(ctx, tx, morning, CallbackFilter{})
		if err != nil || len(list) != 1 || list[0].ID != mine.ID {
			t.Errorf("the owner sees %v %v", list, err)
		}
		_, err = GetCallback(ctx, tx, other.ID)
		wantProblem(t, err, problem.NotFound)
		_, _, err = Attempt(ctx, tx, morning, o.a.who, other.ID, CallbackResult{Outcome: "satisfied"})
		wantProblem(t, err, problem.NotFound)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCallbacks_DueOnesComeFirst(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		c := o.aCase(ctx, t, tx, o.a, AwaitingCallback, "fouled_cooler")
		for kind, at := range map[string]time.Time{"courtesy": morning.Add(time.Hour), "satisfaction": morning.Add(-time.Hour)} {
			for range 2 { // the second one is the same call
				if err := dueCallback(ctx, tx, morning, c, kind, at); err != nil {
					return err
				}
			}
		}
		due, err := Callbacks(ctx, tx, morning, CallbackFilter{Due: true})
		if err != nil || len(due) != 1 || due[0].Kind != "satisfaction" || due[0].ContactName != "刘建国" {
			t.Errorf("due: %+v %v", due, err)
		}
		all, err := Callbacks(ctx, tx, morning, CallbackFilter{CaseID: &c.ID, State: "due"})
		if err != nil || len(all) != 2 || all[0].Kind != "satisfaction" || all[0].Script.ZH == "" {
			t.Errorf("all: %+v %v", all, err)
		}
		if err := cancelCallbacks(ctx, tx, morning, "test", c.ID, "courtesy"); err != nil {
			return err
		}
		if all, err = Callbacks(ctx, tx, morning, CallbackFilter{State: "due"}); err != nil || len(all) != 1 {
			t.Errorf("after the cancelling: %+v %v", all, err)
		}
		if err := cancelCallbacks(ctx, tx, morning, "test", c.ID); err != nil {
			return err
		}
		if n := noted(ctx, t, tx, `SELECT count(*) FROM audit WHERE entity = 'callback' AND action = 'cancelled' AND actor = 'test'`, nil); n != 2 {
			t.Errorf("%d cancellings in the audit log, want 2", n)
		}
		return nil
	})
}
