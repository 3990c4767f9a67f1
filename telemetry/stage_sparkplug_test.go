package telemetry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

// metric is one of an edge node of the tests.
// spark appends a message of an edge node, a second after the one before.
func (w *works) spark(t *testing.T, source, topic string, seq uint64, metrics ...sparkplug.Metric) intakelog.LSN {
	t.Helper()
	at := w.clock.Now().Add(time.Second)
	p := &sparkplug.Payload{Timestamp: uint64(at.UnixMilli()), HasTimestamp: true, Seq: seq, HasSeq: true, Metrics: metrics}
	return w.append(t, intakelog.Record{Kind: intakelog.Message, Source: source, Topic: sparkplug.Namespace + topic, Payload: sparkplug.Encode(p)})
}

// slowly is a log that gives few records at a time.
type slowly struct {
	upTo
	limit int
}

func (s slowly) Read(ctx context.Context, after intakelog.LSN, limit int, buf []intakelog.Record) ([]intakelog.Record, error) {
	return s.upTo.Read(ctx, after, min(limit, s.limit), buf)
}

// told is what a stage makes of the log, by record.
func told(t *testing.T, stage *Stage, from, to intakelog.LSN) map[intakelog.LSN][]string {
	t.Helper()
	out := map[intakelog.LSN][]string{}
	for from < to {
		b, err := stage.Next(t.Context(), from)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range b.Observations {
			out[o.LSN] = append(out[o.LSN], fmt.Sprintf("%s %s %v", o.Machine, o.At.Format(time.TimeOnly), o.Values))
		}
		for _, p := range b.Presences {
			out[p.LSN] = append(out[p.LSN], fmt.Sprintf("%s %v %s", p.Machine, p.Online, p.At.Format(time.TimeOnly)))
		}
		for i := range b.Dead {
			out[b.Dead[i].LSN] = append(out[b.Dead[i].LSN], b.Dead[i].Reason+" "+b.Dead[i].Detail)
		}
		from = b.To
	}
	return out
}

// sendNodes fills the log with two edge nodes whose aliases change with each
// birth, who die, are born again, and of which one is heard through a broker that
// is listened to anew at times.
func (w *works) sendNodes(t *testing.T, n int) {
	t.Helper()
	for _, key := range []string{"A1", "A2", "B1", "B2"} {
		id, _ := addMachine(t, w.pool, key)
		do(t, w.pool, func(tx pgx.Tx) error { // D1 and D2 are the names of devices on both nodes
			_, err := tx.Exec(t.Context(), addAliasSQL, pgx.NamedArgs{"key": "g/" + key[:1] + "/D" + key[1:], "machine": id})
			return err
		})
	}
	r := rand.New(rand.NewPCG(7, 7))
	session := map[string]uint64{}
	shift := map[string]uint64{} // so that an alias means something else after a birth
	for i := range n {
		node, source := "A", "embedded"
		if r.IntN(2) == 0 {
			node, source = "B", "external"
		}
		device := fmt.Sprintf("/D%d", 1+r.IntN(2))
		aliases := func(k uint64) uint64 { return 10 + (k+shift[node])%4 + 10*uint64(device[2]) }
		switch r.IntN(12) {
		case 0:
			session[node]++
			shift[node]++
			w.spark(t, source, "g/NBIRTH/"+node, 0, bdSeq(session[node]))
		case 1, 2:
			shift[node] += uint64(r.IntN(2))
			w.spark(t, source, "g/DBIRTH/"+node+device, 1, metric("Oil/Temp", aliases(0), 1), metric("Oil/Pressure", aliases(1), 2))
		case 3:
			w.spark(t, source, "g/NDEATH/"+node, 0, bdSeq(session[node]-uint64(r.IntN(2))))
		case 4:
			w.spark(t, source, "g/DDEATH/"+node+device, 3)
		case 5:
			if source == "external" && r.IntN(2) == 0 {
				w.append(t, intakelog.Record{Kind: intakelog.Session, Source: source})
			}
		case 6:
			w.append(t, intakelog.Record{Kind: intakelog.Message, Source: source, Topic: "spBv1.0/g/DBIRTH/" + node + device, Payload: []byte{0x08}})
		default:
			w.spark(t, source, "g/DDATA/"+node+device, 4, metric("", aliases(uint64(r.IntN(4))), float64(i)))
		}
	}
}

func TestStage_ReadsSparkplugTheSameFromEveryPlace(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	w.sendNodes(t, 300)
	_, last := w.log.Bounds()
	whole := told(t, NewStage(upTo{w.log, last}, w.pool, quiet()), 0, last)
	values, refused := 0, 0
	for _, lines := range whole {
		for _, line := range lines {
			if line[0] == 'E' {
				refused++
			} else {
				values++
			}
		}
	}
	if values < 60 || refused < 60 {
		t.Fatalf("%d things told and %d refused: the script tests little", values, refused)
	}
	for cut := intakelog.LSN(0); cut < last; cut += 31 {
		do(t, w.pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `DELETE FROM sparkplug_event; DELETE FROM sparkplug_node; DELETE FROM sparkplug_kept`)
			return err
		})
		ahead := NewStage(slowly{upTo{w.log, last}, 1 + int(cut)%29}, w.pool, quiet()) // one reader goes to cut
		first := told(t, ahead, 0, cut)
		behind := NewStage(slowly{upTo{w.log, last}, 1 + int(cut)%17}, w.pool, quiet()) // a new program goes on there
		second := told(t, behind, cut, last)
		third := told(t, behind, cut/2, last) // and another reader is behind
		for lsn := intakelog.LSN(1); lsn <= last; lsn++ {
			got := second[lsn]
			if lsn <= cut {
				got = first[lsn]
			}
			if want := whole[lsn]; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("cut at %d: record %d is %v, want %v", cut, lsn, got, want)
			}
			if got := third[lsn]; lsn > cut/2 && fmt.Sprint(got) != fmt.Sprint(whole[lsn]) {
				t.Fatalf("behind %d: record %d is %v, want %v", cut, lsn, got, whole[lsn])
			}
		}
	}
}

func TestStage_StoresWhatSparkplugMeansToBeStored(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	_, pump := addMachine(t, w.pool, "PUMP01")
	w.spark(t, "embedded", "g/NBIRTH/gw", 0, bdSeq(1))
	w.spark(t, "embedded", "g/DBIRTH/gw/PUMP01", 1, metric("Hydraulic/OilTemp", 7, 61), metric("Engine/Speed", 8, 1800))
	w.spark(t, "embedded", "g/DDATA/gw/PUMP01", 2, metric("", 7, 62))
	historical, transient, null, stale := metric("", 7, 50), metric("", 8, 5), metric("", 8, 0), metric("", 7, 63)
	historical.Historical, historical.Timestamp, historical.HasTimestamp = true, uint64(start.Add(-time.Hour).UnixMilli()), true
	transient.Transient = true
	null.Null, null.Value = true, sparkplug.Value{}
	stale.Properties = []sparkplug.Property{{Key: "Quality", Type: sparkplug.Int32, Value: sparkplug.Value{Kind: sparkplug.IntValue, Bits: 500}}}
	w.spark(t, "embedded", "g/DDATA/gw/PUMP01", 3, historical)
	w.spark(t, "embedded", "g/DDATA/gw/PUMP01", 4, transient, null)
	w.spark(t, "embedded", "g/DDATA/gw/PUMP01", 5, stale)
	w.spark(t, "embedded", "g/NDEATH/gw", 0, bdSeq(1))
	_, last := w.log.Bounds()

	b, err := NewStage(upTo{w.log, last}, w.pool, quiet()).Next(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	want(t, len(b.Observations), 4)
	want(t, b.Observations[2].Flags, observation.Historical)
	want(t, b.Observations[3].Values[0].Quality, observation.Stale)
	want(t, len(b.Presences), 2) // PUMP01 came and went; nobody has entered the gateway
	want(t, []bool{b.Presences[0].Online, b.Presences[1].Online}, []bool{true, false})
	want(t, b.Presences[1].At, start.Add(time.Duration(last)*time.Second)) // our clock's
	want(t, len(b.Unclaimed), 0)

	w.run(t, historyRun{})
	want(t, w.account(t, w.log.ID()), Account{Received: 7, Stored: 7, Readings: 5})
	rows, err := w.history.Rows(program(t.Context()), pump, start.Add(-2*time.Hour), start.Add(time.Hour), 0)
	if err != nil {
		t.Fatal(err)
	}
	want(t, len(rows), 4)
	want(t, rows[0].At, start.Add(-time.Hour))
	want(t, rows[0].Values[0].Value, 50.0)
}

// What came before its birth waits as a dead letter, and what nobody had entered
// as unclaimed: both mean later what they meant when they came.
func TestStage_ReplaysSparkplugInItsOwnSession(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	w.spark(t, "external", "g/DDATA/gw/PUMP01", 77, metric("", 7, 60)) // the births were missed
	w.spark(t, "external", "g/NBIRTH/gw", 0, bdSeq(1))
	w.spark(t, "external", "g/DBIRTH/gw/PUMP01", 1, metric("Hydraulic/OilTemp", 7, 61))
	w.spark(t, "external", "g/DDATA/gw/PUMP01", 2, metric("", 7, 62))
	w.spark(t, "external", "g/NBIRTH/gw", 0, bdSeq(2))
	w.spark(t, "external", "g/DBIRTH/gw/PUMP01", 1, metric("Engine/Speed", 7, 1800)) // the alias means something else now
	w.spark(t, "external", "g/DDATA/gw/PUMP01", 2, metric("", 7, 1801))
	w.run(t, historyRun{})
	want(t, value[string](t, w.pool, `SELECT reason FROM dead_letter`), sparkplug.NoBirth)
	want(t, value[int64](t, w.pool, `SELECT messages FROM unclaimed WHERE key = 'PUMP01'`), int64(4))
	id, pump := addMachine(t, w.pool, "HP-4711")
	who := identity.Principal{Name: "admin", Role: identity.Admin}
	do(t, w.pool, func(tx pgx.Tx) error {
		return Claim(t.Context(), tx, w.log, w.clock.Now(), who, "PUMP01", id)
	})
	letter := value[int64](t, w.pool, `SELECT id FROM dead_letter`)
	do(t, w.pool, func(tx pgx.Tx) error {
		return ReplayDeadLetter(t.Context(), tx, w.log, w.clock.Now(), who, letter)
	})
	w.run(t, historyRun{})
	rows, err := w.history.Rows(program(t.Context()), pump, start.Add(-2*time.Hour), start.Add(time.Hour), 0)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, row := range rows {
		got += fmt.Sprintf("%s %v; ", row.Values[0].Signal, row.Values[0].Value)
	}
	want(t, got, "hydraulic.oil_temp 60; hydraulic.oil_temp 61; hydraulic.oil_temp 62; engine.speed 1800; engine.speed 1801; ")
	w.account(t, w.log.ID())
}
