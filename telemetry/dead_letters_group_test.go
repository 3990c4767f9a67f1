package telemetry

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// storing runs the history until the test ends.
func (w *works) storing(t *testing.T, broken string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		failed <- RunHistory(ctx, HistoryConfig{Stage: NewStageOf(w.log, w.pool, quiet(), brokenOn(broken)), Pool: w.pool, History: w.history, LogID: w.log.ID(),
			First: 1, Clock: w.clock, Log: quiet(), Released: func(intakelog.LSN) {}})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-failed; err != nil {
			t.Error(err)
		}
	})
}

func TestReplayGroup_SettlesAGroupOnceAndSaysWhatFailedAgain(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addMachine(t, w.pool, "PM1")
	w.clock.Advance(time.Hour)
	for i := range 600 {
		word := "poison"
		if i%3 == 0 {
			word = "curse" // of which a decoder is not mended
		}
		w.append(t, intakelog.Record{Kind: intakelog.Message, Source: "embedded", Topic: "fleet/PM1/telemetry",
			Payload: []byte(telemetry(start.Add(time.Duration(i)*time.Second), "b", i, fmt.Sprintf(`%q:1,"nan":NaN,"more":NaN`, word)))})
	}
	w.send(t, "", "fleet/PM1/telemetry", `{"values":{"curse":`) // another group
	w.run(t, historyRun{broken: "e"})
	before := value[int64](t, w.pool, `SELECT count(*) FROM dead_letter`)
	want(t, before, int64(601))
	g := LetterGroup{Source: "embedded", Reason: formats.Crashed}
	w.storing(t, "curse")
	out, err := ReplayGroup(program(t.Context()), w.pool, w.log, w.clock, manager(), g)
	if err != nil {
		t.Fatal(err)
	}
	want(t, out, GroupReplay{Replayed: 601, Settled: 601, Failed: 601}) // 400 in part: not a number
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM dead_letter WHERE state = 'open' AND source = 'replay' AND reason = 'E_PANIC'`), int64(201))
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM dead_letter WHERE state = 'open' AND source = 'replay' AND reason = 'E_NUM_RANGE'`), int64(800))
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM audit WHERE entity = 'dead_letter_group' AND action = 'replayed' AND actor = 'Chen'`), int64(3))
	want(t, value[int64](t, w.pool, `SELECT sum((after->>'messages')::int) FROM audit WHERE entity = 'dead_letter_group'`), int64(601))

	again, err := ReplayGroup(program(t.Context()), w.pool, w.log, w.clock, manager(), g)
	if err != nil {
		t.Fatal(err)
	}
	want(t, again, GroupReplay{}) // nothing is left of it
	parts, err := ReplayGroup(program(t.Context()), w.pool, w.log, w.clock, manager(), LetterGroup{Source: "replay", Decoder: "own-json", Reason: formats.NumberRange})
	if err != nil {
		t.Fatal(err)
	}
	want(t, parts, GroupReplay{Replayed: 400, Settled: 800, Failed: 400}) // two letters a message
	want(t, w.account(t, w.log.ID()).Stored, int64(800))
}

func TestReplayGroup_LeavesWhatCannotBeReplayedAndWhatSomebodyElseSettles(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	letters := refuse("PM1", start, 1, 10)
	for i := range letters {
		letters[i].Payload, letters[i].PayloadBytes = []byte(`{"a":1}`), 7
	}
	letters[3].PayloadBytes = 300_000 // and its record is not in this log
	do(t, w.pool, func(tx pgx.Tx) error {
		_, err := bury(t.Context(), tx, w.log.ID(), letters, defaultQuota())
		return err
	})
	g := LetterGroup{Source: letters[0].Source, Decoder: letters[0].Decoder, Reason: letters[0].Reason}
	held, release := make(chan struct{}), make(chan struct{})
	var other sync.WaitGroup
	other.Go(func() {
		err := postgres.As(t.Context(), w.pool, manager(), func(tx pgx.Tx) error {
			_, err := openLetter(t.Context(), tx, 7)
			close(held)
			<-release
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-held
	c, err := newLetterCall(t.Context(), w.pool, w.clock, manager(), g)
	if err != nil {
		t.Fatal(err)
	}
	c.until = time.Now() // no time at all
	want(t, c.each(t.Context(), nil, nil), error(nil))
	left, err := value1[int64](t.Context(), c, leftOfGroupSQL)
	want(t, []any{left, err}, []any{int64(10), error(nil)})
	out, err := ReplayGroup(t.Context(), w.pool, w.log, w.clock, manager(), g)
	if err != nil {
		t.Fatal(err)
	}
	want(t, out, GroupReplay{Replayed: 8, Settled: 8, Impossible: 1, Waiting: 8}) // nobody stores here
	close(release)
	other.Wait()
	if _, err := DiscardGroup(t.Context(), w.pool, w.clock, manager(), g, " "); problem.Of(err) != problem.Invalid {
		t.Errorf("%v", err)
	}
	gone, err := DiscardGroup(t.Context(), w.pool, w.clock, manager(), g, "a test bench")
	want(t, []any{gone, err}, []any{GroupDiscard{Discarded: 2}, error(nil)})
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM dead_letter WHERE state = 'discarded' AND resolution = 'a test bench' AND resolved_by = 'Chen'`), int64(2))
	want(t, value[string](t, w.pool, `SELECT after->>'why' FROM audit WHERE entity = 'dead_letter_group' AND action = 'discarded'`), "a test bench")
}

// Two people replay ten thousand letters at once, each letter once, while others
// settle single ones.
func TestReplayGroup_OfTenThousandLetters(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addMachine(t, w.pool, "PM1")
	const n = 10_000
	letters := refuse("PM1", start, 1, n)
	for i := range letters {
		letters[i].Payload = []byte(telemetry(start.Add(time.Duration(i)*time.Second), "b", i, `"a":1`))
		letters[i].PayloadBytes = int64(len(letters[i].Payload))
	}
	do(t, w.pool, func(tx pgx.Tx) error {
		_, err := bury(t.Context(), tx, postgres.NewID(), letters, defaultQuota())
		return err
	})
	g := LetterGroup{Source: letters[0].Source, Decoder: letters[0].Decoder, Reason: letters[0].Reason}
	w.storing(t, "")
	began := time.Now()
	var sum, settled atomic.Int64
	var people sync.WaitGroup
	for range 2 {
		people.Go(func() {
			for left := int64(1); left > 0; {
				out, err := ReplayGroup(t.Context(), w.pool, w.log, w.clock, manager(), g)
				if err != nil || out.Failed > 0 {
					t.Errorf("%+v %v", out, err)
					return
				}
				sum.Add(out.Replayed)
				settled.Add(out.Settled)
				left = out.Left
			}
		})
	}
	longest := time.Duration(0)
	done := make(chan struct{})
	var waiter sync.WaitGroup
	waiter.Go(func() { // as somebody who settles one of them would
		for id := int64(1); ; id = id%n + 997 {
			select {
			case <-done:
				return
			default:
			}
			at := time.Now()
			err := postgres.As(t.Context(), w.pool, manager(), func(tx pgx.Tx) error {
				_, err := openLetter(t.Context(), tx, id)
				return err
			})
			if err != nil && problem.Of(err) != problem.Conflict && problem.Of(err) != problem.NotFound {
				t.Error(err)
			}
			longest = max(longest, time.Since(at))
		}
	})
	people.Wait()
	took := time.Since(began) // a figure, no claim: the machine may be busy
	close(done)
	waiter.Wait()
	t.Logf("%d messages replayed in %v; the longest wait for one letter was %v", sum.Load(), took, longest)
	want(t, []int64{sum.Load(), settled.Load()}, []int64{n, n})
	did, err := DiscardGroup(t.Context(), w.pool, w.clock, manager(), g, "none is left")
	want(t, []any{did, err}, []any{GroupDiscard{}, error(nil)})
}
