package telemetry

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/intake"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

// A device that can sends again what it is asked for, through either broker, and
// its gap is filled.
func TestResender_GetsBackWhatDevicesStillHave(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"embedded", "external"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorks(t)
			addMachine(t, w.pool, "PM1")
			r := &Resender{Pool: w.pool, Now: w.clock.Now, Log: quiet()}
			address := telemetrytest.SpareAddress(t)
			if kind == "embedded" {
				e, err := intake.OpenEmbedded(intake.EmbeddedConfig{Listen: address, Log: w.log, Now: w.clock.Now})
				if err != nil {
					t.Fatal(err)
				}
				telemetrytest.Run(t, e.Run)
				r.Publish = append(r.Publish, e.Publish)
			} else {
				telemetrytest.StartMosquitto(t, t.TempDir(), address)
				x, _ := readBroker(t, intake.ExternalConfig{URL: "mqtt://" + address, Topics: []string{"fleet/+/telemetry"}, Log: w.log, Now: w.clock.Now})
				r.Publish = append(r.Publish, x.Publish)
			}
			device := telemetrytest.Sit(t, address, "PM1", nil, "fleet/PM1/down/#")
			say := func(seq int64) {
				telemetrytest.Done(t, device.Publish("fleet/PM1/telemetry", 1, false, telemetry(start.Add(time.Duration(seq)*time.Second), "b", int(seq), `"a":1`)))
			}
			for _, seq := range []int64{0, 1, 5, 6} {
				say(seq)
			}
			telemetrytest.Records(t, w.log, 4)
			w.run(t, historyRun{})
			w.clock.Advance(time.Minute)
			now := time.Now()
			if err := r.runOnce(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			asked := device.Last(t, "fleet/PM1/down/resend", 1)
			var ask struct {
				Boot     string
				From, To int64
			}
			if err := json.Unmarshal(asked.Payload(), &ask); err != nil || asked.Qos() != 1 || fmt.Sprint(ask) != "{b 2 4}" {
				t.Fatalf("the device was asked %s: %+v, %v", asked.Payload(), ask, err)
			}
			for seq := ask.From; seq <= ask.To; seq++ {
				say(seq)
			}
			telemetrytest.Records(t, w.log, 7)
			w.run(t, historyRun{})
			want(t, value[string](t, w.pool, `SELECT string_agg(first || '-' || last || ' ' || (filled_at IS NOT NULL), ',') FROM sequence_gap`), "2-4 true")
			if err := r.runOnce(t.Context(), now.Add(time.Hour)); err != nil || r.requests.Load() != 1 {
				t.Errorf("%d requests: what has come is asked for again: %v", r.requests.Load(), err)
			}
		})
	}
}

// However much is missing, devices are asked for so much a round, for each gap
// so often, and less and less.
func TestResender_IsBounded(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addMachine(t, w.pool, "PM1")
	for seq := range 300 {
		w.number(t, "PM1", "b", 2*seq)
	}
	w.run(t, historyRun{})
	w.clock.Advance(time.Minute)
	r := &Resender{Pool: w.pool, Now: w.clock.Now, Log: quiet()}
	wall := start
	for round, more := range []uint64{100, 100, 99, 0} {
		before := r.requests.Load()
		if err := r.runOnce(t.Context(), wall); err != nil || r.requests.Load()-before != more {
			t.Errorf("round %d: %d requests, %v", round, r.requests.Load()-before, err)
		}
	}
	for range 100 {
		wall = wall.Add(time.Hour)
		if err := r.runOnce(t.Context(), wall); err != nil {
			t.Fatal(err)
		}
	}
	want(t, r.requests.Load(), uint64(299*resendTries))
	w.clock.Advance(2 * resendDay)
	if err := r.runOnce(t.Context(), wall); err != nil || len(r.asked) != 0 {
		t.Errorf("%d gaps are remembered though devices have nothing left: %v", len(r.asked), err)
	}
}
