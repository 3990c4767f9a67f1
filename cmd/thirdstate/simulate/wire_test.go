package simulate

import (
	"slices"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

func TestFleet_MessagesDecodeToWhatTheMachineSays(t *testing.T) {
	t.Parallel()
	f := NewFleet(fleetStart, DemoFleet(fleetStart), 1)
	spoken := map[Format]int{}
	at := fleetStart.AddDate(0, 0, 1).Add(4 * time.Hour)
	for _, m := range f.Machines() {
		topic, payload, ok := f.Message(m.Key, at)
		want, heard := f.Observation(m.Key, at)
		if ok != heard || ok && !m.HasDevice {
			t.Fatalf("%s: message %v, observation %v, device %v", m.Key, ok, heard, m.HasDevice)
		}
		if !ok {
			continue
		}
		spoken[m.Format]++
		var out formats.Decoded
		if _, err := formats.Decode(formats.Message{Topic: topic, Payload: payload, Received: at}, &out); err != nil {
			t.Fatalf("%s: %v\n%s", m.Key, err, payload)
		}
		if len(out.Readings) != 1 {
			t.Fatalf("%s: %d readings in %s", m.Key, len(out.Readings), payload)
		}
		got := out.Readings[0]
		if got.Boot != "" { // it would have to number all that it says, without a hole, or the gap ledger counts the holes as lost
			t.Errorf("%s numbers its messages: %s", m.Key, payload)
		}
		if len(out.Faults) > 0 || got.Machine != m.Key || !got.At.Equal(at) || !slices.EqualFunc(got.Values, want.Values, sameValue) {
			t.Errorf("%s, %s: %v %+v\nwant %+v\n%s", m.Key, m.Format, out.Faults, got, want, payload)
		}
	}
	for _, format := range []Format{OwnJSON, ThingsBoard, Telegraf, LineProtocol} {
		if spoken[format] == 0 {
			t.Errorf("nobody speaks %s", format)
		}
	}
}

func sameValue(a, b observation.Value) bool { return a.Signal == b.Signal && a.Value == b.Value }

func TestFleet_SaysTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	forward := NewFleet(fleetStart, DemoFleet(fleetStart), 1)
	back := NewFleet(fleetStart, DemoFleet(fleetStart), 1)
	said := map[string][]byte{}
	var order []time.Time
	for at := fleetStart; at.Before(fleetStart.AddDate(0, 0, 3)); at = at.Add(time.Hour) {
		order = append(order, at)
		_, payload, _ := forward.Message(Hero, at)
		said[at.String()] = payload
	}
	for _, at := range slices.Backward(order) {
		if _, payload, _ := back.Message(Hero, at); string(payload) != string(said[at.String()]) {
			t.Fatalf("%s: %s, then %s", at, said[at.String()], payload)
		}
	}
}

func TestFleet_MetersOnlyGrowAndMeetTheMachineFile(t *testing.T) {
	t.Parallel()
	f := NewFleet(fleetStart, DemoFleet(fleetStart), 1)
	last := 0.0
	for at := fleetStart; at.Before(fleetStart.AddDate(0, 0, Days)); at = at.Add(every) {
		o, ok := f.Observation(Hero, at)
		if !ok {
			continue
		}
		hours, _ := o.Get("operating_hours")
		if hours < last {
			t.Fatalf("%s: %g h after %g h", day(at), hours, last)
		}
		last = hours
	}
	if last < 3211 || last > 3212.1 {
		t.Errorf("%g h at the end, the story says 3,212", last)
	}
}

func TestFleet_RepairedMachineWorksAgain(t *testing.T) {
	t.Parallel()
	onset := fleetStart.AddDate(0, 0, 2)
	m := faulty(t, "GS50D2000163", Fault{Mode: Injector, Onset: onset, Failure: onset.AddDate(0, 0, 2), Reach: 90})
	m.Gaps = nil
	f := NewFleet(fleetStart, []Machine{m}, 1)
	running := func(days float64) bool {
		o, _ := f.Observation(m.Key, onset.Add(time.Duration(days*24)*time.Hour))
		v, _ := o.Get("running")
		return v == 1
	}
	if !running(1) || running(3) {
		t.Errorf("runs before the failure: %v, after it: %v", running(1), running(3))
	}
	f.Repair(m.Key, Injector, onset.AddDate(0, 0, 4), 1)
	if !running(5) {
		t.Error("it stands though it was repaired")
	}
	if l := f.Labels()[0]; !l.RepairedAt.Equal(onset.AddDate(0, 0, 4)) {
		t.Errorf("label says repaired at %s", l.RepairedAt)
	}
}

func TestDemoFleet_HasWhatTheStoryNeeds(t *testing.T) {
	t.Parallel()
	machines := DemoFleet(fleetStart)
	kinds := map[string]string{}
	for _, m := range Models() {
		kinds[m.Name] = m.Kind
	}
	keys, seenKinds, silent, faults, open := map[string]bool{}, map[string]int{}, 0, 0, 0
	for _, m := range machines {
		if keys[m.Key] || m.Name == "" || m.NameEN == "" || m.Customer == "" || m.Site == "" || m.BuiltOn.IsZero() || !m.HandedOver.After(m.BuiltOn) || m.Hours <= 0 {
			t.Errorf("%+v: twice, or something is missing", m)
		}
		keys[m.Key] = true
		seenKinds[kinds[m.Model]]++
		if !m.HasDevice {
			silent++
		}
		for _, f := range m.Faults {
			faults++
			if len(f.Visits) == 0 && f.Passes.IsZero() {
				open++
			}
		}
	}
	if len(machines) < 60 || silent < 12 || len(seenKinds) != 4 || seenKinds[""] > 0 {
		t.Errorf("%d machines, %d without a device, kinds %v", len(machines), silent, seenKinds)
	}
	if faults < 9 || open < 5 || open > 7 {
		t.Errorf("%d faults, %d of them open at the end", faults, open)
	}
	for i, key := range []string{Hero, "BE21N1407752", "KF13A1900266", "GS50D2100081", "BE36N2301190", "BC37T2001526"} {
		if machines[i].Key != key {
			t.Errorf("machine %d is %s, the first screen shows %s", i, machines[i].Key, key)
		}
	}
}

func BenchmarkFleet(b *testing.B) {
	f := NewFleet(fleetStart, DemoFleet(fleetStart), 1)
	machines, i := f.Machines(), 0
	b.ReportAllocs()
	for b.Loop() {
		f.Message(machines[i%len(machines)].Key, fleetStart.Add(every*time.Duration(i/len(machines)%4_000)))
		i++
	}
}
