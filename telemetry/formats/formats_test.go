package formats

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

var update = flag.Bool("update", false, "write what the decoders give as the wanted result")

var received = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// wanted is want.json of a case: readings, and the parts that were refused.
type wanted struct {
	Decoder   string       `json:"decoder"`
	Readings  []wantedItem `json:"readings,omitempty"`
	Presences []Presence   `json:"presences,omitempty"`
	Refused   []string     `json:"refused,omitempty"` // "path: reason"
	Unread    int          `json:"unread,omitempty"`
}

type wantedItem struct {
	Machine string             `json:"machine"`
	At      time.Time          `json:"at"`
	Boot    string             `json:"boot,omitempty"`
	Seq     uint64             `json:"seq,omitempty"`
	Flags   uint8              `json:"flags,omitempty"`
	Clock   string             `json:"clock,omitempty"` // what a clock without a zone showed
	Values  map[string]float64 `json:"values"`
	Units   map[string]string  `json:"units,omitempty"`   // as the sender writes them
	Doubted []string           `json:"doubted,omitempty"` // signals that the source does not vouch for
}

// TestDecoders_CaseByCase runs each folder testdata/<format>/<case>: topic and
// payload give want.json, or are refused with the reason in the file reject. A
// file device names the device that signed in, a file received when the message came.
func TestDecoders_CaseByCase(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob("testdata/*/*/topic")
	if err != nil || len(dirs) < 200 {
		t.Fatalf("found %d cases (%v), there must be at least 200", len(dirs), err)
	}
	for _, topic := range dirs {
		dir := filepath.Dir(topic)
		t.Run(strings.TrimPrefix(dir, "testdata/"), func(t *testing.T) {
			t.Parallel()
			runCase(t, dir)
		})
	}
}

func runCase(t *testing.T, dir string) {
	t.Helper()
	m := Message{Topic: strings.TrimSpace(file(t, dir, "topic")), Device: strings.TrimSpace(file(t, dir, "device")),
		Received: received, Payload: []byte(file(t, dir, "payload"))}
	if text := strings.TrimSpace(file(t, dir, "received")); text != "" {
		if err := m.Received.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	var out Decoded
	decoder, err := Decode(m, &out)
	if reason := strings.TrimSpace(file(t, dir, "reject")); reason != "" {
		fault, ok := errors.AsType[*Fault](err)
		if !ok || fault.Reason != reason {
			t.Fatalf("got %v, want it refused with %s", err, reason)
		}
		if fault.Detail == "" || len(out.Readings) > 0 {
			t.Fatalf("refused without saying why, or with %d readings left: %v", len(out.Readings), err)
		}
		return
	}
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	got := seen(decoder, &out)
	name := filepath.Join(dir, "want.json")
	if *update {
		b, _ := json.MarshalIndent(got, "", "  ")
		if err := os.WriteFile(name, append(b, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var want wanted
	if err := json.Unmarshal([]byte(file(t, dir, "want.json")), &want); err != nil {
		t.Fatalf("read want.json: %v", err)
	}
	if !reflect.DeepEqual(got, want) {
		a, _ := json.MarshalIndent(got, "", "  ")
		b, _ := json.MarshalIndent(want, "", "  ")
		t.Fatalf("got %s\nwant %s", a, b)
	}
}

func seen(decoder string, out *Decoded) wanted {
	w := wanted{Decoder: decoder, Presences: out.Presences, Unread: out.Unread}
	for _, r := range out.Readings {
		item := wantedItem{Machine: r.Machine, At: r.At, Boot: r.Boot, Seq: r.Seq, Flags: uint8(r.Flags), Values: map[string]float64{}}
		if !r.Clock.IsZero() {
			item.Clock = r.Clock.Format("2006-01-02T15:04:05.999")
		}
		for i, v := range r.Values {
			item.Values[v.Signal] = v.Value
			if i < len(r.Units) && r.Units[i] != "" {
				if item.Units == nil {
					item.Units = map[string]string{}
				}
				item.Units[v.Signal] = r.Units[i]
			}
			if v.Quality != observation.Good {
				item.Doubted = append(item.Doubted, v.Signal)
			}
		}
		w.Readings = append(w.Readings, item)
	}
	for _, f := range out.Faults {
		w.Refused = append(w.Refused, f.Path+": "+f.Reason)
	}
	return w
}

func file(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

func TestDecode_RefusesWhatIsTooLargeBeforeParsing(t *testing.T) {
	t.Parallel()
	var out Decoded
	payload := []byte(`{"values":{"a":"` + strings.Repeat("x", MaxPayload) + `"}}`)
	_, err := Decode(Message{Topic: "fleet/PM1/telemetry", Received: received, Payload: payload}, &out)
	fault, ok := errors.AsType[*Fault](err)
	if !ok || fault.Reason != TooLarge || !strings.Contains(fault.Detail, "limit 262144") {
		t.Fatalf("got %v", err)
	}
}

func TestDecode_NamesWhereAFaultIs(t *testing.T) {
	t.Parallel()
	var out Decoded
	_, err := Decode(Message{Topic: "fleet/PM1/telemetry", Received: received, Payload: []byte("{\"values\":{\n\"oil\":1e400,\"oil_temp\":}}")}, &out)
	fault, _ := errors.AsType[*Fault](err)
	if fault == nil || fault.Path != "values.oil_temp" || !strings.Contains(fault.Detail, "line 2, column 24") {
		t.Fatalf("got %+v", fault)
	}
}

func TestDecode_ListsOnlyTheFirstFaultsOfAMessage(t *testing.T) {
	t.Parallel()
	var out Decoded
	payload := []byte(`{"values":{"good":1` + strings.Repeat(`,"x`+"y"+`":[1]`, 1) + `}}`)
	for i := range 20 {
		payload = append(payload[:len(payload)-2], []byte(`,"bad`+string(rune('a'+i))+`":NaN}}`)...)
	}
	if _, err := Decode(Message{Topic: "fleet/PM1/telemetry", Received: received, Payload: payload}, &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Faults) != MaxFaults || !strings.Contains(out.Faults[MaxFaults-1].Detail, "and 13 more") {
		t.Fatalf("%d faults, last: %+v", len(out.Faults), out.Faults[len(out.Faults)-1])
	}
}

func TestDecoded_KeepsEarlierReadingsWhenReused(t *testing.T) {
	t.Parallel()
	var out Decoded
	for i := range 200 {
		payload := []byte(`{"ts":1767225600000,"boot":"b","seq":` + string(rune('0'+i%10)) + `,"values":{"a":1.5,"b":` + string(rune('0'+i%10)) + `}}`)
		if _, err := Decode(Message{Topic: "fleet/PM1/telemetry", Received: received, Payload: payload}, &out); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range out.Readings {
		if r.Seq != uint64(i%10) || r.Values[1].Value != float64(i%10) || len(r.Values) != 2 {
			t.Fatalf("reading %d was overwritten: %+v", i, r)
		}
	}
}

func BenchmarkDecode_OwnJSON(b *testing.B) {
	payload := []byte(`{"ts":1767225600000,"boot":"a1b2","seq":4711,"values":{"oil_temp":62.5,"main_pressure":210.25,"engine_speed":1450,"running":true}}`)
	m := Message{Topic: "fleet/PM62-5/telemetry", Received: received, Payload: payload}
	var out Decoded
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		out.Readings, out.values = out.Readings[:0], out.values[:0]
		if _, err := Decode(m, &out); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode_LineProtocol(b *testing.B) {
	payload := []byte(`modbus,machine=PM62-5 oil_temp=62.5,main_pressure=210.25,engine_speed=1450i,running=true 1767225600000000000`)
	m := Message{Topic: "telegraf/host1/modbus", Received: received, Payload: payload}
	var out Decoded
	b.ReportAllocs()
	for b.Loop() {
		out.Readings, out.values = out.Readings[:0], out.values[:0]
		if _, err := Decode(m, &out); err != nil {
			b.Fatal(err)
		}
	}
}
