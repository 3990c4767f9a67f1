package maintenance

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

// aCourse draws a history that the table of moves allows, with visits anywhere in it.
func aCourse(t *rapid.T) course {
	onset := morning.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "part of a second")))
	pause := func(name string) time.Duration {
		return time.Duration(rapid.Int64Range(0, int64(40*time.Hour)).Draw(t, name))
	}
	c := course{onset: onset, opened: onset.Add(pause("detect"))}
	at, state := c.opened, Case{State: Open}
	for range rapid.IntRange(0, 25).Draw(t, "moves") {
		next := slices.DeleteFunc(slices.Clone(CaseStates), func(to CaseState) bool { return stepOf(state, to) == nil })
		if len(next) == 0 || state.State == Satisfied {
			break
		}
		to := rapid.SampledFrom(next).Draw(t, "to")
		if to == Waiting {
			state.PreviousState = state.State
		}
		at, state.State = at.Add(pause("pause")), to
		c.moves = append(c.moves, step{at, to, rapid.SampledFrom([]string{"parts", "customer", ""}).Draw(t, "note")})
	}
	c.end = at.Add(pause("to the end"))
	for range rapid.IntRange(0, 3).Draw(t, "visits") {
		v := visit{enRoute: c.opened.Add(pause("set off"))}
		if rapid.Bool().Draw(t, "arrived") {
			v.onSite = v.enRoute.Add(pause("travel"))
			v.waited = time.Duration(rapid.IntRange(0, 600).Draw(t, "waited")) * time.Minute
			if rapid.Bool().Draw(t, "ended") {
				v.end = v.onSite.Add(pause("work"))
			}
		}
		c.visits = append(c.visits, v)
	}
	return c
}

func TestWaits_EverySecondHasOneNameAndTheyAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := aCourse(t)
		got := caseWaits(CaseRef{}, c)
		seconds := func(hours float64) int64 { return int64(math.Round(hours * 3600)) }
		var sum int64
		for i, w := range got.Waits {
			if w.Name != WaitNames[i] || w.Hours < 0 || math.Abs(w.Hours*3600-math.Round(w.Hours*3600)) > 1e-6 {
				t.Fatalf("wait %d: %+v", i, w)
			}
			sum += seconds(w.Hours)
		}
		loops := int64(0)
		for _, l := range got.Loops {
			loops += seconds(l.Hours)
			for _, w := range l.Waits {
				sum -= seconds(w.Hours)
			}
		}
		if sum != 0 || loops != seconds(got.TotalHours) {
			t.Fatalf("the loops lack %d s of the waits and have %d s of %d", sum, loops, seconds(got.TotalHours))
		}
		sum = loops
		want := c.end.Truncate(time.Second).Sub(c.onset.Truncate(time.Second))
		if sum != int64(want.Seconds()) || seconds(got.TotalHours) != sum {
			t.Fatalf("the waits add up to %d s, the total is %d s, the case took %v", sum, seconds(got.TotalHours), want)
		}
	})
}

func TestWaits_SayWhereTheHoursWent(t *testing.T) {
	t.Parallel()
	at := func(hours float64) time.Time { return morning.Add(time.Duration(hours * float64(time.Hour))) }
	c := course{onset: at(0), opened: at(2), end: at(60),
		moves: []step{{at(3), Triaged, ""}, {at(4), Informed, ""}, {at(5), Deferred, ""}, {at(9), Informed, ""}, {at(10), Planned, ""}, {at(12), Waiting, "parts"}, {at(20), Planned, ""},
			{at(24), InWork, ""}, {at(27), Verifying, ""}, {at(30), InWork, ""}, {at(38), Verifying, ""}, {at(48), AwaitingCallback, ""}, {at(59), Satisfied, ""}, {at(60), Closed, ""}},
		visits: []visit{{at(22), at(24), at(27), 30 * time.Minute}, {at(34), at(35), at(38), 0}}}
	want := map[string]float64{"detect": 2, "triage": 2, "customer": 6, "engineer": 2 + 2 + 4, "parts": 8, "travel": 3, "machine": 0.5, "wrench": 5.5, "verify": 13, "callback": 12}
	if loops := caseWaits(CaseRef{}, c).Loops; len(loops) != 2 || loops[0].Hours != 30 || loops[1].Hours != 30 {
		t.Errorf("a case with one come-back has the loops %+v", loops)
	}
	for _, w := range caseWaits(CaseRef{}, c).Waits {
		if w.Hours != want[w.Name] {
			t.Errorf("%s: %v h, want %v", w.Name, w.Hours, want[w.Name])
		}
	}
}

func TestQuantile_Interpolates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of   []float64
		q    float64
		want float64
	}{{nil, 0.5, 0}, {[]float64{7}, 0.9, 7}, {[]float64{1, 2, 3, 4}, 0.5, 2.5}, {[]float64{0, 10}, 0.9, 9}} {
		if got := quantile(c.of, c.q); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("quantile %v of %v: %v, want %v", c.q, c.of, got, c.want)
		}
	}
}

func TestFaultToFix_ReadsTheCasesClosedInThePeriod(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	at := func(minutes int) time.Time { return morning.Add(time.Duration(minutes) * time.Minute) }
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		for i, mode := range []string{"a", "b", "still open"} {
			c := o.aCase(ctx, t, tx, o.a, Open, mode)
			o.run(ctx, t, tx, `UPDATE service_case SET opened_at = @opened, onset_at = @onset WHERE id = @id`, pgx.NamedArgs{"id": c.ID, "onset": at(0), "opened": at(30)})
			for k, to := range []CaseState{Triaged, Informed, Planned, InWork, Verifying, AwaitingCallback, Satisfied} {
				o.run(ctx, t, tx, `INSERT INTO case_move (id, case_id, customer_id, at, from_state, to_state, actor) VALUES (@id, @case, @customer, @at, 'x', @to, 'test')`,
					pgx.NamedArgs{"id": postgres.NewID(), "case": c.ID, "customer": o.a.ID, "at": at(60 * (k + 1)), "to": to})
			}
			o.run(ctx, t, tx, `INSERT INTO work_order (id, case_id, machine_id, customer_id, kind, title, state, created_at, en_route_at, on_site_at, completed_at, state_at, waited_minutes)
				VALUES (@id, @case, @machine, @customer, 'repair', 'x', 'completed', @at, @out, @there, @done, @done, 15)`, pgx.NamedArgs{"id": postgres.NewID(), "case": c.ID,
				"machine": o.a.Machine, "customer": o.a.ID, "at": at(0), "out": at(210), "there": at(240), "done": at(300)})
			if mode != "still open" {
				o.run(ctx, t, tx, `UPDATE service_case SET state = 'closed', closed_at = @at WHERE id = @id`, pgx.NamedArgs{"id": c.ID, "at": at(480 + 60*i)})
			}
		}
		r, err := FaultToFix(ctx, tx, morning, at(600))
		if err != nil {
			return err
		}
		if len(r.Cases) != 2 || r.Cases[0].TotalHours != 9 || r.Cases[1].TotalHours != 8 {
			t.Fatalf("cases: %+v", r.Cases)
		}
		want := map[string]float64{"detect": 0.5, "triage": 1.5, "customer": 1, "engineer": 0.5, "travel": 0.5, "machine": 0.25, "wrench": 0.75, "verify": 1, "callback": 2}
		for _, w := range r.Cases[1].Waits {
			if w.Hours != want[w.Name] {
				t.Errorf("%s: %v h, want %v", w.Name, w.Hours, want[w.Name])
			}
		}
		if last := r.Waits[len(r.Waits)-1]; last.Name != "callback" || last.P50 != 2.5 || math.Abs(last.P90-2.9) > 1e-9 {
			t.Errorf("statistic: %+v", last)
		}
		none, err := FaultToFix(ctx, tx, at(600), at(900))
		if err != nil || len(none.Cases) != 0 || len(none.Waits) != len(WaitNames) {
			t.Errorf("an empty period: %+v %v", none, err)
		}
		return nil
	})
}
