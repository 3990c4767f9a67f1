package formats

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/thirdstate/thirdstate/telemetry/j1939"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// bad are the families whose bad inputs stand in one file each.
var bad = []struct{ file, topic string }{
	{"dtc.txtar", "fleet/PM62-5/dtc"},
	{"can.txtar", "fleet/PM62-5/can"},
	{"aemp.txtar", "aemp/maker"},
}

func badInputs(t testing.TB, name string) []txtar.File {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", "bad", name))
	if err != nil || len(a.Files) < 40 {
		t.Fatalf("%s: %d bad inputs, there must be 40: %v", name, len(a.Files), err)
	}
	for i := range a.Files {
		a.Files[i].Data = bytes.TrimSuffix(a.Files[i].Data, []byte("\n"))
	}
	return a.Files
}

// Each bad input is refused with the reason that its name says, whole or in part,
// and says what was expected.
func TestTrouble_BadInputsAreRefusedByName(t *testing.T) {
	t.Parallel()
	for _, family := range bad {
		for _, f := range badInputs(t, family.file) {
			reason, _, _ := strings.Cut(f.Name, " ")
			var out Decoded
			_, err := Decode(Message{Topic: family.topic, Received: received, Payload: f.Data}, &out)
			faults := out.Faults
			if one, ok := errors.AsType[*Fault](err); ok {
				faults = []Fault{*one}
			}
			if len(faults) == 0 || faults[0].Reason != reason || faults[0].Detail == "" {
				t.Errorf("%s: %s: %+v (troubles %+v, readings %+v)", family.file, f.Name, faults, out.Troubles, out.Readings)
			}
		}
	}
}

func troubles(t *testing.T, topic, payload string) *Decoded {
	t.Helper()
	var out Decoded
	if _, err := Decode(Message{Topic: topic, Received: received, Payload: []byte(payload)}, &out); err != nil {
		t.Fatalf("%v\n%s", err, payload)
	}
	if len(out.Faults) > 0 {
		t.Fatalf("%+v\n%s", out.Faults, payload)
	}
	return &out
}

// The same trouble in every way in which it may be said.
func TestTrouble_OneCodeInManyForms(t *testing.T) {
	t.Parallel()
	for topic, payloads := range map[string][]string{
		"fleet/PM62-5/dtc": {
			`{"protocol":"j1939","code":"SPN110-FMI0","spn":110,"fmi":0,"oc":3,"sourceAddress":0,"active":true,"lamps":{"mil":false,"redStop":false,"amberWarning":true,"protect":false},"firstSeenAt":null,"lastSeenAt":"2026-03-01T07:55:00Z","clearedAt":null}`,
			`[{"spn":110,"fmi":0,"oc":3,"sa":0,"lamps":{"amberWarning":1},"ts":1772351700000}]`,
			`{"ts":1772351700,"sourceAddress":0,"lamps":{"amberWarning":true},"codes":[{"spn":110,"fmi":0,"oc":3}]}`,
			`{"codes":[{"spn":110,"fmi":0,"oc":3}],"ts":1772351700,"sourceAddress":0,"lamps":{"amberWarning":true}}`,
		},
		"fleet/PM62-5/can": {
			`{"ts":1772351700000,"id":"18FECA00","data":"04FF6E000003FFFF"}`,
			`[{"ts":1772351700000,"id":419351040,"data":"04 ff 6e 00 00 03 ff ff"}]`,
			`{"frames":[{"id":"0x18FECA00","data":"04FF6E000003FFFF"}],"ts":1772351700000}`,
			`(1772351700.000000) can0 18FECA00#04FF6E000003FFFF`,
			`(1772351700.000000) can0 98FECA00#04FF6E000003FFFF`,
		},
	} {
		for _, payload := range payloads {
			out := troubles(t, topic, payload)
			if len(out.Troubles) != 1 || len(out.Troubles[0].Codes) != 1 {
				t.Fatalf("%s: %+v", payload, out.Troubles)
			}
			got, code := out.Troubles[0], out.Troubles[0].Codes[0]
			if got.Machine != "PM62-5" || got.Source != 0 || got.Protocol != ProtocolJ1939 || !got.At.Equal(time.Date(2026, 3, 1, 7, 55, 0, 0, time.UTC)) {
				t.Errorf("%s: %+v", payload, got)
			}
			want := TroubleCode{Code: "SPN110-FMI0", SPN: 110, FMI: 0, Count: 3, Active: true, Severity: "critical", Lamps: TroubleLamps{AmberWarning: true},
				Text: "Engine coolant temperature: above normal, most severe", TextZH: "冷却液温度：高于正常范围，最严重"}
			if code != want {
				t.Errorf("%s: %+v", payload, code)
			}
		}
	}
}

func TestTrouble_AWholeListClearsAndAPartDoesNot(t *testing.T) {
	t.Parallel()
	for payload, whole := range map[string]bool{
		`{"sourceAddress":0,"codes":[]}`:                                   true,
		`{"sourceAddress":0,"codes":[{"spn":1,"fmi":2}]}`:                  true,
		`{"sourceAddress":0,"codes":[{"spn":1,"fmi":2}],"complete":false}`: false,
		`{"sourceAddress":0,"codes":[{"spn":1,"fmi":2}],"previous":true}`:  false,
		`{"spn":1,"fmi":2}`: false,
	} {
		if out := troubles(t, "fleet/M/dtc", payload); len(out.Troubles) != 1 || out.Troubles[0].Whole != whole {
			t.Errorf("%s: %+v", payload, out.Troubles)
		}
	}
	var out Decoded
	if _, err := Decode(Message{Topic: "fleet/M/dtc", Received: received, Payload: []byte(`{"codes":[{"spn":1,"fmi":2},{"spn":1,"fmi":99}]}`)}, &out); err != nil || out.Troubles[0].Whole {
		t.Errorf("a list of which a part was refused is taken as whole: %+v %v", out.Troubles, err)
	}
}

func TestTrouble_MakersCodes(t *testing.T) {
	t.Parallel()
	out := troubles(t, "fleet/M/dtc", `{"protocol":"oem","code":"E360-2","severity":"High","description":"Low engine oil pressure","descriptionZh":"机油压力低"}`)
	got := out.Troubles[0]
	if got.Protocol != ProtocolMaker || got.Source != -1 || got.Codes[0] != (TroubleCode{Code: "E360-2", SPN: -1, FMI: -1, Count: -1, Active: true, Severity: "critical", Text: "Low engine oil pressure", TextZH: "机油压力低"}) {
		t.Errorf("%+v", got)
	}
}

type vectorFile struct {
	Cases []struct {
		Name, Hex string
		DTCs      []struct{ SPN, FMI int }
	}
}

// The vectors as frames: those of one frame are codes at once, the longer ones are
// kept as frames for whoever sees the whole stream.
func TestTrouble_VectorsAsFrames(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../j1939/testdata/dm1_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors vectorFile
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors.Cases) < 6 {
		t.Fatal(err)
	}
	for _, v := range vectors.Cases {
		data, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		frames := j1939.Split(j1939.Message{Header: j1939.Header{PGN: j1939.PGNActive, Source: 3}, Data: data, At: received}, 50*time.Millisecond)
		for _, f := range frames {
			lines = append(lines, fmt.Sprintf("(%d.%06d) can0 %08X#%X", f.At.Unix(), f.At.Nanosecond()/1000, f.ID, f.Data))
		}
		out := troubles(t, "fleet/M/can", strings.Join(lines, "\n"))
		if len(frames) > 1 {
			if len(out.Frames) != len(frames) || len(out.Troubles) != 0 || !out.Frames[2].At.Equal(frames[2].At) {
				t.Errorf("%s: %+v", v.Name, out.Frames)
			}
			continue
		}
		if len(out.Troubles) != 1 || !out.Troubles[0].Whole || out.Troubles[0].Period != time.Second || len(out.Troubles[0].Codes) != len(v.DTCs) {
			t.Fatalf("%s: %+v", v.Name, out.Troubles)
		}
		for i, c := range v.DTCs {
			if got := out.Troubles[0].Codes[i]; got.SPN != c.SPN || got.FMI != c.FMI {
				t.Errorf("%s: %+v", v.Name, got)
			}
		}
	}
}

func TestTrouble_ValuesOfABusOnceASecond(t *testing.T) {
	t.Parallel()
	out := troubles(t, "fleet/M/can", strings.Join([]string{
		"(1772351700.100000) can0 18FEEE00#82FFFFFFFFFFFFFF", // coolant 90
		"(1772351700.150000) can0 0CF00400#FFFF7DE02EFFFFFF", // 1500 /min
		"(1772351700.900000) can0 0CF00400#FFFF7D002FFFFFFF", // 1504 /min
		"(1772351701.000000) can0 18FEEE00#83FFFFFFFFFFFFFF", // coolant 91
		"(1772351701.100000) can0 18FEEE00#FFFFFFFFFFFFFFFF", // not available
		"(1772351701.200000) can0 18FF5500#0102030405060708", // a maker's own
	}, "\n"))
	at := time.Unix(1772351700, 0).UTC()
	want := []Reading{
		{Machine: "M", At: at, Values: []observation.Value{{Signal: "coolant_temp", Value: 90}, {Signal: "engine_speed", Value: 1504}, {Signal: "engine_torque", Value: 0}}},
		{Machine: "M", At: at.Add(time.Second), Values: []observation.Value{{Signal: "coolant_temp", Value: 91}}},
	}
	if len(out.Readings) != 2 {
		t.Fatalf("%+v", out.Readings)
	}
	for i, r := range out.Readings {
		slices.SortFunc(r.Values, func(a, b observation.Value) int { return strings.Compare(a.Signal, b.Signal) })
		if fmt.Sprint(r) != fmt.Sprint(want[i]) {
			t.Errorf("%+v, want %+v", r, want[i])
		}
	}
}

func TestFleetDocument_SamplesBecomeReadingsAndCodes(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join("../aemp/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	out := troubles(t, "aemp/maker", read("standard.xml"))
	if len(out.Readings) != 1 || out.Readings[0].Machine != "EX215A0007" || len(out.Readings[0].Values) != 10 || out.Readings[0].Flags != 0 {
		t.Errorf("%+v", out.Readings)
	}
	snapshot := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	if len(out.Troubles) != 1 || !out.Troubles[0].At.Equal(snapshot) || !out.Troubles[0].Codes[0].Since.Equal(snapshot.Add(-6*time.Minute)) || out.Troubles[0].Codes[0].Severity != "critical" {
		t.Errorf("%+v", out.Troubles)
	}
	out = troubles(t, "aemp/maker", read("quirks.xml"))
	if len(out.Readings) != 2 || out.Readings[0].Machine != "S2" || len(out.Readings[0].Values) != 2 {
		t.Errorf("%+v", out.Readings)
	}
	var variants map[string]json.RawMessage
	if err := json.Unmarshal([]byte(read("variants.json")), &variants); err != nil {
		t.Fatal(err)
	}
	out = troubles(t, "aemp/maker/EX1%2F7", string(variants["cat_timeseries_style"]))
	if len(out.Troubles) != 1 || out.Troubles[0].Machine != "EX1/7" || out.Troubles[0].Codes[0].Code != "E360-2" || out.Troubles[0].Source != -1 {
		t.Errorf("%+v", out.Troubles)
	}
	out = troubles(t, "aemp/maker", string(variants["trackunit_stream_style"]))
	if len(out.Readings) != 0 || out.Attributes != 1 {
		t.Errorf("what was said five years ago is a reading: %+v", out)
	}
}

func fuzzTrouble(f *testing.F, family int, seeds ...string) {
	for _, one := range badInputs(f, bad[family].file) {
		f.Add(one.Data)
	}
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var out Decoded
		_, err := Decode(Message{Topic: bad[family].topic, Received: received, Payload: payload}, &out)
		if err != nil {
			if fault, ok := errors.AsType[*Fault](err); !ok || !strings.HasPrefix(fault.Reason, "E_") || fault.Detail == "" {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		checkDecoded(t, &out)
		for _, one := range out.Troubles {
			if badName(one.Machine) || one.At.Year() < 2000 || one.At.Year() > 2100 || one.Source < -1 || one.Source > 255 || len(one.Codes) > maxCodes {
				t.Fatalf("%+v", one)
			}
			for _, c := range one.Codes {
				if c.Code == "" || len(c.Code) > 100 || c.Severity == "" {
					t.Fatalf("%+v", c)
				}
			}
		}
	})
}

func FuzzDecode_TroubleCodes(f *testing.F) {
	fuzzTrouble(f, 0, `{"ts":1772351700,"sourceAddress":0,"lamps":{"amberWarning":true},"codes":[{"spn":110,"fmi":0,"oc":3}]}`)
}

func FuzzDecode_CANFrames(f *testing.F) {
	fuzzTrouble(f, 1, `{"frames":[{"id":"0x18FECA00","data":"04FF6E000003FFFF"}],"ts":1772351700000}`, "(1772351700.000000) can0 18FECA00#04FF6E000003FFFF")
}

func FuzzDecode_FleetDocument(f *testing.F) {
	fuzzTrouble(f, 2, `<Fleet snapshotTime="2026-03-01T08:00:00Z"><Equipment><EquipmentHeader><PIN>S2</PIN></EquipmentHeader><FaultCode datetime="2026-03-01T07:54:00Z"><CodeIdentifier>E1</CodeIdentifier></FaultCode></Equipment></Fleet>`)
}
