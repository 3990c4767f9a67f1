package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// choosy is the intake on a database that will not take some things, by
// constraints that the program does not know of.
func choosy(t *testing.T, constraints string) *works {
	t.Helper()
	url := postgrestest.URL(t)
	owner, err := pgx.Connect(t.Context(), url)
	if err == nil {
		_, err = owner.Exec(t.Context(), constraints)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	pool, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return newWorksOn(t, pool)
}

const noSixSixSix = `ALTER TABLE sample ADD CONSTRAINT sample_poison CHECK (NOT vals @> ARRAY[666::float8]);`

// sendCursed sends forty good messages and in between some of which something is
// refused, in this order.
func (w *works) sendCursed(t *testing.T, cursed ...string) []intakelog.LSN {
	t.Helper()
	var lsns []intakelog.LSN
	for i := range 40 {
		w.send(t, "", "fleet/PM1/telemetry", telemetry(start.Add(time.Duration(i)*time.Second), "b", i, `"good":1`))
		if i%10 == 7 && i/10 < len(cursed) {
			topic, payload, _ := strings.Cut(cursed[i/10], " ")
			lsns = append(lsns, w.send(t, "", topic, payload))
		}
	}
	return lsns
}

func TestRunHistory_ARefusedRecordHoldsNobody(t *testing.T) {
	t.Parallel()
	w := choosy(t, noSixSixSix)
	addMachine(t, w.pool, "PM1")
	addMachine(t, w.pool, "PM2")
	lsns := w.sendCursed(t, `fleet/PM2/telemetry {"values":{"number":666}}`, `fleet/PM2/telemetry {"values":{"number":665}}`, `fleet/PM1/telemetry {"values":{"number":666,"b":NaN}}`)
	status := &HistoryStatus{}
	w.run(t, historyRun{status: status})
	want(t, w.account(t, w.log.ID()), Account{Received: 43, Stored: 41, Dead: 2, Readings: 41})
	want(t, []uint64{status.Refused(), uint64(status.Stored())}, []uint64{2, 43})
	letters := w.letters(t, DeadLetterFilter{Reason: formats.StoreRefused})
	if len(letters) != 2 || letters[1].LSN != lsns[0] || letters[0].LSN != lsns[2] || letters[1].Device != "PM2" ||
		!strings.Contains(letters[1].Detail, "sample_poison") || string(letters[1].Payload) != `{"values":{"number":666}}` {
		t.Fatalf("%+v", letters)
	}
	want(t, len(w.letters(t, DeadLetterFilter{Reason: formats.NumberRange})), 1) // what was refused before stays

	w.run(t, historyRun{}) // a restart has nothing left to do
	w.replay(t, letters[0].ID)
	w.run(t, historyRun{}) // and is refused again as itself
	want(t, w.account(t, w.log.ID()), Account{Received: 44, Stored: 41, Dead: 3, Readings: 41})
	w.mend(t, `ALTER TABLE sample DROP CONSTRAINT sample_poison`)
	for _, l := range w.letters(t, DeadLetterFilter{Reason: formats.StoreRefused, State: LetterOpen}) {
		w.replay(t, l.ID)
	}
	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()), Account{Received: 46, Stored: 43, Dead: 3, Readings: 43})
}

// mend changes the schema as the owner of the database.
func (w *works) mend(t *testing.T, sql string) {
	t.Helper()
	err := postgres.As(t.Context(), w.pool, manager(), func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `RESET ROLE`); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), sql+`; SET ROLE thirdstate_app`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Not even the letter of a refused record, nor what waits to be claimed, holds anybody.
func TestRunHistory_ARefusedLetterHoldsNobody(t *testing.T) {
	t.Parallel()
	w := choosy(t, noSixSixSix+`
		ALTER TABLE dead_letter ADD CONSTRAINT letter_poison CHECK (detail NOT LIKE '%secret%');
		ALTER TABLE dead_letter ADD CONSTRAINT letter_curse CHECK (topic NOT LIKE '%/CURSED/%');
		ALTER TABLE unclaimed ADD CONSTRAINT unclaimed_poison CHECK (key <> 'nobody');`)
	addMachine(t, w.pool, "PM1")
	addMachine(t, w.pool, "CURSED")
	w.sendCursed(t, `fleet/PM1/telemetry {"values":{"secret":NaN}}`, `fleet/CURSED/telemetry {"values":{"number":666}}`, `fleet/nobody/telemetry {"values":{"a":1}}`)
	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()), Account{Received: 43, Stored: 40, Dead: 2, Refused: 1, Readings: 40})
	want(t, len(w.letters(t, DeadLetterFilter{Reason: formats.StoreRefused})), 2)
}

func TestRunHistory_ARefusedLedgerOrDeviceHoldsNobody(t *testing.T) {
	t.Parallel()
	w := choosy(t, `ALTER TABLE sequence_account ADD CONSTRAINT ledger_poison CHECK (missed < 5);
		ALTER TABLE device ADD CONSTRAINT device_poison CHECK (last_seen_at IS NULL OR key <> 'D1');`)
	id, _ := addMachine(t, w.pool, "PM1")
	other, _ := addMachine(t, w.pool, "PM2")
	addDevice(t, w.pool, "D1", id, false)
	addDevice(t, w.pool, "D2", other, false)
	w.send(t, "D1", "fleet/PM1/telemetry", telemetry(start, "b", 1, `"a":1`))
	w.send(t, "D1", "fleet/PM1/telemetry", telemetry(start.Add(time.Second), "b", 10, `"a":1`))
	w.send(t, "D2", "fleet/PM2/telemetry", telemetry(start, "b", 1, `"a":1`))
	w.send(t, "D2", "fleet/PM2/telemetry", telemetry(start.Add(time.Second), "b", 3, `"a":1`))
	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()), Account{Received: 4, Stored: 4, Readings: 4})
	want(t, value[string](t, w.pool, `SELECT string_agg(key, ' ') FROM device WHERE last_seen_at IS NOT NULL`), "D2")
	want(t, value[string](t, w.pool, `SELECT m.key || a.missed FROM sequence_account a JOIN machine m ON m.id = a.machine_id`), "PM21")
	w.run(t, historyRun{})
}

// A refusal that is nobody's fault is waited for, as it always was: the schema is
// not what the program expects.
func TestRunHistory_WaitsWhereTheSchemaDoesNotFit(t *testing.T) {
	t.Parallel()
	w := choosy(t, `ALTER TABLE intake_count RENAME COLUMN dead TO gone`)
	addMachine(t, w.pool, "PM1")
	w.send(t, "", "fleet/PM1/telemetry", `{"values":{"a":1}}`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	trouble := make(chan struct{}, 1)
	failed := make(chan error, 1)
	status := &HistoryStatus{}
	go func() {
		failed <- RunHistory(ctx, HistoryConfig{Stage: NewStage(w.log, w.pool, quiet()), Pool: w.pool, History: w.history, LogID: w.log.ID(), First: 1, Clock: w.clock,
			Log: slog.New(heard{quiet().Handler(), trouble}), Released: func(intakelog.LSN) {}, Status: status})
	}()
	<-trouble
	<-trouble
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM dead_letter`), int64(0))
	w.mend(t, `ALTER TABLE intake_count RENAME COLUMN gone TO dead`)
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for status.Stored() < 1 {
		<-ticker.C
	}
	cancel()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	want(t, w.account(t, w.log.ID()), Account{Received: 1, Stored: 1, Readings: 1})
}

// However many records are refused, a batch takes seconds.
func TestRunHistory_ManyRefusedRecordsArePassed(t *testing.T) {
	t.Parallel()
	w := choosy(t, noSixSixSix)
	addMachine(t, w.pool, "PM1")
	for i := range 200 {
		w.send(t, "", "fleet/PM1/telemetry", telemetry(start.Add(time.Duration(i)*time.Second), "b", i, fmt.Sprintf(`"a":%d`, 666-i%2)))
	}
	began := time.Now()
	w.run(t, historyRun{})
	t.Logf("100 refused among 200 records in %v", time.Since(began))
	want(t, w.account(t, w.log.ID()), Account{Received: 200, Stored: 100, Dead: 100, Readings: 100})
	for _, l := range w.letters(t, DeadLetterFilter{Limit: 500}) {
		if !bytes.Contains(l.Payload, []byte(`"a":666`)) {
			t.Fatalf("%+v", l)
		}
	}
}
