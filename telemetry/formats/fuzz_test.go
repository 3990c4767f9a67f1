package formats

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fuzz feeds a format's cases as seeds and holds what must be true of any input:
// no panic, a named reason for each refusal, finite values with usable names.
func fuzz(f *testing.F, format, topic string) {
	f.Helper()
	payloads, err := filepath.Glob(filepath.Join("testdata", format, "*", "payload"))
	if err != nil || len(payloads) < 20 {
		f.Fatalf("found %d seeds: %v", len(payloads), err)
	}
	for _, name := range payloads {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var out Decoded
		_, err := Decode(Message{Topic: topic, Device: "PM62-5", Received: received, Payload: payload}, &out)
		if err != nil {
			if fault, ok := errors.AsType[*Fault](err); !ok || !strings.HasPrefix(fault.Reason, "E_") || fault.Detail == "" {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		checkDecoded(t, &out)
	})
}

func checkDecoded(t *testing.T, out *Decoded) {
	t.Helper()
	for _, r := range out.Readings {
		if r.Machine == "" && len(r.Values) > 0 || r.At.Year() < 2000 || r.At.Year() > 2100 {
			t.Fatalf("reading of %q at %v", r.Machine, r.At)
		}
		for _, v := range r.Values {
			if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) || badSignal([]byte(v.Signal)) != "" {
				t.Fatalf("value %q = %v", v.Signal, v.Value)
			}
		}
	}
	if len(out.Faults) > MaxFaults {
		t.Fatalf("%d faults", len(out.Faults))
	}
}

func FuzzDecode_OwnJSON(f *testing.F)   { fuzz(f, "own_json", "fleet/PM62-5/telemetry") }
func FuzzDecode_OwnStatus(f *testing.F) { fuzz(f, "own_json", "fleet/PM62-5/status") }
func FuzzDecode_ThingsBoardGateway(f *testing.F) {
	fuzz(f, "thingsboard_gateway", "v1/gateway/telemetry")
}
func FuzzDecode_ThingsBoardDevice(f *testing.F) {
	fuzz(f, "thingsboard_device", "v1/devices/me/telemetry")
}
func FuzzDecode_TelegrafJSON(f *testing.F) { fuzz(f, "telegraf_json", "telegraf/host1/modbus") }
func FuzzDecode_LineProtocol(f *testing.F) { fuzz(f, "line_protocol", "telegraf/host1/modbus") }
