package telemetry

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/telemetry/edge"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// forward sends what is in another log as the edge EDGE1 does.
func (w *works) forward(t *testing.T, from *works, names func(device string) (names []string, any bool)) (sent int64) {
	t.Helper()
	_, last := from.log.Bounds()
	for at := intakelog.LSN(0); at < last; {
		records, err := from.log.Read(t.Context(), at, 1_000, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			at = r.LSN
			if r.Kind != intakelog.Message {
				continue
			}
			e := edge.Envelope{Log: from.log.ID(), LSN: uint64(r.LSN), Received: r.Received, Source: r.Source, Device: r.Device, Any: true, Topic: r.Topic, Payload: r.Payload}
			if names != nil {
				e.Names, e.Any = names(r.Device)
			}
			w.send(t, "EDGE1", edge.Topic("EDGE1"), string(e.Append(nil)))
			sent++
		}
	}
	return sent
}

// What an edge forwards means here what it means there, and it means that once:
// stored, dead and unclaimed alike, though the edge sends all of it again.
func TestStage_ReadsWhatAnEdgeForwardsAsIfItHadComeHere(t *testing.T) {
	t.Parallel()
	near, centre := newWorks(t), newWorks(t)
	mix := near.sendMix(t)
	near.run(t, historyRun{})
	addMachine(t, centre.pool, "PM1")
	addMachine(t, centre.pool, "PM2")
	addDevice(t, centre.pool, "EDGE1", uuid.Nil, true)
	centre.forward(t, near, nil)
	centre.run(t, historyRun{}) // the second delivery is known though the program was restarted
	again := centre.forward(t, near, nil)
	centre.run(t, historyRun{})

	all := mix
	all.Received, all.Duplicates = all.Received+again, all.Duplicates+again
	want(t, centre.account(t, centre.log.ID()), all)
	if a, b := near.rows(t, "PM2"), centre.rows(t, "PM2"); !reflect.DeepEqual(a, b) || len(a) == 0 {
		t.Errorf("the history of the edge and that of the centre differ:\n%v\n%v", a, b)
	}
	a, b := near.letters(t, DeadLetterFilter{Limit: maxLetters}), centre.letters(t, DeadLetterFilter{Limit: maxLetters})
	if len(a) != len(b) {
		t.Fatalf("%d dead letters at the edge, %d at the centre", len(a), len(b))
	}
	for i := range a {
		if x, y := a[i], b[i]; x.Topic != y.Topic || x.Reason != y.Reason || string(x.Payload) != string(y.Payload) || !x.ReceivedAt.Equal(y.ReceivedAt) || y.Source != "edge:EDGE1" {
			t.Errorf("at the edge %+v\nat the centre %+v", x, y)
		}
	}
	if a, b := near.unclaimed(t), centre.unclaimed(t); len(a) != len(b) || a[0].Messages != b[0].Messages {
		t.Errorf("unclaimed at the edge %+v, at the centre %+v", a, b)
	}
}

// rows are those of a machine, by key.
func (w *works) rows(t *testing.T, key string) (list []string) {
	t.Helper()
	ref := history.Ref{Key: key, No: value[int](t, w.pool, "SELECT no FROM machine WHERE key = '"+key+"'")}
	rows, err := w.history.Rows(program(t.Context()), ref, start.AddDate(-1, 0, 0), start.AddDate(0, 0, 1), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		line := r.At.UTC().Format(time.RFC3339Nano)
		for _, v := range r.Values {
			line += " " + v.Signal + "=" + time.Duration(v.Value).String()
		}
		list = append(list, line)
	}
	return list
}

func TestStage_HoldsAnEdgesDevicesToWhatTheEdgeAllows(t *testing.T) {
	t.Parallel()
	near, centre := newWorks(t), newWorks(t)
	for _, key := range []string{"PM1", "PM2"} {
		addMachine(t, centre.pool, key)
	}
	addDevice(t, centre.pool, "EDGE1", uuid.Nil, true)
	near.send(t, "D1", "fleet/PM1/telemetry", `{"values":{"a":1}}`)            // its machine, as the edge says
	near.send(t, "D1", "v1/gateway/telemetry", `{"PM2":[{"a":1}]}`)            // another's
	near.send(t, "D1", "v1/devices/me/telemetry", `{"a":1}`)                   // a name that nobody has entered here
	near.send(t, "G1", "v1/gateway/telemetry", `{"PM1":[{"b":1}],"PM2":[{}]}`) // a gateway there
	centre.forward(t, near, func(device string) ([]string, bool) { return []string{"D1", "PM1"}, device == "G1" })
	centre.send(t, "EDGE1", edge.Topic("EDGE1"), "3SE\x01 and then nothing that makes sense")
	centre.send(t, "EDGE1", edge.Topic("EDGE1"), "3SE\x01 and another") // which is not the one before, sent again
	centre.run(t, historyRun{})
	want(t, centre.account(t, centre.log.ID()), Account{Received: 6, Stored: 2, Dead: 3, Unclaimed: 1, Readings: 2})
	reasons := map[string]string{}
	for _, l := range centre.letters(t, DeadLetterFilter{}) {
		reasons[l.Reason] = l.Device
	}
	if len(reasons) != 2 || reasons[formats.DeviceScope] != "D1" || reasons[formats.RecordMalformed] == "" {
		t.Errorf("dead letters by reason: %v", reasons)
	}
	if u := centre.unclaimed(t); len(u) != 1 || u[0].Key != "D1" {
		t.Errorf("unclaimed: %+v", u)
	}
	if heard := value[time.Time](t, centre.pool, `SELECT last_seen_at FROM device`); heard.Before(start) {
		t.Errorf("the edge was heard at %v", heard)
	}
}

func TestStage_TakesNothingFromAnEdgeThatIsNoGateway(t *testing.T) {
	t.Parallel()
	near, centre := newWorks(t), newWorks(t)
	addMachine(t, centre.pool, "PM1")
	addDevice(t, centre.pool, "EDGE1", uuid.Nil, false)
	near.send(t, "", "fleet/PM1/telemetry", `{"values":{"a":1}}`)
	centre.forward(t, near, nil)
	centre.run(t, historyRun{})
	want(t, centre.account(t, centre.log.ID()), Account{Received: 1, Dead: 1})
}
