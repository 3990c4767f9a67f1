package formats

import (
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// broken is a decoder with a fault of ours: it stops in the middle of a message.
func broken(m Message, out *Decoded) (string, error) {
	out.decoder = "broken"
	out.lists = true
	out.values = append(out.values, observation.Value{Signal: "half", Value: 1})
	out.Readings = append(out.Readings, Reading{Machine: "PM1", At: received, Values: out.values})
	out.Faults = append(out.Faults, Fault{Reason: JSONType, Detail: "half"})
	out.Attributes++
	return "", []error{}[len(m.Payload)]
}

func TestDecode_APanicRefusesItsMessageAndLeavesTheOthers(t *testing.T) {
	t.Parallel()
	var out Decoded
	good := func(value string) Message {
		return Message{Topic: "fleet/PM1/telemetry", Received: received, Payload: []byte(`{"values":{"oil":` + value + `}}`)}
	}
	if _, err := Decode(good("1"), &out); err != nil {
		t.Fatal(err)
	}
	decoder, err := contained(broken, good("2"), &out)
	fault := asFault(err)
	if decoder != "broken" || fault == nil || fault.Reason != Crashed || !strings.Contains(fault.Detail, "index out of range [20] with length 0") ||
		!strings.Contains(fault.Detail, " at formats/crash_test.go:") {
		t.Fatalf("%s: %v", decoder, err)
	}
	if len(out.Readings) != 1 || len(out.Faults) != 0 || out.Attributes != 0 || out.lists {
		t.Errorf("the message that failed left %+v", out)
	}
	if _, err := Decode(good("3"), &out); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{1, 3} {
		if got := out.Readings[i].Values; len(got) != 1 || got[0].Signal != "oil" || got[0].Value != want {
			t.Errorf("reading %d: %+v, want %v", i, got, want)
		}
	}
}

func TestContain_BoundsWhatAPanicSays(t *testing.T) {
	t.Parallel()
	for said, what := range map[string]any{"世": strings.Repeat("世", 10_000), "boom": "boom", "\uFFFD": "\xff\xfe"} {
		fault := Contain(func() { panic(what) })
		if fault == nil || len(fault.Detail) > maxCrash+120 || !strings.Contains(fault.Detail, said) || strings.Contains(fault.Detail, "\xff") {
			t.Errorf("%+v", fault)
		}
	}
	if fault := Contain(func() {}); fault != nil {
		t.Error(fault)
	}
}
