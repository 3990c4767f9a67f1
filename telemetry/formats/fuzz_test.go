package formats

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fuzz feeds a format's cases and the bad messages of its topics as seeds and
// holds what must be true of any input: no panic, a named reason for each refusal,
// finite values with usable names.
func fuzz(f *testing.F, format, topic string) {
	f.Helper()
	payloads, err := filepath.Glob(filepath.Join("testdata", format, "*", "payload"))
	if err != nil || len(payloads) == 0 {
		f.Fatalf("found %d seeds: %v", len(payloads), err)
	}
	for _, name := range payloads {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	files, err := filepath.Glob("testdata/bad/E_*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		_, cases := badCases(f, file)
		for _, c := range cases {
			if c.m.Topic == topic && len(c.m.Payload) < 4_096 {
				f.Add(c.m.Payload)
			}
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var out Decoded
		_, err := decode(Message{Topic: topic, Device: "PM62-5", Received: received, Payload: payload}, &out) // not contained: a panic is a fault found
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
		if badName(r.Machine) || r.At.Year() < 2000 || r.At.Year() > 2100 {
			t.Fatalf("reading of %q at %v", r.Machine, r.At)
		}
		for _, v := range r.Values {
			if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) || badSignal([]byte(v.Signal)) != "" {
				t.Fatalf("value %q = %v", v.Signal, v.Value)
			}
		}
	}
	for _, p := range out.Presences {
		if badName(p.Machine) {
			t.Fatalf("presence of %q", p.Machine)
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
func FuzzDecode_Neuron(f *testing.F)       { fuzz(f, "neuron", "/neuron/app") }
func FuzzDecode_Tasmota(f *testing.F)      { fuzz(f, "tasmota", "tele/PM1/SENSOR") }
func FuzzDecode_Zigbee2MQTT(f *testing.F)  { fuzz(f, "zigbee2mqtt", "zigbee2mqtt/PM1") }
func FuzzDecode_WisePaaS(f *testing.F)     { fuzz(f, "wise_paas", "/wisepaas/scada/s/data") }
func FuzzDecode_Wise4000(f *testing.F)     { fuzz(f, "wise_4000", "Advantech/00D0C9/data") }
func FuzzDecode_SiteWise(f *testing.F)     { fuzz(f, "sitewise", "sitewise") }
func FuzzDecode_Azure(f *testing.F)        { fuzz(f, "azure", "devices/PM1/messages/events/") }
func FuzzDecode_CloudEvents(f *testing.F)  { fuzz(f, "cloudevents", "events") }
func FuzzDecode_SenML(f *testing.F)        { fuzz(f, "senml", "senml") }
func FuzzDecode_SenMLCBOR(f *testing.F)    { fuzz(f, "senml_cbor", "fleet/PM1/senml-cbor") }
func FuzzDecode_CSV(f *testing.F)          { fuzz(f, "csv", "fleet/PM1/csv") }
func FuzzDecode_Teltonika(f *testing.F)    { fuzz(f, "teltonika", "router") }
func FuzzDecode_AnyObject(f *testing.F)    { fuzz(f, "json_object", "plant/PM1") }
func FuzzDecode_BareScalar(f *testing.F)   { fuzz(f, "bare_scalar", "plant/PM1/b") }
func FuzzDecode_Presence(f *testing.F)     { fuzz(f, "presence", "plant/PM1/status") }
