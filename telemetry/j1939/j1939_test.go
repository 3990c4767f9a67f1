package j1939

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
	"time"
)

var heard = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

type vector struct {
	Name  string
	PGN   uint32
	Hex   string
	Lamps struct {
		MIL          Lamp `json:"mil"`
		RedStop      Lamp `json:"red_stop"`
		AmberWarning Lamp `json:"amber_warning"`
		Protect      Lamp `json:"protect"`
	}
	DTCs []struct {
		SPN         uint32
		FMI, OC, CM uint8
	}
}

func vectors(t testing.TB) (list []vector) {
	t.Helper()
	b, err := os.ReadFile("testdata/dm1_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []vector }
	if err := json.Unmarshal(b, &file); err != nil || len(file.Cases) < 6 {
		t.Fatalf("%d vectors: %v", len(file.Cases), err)
	}
	return file.Cases
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each vector goes over the bus, in one frame or by BAM, and comes back.
func TestReport_VectorsComeThroughTheTransport(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		var bus Assembler
		var got []Message
		for _, f := range Split(Message{Header: Header{PGN: v.PGN, Source: 3}, Data: unhex(t, v.Hex), At: heard}, 50*time.Millisecond) {
			if m, whole := bus.Add(f); whole {
				got = append(got, m)
			}
		}
		if len(got) != 1 {
			t.Fatalf("%s: %d messages", v.Name, len(got))
		}
		r, err := ReadReport(got[0], Unstated)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if r.Source != 3 || !r.Active || r.Lamps.MIL != v.Lamps.MIL || r.Lamps.RedStop != v.Lamps.RedStop || r.Lamps.AmberWarning != v.Lamps.AmberWarning || r.Lamps.Protect != v.Lamps.Protect {
			t.Errorf("%s: %+v", v.Name, r)
		}
		if len(r.Codes) != len(v.DTCs) {
			t.Fatalf("%s: codes %+v", v.Name, r.Codes)
		}
		for i, d := range v.DTCs {
			if r.Codes[i] != (Code{d.SPN, d.FMI, d.OC, d.CM}) {
				t.Errorf("%s: code %+v, want %+v", v.Name, r.Codes[i], d)
			}
		}
	}
}

// The same code, SPN 523002 FMI 12, in the four layouts.
func TestCode_FourConversionMethods(t *testing.T) {
	t.Parallel()
	const spn = 523002
	for _, c := range []struct {
		method Conversion
		bytes  [4]byte
	}{
		{Version1, [4]byte{spn >> 11, spn >> 3 & 255, spn&7<<5 | 12, 0x80 | 5}},
		{Version2, [4]byte{spn >> 3 & 255, spn >> 11, spn&7<<5 | 12, 0x80 | 5}},
		{Version3, [4]byte{spn & 255, spn >> 8 & 255, spn>>16<<5 | 12, 0x80 | 5}},
		{Version4, [4]byte{spn & 255, spn >> 8 & 255, spn>>16<<5 | 12, 5}},
	} {
		m := Message{Header: Header{PGN: PGNPrevious}, Data: append([]byte{0, 0xFF}, c.bytes[:]...)}
		r, err := ReadReport(m, c.method)
		if err != nil || r.Active || len(r.Codes) != 1 || r.Codes[0].SPN != spn || r.Codes[0].FMI != 12 || r.Codes[0].Count != 5 {
			t.Errorf("version %d: %+v %v", c.method, r, err)
		}
	}
	m := Message{Header: Header{PGN: PGNActive}, Data: []byte{0, 0xFF, 0x6E, 0, 0, 3}}
	if r, _ := ReadReport(m, Version1); r.Codes[0].SPN != 110 {
		t.Errorf("a code with CM 0 was read as version 1: %+v", r)
	}
}

func TestReport_RefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]Message{
		"empty":           {Header: Header{PGN: PGNActive}},
		"five bytes":      {Header: Header{PGN: PGNActive}, Data: make([]byte, 5)},
		"too long":        {Header: Header{PGN: PGNActive}, Data: make([]byte, maxMessage+1)},
		"half a code":     {Header: Header{PGN: PGNActive}, Data: []byte{0, 255, 110, 0, 0, 1, 7, 255}},
		"another group":   {Header: Header{PGN: 65262}, Data: make([]byte, 8)},
		"clear, not code": {Header: Header{PGN: 65228}, Data: make([]byte, 8)},
	} {
		if _, err := ReadReport(m, Unstated); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestHead_TakesBothKindsOfGroups(t *testing.T) {
	t.Parallel()
	if h := Head(0x18FECA31); h != (Header{6, PGNActive, 0x31, Global}) {
		t.Errorf("PDU2: %+v", h)
	}
	if h := Head(0x1CEB0500); h != (Header{7, pgnTransfer, 0, 5}) {
		t.Errorf("PDU1: %+v", h)
	}
}

func long(source uint8, fill byte, size int) []Frame {
	return Split(Message{Header: Header{PGN: PGNActive, Source: source}, Data: slices.Repeat([]byte{fill}, size), At: heard}, 50*time.Millisecond)
}

func TestAssembler_TwoUnitsAtOnceAndFramesTwice(t *testing.T) {
	t.Parallel()
	var bus Assembler
	a, b := long(1, 'a', 30), long(2, 'b', 30)
	done := map[uint8]string{}
	for i := range a {
		for _, f := range []Frame{a[i], b[i], a[i], b[i]} {
			if i == 0 && bus.find(uint8(f.ID), Global) >= 0 {
				continue // an announcement that comes twice begins anew
			}
			if m, whole := bus.Add(f); whole {
				done[m.Source] += string(m.Data)
			}
		}
	}
	if len(done[1]) != 30 || len(done[2]) != 30 || bus.Lost() != 0 {
		t.Errorf("%v, %d lost", done, bus.Lost())
	}
}

func TestAssembler_GivesUpWhatIsInterrupted(t *testing.T) {
	t.Parallel()
	cases := map[string]func(frames []Frame) []Frame{
		"a frame is missing": func(f []Frame) []Frame { return slices.Delete(f, 2, 3) },
		"no announcement":    func(f []Frame) []Frame { return f[1:] },
		"a pause":            func(f []Frame) []Frame { f[3].At = f[2].At.Add(2 * time.Second); return f },
		"aborted": func(f []Frame) []Frame {
			return slices.Insert(f, 2, Frame{ID: 0x1CECFF01, Data: []byte{255, 1, 255, 255, 255, 0xCA, 0xFE, 0}, At: heard})
		},
		"frame number beyond": func(f []Frame) []Frame { f[2].Data[0] = 200; return f },
		"size and frames":     func(f []Frame) []Frame { f[0].Data[3] = 9; return f },
		"longer than allowed": func(f []Frame) []Frame { f[0].Data[1], f[0].Data[2] = 0xFF, 0xFF; return f },
		"short frame":         func(f []Frame) []Frame { f[2].Data = f[2].Data[:3]; return f },
	}
	for name, spoil := range cases {
		var bus Assembler
		for _, f := range spoil(long(1, 'x', 30)) {
			if _, whole := bus.Add(f); whole {
				t.Errorf("%s: a message came out", name)
			}
		}
	}
}

func TestAssembler_HoldsBoundedSessions(t *testing.T) {
	t.Parallel()
	var bus Assembler
	for source := range 200 {
		bus.Add(long(uint8(source), 'x', 1785)[0]) //nolint:gosec // below 200
	}
	if len(bus.sessions) != maxSessions || bus.Lost() != 200-maxSessions {
		t.Errorf("%d sessions, %d lost", len(bus.sessions), bus.Lost())
	}
}

func TestAssembler_RequestToOneAndItsAnswer(t *testing.T) {
	t.Parallel()
	var bus Assembler
	frames := []Frame{
		{0x1CEC0500, []byte{16, 10, 0, 2, 2, 0xCA, 0xFE, 0}, heard},
		{0x1CEC0005, []byte{17, 2, 1, 255, 255, 0xCA, 0xFE, 0}, heard},
		{0x1CEB0500, []byte{2, 0x0A, 0x11, 0x7E, 255, 255, 255, 255}, heard}, // out of order, as after a request to send again
		{0x1CEB0500, []byte{1, 4, 255, 0x66, 6, 0x0F, 2, 0x2A}, heard},
		{0x1CEC0005, []byte{19, 10, 0, 2, 255, 0xCA, 0xFE, 0}, heard},
	}
	var got []Message
	for _, f := range frames {
		if m, whole := bus.Add(f); whole {
			got = append(got, m)
		}
	}
	if len(got) != 1 || got[0].Destination != 5 || got[0].PGN != PGNActive {
		t.Fatalf("%+v", got)
	}
	if r, err := ReadReport(got[0], Unstated); err != nil || len(r.Codes) != 2 || r.Codes[1] != (Code{2602, 17, 126, 0}) {
		t.Errorf("%+v %v", r, err)
	}
}

func TestValues_GapsAreNoValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, hex string
		pgn       uint32
		want      map[string]float64
	}{
		{"coolant 90 °C, fuel temperature n/a, oil 100 °C", "82ff a02e ffffffff", 65262, map[string]float64{"coolant_temp": 90, "engine_oil_temp": 100}},
		{"an error is a gap", "fe ff 00fe ffffffff", 65262, map[string]float64{}},
		{"engine at 1,500 rpm", "ff ff 7d e02e ffffff", 61444, map[string]float64{"engine_speed": 1500, "engine_torque": 0}},
		{"hours 4211.45", "05490100 ffffffff", 65253, map[string]float64{"operating_hours": 4211.45}},
		{"hours not available", "ffffffff ffffffff", 65253, map[string]float64{}},
		{"oil 3 bar, coolant level", "ff ff ff 4b ff ff ff fa", 65263, map[string]float64{"engine_oil_pressure": 3, "coolant_level": 100}},
		{"hydraulics", "69 ff 7d ffffffffff", 65128, map[string]float64{"hydraulic_oil_temp": 65, "hydraulic_oil_level": 50}},
		{"a short frame", "82", 65262, map[string]float64{"coolant_temp": 90}},
	} {
		got := Values(Message{Header: Header{PGN: c.pgn}, Data: unhex(t, without(c.hex))})
		if len(got) != len(c.want) {
			t.Errorf("%s: %+v", c.name, got)
		}
		for _, v := range got {
			if math.Abs(v.Value-c.want[v.Signal]) > 1e-9 {
				t.Errorf("%s: %s = %v, want %v", c.name, v.Signal, v.Value, c.want[v.Signal])
			}
		}
	}
}

func without(text string) string {
	return string(slices.DeleteFunc([]byte(text), func(b byte) bool { return b == ' ' }))
}

func TestDescribe_EveryCodeHasWordsInBothLanguages(t *testing.T) {
	t.Parallel()
	if w := Describe(110, 0); w.EN != "Engine coolant temperature: above normal, most severe" || w.ZH != "冷却液温度：高于正常范围，最严重" {
		t.Errorf("%+v", w)
	}
	for _, spn := range []uint32{0, 190, 2011, 523002, 99999, 1 << 19} {
		for fmi := range uint8(32) {
			if w := Describe(spn, fmi); w.EN == "" || w.ZH == "" {
				t.Errorf("SPN %d FMI %d has no words", spn, fmi)
			}
		}
	}
	if !slices.IsSortedFunc(Parameters, func(a, b Parameter) int { return int(a.SPN) - int(b.SPN) }) {
		t.Error("the parameters are not in order")
	}
}

func TestSeverity_LampsBeforeModes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fmi   uint8
		lamps Lamps
		want  Severity
	}{
		{0, Lamps{AmberWarning: On}, Critical}, {16, Lamps{}, Warning}, {15, Lamps{}, Advice}, {17, Lamps{AmberWarning: On}, Advice}, {15, Lamps{RedStop: On}, Critical}, {3, Lamps{RedStop: LampUnknown}, Warning},
	} {
		if got := SeverityOf(c.fmi, c.lamps); got != c.want {
			t.Errorf("FMI %d %+v: %s", c.fmi, c.lamps, got)
		}
	}
}

// Whatever comes over a bus: no panic, bounded memory, no code that is none.
func FuzzFrames(f *testing.F) {
	for _, v := range vectors(f) {
		var flat []byte
		for _, frame := range Split(Message{Header: Header{PGN: v.PGN, Source: 3}, Data: unhex(f, v.Hex), At: heard}, time.Millisecond) {
			flat = append(flat, byte(frame.ID>>24), byte(frame.ID>>16), byte(frame.ID>>8), byte(frame.ID)) //nolint:gosec // cut to size
			flat = append(append(flat, byte(len(frame.Data))), frame.Data...)
		}
		f.Add(flat)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var bus Assembler
		for len(b) >= 5 {
			id, n := uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3]), min(int(b[4]), len(b)-5)
			m, whole := bus.Add(Frame{ID: id, Data: b[5 : 5+n], At: heard})
			b = b[5+n:]
			if len(bus.sessions) > maxSessions {
				t.Fatal("too many sessions")
			}
			if !whole {
				continue
			}
			for _, v := range Values(m) {
				if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
					t.Fatal(v)
				}
			}
			r, err := ReadReport(m, Conversion(id%5)) //nolint:gosec // below 5
			if err != nil {
				continue
			}
			for _, c := range r.Codes {
				if c.SPN == 0 && c.FMI == 0 || c.SPN >= 1<<19 || c.FMI > 31 || c.Count > 127 {
					t.Fatalf("%+v", c)
				}
			}
		}
	})
}
