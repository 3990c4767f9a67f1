package telemetry

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

const wholeLedgerSQL = `SELECT coalesce((SELECT string_agg(boot || ':' || first || '-' || last || ' ' || found_at || coalesce(' ' || filled_at, ''), ', ' ORDER BY found_at, first) FROM sequence_gap), '')
  || ' / ' || coalesce((SELECT string_agg(begins || ' ' || missed || ' ' || filled || ' ' || unlisted || ' ' || runs::text, ', ' ORDER BY machine_id) FROM sequence_account), '')`

const forgetLedgerSQL = `DELETE FROM sequence_gap`

func (w *works) number(t *testing.T, machine, boot string, seq int) intakelog.LSN {
	t.Helper()
	return w.send(t, "", "fleet/"+machine+"/telemetry", telemetry(w.clock.Now(), boot, seq, fmt.Sprintf(`"a":%d`, seq)))
}

// The ledger is the same however often the program was stopped on the way.
func TestGaps_AreTheSameAfterAnyStops(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addMachine(t, w.pool, "PM1")
	addMachine(t, w.pool, "PM2")
	random := rand.New(rand.NewPCG(3, 3))
	for range 60 {
		w.number(t, fmt.Sprintf("PM%d", 1+random.IntN(2)), fmt.Sprintf("b%d", random.IntN(3)), random.IntN(20))
	}
	_, last := w.log.Bounds()
	forget := func() {
		do(t, w.pool, func(tx pgx.Tx) error {
			if _, err := postgres.Run(t.Context(), tx, forgetLedgerSQL, nil); err != nil {
				return err
			}
			_, err := postgres.Run(t.Context(), tx, `DELETE FROM sequence_account`, nil)
			return err
		})
	}
	w.run(t, historyRun{})
	must := value[string](t, w.pool, wholeLedgerSQL)
	for name, step := range map[string]intakelog.LSN{"after each record": 1, "after each seventh": 7} {
		forget()
		id := postgres.NewID()
		for cut := step; cut < last; cut += step {
			w.run(t, historyRun{id: id, upTo: cut})
		}
		w.run(t, historyRun{id: id})
		w.run(t, historyRun{id: id}) // and once more with nothing new
		if got := value[string](t, w.pool, wholeLedgerSQL); got != must {
			t.Errorf("stopped %s:\n%s\nwant\n%s", name, got, must)
		}
	}
}

// In a backlog the history is ahead of the saved ledger. A program that ends there
// reads the rest again, and the log keeps it until then.
func TestGaps_AreReadAgainWhereTheyWereNotSaved(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addMachine(t, w.pool, "PM1")
	const messages = 3*batchRecords + 10
	written := make(chan error, messages)
	for seq := range messages {
		if seq%5000 == 500 {
			written <- nil
			continue
		}
		at := w.clock.Advance(time.Second)
		r := intakelog.Record{Kind: intakelog.Message, Source: "embedded", Received: at, Topic: "fleet/PM1/telemetry", Payload: []byte(telemetry(at, "b", seq, `"a":1`))}
		if err := w.log.Append(r, func(_ intakelog.LSN, err error) { written <- err }); err != nil {
			t.Fatal(err)
		}
	}
	for range messages {
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
	saved := intakelog.LSN(0)
	stage := NewStage(w.log, w.pool, quiet())
	h := newHistorian(HistoryConfig{Stage: stage, Pool: w.pool, History: w.history, LogID: w.log.ID(), Clock: w.clock, Log: quiet(), First: 1,
		Released: func(upTo intakelog.LSN) { saved = upTo }})
	if err := h.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b, err := stage.Next(t.Context(), h.at)
		if err == nil {
			err = h.runOnce(t.Context(), b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if h.at != 2*batchRecords || saved != 0 {
		t.Fatalf("stored up to %d, released up to %d", h.at, saved)
	}
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM sequence_gap`), int64(0))
	w.run(t, historyRun{})
	want(t, value[string](t, w.pool, `SELECT string_agg(first || '-' || last, ' ' ORDER BY first) FROM sequence_gap`), "500-500 5500-5500 10500-10500")
	w.run(t, historyRun{})
	want(t, value[int64](t, w.pool, `SELECT missed FROM sequence_account`), int64(3))
}

// A message counts as having come though nothing of it could be stored, and one
// whose machine was unknown at first when it is replayed.
func TestGaps_KnowWhatCameAndWasOfNoUse(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, _ := addMachine(t, w.pool, "PM1")
	addMachine(t, w.pool, "PM2")
	addDevice(t, w.pool, "D1", machine, false)
	w.number(t, "PM1", "b", 0)
	w.send(t, "", "fleet/PM1/telemetry", `{"ts":1,"boot":"b","seq":1,"values":{"a":1}}`) // in 1970: a dead letter
	w.send(t, "", "fleet/PM1/telemetry", `{"boot":"b","seq":2,"values":{"a":1e999}}`)    // out of range
	w.send(t, "", "fleet/PM1/telemetry", `{"boot":"b","seq":3,"values":{}}`)             // says only that it lives
	w.send(t, "", "fleet/PM1/telemetry", `{"boot":"b","seq":4,"values":{"a":`)           // cut off: who knows what it was
	w.send(t, "D1", "fleet/PM2/telemetry", `{"boot":"b","seq":70,"values":{"a":1}}`)     // not D1's to say
	w.send(t, "", "fleet/PM1/telemetry", `[{"boot":"b","seq":5,"a":1},{"boot":"b","seq":6,"a":2}]`)
	w.run(t, historyRun{})
	want(t, value[string](t, w.pool, `SELECT string_agg(boot || ':' || first || '-' || last, ' ') FROM sequence_gap`), "b:4-4")
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM sequence_account`), int64(1))
}
