package telemetry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intake"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// works is the intake behind the wire: a real log, a real database.
type works struct {
	pool    *postgres.Pool
	log     *intakelog.Log
	clock   *clock.Clock
	history history.Store
}

func newWorks(t *testing.T) *works {
	t.Helper()
	return newWorksOn(t, postgrestest.New(t))
}

func newWorksOn(t *testing.T, pool *postgres.Pool) *works {
	t.Helper()
	log, err := intakelog.Open(t.TempDir(), intakelog.Options{SegmentBytes: 1 << 20, MaxBytes: 64 << 20, CommitDelay: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return &works{pool: pool, log: log, clock: clock.New(start, 0, nil), history: history.NewPostgres(pool)}
}

// send appends one message, received a second after the one before.
func (w *works) send(t *testing.T, device, topic, payload string) intakelog.LSN {
	t.Helper()
	return w.append(t, intakelog.Record{Kind: intakelog.Message, Source: "embedded", Device: device, Topic: topic, Payload: []byte(payload)})
}

func (w *works) append(t *testing.T, r intakelog.Record) intakelog.LSN {
	t.Helper()
	r.Received = w.clock.Advance(time.Second)
	lsn, err := w.log.AppendWait(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}

func (w *works) tick(t *testing.T) intakelog.LSN {
	t.Helper()
	payload := append(binary.BigEndian.AppendUint64(nil, uint64(w.clock.Now().UnixNano())), 0)
	return w.append(t, intakelog.Record{Kind: intakelog.Tick, Source: "clock", Payload: payload})
}

// telemetry is a message of the product's own profile.
func telemetry(at time.Time, boot string, seq int, values string) string {
	return fmt.Sprintf(`{"ts":%d,"boot":%q,"seq":%d,"values":{%s}}`, at.UnixMilli(), boot, seq, values)
}

// upTo is a log that ends at a record, as it was at some time.
type upTo struct {
	Records
	last intakelog.LSN
}

func (u upTo) Read(ctx context.Context, after intakelog.LSN, limit int, buf []intakelog.Record) ([]intakelog.Record, error) {
	if after >= u.last {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return u.Records.Read(ctx, after, min(limit, int(u.last-after)), buf)
}

// historyRun is one run of the history on a log, under an id of the caller's, so
// that one log can be stored several times.
type historyRun struct {
	id   uuid.UUID
	upTo intakelog.LSN // 0: as far as the log goes
	to   history.Store
	pool *postgres.Pool

	status *HistoryStatus
	broken string // what makes the decoder panic, "" for nothing
}

// run stores the log until nothing is left of it.
func (w *works) run(t *testing.T, r historyRun) {
	t.Helper()
	first, last := w.log.Bounds()
	if r.upTo == 0 {
		r.upTo = last
	}
	if r.id == uuid.Nil {
		r.id = w.log.ID()
	}
	if r.to == nil {
		r.to = w.history
	}
	if r.pool == nil {
		r.pool = w.pool
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := RunHistory(ctx, HistoryConfig{
		Stage: NewStageOf(upTo{w.log, r.upTo}, r.pool, log, brokenOn(r.broken)), Pool: r.pool, History: r.to, LogID: r.id, First: first, Clock: w.clock, Log: log, Status: r.status,
		Released: func(at intakelog.LSN) {
			if at >= r.upTo {
				cancel()
			}
		},
	})
	if err != nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatalf("the history has not come to its end: %v", err)
	}
}

func (w *works) account(t *testing.T, id uuid.UUID) (a Account) {
	t.Helper()
	_, last := w.log.Bounds()
	do(t, w.pool, func(tx pgx.Tx) (err error) {
		a, err = ReadAccount(t.Context(), tx, id, uint64(last))
		return err
	})
	if !a.Holds() {
		t.Fatalf("the account does not hold: %+v", a)
	}
	return a
}

// sendMix fills the log with everything that can come, and says what must become of it.
func (w *works) sendMix(t *testing.T) Account {
	t.Helper()
	addMachine(t, w.pool, "PM1")
	addMachine(t, w.pool, "PM2")
	var a Account
	for i := range 20 {
		at := start.Add(time.Duration(i) * time.Second)
		good := telemetry(at, "b1", i, fmt.Sprintf(`"a":%d,"b":1`, i))
		w.send(t, "", "fleet/PM1/telemetry", good)
		w.send(t, "", "fleet/PM1/telemetry", good) // sent again
		w.send(t, "", "fleet/PM1/telemetry", `{"values":{"a":`)
		w.send(t, "", "fleet/nobody/telemetry", good)
		w.send(t, "", "fleet/PM2/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"a":%d,"b":NaN}}`, at.UnixMilli(), i)) // part of it good
		w.send(t, "", "fleet/PM2/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"late":%d}}`, at.Add(-30*24*time.Hour).UnixMilli(), i))
		w.send(t, "", "fleet/PM2/telemetry", `{"values":{"n":1}}`) // without a time: equal values are legal
		w.send(t, "", "fleet/PM2/status", "online")
		w.send(t, "", "v1/gateway/telemetry", fmt.Sprintf(`{"PM1":[{"ts":%d,"values":{"c":%d}}],"stranger":[{"ts":%[1]d,"values":{"c":1}}]}`, at.UnixMilli(), i))
		w.tick(t)
		a.Received += 9
		a.Stored += 6
		a.Duplicates++
		a.Dead++
		a.Unclaimed++
		a.Readings += 2 + 1 + 1 + 1 + 1
	}
	return a
}

func TestRunHistory_AccountsForEveryMessage(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	must := w.sendMix(t)
	before := w.account(t, w.log.ID())
	want(t, before, Account{Received: 200, Waiting: 200}) // ticks are told apart when they are looked at
	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()), must)
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM dead_letter`), must.Dead+20) // and 20 parts
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM unclaimed_message`), must.Unclaimed+20)
	want(t, value[int64](t, w.pool, `SELECT sum(cardinality(vals)) FROM sample`), must.Readings)

	w.run(t, historyRun{}) // again: there is nothing left to do
	want(t, w.account(t, w.log.ID()), must)
}

func TestRunHistory_EqualsOneRunWhereverItIsStopped(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	must := w.sendMix(t)
	_, last := w.log.Bounds()
	for cut := intakelog.LSN(1); cut < last; cut += 7 {
		id := postgres.NewID()
		w.run(t, historyRun{id: id, upTo: cut})
		w.account(t, id)
		w.run(t, historyRun{id: id})
		want(t, w.account(t, id), must)
	}
	id := postgres.NewID() // and stopped after each record
	for cut := intakelog.LSN(1); cut <= last; cut++ {
		w.run(t, historyRun{id: id, upTo: cut})
	}
	want(t, w.account(t, id), must)
	want(t, value[int64](t, w.pool, `SELECT sum(cardinality(vals)) FROM sample`), must.Readings)
}

// cutOff is a history whose connection breaks after the points were stored.
type cutOff struct {
	history.Store
	times int
}

func (c *cutOff) Write(ctx context.Context, points []history.Point) error {
	if err := c.Store.Write(ctx, points); err != nil {
		return err
	}
	if c.times--; c.times >= 0 {
		return errors.New("the connection broke")
	}
	return nil
}

func TestRunHistory_CountsOnceWhatWasWrittenTwice(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	must := w.sendMix(t)
	w.run(t, historyRun{to: &cutOff{Store: w.history, times: 2}})
	want(t, w.account(t, w.log.ID()), must)
	want(t, value[int64](t, w.pool, `SELECT sum(cardinality(vals)) FROM sample`), must.Readings)
}

func TestRunHistory_CountsOnceWhenTheAnswerOfACommitIsLost(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	must := w.sendMix(t)
	log := slog.New(slog.DiscardHandler)
	stage := NewStage(w.log, w.pool, log)
	h := newHistorian(HistoryConfig{Stage: stage, Pool: w.pool, History: w.history, LogID: w.log.ID(), Clock: w.clock, Log: log})
	b, err := stage.Next(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	out := h.settle(b)
	store, _, err := h.prepare(t.Context(), out.points)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := h.commit(t.Context(), out, out.letters, store); err != nil {
			t.Fatal(err)
		}
	}
	want(t, w.account(t, w.log.ID()), must)
	h.LogID = postgres.NewID() // a log of which somebody else has stored more
	do(t, w.pool, func(tx pgx.Tx) error {
		_, err := h.moveCursor(t.Context(), tx, 0, 5)
		return err
	})
	if err := h.commit(t.Context(), out, out.letters, store); problem.Of(err) != problem.Conflict {
		t.Fatalf("two programs store one log: %v", err)
	}
}

func TestRunHistory_IsStoppedByNoMessage(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	_, ref := addMachine(t, w.pool, "PM1")
	poison := []struct{ device, topic, payload string }{
		{"", "fleet/\xff\xfe/telemetry", `{"a":1}`},
		{"", "fleet/a\x00b/telemetry", `{"a":1}`},
		{"", "fleet/a\x00b/telemetry", `{"a":`},
		{"dev\x00\xff", "nowhere\x00\xff", "\x00\xff"},
		{"", "fleet/PM1/telemetry", `{"` + strings.Repeat("油", 100) + `":1}`},
		{"", "fleet/PM1/telemetry", `{"a":"` + strings.Repeat("x", 300<<10) + `"}`},
		{"", "fleet/" + strings.Repeat("油", 300) + "/telemetry", `{"a":1}`},
		{"", strings.Repeat("油/", 15_000), "m " + strings.Repeat("油", 200) + "=x"},
		{"", "telegraf/h/m", "m,machine=PM1 " + strings.Repeat("油", 66) + "=1e999"},
		{"", "fleet/PM1/telemetry", `{"ts":-99999999999999,"a":1}`},
		{"", "fleet/PM1/telemetry", `{"ts":1e300,"a":1}`},
		{"", "", ""},
		{"", "v1/devices/me/telemetry", `{"a":1}`},
	}
	for i, p := range poison {
		w.send(t, p.device, p.topic, p.payload)
		w.send(t, "", "fleet/PM1/telemetry", telemetry(start.Add(time.Duration(i)*time.Second), "b", i, `"good":1`))
	}
	w.append(t, intakelog.Record{Kind: intakelog.Tick, Source: "clock", Payload: []byte("no tick")})
	w.append(t, intakelog.Record{Kind: 99, Source: "clock"})
	w.run(t, historyRun{})
	a := w.account(t, w.log.ID())
	want(t, a, Account{Received: 26, Stored: 13, Dead: 13, Readings: 13})
	rows, err := w.history.Rows(program(t.Context()), ref, start, start.Add(time.Hour), 0)
	if err != nil || len(rows) != len(poison) {
		t.Fatalf("%d good rows, %v", len(rows), err)
	}
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM dead_letter WHERE reason NOT LIKE 'E\_%' OR detail = ''`), int64(0))
}

func TestStage_FlagsDevicesThatSpeakForOthers(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, _ := addMachine(t, w.pool, "PM1")
	_, other := addMachine(t, w.pool, "PM2")
	addDevice(t, w.pool, "D1", machine, false)
	addDevice(t, w.pool, "G1", uuid.Nil, true)
	w.send(t, "D1", "fleet/D1/telemetry", `{"values":{"a":1}}`) // its key means its machine
	w.send(t, "D1", "fleet/PM2/telemetry", `{"values":{"a":1}}`)
	w.send(t, "G1", "fleet/PM2/telemetry", `{"values":{"a":2}}`)
	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()), Account{Received: 3, Stored: 2, Dead: 1, Readings: 2})
	letters := w.letters(t, DeadLetterFilter{})
	if len(letters) != 1 || letters[0].Reason != formats.DeviceScope || letters[0].Device != "D1" {
		t.Fatalf("%+v", letters)
	}
	// The manager makes it a gateway and replays.
	do(t, w.pool, func(tx pgx.Tx) error {
		_, err := postgres.Run(t.Context(), tx, `UPDATE device SET gateway = true`, nil)
		return err
	})
	w.replay(t, letters[0].ID)
	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()), Account{Received: 4, Stored: 3, Dead: 1, Readings: 3})
	rows, err := w.history.Rows(program(t.Context()), other, start, start.Add(time.Hour), 0)
	if err != nil || len(rows) != 2 || !rows[0].At.Equal(letters[0].ReceivedAt) {
		t.Fatalf("the replayed message is at %v, received %v: %v", rows, letters[0].ReceivedAt, err)
	}
}

// A device without a machine yet, one that was revoked and one that knows names
// which nobody has entered are none of them gateways.
func TestStage_LetsADeviceSpeakForItselfAlone(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, _ := addMachine(t, w.pool, "PM1")
	addMachine(t, w.pool, "PM2")
	addMachine(t, w.pool, "D3")
	addDevice(t, w.pool, "D1", machine, false)
	addDevice(t, w.pool, "D2", uuid.Nil, false) // nobody has said whose it is
	addDevice(t, w.pool, "D3", uuid.Nil, false) // it has the key of its machine
	addDevice(t, w.pool, "R1", machine, false)
	do(t, w.pool, func(tx pgx.Tx) error { return intake.RevokeDevice(t.Context(), tx, start, "R1") })
	for _, device := range []string{"D1", "D2", "D3", "R1"} {
		w.send(t, device, "v1/gateway/telemetry", `{"PM2":[{"a":1}]}`)  // another's machine
		w.send(t, device, "v1/gateway/telemetry", `{"none":[{"a":1}]}`) // room for names is everybody's
		w.send(t, device, "v1/gateway/connect", `{"device":"none"}`)
		w.send(t, device, "v1/devices/me/telemetry", `{"a":1}`) // its own
	}
	w.send(t, "R1", "fleet/PM1/telemetry", `{"values":{"a":1}}`) // sent before it was revoked
	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()), Account{Received: 17, Stored: 3, Unclaimed: 2, Dead: 12, Readings: 3})
	for _, letter := range w.letters(t, DeadLetterFilter{}) {
		if letter.Reason != formats.DeviceScope {
			t.Errorf("%+v", letter)
		}
	}
	for _, u := range w.unclaimed(t) {
		if u.Key != "D2" && u.Key != "R1" {
			t.Errorf("%s waits to be claimed", u.Key)
		}
	}
}

const addDeviceSQL = `INSERT INTO device (id, key, machine_id, token_hash, gateway, created_at)
VALUES (@id, @key, nullif(@machine::uuid, '00000000-0000-0000-0000-000000000000'), decode(md5(@key), 'hex'), @gateway, @at)`

func addDevice(t *testing.T, pool *postgres.Pool, key string, machine uuid.UUID, gateway bool) {
	t.Helper()
	do(t, pool, func(tx pgx.Tx) error {
		_, err := postgres.Run(t.Context(), tx, addDeviceSQL, pgx.NamedArgs{"id": postgres.NewID(), "key": key, "machine": machine, "gateway": gateway, "at": start})
		return err
	})
}

func (w *works) letters(t *testing.T, f DeadLetterFilter) (letters []DeadLetter) {
	t.Helper()
	do(t, w.pool, func(tx pgx.Tx) (err error) {
		letters, err = DeadLetters(t.Context(), tx, f)
		return err
	})
	return letters
}

func (w *works) replay(t *testing.T, id int64) {
	t.Helper()
	do(t, w.pool, func(tx pgx.Tx) error {
		return ReplayDeadLetter(t.Context(), tx, w.log, w.clock.Now(), identity.Principal{Name: "Chen", Role: identity.ServiceManager}, id)
	})
}

func TestStage_SavesWhenDevicesWereHeard(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, _ := addMachine(t, w.pool, "PM1")
	addDevice(t, w.pool, "D1", machine, false)
	w.send(t, "D1", "fleet/PM1/telemetry", `{"values":{"a":1}}`)
	w.run(t, historyRun{})
	want(t, value[time.Time](t, w.pool, `SELECT last_seen_at FROM device`).UTC(), start.Add(time.Second))
}

func TestStage_GivesObservationsTheirQuality(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, _ := addMachine(t, w.pool, "PM1")
	do(t, w.pool, func(tx pgx.Tx) error {
		_, err := postgres.Run(t.Context(), tx, addModelSQL, pgx.NamedArgs{"id": postgres.NewID(), "signal": postgres.NewID(), "machine": machine})
		return err
	})
	w.send(t, "", "fleet/PM1/telemetry", `{"values":{"oil_temp":1,"new":2,"oil_temp2":3}}`)
	b, err := NewStage(w.log, w.pool, slog.New(slog.DiscardHandler)).Next(t.Context(), 0)
	if err != nil || len(b.Observations) != 1 || b.Observations[0].Model != "BC5" {
		t.Fatalf("%+v, %v", b, err)
	}
	want(t, b.Observations[0].Values, []observation.Value{{Signal: "oil_temp", Value: 1}, {Signal: "new", Value: 2, Quality: observation.Unmapped}, {Signal: "oil_temp2", Value: 3, Quality: observation.Unmapped}})
}

const addModelSQL = `WITH o AS (INSERT INTO model (id, manufacturer, name, kind) VALUES (@id, 'Acme', 'BC5', 'concrete_pump') RETURNING id),
  s AS (INSERT INTO signal (id, model_id, name) SELECT @signal, id, 'oil_temp' FROM o)
UPDATE machine SET model_id = o.id FROM o WHERE machine.id = @machine`
