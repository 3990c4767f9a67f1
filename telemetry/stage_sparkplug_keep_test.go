package telemetry

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

// shortened is a log whose start has been deleted.
type shortened struct {
	upTo
	first *intakelog.LSN
}

func (s shortened) Bounds() (first, last intakelog.LSN) { return *s.first, s.last }

// tight is a stage that keeps few births.
func (w *works) tight(records Records, l birthLimits) *Stage {
	s := NewStage(records, w.pool, quiet())
	s.births = l
	return s
}

// kept is what the database holds of births.
func (w *works) kept(t *testing.T) (k keptTotals) {
	t.Helper()
	do(t, w.pool, func(tx pgx.Tx) (err error) {
		k, err = postgres.One[keptTotals](t.Context(), tx, `SELECT count(*) AS events, count(DISTINCT (group_id, edge_node)) AS nodes, coalesce(sum(octet_length(payload)), 0)::bigint AS bytes FROM sparkplug_event`, nil)
		return err
	})
	return k
}

// Births are forgotten and refused while one reader goes through the log and the
// log's start is deleted behind it: wherever another one begins, it reads the same.
func TestBirths_WhatIsForgottenOrRefusedMeansTheSameToEveryReader(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]birthLimits{
		"room":             {nodeEvents: 1_000, nodeBytes: 1 << 20, nodes: 100, events: 10_000, bytes: 1 << 30, every: 3, heard: 5},
		"crowded":          {nodeEvents: 1_000, nodeBytes: 1 << 20, nodes: 2, events: 10_000, bytes: 1 << 30, every: 3, heard: 5},
		"few of a node":    {nodeEvents: 7, nodeBytes: 1 << 20, nodes: 100, events: 10_000, bytes: 1 << 30, every: 3, heard: 5},
		"few bytes":        {nodeEvents: 1_000, nodeBytes: 1 << 20, nodes: 100, events: 10_000, bytes: 3_000, every: 3, heard: 5},
		"few of all":       {nodeEvents: 1_000, nodeBytes: 1 << 20, nodes: 100, events: 15, bytes: 1 << 30, every: 3, heard: 5},
		"hardly any bytes": {nodeEvents: 1_000, nodeBytes: 700, nodes: 100, events: 10_000, bytes: 1 << 30, every: 3, heard: 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorks(t)
			w.sendNodes(t, 400)
			_, last := w.log.Bounds()
			first := intakelog.LSN(1)
			log := shortened{upTo{w.log, last}, &first}
			ahead := w.tight(halting{log, 7}, l)
			whole := map[intakelog.LSN][]string{}
			limited := 0
			for at := intakelog.LSN(0); at < last; {
				to := min(at+7, last)
				for lsn, said := range told(t, ahead, at, to) {
					whole[lsn] = said
					limited += strings.Count(fmt.Sprint(said), formats.Unkept)
				}
				if at = to; at%35 == 0 { // others are 40 records behind, or 90
					for _, behind := range []intakelog.LSN{40, 90} {
						from := max(at, behind) - behind
						first = max(first, from+1)
						got := told(t, w.tight(halting{shortened{upTo{w.log, at}, &first}, 11}, l), max(from, first-1), at)
						for lsn := max(from, first-1) + 1; lsn <= at; lsn++ {
							if fmt.Sprint(got[lsn]) != fmt.Sprint(whole[lsn]) {
								t.Fatalf("from %d at %d: record %d is %v, want %v", from, at, lsn, got[lsn], whole[lsn])
							}
						}
					}
				}
			}
			k := w.kept(t)
			t.Logf("%d events kept of %d records, %d refused", k.Events, last, limited)
			switch name {
			case "room":
				if limited > 0 {
					t.Errorf("%d refused", limited)
				}
			case "crowded": // the log has records of all nodes
			default:
				if limited == 0 {
					t.Error("the test tests nothing")
				}
			}
			if k.Events > 2*l.events+k.Nodes || k.Bytes > l.bytes {
				t.Errorf("%+v are kept", k)
			}
		})
	}
}

// halting is slowly for a log with a start of its own.
type halting struct {
	shortened
	limit int
}

func (s halting) Read(ctx context.Context, after intakelog.LSN, limit int, buf []intakelog.Record) ([]intakelog.Record, error) {
	return s.shortened.Read(ctx, after, min(limit, s.limit), buf)
}

// An edge node that births without end has the others' births kept all the same,
// and its own values are never read by an older birth.
func TestBirths_OneNodeWithoutEndCostsTheOthersNothing(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	for _, key := range []string{"GOOD", "BAD"} {
		addMachine(t, w.pool, key)
	}
	w.spark(t, "embedded", "g/NBIRTH/GOOD", 0, bdSeq(1), metric("Oil/Temp", 7, 60))
	for i := range 200 {
		w.spark(t, "embedded", "g/NBIRTH/BAD", 0, bdSeq(uint64(i)), metric(fmt.Sprintf("Metric%d", i), 7, 1))
		w.spark(t, "embedded", "g/NDATA/BAD", 1, metric("", 7, float64(i)))
		w.spark(t, "embedded", "g/NDATA/GOOD", 1, metric("", 7, float64(i)))
	}
	w.spark(t, "embedded", "g/NBIRTH/NEW", 0, bdSeq(1))
	_, last := w.log.Bounds()
	l := ownBirthLimits()
	l.nodeEvents, l.every = 50, 10
	said := told(t, w.tight(slowly{upTo{w.log, last}, 30}, l), 0, last)
	good, bad, refused, unborn := 0, 0, 0, 0
	for _, lines := range said {
		for _, line := range lines {
			good += strings.Count(line, "oil.temp")
			bad += strings.Count(line, "{metric")
			refused += strings.Count(line, formats.Unkept)
			unborn += strings.Count(line, sparkplug.NoBirth)
		}
	}
	if good != 201 || bad != 100 || refused != 150 || unborn != 150 {
		t.Errorf("%d values of the good one, %d of the bad one, %d births refused, %d values without a birth", good, bad, refused, unborn)
	}
	if k := w.kept(t); k.Events != 53 || k.Nodes != 3 { // 50 and the end of them
		t.Errorf("%+v", k)
	}
	first := last - 10 // the log has moved on: births before it are needed by nobody
	stage := w.tight(shortened{upTo{w.log, last + 40}, &first}, l)
	for i := range 20 {
		w.spark(t, "embedded", "g/NBIRTH/BAD", 0, bdSeq(uint64(1_000+i)), metric("Again", 7, 1))
		w.spark(t, "embedded", "g/NDATA/BAD", 1, metric("", 7, float64(i)))
		first += 2
	}
	_, end := w.log.Bounds()
	again := fmt.Sprint(told(t, stage, last, end))
	if strings.Contains(again, "Metric") || !strings.Contains(again, formats.Unkept) {
		t.Errorf("%s", again)
	}
}

// Nodes of which the log has no record any more make room for new ones, and whoever
// returns is read by its new birth alone.
func TestBirths_QuietNodesMakeRoom(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addMachine(t, w.pool, "N5")
	l := birthLimits{nodeEvents: 100, nodeBytes: 1 << 20, nodes: 100, events: 1_000, bytes: 1 << 30, every: 10, heard: 5}
	first := intakelog.LSN(1)
	refused := 0
	var stage *Stage
	at := intakelog.LSN(0)
	for i := range 500 { // five times as many nodes as are kept; one of them speaks all the time
		w.spark(t, "embedded", fmt.Sprintf("g/NBIRTH/N%d", i), 0, bdSeq(1), metric("Oil", 7, float64(i)))
		w.spark(t, "embedded", "g/NDATA/N5", 1, metric("", 7, float64(i)))
		_, last := w.log.Bounds()
		if stage == nil {
			stage = w.tight(shortened{upTo{w.log, 1 << 40}, &first}, l)
		}
		for lsn, said := range told(t, stage, at, last) {
			refused += strings.Count(fmt.Sprint(said), formats.Unkept)
			if i > 5 && lsn == last && !strings.Contains(fmt.Sprint(said), "N5") {
				t.Fatalf("after %d nodes the one that speaks is not read: %v", i, said)
			}
		}
		at = last
		first = max(first, at-min(at, 4))
	}
	k := w.kept(t)
	t.Logf("%d nodes with %d events are kept, %d births were refused", k.Nodes, k.Events, refused)
	if k.Nodes > 100 || refused > 0 {
		t.Errorf("%+v, %d refused", k, refused)
	}
	w.spark(t, "embedded", "g/NDATA/N7", 1, metric("", 7, 1))
	w.spark(t, "embedded", "g/NBIRTH/N7", 0, bdSeq(2), metric("Fuel", 7, 1))
	_, last := w.log.Bounds()
	want(t, strings.Contains(fmt.Sprint(told(t, stage, at, last)[at+1]), sparkplug.NoBirth), true)
	totals := value[int64](t, w.pool, `SELECT count(*) FROM sparkplug_node`)
	want(t, totals, value[int64](t, w.pool, `SELECT nodes FROM sparkplug_kept`))
}

// A replay is read by the births of then for as long as a reader may come to it,
// though they are forgotten meanwhile.
func TestBirths_AReplayMeansTheSameWhileBirthsAreForgotten(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addMachine(t, w.pool, "PUMP")
	l := birthLimits{nodeEvents: 1_000, nodeBytes: 1 << 20, nodes: 1, events: 1_000, bytes: 1 << 30, every: 1, heard: 1}
	w.spark(t, "embedded", "g/NBIRTH/PUMP", 0, bdSeq(1), metric("Old", 7, 60))
	then := w.clock.Now()
	w.spark(t, "embedded", "g/NBIRTH/PUMP", 0, bdSeq(2), metric("New", 7, 60))
	_, before := w.log.Bounds()
	p := &sparkplug.Payload{Metrics: []sparkplug.Metric{metric("", 7, 3)}}
	r := intakelog.Record{Kind: intakelog.Message, Source: intakelog.Replay, Topic: "spBv1.0/g/NDATA/PUMP", Payload: sparkplug.Encode(p), Received: then.Add(time.Millisecond)}
	replay, err := w.log.AppendWait(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		w.spark(t, "embedded", "g/NBIRTH/PUMP", 0, bdSeq(3), metric("Newest", 7, 60))
	}
	_, last := w.log.Bounds()
	first := intakelog.LSN(1)
	log := shortened{upTo{w.log, last}, &first}
	stage := w.tight(halting{log, 1}, l)
	ahead := told(t, stage, 0, replay)
	if got := fmt.Sprint(ahead[replay]); !strings.Contains(got, "{old 3 ") {
		t.Fatalf("%s", got)
	}
	first = replay // older births are needed by the replay alone
	told(t, stage, replay, last)
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM sparkplug_event WHERE retired_lsn IS NOT NULL`), int64(1))
	behind := told(t, w.tight(halting{log, 1}, l), before, last)
	want(t, fmt.Sprint(behind[replay]), fmt.Sprint(ahead[replay]))
	for range 3 { // the log moves on, and so they go
		w.spark(t, "embedded", "g/NBIRTH/PUMP", 0, bdSeq(4), metric("Newest", 7, 60))
		_, end := w.log.Bounds()
		first = end
		told(t, w.tight(shortened{upTo{w.log, end}, &first}, l), end-1, end)
	}
	if k := w.kept(t); k.Events > 3 {
		t.Errorf("%+v", k)
	}
}

// A batch in which very many edge nodes speak needs the sessions of all of them,
// and holds few at a time.
func TestStage_ABatchOfManyEdgeNodesIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	const nodes, metrics = 1_024, 300 // more than one view may define
	birth := []sparkplug.Metric{bdSeq(1)}
	for m := range metrics {
		birth = append(birth, metric(fmt.Sprintf("Folder/Signal%03d", m), uint64(m+1), float64(m)))
	}
	payload := sparkplug.Encode(&sparkplug.Payload{HasSeq: true, Metrics: birth})
	for n := range nodes {
		r := intakelog.Record{Kind: intakelog.Message, Source: "embedded", Received: start, Topic: fmt.Sprintf("spBv1.0/g/NBIRTH/N%d", n), Payload: payload}
		if err := w.log.Append(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	born := w.tick(t)
	for n := range nodes {
		p := &sparkplug.Payload{HasSeq: true, Seq: 1, Metrics: []sparkplug.Metric{metric("", uint64(n%metrics+1), 1)}}
		r := intakelog.Record{Kind: intakelog.Message, Source: "embedded", Received: start, Topic: fmt.Sprintf("spBv1.0/g/NDATA/N%d", n), Payload: sparkplug.Encode(p)}
		if err := w.log.Append(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	last := w.tick(t)
	for at := intakelog.LSN(0); at < born; {
		b, err := NewStage(upTo{w.log, born}, w.pool, quiet()).Next(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		at = b.To
	}
	stage := NewStage(upTo{w.log, last}, w.pool, quiet())
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	b, err := stage.Next(t.Context(), born)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	size := stage.views[0].size
	t.Logf("%d nodes of %d metrics: %v, %d metrics and %d MiB held after it", len(b.Unclaimed), metrics, took, size, (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>20)
	if len(b.Unclaimed) != nodes || len(b.Dead) != 0 || size > maxViewMetrics+metrics {
		t.Errorf("%d read, %d refused, %d metrics held", len(b.Unclaimed), len(b.Dead), size)
	}
}
