package telemetry

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

// brokenOn is the program with a fault: what holds a word makes it panic in the
// middle of the message.
func brokenOn(word string) Decoders {
	d := OwnDecoders()
	if word == "" {
		return d
	}
	d.Message = func(m formats.Message, out *formats.Decoded) (string, error) {
		decoder, err := formats.Decode(m, out)
		if bytes.Contains(m.Payload, []byte(word)) {
			panic("nobody has thought of " + word)
		}
		return decoder, err
	}
	return d
}

func TestRunHistory_APanicIsADeadLetterAndTheRestIsStored(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addMachine(t, w.pool, "PM1")
	for i := range 50 {
		w.send(t, "", "fleet/PM1/telemetry", telemetry(start.Add(time.Duration(i)*time.Second), "b", i, `"good":1`))
		if i%10 == 5 {
			w.send(t, "", "fleet/PM1/telemetry", telemetry(start.Add(time.Duration(i)*time.Second), "p", i, `"poison":1`))
		}
	}
	settled := Account{Received: 55, Stored: 50, Dead: 5, Readings: 50}
	for cut := range intakelog.LSN(4) { // and with a restart between
		id := w.log.ID()
		if cut > 0 {
			id[0] += byte(cut)
			w.run(t, historyRun{id: id, upTo: 5 + 2*cut, broken: "poison"})
		}
		w.run(t, historyRun{id: id, broken: "poison"})
		want(t, w.account(t, id), settled)
	}
	letters := w.letters(t, DeadLetterFilter{State: LetterOpen, Reason: formats.Crashed, Limit: 100})
	want(t, len(letters), 20)
	if d := letters[0]; !strings.Contains(d.Detail, "nobody has thought of poison") || !strings.Contains(d.Detail, "telemetry/stage_crash_test.go:") ||
		!bytes.Contains(d.Payload, []byte(`"poison":1`)) || d.Device != "PM1" {
		t.Errorf("%+v", d)
	}
	for _, d := range letters {
		if d.Log == w.log.ID() {
			w.replay(t, d.ID)
		}
	}
	w.run(t, historyRun{}) // the fault is mended
	want(t, w.account(t, w.log.ID()), Account{Received: 60, Stored: 55, Dead: 5, Readings: 55})
}

func TestStage_WhatFailsWhereMachinesAreLookedUpIsADeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addMachine(t, w.pool, "PM1")
	w.send(t, "", "fleet/PM1/status", "online")
	w.send(t, "", "fleet/PM1/telemetry", telemetry(start, "b", 1, `"good":1`))
	w.send(t, "", "fleet/PM1/telemetry", telemetry(start, "b", 2, `"poison":1`))
	w.send(t, "", "fleet/PM1/telemetry", telemetry(start.Add(time.Second), "b", 3, `"good":1`))
	d := OwnDecoders()
	d.Message = func(m formats.Message, out *formats.Decoded) (string, error) {
		decoder, err := formats.Decode(m, out)
		if bytes.Contains(m.Payload, []byte("poison")) {
			out.Presences = out.Presences[:0] // those of another message
		}
		return decoder, err
	}
	stage := NewStageOf(w.log, w.pool, quiet(), d)
	b, err := stage.Next(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Observations) != 2 || len(b.Presences) != 1 || len(b.Numbers) != 2 || len(b.Dead) != 1 || b.Dead[0].LSN != 3 || b.Dead[0].Reason != formats.Crashed ||
		b.Counts.Readings != 2 || b.Counts.Messages != 4 || b.Records[2].Dead != 1 || b.Records[2].Observations != 0 || stage.Crashes() != 1 {
		t.Errorf("%+v", b)
	}
}

// A message of an edge node over which the program fails, in one place or another,
// means the same to the reader that saw it and to those that come later.
func TestStage_APanicInSparkplugMeansTheSameToEveryReader(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	w.sendNodes(t, 300)
	_, last := w.log.Bounds()
	d := OwnDecoders()
	d.Sparkplug = func(b []byte) (*sparkplug.Payload, *sparkplug.Fault) {
		p, fault := sparkplug.Decode(b)
		switch sum := crc32.ChecksumIEEE(b); {
		case fault != nil:
		case sum%9 == 0:
			panic("a fault in the decoder")
		case sum%9 == 1: // one behind it: a row is longer than its columns
			p.Metrics = append(p.Metrics, sparkplug.Metric{Name: "table", HasName: true, Datatype: sparkplug.DataSetType, HasDatatype: true,
				Value: sparkplug.Value{Kind: sparkplug.DataSetValue, Set: &sparkplug.DataSet{Rows: [][]sparkplug.Value{{{}}}}}})
		}
		return p, fault
	}
	first := NewStageOf(upTo{w.log, last}, w.pool, quiet(), d)
	whole := told(t, first, 0, last)
	if first.Crashes() < 30 {
		t.Fatalf("%d messages failed: the script tests little", first.Crashes())
	}
	for cut := intakelog.LSN(0); cut < last; cut += 13 {
		got := told(t, NewStageOf(slowly{upTo{w.log, last}, 1 + int(cut)%17}, w.pool, quiet(), d), cut, last)
		for lsn := cut + 1; lsn <= last; lsn++ {
			if fmt.Sprint(got[lsn]) != fmt.Sprint(whole[lsn]) {
				t.Fatalf("from %d: record %d is %v, want %v", cut, lsn, got[lsn], whole[lsn])
			}
		}
	}
}
