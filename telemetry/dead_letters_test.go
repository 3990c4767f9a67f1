package telemetry

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// manager is who settles letters and claims devices.
func manager() identity.Principal {
	return identity.Principal{Name: "Chen", Role: identity.ServiceManager}
}

// attempt runs fn as the manager and gives back what it says.
func (w *works) attempt(t *testing.T, fn func(tx pgx.Tx) error) error {
	t.Helper()
	return postgres.As(t.Context(), w.pool, manager(), fn)
}

// refuse is n letters about records from first on.
func refuse(device string, at time.Time, first, n int) []DeadLetter {
	letters := make([]DeadLetter, n)
	for i := range letters {
		letters[i] = DeadLetter{LSN: intakelog.LSN(first + i), ReceivedAt: at, Source: "embedded", Topic: "fleet/" + device + "/telemetry", Device: device,
			Payload: []byte("{"), PayloadBytes: 1, Decoder: "own-json"}.blame(formats.Fault{Reason: formats.JSONSyntax, Detail: "cut"})
	}
	return letters
}

func TestDeadLetters_AreKeptWithinTheQuotaAndCountedBeyond(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	id, q := w.log.ID(), quota{lettersPerDevice: 5, letters: 12, names: 100}
	next := 1
	put := func(device string, at time.Time, n, kept int) {
		t.Helper()
		do(t, w.pool, func(tx pgx.Tx) error {
			buried, err := bury(t.Context(), tx, id, refuse(device, at, next, n), q)
			if err == nil && len(buried) != kept {
				t.Errorf("%d letters of %s on %v: %d kept, want %d", n, device, at, len(buried), kept)
			}
			return err
		})
		next += n
	}
	put("A", start, 3, 3)
	put("A", start.Add(time.Hour), 3, 2)   // the same day
	put("A", start.Add(time.Hour), 1, 0)   // full
	put("A", start.AddDate(0, 0, 1), 4, 4) // another day
	put("B", start, 100, 3)                // another device: the installation is full
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM dead_letter`), int64(12))
	want(t, value[int64](t, w.pool, `SELECT sum(count) FROM dead_letter_count`), int64(111))
	do(t, w.pool, func(tx pgx.Tx) error {
		groups, err := DeadLetterGroups(t.Context(), tx)
		if len(groups) != 1 || groups[0].Open != 12 || groups[0].Devices != 2 || groups[0].Counted != 111 || !groups[0].Last.Equal(start.AddDate(0, 0, 1)) {
			t.Errorf("groups: %+v", groups)
		}
		return err
	})
	if err := w.attempt(t, func(tx pgx.Tx) error {
		return DiscardDeadLetter(t.Context(), tx, start, manager(), w.letters(t, DeadLetterFilter{Limit: 1})[0].ID, "a test")
	}); err != nil {
		t.Fatal(err)
	}
	put("B", start, 2, 1) // one was settled: there is room again
}

func TestDeadLetters_NamesThatAnybodyMayChooseDoNotFillTheCounts(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	q := defaultQuota()
	q.names = 10
	for n := range 30 {
		do(t, w.pool, func(tx pgx.Tx) error {
			_, err := bury(t.Context(), tx, w.log.ID(), refuse(fmt.Sprintf("D%d", n), start, n+1, 1), q)
			return err
		})
	}
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM dead_letter_count`), int64(11))
	want(t, value[int64](t, w.pool, `SELECT count FROM dead_letter_count WHERE device = ''`), int64(20))
}

func TestRunHistory_CountsAsRefusedWhatIsBeyondTheQuotas(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	for range 10 {
		w.send(t, "", "fleet/PM1/telemetry", `{`)
		w.send(t, "", "fleet/nobody/telemetry", `{"a":1}`)
	}
	w.runWithin(t, quota{lettersPerDevice: 3, letters: 100, names: 10, keys: 10, messagesPerKey: 4, messages: 100})
	want(t, w.account(t, w.log.ID()), Account{Received: 20, Dead: 3, Unclaimed: 4, Refused: 13})
}

// runWithin stores the log's first batch within a quota of the test's.
func (w *works) runWithin(t *testing.T, q quota) {
	t.Helper()
	log := quiet()
	stage := NewStage(w.log, w.pool, log)
	h := newHistorian(HistoryConfig{Stage: stage, Pool: w.pool, History: w.history, LogID: w.log.ID(), Clock: w.clock, Log: log,
		Released: func(intakelog.LSN) {}})
	h.quota = q
	b, err := stage.Next(t.Context(), 0)
	if err == nil {
		err = h.runOnce(program(t.Context()), b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDeadLetter_IsReplayedWithItsBytesAndItsTime(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addMachine(t, w.pool, "PM1")
	payload := `{"values":{"a":1,"b":NaN,"c":NaN}}`
	w.send(t, "", "fleet/PM1/telemetry", payload)
	w.run(t, historyRun{})
	letters := w.letters(t, DeadLetterFilter{State: LetterOpen, Reason: formats.NumberRange, Device: "PM1"})
	if len(letters) != 2 || letters[0].Part != 2 || string(letters[0].Payload) != payload || letters[0].Offset == nil || !strings.HasPrefix(letters[0].Detail, "values.c: ") {
		t.Fatalf("%+v", letters)
	}
	w.clock.Advance(time.Hour)
	w.replay(t, letters[0].ID)
	want(t, len(w.letters(t, DeadLetterFilter{State: LetterOpen})), 0) // both parts are settled
	err := w.attempt(t, func(tx pgx.Tx) error {
		return ReplayDeadLetter(t.Context(), tx, w.log, w.clock.Now(), manager(), letters[1].ID)
	})
	if problem.Of(err) != problem.Conflict {
		t.Fatalf("replayed twice: %v", err)
	}
	records, err := w.log.Read(t.Context(), 1, 10, nil)
	if err != nil || len(records) != 1 || string(records[0].Payload) != payload || !records[0].Received.Equal(letters[0].ReceivedAt) || records[0].Source != "replay" {
		t.Fatalf("%+v, %v", records, err)
	}
	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()), Account{Received: 2, Stored: 2, Readings: 2}) // no time of its own: equal values are legal
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM sample`), int64(1))       // and yet stored once
	want(t, len(w.letters(t, DeadLetterFilter{State: LetterOpen})), 2)              // what is still bad is told again
	want(t, value[string](t, w.pool, `SELECT actor FROM audit WHERE entity = 'dead_letter'`), "Chen")
}

func TestDeadLetter_TooLargeToCopyIsReplayedFromTheLog(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	payload := `{"values":{"a":"` + strings.Repeat("x", 100<<10)
	w.send(t, "", "fleet/PM1/telemetry", payload)
	w.run(t, historyRun{})
	letter := w.letters(t, DeadLetterFilter{})[0]
	if len(letter.Payload) != 4<<10 || letter.PayloadBytes != int64(len(payload)) {
		t.Fatalf("%d bytes of %d", len(letter.Payload), letter.PayloadBytes)
	}
	do(t, w.pool, func(tx pgx.Tx) error {
		whole, err := GetDeadLetter(t.Context(), tx, letter.ID)
		want(t, len(whole.Payload), 64<<10)
		return err
	})
	w.replay(t, letter.ID)
	records, err := w.log.Read(t.Context(), 1, 10, nil)
	if err != nil || len(records) != 1 || string(records[0].Payload) != payload {
		t.Fatalf("%d records, %v", len(records), err)
	}
	do(t, w.pool, func(tx pgx.Tx) error { // and of another log, which is not here
		_, err := postgres.Run(t.Context(), tx, `UPDATE dead_letter SET state = 'open', log = '00000000-0000-0000-0000-000000000001'`, nil)
		return err
	})
	err = w.attempt(t, func(tx pgx.Tx) error {
		return ReplayDeadLetter(t.Context(), tx, w.log, start, manager(), letter.ID)
	})
	if problem.Of(err) != problem.Conflict || !strings.Contains(err.Error(), "first 65536 of") {
		t.Fatalf("got %v", err)
	}
}

func TestDeadLetter_IsDiscardedForAReasonOnly(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	w.send(t, "", "fleet/PM1/telemetry", "{")
	w.run(t, historyRun{})
	id := w.letters(t, DeadLetterFilter{})[0].ID
	discard := func(id int64, reason string) problem.Kind {
		return problem.Of(w.attempt(t, func(tx pgx.Tx) error { return DiscardDeadLetter(t.Context(), tx, start, manager(), id, reason) }))
	}
	want(t, discard(id, "  "), problem.Invalid)
	want(t, discard(id, strings.Repeat("x", 1_001)), problem.Invalid)
	want(t, discard(id+1, "no such letter"), problem.NotFound)
	if err := w.attempt(t, func(tx pgx.Tx) error { return DiscardDeadLetter(t.Context(), tx, start, manager(), id, " test ") }); err != nil {
		t.Fatal(err)
	}
	want(t, discard(id, "again"), problem.Conflict)
	letter := w.letters(t, DeadLetterFilter{State: LetterDiscarded})[0]
	want(t, []string{letter.State, letter.ResolvedBy, letter.Resolution}, []string{LetterDiscarded, "Chen", "test"})
}

func TestDeadLetters_ArePagedAndForgotten(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	do(t, w.pool, func(tx pgx.Tx) error {
		_, err := bury(t.Context(), tx, w.log.ID(), append(refuse("A", start.AddDate(0, 0, -100), 1, 5), refuse("A", start, 6, 5)...), defaultQuota())
		return err
	})
	seen := 0
	for before := int64(0); ; {
		page := w.letters(t, DeadLetterFilter{Before: before, Limit: 3})
		if len(page) == 0 {
			break
		}
		seen, before = seen+len(page), page[len(page)-1].ID
	}
	want(t, seen, 10)
	do(t, w.pool, func(tx pgx.Tx) error { return ForgetOld(t.Context(), tx, start.AddDate(0, 0, -90)) })
	want(t, len(w.letters(t, DeadLetterFilter{})), 5)
	want(t, value[int64](t, w.pool, `SELECT sum(count) FROM dead_letter_count`), int64(5))
}

func TestDeadLetters_AreForStaff(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	w.send(t, "", "fleet/PM1/telemetry", "{")
	w.send(t, "", "fleet/nobody/telemetry", `{"a":1}`)
	w.run(t, historyRun{})
	owner := identity.Principal{Role: identity.OwnerAdmin, CustomerID: postgres.NewID()}
	err := postgres.As(t.Context(), w.pool, owner, func(tx pgx.Tx) error {
		letters, err := DeadLetters(t.Context(), tx, DeadLetterFilter{})
		list, err2 := ListUnclaimed(t.Context(), tx, 10)
		want(t, []int{len(letters), len(list)}, []int{0, 0})
		if err == nil {
			err = err2
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLetterMetrics_CountByReason(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	do(t, pool, func(tx pgx.Tx) error {
		_, err := bury(t.Context(), tx, postgres.NewID(), append(refuse("A", start, 1, 5), refuse("B", start, 6, 2)...), defaultQuota())
		return err
	})
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewLetterMetrics(pool))
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "thirdstate_dead_letters" {
		t.Fatalf("%v, %v", families, err)
	}
	m := families[0].GetMetric()
	if len(m) != 1 || m[0].GetGauge().GetValue() != 7 || m[0].GetLabel()[0].GetValue() != formats.JSONSyntax {
		t.Fatalf("%v", m)
	}
}

// picky is a history that refuses the first value of a signal.
type picky struct {
	history.Store
	signal string
	had    bool
}

func (p *picky) Write(ctx context.Context, points []history.Point) error {
	var refused []history.Refusal
	for i, point := range points {
		for _, v := range point.Values {
			if v.Signal == p.signal && !p.had {
				p.had = true
				refused = append(refused, history.Refusal{Point: i, Signal: v.Signal, Fault: formats.Fault{Reason: formats.HistoryRefused, Path: v.Signal, Detail: "type conflict"}})
				points[i].Values = nil
			}
		}
	}
	if err := p.Store.Write(ctx, points); err != nil || len(refused) == 0 {
		return err
	}
	return &history.RefusedError{Refused: refused}
}

func TestDeadLetter_OfTheHistoryIsReplayedFromTheLog(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addMachine(t, w.pool, "PM1")
	w.send(t, "", "fleet/PM1/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"bad":1}}`, start.UnixMilli()))
	w.send(t, "", "fleet/PM1/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"good":1}}`, start.UnixMilli()))
	h := &picky{Store: w.history, signal: "bad"}
	w.run(t, historyRun{to: h})
	want(t, value[int64](t, w.pool, `SELECT sum(cardinality(vals)) FROM sample`), int64(1))
	letter := w.letters(t, DeadLetterFilter{})[0]
	want(t, []string{letter.Reason, letter.Device, letter.Source}, []string{formats.HistoryRefused, "PM1", HistoryConsumer})
	w.replay(t, letter.ID)
	w.run(t, historyRun{to: h})
	want(t, value[int64](t, w.pool, `SELECT sum(cardinality(vals)) FROM sample`), int64(2))
	want(t, w.account(t, w.log.ID()), Account{Received: 3, Stored: 3, Readings: 3})
}
