package telemetry

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

// TestReconcile_BringsBackWhatInfluxDBLost kills InfluxDB and removes its WAL after
// it has taken everything: 204 was said, and the values are gone. The intake log
// has them still.
func TestReconcile_BringsBackWhatInfluxDBLost(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	server := telemetrytest.StartInflux(t, false)
	influx := openInflux(t, server, w.pool)
	var refs []history.Ref
	for i := range 5 {
		_, ref := addMachine(t, w.pool, fmt.Sprintf("PM%d", i))
		refs = append(refs, ref)
	}
	w.history = influx
	const rows = 400 // of each machine: half of them of last week, half of ten hours
	week := start.AddDate(0, 0, -8)
	var last intakelog.LSN
	for i := range rows {
		at := week.Add(time.Duration(i) * time.Minute)
		if i >= rows/2 {
			at = start.Add(time.Duration(i-rows/2) * 3 * time.Minute)
			w.clock.AdvanceTo(at)
		}
		for m := range refs {
			last = w.send(t, "", fmt.Sprintf("fleet/PM%d/telemetry", m), telemetry(at, "b", i, fmt.Sprintf(`"a":%d,"b":%d.5`, i, m)))
		}
	}
	w.run(t, historyRun{})
	held := func() (n int) {
		for _, ref := range refs {
			list, err := influx.Rows(program(t.Context()), ref, week, start.Add(24*time.Hour), 0)
			if err != nil {
				t.Fatal(err)
			}
			n += len(list)
		}
		return n
	}
	want(t, held(), rows*len(refs))
	server.Kill()
	loseNewest(t, server)
	server.Start(t, strings.TrimPrefix(server.URL, "http://"), false)
	server.Query(t, `SHOW DATABASES`) // it answers
	lost := rows*len(refs) - held()
	want(t, lost, rows*len(refs)/2)

	config := ReconcileConfig{Records: w.log, Pool: w.pool, History: influx, Clock: w.clock, Log: quiet(),
		First: func() intakelog.LSN { return 1 }, Stored: func() intakelog.LSN { return last }}
	r, err := Reconcile(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(2 * lost); r.Missing != want || r.Left != 0 || r.Refused != 0 || r.Records != int64(last) {
		t.Errorf("%d values were lost: %+v", want, r)
	}
	want(t, held(), rows*len(refs))
	if again, err := Reconcile(t.Context(), config); err != nil || again.Missing != 0 || again.Left != 0 || again.Rewritten >= r.Rewritten {
		t.Errorf("again: %+v, %v", again, err)
	}
	want(t, held(), rows*len(refs))
}

// loseNewest takes away the WAL of the newest shard: what the server had said that
// it has, and had not written to its files yet.
func loseNewest(t *testing.T, server *telemetrytest.Influx) {
	t.Helper()
	shards, err := filepath.Glob(filepath.Join(server.Dir, "wal", "test*", "autogen", "*"))
	if err != nil || len(shards) < 2 {
		t.Fatalf("%v, %v", shards, err)
	}
	newest := slices.MaxFunc(shards, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	if err := os.RemoveAll(newest); err != nil {
		t.Fatal(err)
	}
}

func TestReconcile_HasNothingToDoForPostgreSQL(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	_, err := Reconcile(t.Context(), ReconcileConfig{Records: w.log, Pool: w.pool, History: w.history, Clock: w.clock, Log: quiet()})
	if problem.Of(err) != problem.Invalid {
		t.Fatalf("got %v", err)
	}
}

func TestReconcile_CountsAnHour(t *testing.T) {
	t.Parallel()
	e := func(seconds int, signals ...string) entry {
		p := history.Point{At: start.Add(time.Duration(seconds) * time.Second)}
		for _, s := range signals {
			p.Values = append(p.Values, observation.Value{Signal: s, Value: 1})
		}
		return entryOf(&p, p.At.UnixMicro())
	}
	for name, c := range map[string]struct {
		list  []entry
		n     int64
		mixed bool
	}{
		"twice the same":         {[]entry{e(1, "a", "b"), e(0, "a"), e(1, "b", "a")}, 3, false},
		"an instant in two ways": {[]entry{e(1, "a"), e(0, "a"), e(1, "b")}, 2, true},
	} {
		if n, mixed := distinct(c.list); n != c.n || mixed != c.mixed {
			t.Errorf("%s: %d, %v", name, n, mixed)
		}
	}
}

// TestReconciler_ReconcilesAfterAnOutage says when a reconciliation is due.
func TestReconciler_ReconcilesAfterAnOutage(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	var status HistoryStatus
	server := telemetrytest.StartInflux(t, false)
	influx := openInflux(t, server, w.pool)
	addMachine(t, w.pool, "PM1")
	r := NewReconciler(ReconcileConfig{Records: w.log, Pool: w.pool, History: influx, Clock: w.clock, Log: quiet(),
		First: func() intakelog.LSN { return 1 }, Stored: status.Stored}, &status)
	r.runOnce(t.Context())
	if _, ok := r.Last(); ok {
		t.Fatal("it has reconciled before anything was stored")
	}
	last := w.send(t, "", "fleet/PM1/telemetry", telemetry(start, "b", 1, `"a":1`)) // and never stored: all of it is missing
	ran := func() bool {
		t.Helper()
		before, _ := r.Last()
		r.runOnce(t.Context())
		after, ok := r.Last()
		return ok && after != before
	}
	fresh := NewReconciler(r.config, &status)
	status.begin(0)
	status.stored.Store(uint64(last))
	if fresh.runOnce(t.Context()); fresh.last != nil {
		t.Fatal("it has reconciled what this run itself has written")
	}
	status.begin(last)
	if !ran() {
		t.Fatal("nothing at the start")
	}
	if last, _ := r.Last(); last.Missing != 1 || last.Left != 0 || last.Error != "" {
		t.Fatalf("%+v", last)
	}
	if ran() {
		t.Fatal("again, for no reason")
	}
	status.fail(problem.New(problem.Unavailable, "away"))
	if ran() {
		t.Fatal("while the history is away")
	}
	status.trouble.Store(nil)
	if !ran() {
		t.Fatal("nothing after the outage")
	}
	w.clock.Advance(time.Hour)
	if r.Ask(); !ran() {
		t.Fatal("nothing though it was asked to")
	}
	server.Kill() // between two writes, so that none of them fails
	server.Start(t, strings.TrimPrefix(server.URL, "http://"), false)
	w.clock.Advance(time.Hour)
	if !ran() {
		t.Fatal("nothing after the server was started again")
	}
	w.clock.Advance(time.Hour)
	if ran() {
		t.Fatal("again, for no reason")
	}
	last = w.send(t, "", "fleet/PM1/telemetry", telemetry(start, "b", 2, `"a":2`)) // written before the server was killed,
	status.stored.Store(uint64(last))                                              // and said to be stored only now
	if !ran() {
		t.Fatal("nothing when more was stored")
	}
	server.Kill() // and whoever writes has not found out yet
	w.clock.Advance(time.Hour)
	if r.Ask(); !ran() {
		t.Fatal("nothing though it was asked to")
	}
	if last, _ := r.Last(); last.Error == "" || last.Records != 0 {
		t.Fatalf("it reads the log for a history that cannot be asked: %+v", last)
	}
	server.Start(t, strings.TrimPrefix(server.URL, "http://"), false)
	w.clock.Advance(time.Hour)
	for range 2 {
		if ran() {
			t.Fatal("without a rest after it failed")
		}
	}
	if !ran() {
		t.Fatal("not tried again")
	}
	if last, _ := r.Last(); last.Error != "" || last.Left != 0 {
		t.Fatalf("%+v", last)
	}
}
