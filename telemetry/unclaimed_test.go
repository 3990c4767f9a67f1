package telemetry

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

func (w *works) unclaimed(t *testing.T) (list []Unclaimed) {
	t.Helper()
	do(t, w.pool, func(tx pgx.Tx) (err error) {
		list, err = ListUnclaimed(t.Context(), tx, 50)
		return err
	})
	return list
}

func (w *works) claim(t *testing.T, key string, machine uuid.UUID) error {
	t.Helper()
	return w.attempt(t, func(tx pgx.Tx) error {
		return Claim(t.Context(), tx, w.log, w.clock.Now(), manager(), key, machine)
	})
}

func TestClaim_BringsBackWhatAMachineSaidBeforeItWasEntered(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	for i := range 5 {
		w.send(t, "", "fleet/GW-7/telemetry", telemetry(start.Add(-time.Duration(i)*time.Minute), "b", i, fmt.Sprintf(`"oil":%d`, i)))
	}
	w.send(t, "", "fleet/GW-7/telemetry", `{"values":{"water":1}}`) // without a time
	w.run(t, historyRun{})
	list := w.unclaimed(t)
	if len(list) != 1 || list[0].Key != "GW-7" || list[0].Messages != 6 || list[0].Kept != 6 || len(list[0].Signals) != 1 || !list[0].LastSeenAt.Equal(start.Add(6*time.Second)) {
		t.Fatalf("%+v", list)
	}
	want(t, w.account(t, w.log.ID()), Account{Received: 6, Unclaimed: 6})

	machine, ref := addMachine(t, w.pool, "PM1")
	if err := w.claim(t, "GW-7", machine); err != nil {
		t.Fatal(err)
	}
	want(t, len(w.unclaimed(t)), 0)
	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()), Account{Received: 12, Unclaimed: 6, Stored: 6, Readings: 6})
	rows, err := w.history.Rows(program(t.Context()), ref, start.Add(-time.Hour), start.Add(time.Hour), 0)
	if err != nil || len(rows) != 6 || rows[5].Values[0].Signal != "water" || !rows[5].At.Equal(start.Add(6*time.Second)) {
		t.Fatalf("%+v, %v", rows, err)
	}
	w.send(t, "", "fleet/GW-7/telemetry", `{"values":{"oil":9}}`) // the name is known from now on
	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()).Stored, int64(7))
	want(t, problem.Of(w.claim(t, "GW-7", machine)), problem.Conflict)
	want(t, problem.Of(w.claim(t, "never heard of", machine)), problem.NotFound)
	want(t, value[string](t, w.pool, `SELECT action FROM audit WHERE entity = 'machine'`), "claimed-device")
}

// TestUnclaimed_ANameIsLookedUpBeforeItCountsAsUnknown holds that a machine which
// another process has entered is known from its very next message on, though the
// machines have just been read and its name was asked for in vain a moment ago.
func TestUnclaimed_ANameIsLookedUpBeforeItCountsAsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	s := NewStage(w.log, w.pool, quiet())
	at := intakelog.LSN(0)
	known := func(name string) bool {
		w.send(t, "", "fleet/"+name+"/telemetry", `{"values":{"a":1}}`)
		b, err := s.Next(t.Context(), at)
		if err != nil || len(b.Observations)+len(b.Unclaimed) != 1 {
			t.Fatalf("%+v, %v", b, err)
		}
		at = b.To
		return len(b.Observations) == 1
	}
	enter := func(sql string) {
		do(t, w.pool, func(tx pgx.Tx) error {
			_, err := postgres.Run(t.Context(), tx, sql, pgx.NamedArgs{"id": postgres.NewID(), "at": start})
			return err
		})
	}
	for _, name := range []string{"PM1", "alias", "device", "serial", "twice", "stranger"} {
		want(t, known(name), false)
	}
	addMachine(t, w.pool, "PM1")
	want(t, known("PM1"), true)
	enter(`INSERT INTO machine_alias (alias, machine_id) SELECT 'alias', id FROM machine WHERE key = 'PM1' AND @at::timestamptz IS NOT NULL AND @id::uuid IS NOT NULL`)
	want(t, known("alias"), true)
	enter(`INSERT INTO device (id, key, machine_id, token_hash, created_at) SELECT @id, 'device', id, 'x', @at FROM machine WHERE key = 'PM1'`)
	want(t, known("device"), true)
	enter(`INSERT INTO machine (id, key, manufacturer, serial, created_at) VALUES (@id, 'PM2', 'Acme', 'serial', @at)`)
	want(t, known("serial"), true)
	enter(`INSERT INTO machine (id, key, manufacturer, serial, created_at) VALUES (@id, 'PM3', 'Acme', 'twice', @at), (gen_random_uuid(), 'PM4', 'Other', 'twice', @at)`)
	read := s.fleet.read
	want(t, known("twice"), false)
	want(t, known("stranger"), false)
	want(t, s.fleet.read, read) // and a stranger does not have everything read again
}

// TestUnclaimed_ManyStrangersHaveTheMachinesReadSeldom bounds what a flood of names costs.
func TestUnclaimed_ManyStrangersHaveTheMachinesReadSeldom(t *testing.T) {
	t.Parallel()
	f := fleet{names: map[string]*knownMachine{"PM1": {}}, read: start, took: 2 * time.Millisecond}
	var few, many asked
	f.ask(&few, "stranger", false)
	f.ask(&few, "PM1", true)
	for i := range maxAsked + 1 {
		f.ask(&many, fmt.Sprintf("stranger %d", i), false)
	}
	want(t, len(few.unknown), 1)
	want(t, len(many.unknown), maxAsked)
	for _, c := range []struct {
		a     asked
		after time.Duration
		due   bool
	}{{few, 20 * time.Second, false}, {few, time.Minute, true}, {many, 900 * time.Millisecond, false}, {many, 1100 * time.Millisecond, true}} {
		if due := f.due(start.Add(c.after), c.a); due != c.due {
			t.Errorf("%d names after %v: due is %v", len(c.a.unknown), c.after, due)
		}
	}
}

func TestClaim_TakesTheMachineThatWasEnteredUnderTheName(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	w.send(t, "", "fleet/PM9/telemetry", `{"values":{"a":1}}`)
	w.run(t, historyRun{})
	_, _ = addMachine(t, w.pool, "PM8")
	machine, _ := addMachine(t, w.pool, "PM9")
	if err := w.claim(t, "PM9", machine); err != nil {
		t.Fatal(err)
	}
	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()), Account{Received: 2, Unclaimed: 1, Stored: 1, Readings: 1})
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM machine_alias`), int64(0))
}

func TestClaim_BindsTheDeviceOfTheName(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addDevice(t, w.pool, "D1", uuid.Nil, false)
	w.send(t, "D1", "v1/devices/me/telemetry", `{"a":1}`)
	w.run(t, historyRun{})
	machine, _ := addMachine(t, w.pool, "PM1")
	if err := w.claim(t, "D1", machine); err != nil {
		t.Fatal(err)
	}
	want(t, value[uuid.UUID](t, w.pool, `SELECT machine_id FROM device`), machine)
	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()), Account{Received: 2, Unclaimed: 1, Stored: 1, Readings: 1})
}

func TestClaim_RefusesANameThatMeansAnotherMachine(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	w.send(t, "", "fleet/PM1/telemetry", `{"values":{"a":1}}`)
	w.run(t, historyRun{})
	addMachine(t, w.pool, "PM1")
	other, _ := addMachine(t, w.pool, "PM2")
	want(t, problem.Of(w.claim(t, "PM1", other)), problem.Conflict)
	want(t, problem.Of(w.claim(t, "PM1", postgres.NewID())), problem.NotFound)
	_, last := w.log.Bounds()
	want(t, last, intakelog.LSN(1))
}

// TestClaim_IsSeenByTheStageThatReadsAhead claims while the history runs: the
// replayed messages are in the log before the claim is committed.
func TestClaim_IsSeenByTheStageThatReadsAhead(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	const names = 20
	machine, _ := addMachine(t, w.pool, "PM1")
	for i := range names {
		w.send(t, "", fmt.Sprintf("fleet/GW%d/telemetry", i), fmt.Sprintf(`{"ts":%d,"values":{"a":1}}`, start.Add(time.Duration(i)*time.Second).UnixMilli()))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stored, done := make(chan intakelog.LSN, 1_000), make(chan error, 1)
	go func() {
		done <- RunHistory(ctx, HistoryConfig{Stage: NewStage(w.log, w.pool, quiet()), Pool: w.pool, History: w.history, LogID: w.log.ID(), First: 1,
			Clock: w.clock, Log: quiet(), Released: func(at intakelog.LSN) { stored <- at }})
	}()
	wait := func(lsn intakelog.LSN) {
		t.Helper()
		for at := range stored {
			if at >= lsn {
				return
			}
		}
	}
	wait(names)
	for i := range names {
		err := w.attempt(t, func(tx pgx.Tx) error {
			if err := Claim(t.Context(), tx, w.log, w.clock.Now(), manager(), fmt.Sprintf("GW%d", i), machine); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), `SELECT pg_sleep(0.01)`) // a slow transaction: the stage has the record by now
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wait(2 * names)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want(t, w.account(t, w.log.ID()), Account{Received: 2 * names, Unclaimed: names, Stored: names, Readings: names})
}

func TestUnclaimed_LeavesOtherNamesOfAReplayWhereTheyAre(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	w.send(t, "", "v1/gateway/telemetry", fmt.Sprintf(`{"A":[{"ts":%d,"values":{"x":1}}],"B":[{"ts":%[1]d,"values":{"x":2}}]}`, start.UnixMilli()))
	w.run(t, historyRun{})
	want(t, len(w.unclaimed(t)), 2)
	for i, name := range []string{"A", "B"} {
		machine, _ := addMachine(t, w.pool, "PM"+name)
		if err := w.claim(t, name, machine); err != nil {
			t.Fatal(err)
		}
		w.run(t, historyRun{})
		want(t, len(w.unclaimed(t)), 1-i)
		want(t, value[int64](t, w.pool, `SELECT count(*) FROM unclaimed_message`), int64(1-i))
	}
	want(t, w.account(t, w.log.ID()), Account{Received: 3, Unclaimed: 1, Stored: 2, Readings: 3}) // that of A came twice
}

func TestUnclaimed_IsKeptWithinTheQuota(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	message := func(lsn int, key string, cut bool) UnclaimedMessage {
		return UnclaimedMessage{LSN: intakelog.LSN(lsn), Key: key, Received: start, Topic: "t", Payload: []byte("{}"), Cut: cut, Signals: []string{"a"}}
	}
	q := quota{keys: 3, messagesPerKey: 2, messages: 4}
	var kept lsnSet
	put := func(messages ...UnclaimedMessage) {
		t.Helper()
		do(t, w.pool, func(tx pgx.Tx) (err error) {
			kept, err = keepUnclaimed(t.Context(), tx, w.log.ID(), messages, q)
			return err
		})
	}
	put(message(1, "A", false), message(2, "A", false), message(3, "A", false))
	want(t, kept, lsnSet{1: {}, 2: {}})
	put(message(4, "A", false), message(5, "B", true)) // full; too large to be replayed
	want(t, kept, lsnSet{})
	put(message(6, "B", false), message(7, "C", false), message(8, "C", false)) // the installation is full
	want(t, kept, lsnSet{6: {}, 7: {}})
	put(message(9, "D", false)) // too many names
	want(t, kept, lsnSet{})
	list := w.unclaimed(t)
	got := map[string]string{}
	for _, u := range list {
		got[u.Key] = fmt.Sprintf("%d of %d", u.Kept, u.Messages)
	}
	want(t, got, map[string]string{"A": "2 of 4", "B": "1 of 2", "C": "1 of 2"})
}

func TestUnclaimed_ListsSignalsOfAnyName(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	w.send(t, "", "fleet/油泵 '\"\\/telemetry", `{"values":{"a\"b":1,"油温":2,"{}":3}}`)
	w.send(t, "", "fleet/油泵 '\"\\/telemetry", `{"values":{"c":1}}`)
	w.run(t, historyRun{})
	list := w.unclaimed(t)
	if len(list) != 1 || list[0].Key != `油泵 '"\` || strings.Join(list[0].Signals, ",") == "" || len(list[0].Signals) < 1 {
		t.Fatalf("%+v", list)
	}
}
