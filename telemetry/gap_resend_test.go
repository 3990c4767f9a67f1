package telemetry

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
	"time"
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
			address := spareAddress(t)
			if kind == "embedded" {
				r.Embedded = startEmbedded(t, EmbeddedConfig{Listen: address, Log: w.log, Now: w.clock.Now})
			} else {
				startMosquitto(t, t.TempDir(), address)
				r.External, _ = runExternal(t, ExternalConfig{URL: "mqtt://" + address, Topics: []string{"fleet/+/telemetry"}, Log: w.log, Now: w.clock.Now})
			}
			device := dialWire(t, address, 4)
			device.connect(t, hello{client: "PM1"})
			device.write(t, subscribePacket(4, 1, "fleet/PM1/down/#"))
			device.ack(t, 0x90)
			say := func(seq int64) {
				device.write(t, publishPacket(4, 1, uint16(seq+1), "fleet/PM1/telemetry", telemetry(start.Add(time.Duration(seq)*time.Second), "b", int(seq), `"a":1`), false)) //nolint:gosec // small
				device.ack(t, puback)
			}
			for _, seq := range []int64{0, 1, 5, 6} {
				say(seq)
			}
			records(t, w.log, 4)
			w.run(t, historyRun{})
			w.clock.Advance(time.Minute)
			now := time.Now()
			if err := r.runOnce(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			_, body := device.read(t)
			topic := 2 + int(binary.BigEndian.Uint16(body))
			var ask struct {
				Boot     string
				From, To int64
			}
			if err := json.Unmarshal(body[topic+2:], &ask); err != nil || string(body[2:topic]) != "fleet/PM1/down/resend" || fmt.Sprint(ask) != "{b 2 4}" {
				t.Fatalf("the device was asked on %s: %+v, %v", body[2:topic], ask, err)
			}
			device.write(t, packet(0x40, body[topic:topic+2]))
			for seq := ask.From; seq <= ask.To; seq++ {
				say(seq)
			}
			records(t, w.log, 7)
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
