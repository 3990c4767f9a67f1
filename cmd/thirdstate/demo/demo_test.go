package demo

import (
	"slices"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/internal/problem"
)

func TestFleet_HasAsManyMachinesAsAreAskedFor(t *testing.T) {
	t.Parallel()
	story := len(simulate.DemoFleet(Start))
	for n, want := range map[int]int{0: story, 6: 6, story: story, 80: 80, 300: 300} {
		list := fleetOf(Start, n)
		keys := map[string]bool{}
		for _, m := range list {
			keys[m.Key] = true
		}
		if len(list) != want || len(keys) != want {
			t.Errorf("asked for %d: %d machines with %d keys", n, len(list), len(keys))
		}
	}
	for _, m := range fleetOf(Start, 80)[story:] {
		if len(m.Faults)+len(m.Gaps) > 0 || m.Status != "working" {
			t.Errorf("%s, who is nobody of the story, is not in good health", m.Key)
		}
	}
}

func TestPeople_WorkInTheirHours(t *testing.T) {
	t.Parallel()
	at := func(hour int) time.Time { return time.Date(2026, 5, 20, hour, 10, 0, 0, Zone) }
	for hour, want := range map[int]struct{ day, hour int }{3: {20, 9}, 12: {20, 12}, 17: {20, 17}, 18: {21, 9}, 23: {21, 9}} {
		got := within(at(hour), "a call", 9, 18).In(Zone)
		if got.Day() != want.day || got.Hour() != want.hour {
			t.Errorf("at %d o'clock it became %v", hour, got)
		}
	}
}

func TestSpread_IsTheSameEachTimeAndFillsItsRange(t *testing.T) {
	t.Parallel()
	var seen []time.Duration
	for _, word := range []string{"a", "b", "c", "case 1", "case 2", "case 3", "order 7", "order 8"} {
		d := spread(word, time.Minute, time.Hour)
		if d != spread(word, time.Minute, time.Hour) || d < time.Minute || d >= time.Hour {
			t.Errorf("%s gives %v", word, d)
		}
		seen = append(seen, d)
	}
	if slices.Max(seen)-slices.Min(seen) < 20*time.Minute {
		t.Errorf("the times do not differ: %v", seen)
	}
}

func TestLedger_KeepsWhatItHadWhenATransactionFails(t *testing.T) {
	t.Parallel()
	l := &ledger{Done: map[string]bool{"a": true}, Repairs: []repair{{Machine: "m"}}}
	next := l.with("b", repair{Machine: "n"})
	if len(l.Done) != 1 || len(l.Repairs) != 1 || !next.Done["a"] || !next.Done["b"] || len(next.Repairs) != 2 {
		t.Errorf("before %+v, after %+v", l, next)
	}
}

func TestAdvance_RefusesWhatIsTooFarOrTooEarly(t *testing.T) {
	t.Parallel()
	d := &Demo{jumps: make(chan time.Duration, 1)}
	d.status.Store(&Status{Phase: "history"})
	if err := d.Advance(time.Hour); problem.Of(err) != problem.Conflict {
		t.Errorf("in the history: %v", err)
	}
	d.status.Store(&Status{Phase: "live"})
	for _, by := range []time.Duration{0, -time.Hour, maxJump + 1} {
		if err := d.Advance(by); problem.Of(err) != problem.Invalid {
			t.Errorf("by %v: %v", by, err)
		}
	}
	if err := d.Advance(time.Hour); err != nil {
		t.Errorf("an hour: %v", err)
	}
	if err := d.Advance(time.Hour); problem.Of(err) != problem.Conflict {
		t.Errorf("twice at once: %v", err)
	}
}
