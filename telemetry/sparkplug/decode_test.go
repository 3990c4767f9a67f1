package sparkplug

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// shared holds samples whose licence does not let us copy them.
const shared = "../../../shared/samples"

func TestDecode_RefusesWhatIsBroken(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/bad_payloads.txt")
	if err != nil {
		t.Fatal(err)
	}
	protobuf := 0
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(strings.TrimSpace(line), " | ")
		want, why, payload := fields[0], fields[1], unhex(t, fields[2])
		_, fault := Decode(payload)
		if fault == nil || fault.Reason != want {
			t.Errorf("%s: got %v, want %s", why, fault, want)
			continue
		}
		if strings.HasPrefix(want, "E_PB_") {
			protobuf++
			if want != Inflate && (fault.Offset < 0 || fault.Offset > len(payload) || !strings.Contains(fault.Detail, "at byte ")) {
				t.Errorf("%s: %v does not say where", why, fault)
			}
		}
	}
	if protobuf < 40 {
		t.Errorf("%d payloads are bad protocol buffers, want at least 40", protobuf)
	}
	if _, fault := Decode(make([]byte, MaxPayload+1)); fault == nil || fault.Reason != TooLarge {
		t.Errorf("a payload beyond the limit: %v", fault)
	}
	bomb := Encode(&Payload{UUID: compressedUUID, Body: deflate(t, make([]byte, 8<<20))})
	if _, fault := Decode(bomb); fault == nil || fault.Reason != TooLarge {
		t.Errorf("%d bytes that inflate to 8 MiB: %v", len(bomb), fault)
	}
}

// unhex reads hex in which (ab*3) is ababab.
func unhex(t *testing.T, text string) []byte {
	t.Helper()
	before, rest, repeated := strings.Cut(text, "(")
	if repeated {
		run, after, _ := strings.Cut(rest, ")")
		unit, times, _ := strings.Cut(run, "*")
		n, err := strconv.Atoi(times)
		if err != nil {
			t.Fatal(err)
		}
		before += strings.Repeat(unit, n) + after
	}
	b, err := hex.DecodeString(before)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func deflate(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// everything is a payload that has all there is.
func everything() *Payload {
	return &Payload{Timestamp: 1, HasTimestamp: true, Seq: 255, HasSeq: true, UUID: "u", Body: []byte{1}, Metrics: []Metric{
		{Name: "double", HasName: true, Alias: 7, HasAlias: true, Timestamp: 2, HasTimestamp: true, Datatype: Double, HasDatatype: true,
			Value: Value{Kind: DoubleValue, Number: math.Pi}, Historical: true, Transient: true,
			Properties: []Property{{Key: "engUnit", Type: String, Value: Value{Kind: StringValue, Text: "bar"}}, {Key: "Quality", Type: Int32, Null: true}}},
		{Name: "float", HasName: true, Value: Value{Kind: FloatValue, Number: 0.5}},
		{Name: "int", HasName: true, Value: Value{Kind: IntValue, Bits: math.MaxUint32}},
		{Name: "long", HasName: true, Value: Value{Kind: LongValue, Bits: math.MaxUint64}},
		{Name: "bool", HasName: true, Value: Value{Kind: BooleanValue, Bits: 1}},
		{Name: "text", HasName: true, Value: Value{Kind: StringValue, Text: "正常"}},
		{Name: "bytes", HasName: true, Value: Value{Kind: BytesValue, Bytes: []byte{1, 2}}},
		{Name: "null", HasName: true, Null: true},
		{Name: "set", HasName: true, Value: Value{Kind: DataSetValue, Set: &DataSet{Columns: []string{"a", "b"}, Types: []Datatype{Int32, String},
			Rows: [][]Value{{{Kind: IntValue, Bits: 1}, {Kind: StringValue, Text: "x"}}, {{Kind: IntValue, Bits: 2}, {Kind: StringValue, Text: "y"}}}}}},
		{Name: "template", HasName: true, Value: Value{Kind: TemplateValue, Template: &Template{Reference: "t", Definition: true,
			Metrics: []Metric{{Name: "member", HasName: true, Value: Value{Kind: BooleanValue}}}}}},
	}}
}

func forgetOffsets(list []Metric) {
	for i := range list {
		list[i].Offset = 0
		if t := list[i].Value.Template; t != nil {
			forgetOffsets(t.Metrics)
		}
	}
}

func TestDecode_GivesWhatWasEncoded(t *testing.T) {
	t.Parallel()
	want := everything()
	got, fault := Decode(Encode(want))
	if fault != nil {
		t.Fatal(fault)
	}
	forgetOffsets(got.Metrics)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for algorithm, body := range map[string][]byte{"DEFLATE": deflate(t, Encode(want)), "": deflate(t, Encode(want))} {
		outer := &Payload{UUID: compressedUUID, Body: body}
		if algorithm != "" {
			outer.Metrics = []Metric{{Name: "algorithm", HasName: true, Value: Value{Kind: StringValue, Text: algorithm}}}
		}
		got, fault := Decode(Encode(outer))
		if fault != nil || got.Seq != 255 || len(got.Metrics) != len(want.Metrics) || got.Compressed != "DEFLATE" {
			t.Errorf("%q: %v %v", algorithm, got, fault)
		}
	}
}

func TestRead_FlattensArraysAndTables(t *testing.T) {
	t.Parallel()
	little := binary.LittleEndian
	arrays := []struct {
		datatype Datatype
		bytes    []byte
		want     []float64
	}{
		{Int8Array, []byte{0xff, 1}, []float64{-1, 1}},
		{UInt8Array, []byte{0xff}, []float64{255}},
		{Int16Array, little.AppendUint16(nil, 0xfffe), []float64{-2}},
		{UInt16Array, little.AppendUint16(nil, 0xfffe), []float64{65534}},
		{Int32Array, little.AppendUint32(nil, 0xfffffffd), []float64{-3}},
		{UInt32Array, little.AppendUint32(nil, 0xfffffffd), []float64{4294967293}},
		{Int64Array, little.AppendUint64(nil, math.MaxUint64), []float64{-1}},
		{UInt64Array, little.AppendUint64(nil, 5), []float64{5}},
		{FloatArray, little.AppendUint32(nil, math.Float32bits(1.5)), []float64{1.5}},
		{DoubleArray, little.AppendUint64(nil, math.Float64bits(2.5)), []float64{2.5}},
		{BooleanArray, []byte{10, 0, 0, 0, 0b10100000, 0b01000000}, []float64{1, 0, 1, 0, 0, 0, 0, 0, 0, 1}},
		{StringArray, []byte("a\x00b\x00"), nil},
		{DateTimeArray, little.AppendUint64(nil, 5), nil},
	}
	for _, a := range arrays {
		p := &Payload{Metrics: []Metric{{Name: "Wave", HasName: true, Datatype: a.datatype, HasDatatype: true, Value: Value{Kind: BytesValue, Bytes: a.bytes}}}}
		r := new(Session).Read(Topic{Type: NBirth}, p)
		var got []float64
		for i, point := range r.Points {
			if got = append(got, point.Value); point.Signal != "wave."+strconv.Itoa(i) {
				t.Errorf("%s: element %d is called %s", a.datatype, i, point.Signal)
			}
		}
		if !reflect.DeepEqual(got, a.want) || len(r.Faults) > 0 || (a.want == nil) != (r.Attributes == 1) {
			t.Errorf("%s: got %v, want %v; %+v", a.datatype, got, a.want, r)
		}
	}
	long := &Payload{Metrics: []Metric{{Name: "Wave", HasName: true, Datatype: UInt8Array, HasDatatype: true, Value: Value{Kind: BytesValue, Bytes: make([]byte, 65)}}}}
	if r := new(Session).Read(Topic{Type: NBirth}, long); len(r.Points) != 0 || len(r.Faults) != 1 || r.Faults[0].Reason != TooMany {
		t.Errorf("a wave form of 65 samples: %+v", r)
	}
	one := everything().Metrics[8:9]
	one[0].Datatype, one[0].HasDatatype = DataSetType, true
	one[0].Value.Set.Rows = one[0].Value.Set.Rows[:1]
	if r := new(Session).Read(Topic{Type: NBirth}, &Payload{Metrics: one}); len(r.Points) != 1 || r.Points[0].Signal != "set.a" || r.Attributes != 1 {
		t.Errorf("a table of one row: %+v", r)
	}
}

func TestSignal_IsLowerCaseWithDots(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Hydraulic/OilTemp": "hydraulic.oil_temp", "Engine/Speed": "engine.speed", "RPM": "rpm", "EngineRPM": "engine_rpm", "HTTPServer/Load": "http_server.load",
		"Pump1Speed": "pump1_speed", "oil temp": "oil_temp", "Oil Temp": "oil_temp", "already.there": "already.there", "液压/油温": "液压.油温", "": "", "A/B/C": "a.b.c",
		"\xff\xfe": "��",
	} {
		if got := Signal(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

type frame struct {
	Topic   string `json:"topic"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Metrics int    `json:"metric_count"`
	Payload []byte `json:"payload_b64"`
}

// The npm client is not conformant, and is read all the same: no times of metrics
// in births, names in data, a compressed payload with its number inside.
func TestSession_ReadsTheNpmClient(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/captures/sparkplug_client_3.2.4.json")
	if err != nil {
		t.Fatal(err)
	}
	var capture struct {
		Messages []frame `json:"messages"`
	}
	if err := json.Unmarshal(raw, &capture); err != nil {
		t.Fatal(err)
	}
	session, watch, now := &Session{}, NewWatch(WatchConfig{Reorder: 2 * time.Second, AskMalformed: true}), time.Date(2026, 11, 23, 4, 41, 0, 0, time.UTC)
	values := map[string]float64{}
	var last Change
	for i, m := range capture.Messages {
		topic, ok, fault := ParseTopic(m.Topic)
		if !ok || fault != nil || topic.String() != m.Topic {
			t.Fatalf("%s: %v", m.Topic, fault)
		}
		p, fault := Decode(m.Payload)
		if fault != nil {
			t.Fatalf("%s: %v", m.Topic, fault)
		}
		if topic.Type != NDeath && (!p.HasSeq || p.Seq != uint64(i)) {
			t.Errorf("message %d has number %d", i, p.Seq)
		}
		watch.See(topic, p, now)
		if last = session.Apply(topic, p); last.Refused != nil || len(last.Faults) > 0 {
			t.Errorf("%s: %+v", m.Topic, last)
		}
		if topic.Type == NDeath || topic.Type == DDeath {
			continue
		}
		r := session.Read(topic, p)
		for _, point := range r.Points {
			if !point.Historical {
				values[point.Signal] = point.Value
			}
		}
		if len(r.Faults) > 0 || r.Ask != "" {
			t.Errorf("%s: %+v", m.Topic, r)
		}
	}
	want := map[string]float64{"engine.speed": 1750, "hydraulic.oil_temp": 71.25, "hours.operating": 4211, "counter.strokes": 4e9, "signed": -42,
		"signed64": -42, "engine.running": 1, "with_props": 1.5, "faults.0.spn": 100, "faults.0.fmi": 1, "faults.1.spn": 110, "faults.1.fmi": 0}
	if !reflect.DeepEqual(values, want) {
		t.Errorf("got %v\nwant %v", values, want)
	}
	if asks := watch.Due(now.Add(time.Minute)); len(asks) > 0 {
		t.Errorf("a client that does nothing wrong is asked: %v", asks)
	}
	if session.Born() {
		t.Error("the node is alive after its death")
	}
}

// Vectors that others have made, read where they are: they must not be copied.
func TestDecode_ReadsVectorsOfOthers(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(shared, "sparkplug_vectors_benthos_umh.json"))
	if err != nil {
		t.Logf("the vectors are not there: %v", err)
		raw = []byte(`{}`)
	}
	var file struct {
		Vectors []frame `json:"vectors"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	session := &Session{}
	for _, v := range file.Vectors {
		p, fault := Decode(v.Payload)
		if fault != nil || len(p.Metrics) != v.Metrics {
			t.Errorf("%s: %v, %d metrics, want %d", v.Name, fault, len(p.Metrics), v.Metrics)
			continue
		}
		topic := Topic{Type: Type(v.Type)}
		switch change := session.Apply(topic, p); v.Name {
		case "NDEATH_V1": // bdSeq 0 after a birth with 88
			if change.Refused == nil || change.Refused.Reason != BadBdSeq {
				t.Errorf("%s: %+v", v.Name, change)
			}
			continue
		default:
			if change.Refused != nil || len(change.Faults) > 0 {
				t.Errorf("%s: %+v", v.Name, change)
			}
		}
		r := session.Read(topic, p)
		if want := map[string]int{"NBIRTH_LARGE": 100}[v.Name]; len(r.Points) != max(want, 1) || len(r.Faults) > 0 {
			t.Errorf("%s: %d points, %v", v.Name, len(r.Points), r.Faults)
		}
	}
}

// The headers of 522 messages of a real plant: its 3 % of gaps must not lead to a
// request every few seconds.
func TestWatch_IsPatientWithARealPlant(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(shared, "sparkplug_production_pcap_patterns.csv"))
	if err != nil {
		t.Logf("the capture is not there: %v", err)
		raw = []byte("frame,timestamp,topic,group_id,msg_type,edge_node_id,device_id,seq,payload_timestamp,metric_count\n")
	}
	table := csv.NewReader(bytes.NewReader(raw))
	table.Comment = '#'
	rows, err := table.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	watch, start := NewWatch(WatchConfig{Reorder: 2 * time.Second}), time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	watch.See(Topic{Node: Node{"org_A", "702"}, Type: NBirth}, birthOf(rows), start)
	asks, malformed := map[string]int{}, 0
	for _, row := range rows[1:] {
		topic, _, fault := ParseTopic(row[2])
		if fault != nil {
			malformed++
			continue
		}
		seconds, _ := strconv.ParseFloat(row[1], 64)
		now := start.Add(time.Duration(seconds * float64(time.Second)))
		seq, err := strconv.ParseUint(row[7], 10, 8)
		if topic.Device != "" {
			birth := &Payload{}
			watch.nodes[topic.Node].session.define(topic.Device, birth)
		}
		watch.See(topic, &Payload{Seq: seq, HasSeq: err == nil}, now)
		for _, ask := range watch.Due(now) {
			asks[ask.String()+" "+ask.Reason]++
		}
	}
	for why, n := range asks { // nobody answers here: at once, after 30 s, after a minute more
		if n > 3 {
			t.Errorf("%d requests in 95 s: %s", n, why)
		}
	}
	t.Logf("%d messages, %d malformed topics, requests %v", len(rows)-1, malformed, asks)
}

func birthOf(rows [][]string) *Payload {
	p := &Payload{HasSeq: true, Metrics: []Metric{{Name: "bdSeq", HasName: true, Value: Value{Kind: LongValue}}}}
	if len(rows) > 1 {
		first, _ := strconv.ParseUint(rows[1][7], 10, 8)
		p.Seq = first - 1
	}
	return p
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(everything()))
	for _, m := range []string{"CNfg1LWgNBIaChFIeWRyYXVsaWMvT2lsVGVtcCAJZQCAjkIYAg==", "CNLig7n6MhINEGQgCmkAAAAAAIA2QBgB"} {
		b, err := base64.StdEncoding.DecodeString(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, fault := Decode(b)
		if (p == nil) == (fault == nil) {
			t.Fatalf("%v and %v", p, fault)
		}
		if fault != nil || p.Compressed != "" {
			return
		}
		again, fault := Decode(Encode(p))
		if fault != nil {
			if fault.Reason == TooLarge {
				return // what was short may be longer when it is written in full
			}
			t.Fatalf("what we wrote cannot be read: %v", fault)
		}
		if len(again.Metrics) != len(p.Metrics) || again.Seq != p.Seq || again.Timestamp != p.Timestamp {
			t.Fatalf("%+v became %+v", p, again)
		}
	})
}

// Whatever a node sends, in whatever order, nothing panics, bounds hold, and a
// session that is built again from the births and deaths reads the same.
func FuzzSession(f *testing.F) {
	b := Encode(everything())
	f.Add([]byte{0, 1, 2, 3, 4, 5}, b)
	f.Fuzz(func(t *testing.T, order, b []byte) {
		p, fault := Decode(b)
		if fault != nil {
			return
		}
		types := []Type{NBirth, DBirth, NData, DData, DDeath, NDeath}
		one, two := &Session{}, &Session{}
		watch, now := NewWatch(WatchConfig{Reorder: time.Second, AskMalformed: true}), time.Unix(1_800_000_000, 0)
		for _, o := range order[:min(len(order), 64)] {
			topic := Topic{Node: Node{"g", "e"}, Type: types[int(o)%len(types)]}
			if device, _ := topic.Type.ofDevice(); device {
				topic.Device = "d" + strconv.Itoa(int(o)/len(types)%3)
			}
			payload := p
			if o > 250 {
				payload = nil
			}
			one.Apply(topic, payload)
			if topic.Type != NData && topic.Type != DData {
				two.Apply(topic, payload)
			}
			if a, b := one.Read(topic, p), two.Read(topic, p); !reflect.DeepEqual(a, b) && !hasNaN(a) {
				t.Fatalf("%+v and %+v", a, b)
			}
			now = now.Add(time.Duration(o) * time.Second / 16)
			watch.See(topic, payload, now)
			if asks := watch.Due(now); len(asks) > 1 {
				t.Fatalf("one node was asked %d times", len(asks))
			}
		}
	})
}

func hasNaN(r Reading) bool {
	for _, p := range r.Points {
		if math.IsNaN(p.Value) {
			return true
		}
	}
	return false
}
