package intake

import (
	"fmt"
	"testing"
	"time"
)

// F37: a second client with the same id tries a hundred times to push the first
// one out. Both publish; what was acknowledged to either is in the log.
func TestEmbedded_LetsTwoWithOneIDFightSlowly(t *testing.T) {
	t.Parallel()
	e := startEmbedded(t, EmbeddedConfig{})
	begun := time.Now()
	acked := map[string]bool{}
	w := dialWire(t, e.local(), 5)
	w.enter(t, knock{client: "pump 1"})
	let := 0
	for n := range 100 {
		rival := dialWire(t, e.local(), []byte{4, 5}[n%2])
		rival.write(t, knock{client: "pump 1"}.packet(rival.version))
		kind, body := rival.read(t)
		if kind != connack {
			t.Fatalf("attempt %d is answered with %#x", n, kind)
		}
		if body[1] == 0 {
			w.gone(t)
			w = rival
			let++
		} else if code := map[byte]byte{4: 3, 5: 0x89}[rival.version]; body[1] != code {
			t.Fatalf("attempt %d is answered with %#x, want to be told to come back", n, body[1])
		}
		payload := fmt.Sprint(n)
		w.write(t, publishPacket(w.version, 1, 1, "fleet/pump-1/telemetry", payload, false))
		w.ack(t, puback)
		acked[payload] = true
	}
	if most := takeoverFree + 1 + int(time.Since(begun)/takeoverAfter); let > most || let < takeoverFree {
		t.Errorf("%d of 100 attempts took over in %s, want at most %d", let, time.Since(begun), most)
	}
	for _, r := range records(t, e.Log, len(acked)) {
		delete(acked, string(r.Payload))
	}
	if len(acked) > 0 {
		t.Errorf("lost: %v", acked)
	}
	if refused := figure(t, e, "thirdstate_mqtt_refused_total", reasonSameID); int(refused) != 100-let {
		t.Errorf("%v refused, %d let in", refused, let)
	}
	if n := figure(t, e, "thirdstate_mqtt_takeovers_total", "embedded"); int(n) != let {
		t.Errorf("%v takeovers are counted, want %d", n, let)
	}
}

func TestClientIDs_WaitLongerEachTime(t *testing.T) {
	t.Parallel()
	k, a, b := newClientIDs(), &connection{}, &connection{}
	now := start
	k.take("x", a, now)
	var waits []time.Duration
	for range 9 {
		from := now
		for {
			if before, _, ok := k.take("x", b, now); ok {
				if before != a {
					t.Fatal("another one is pushed out")
				}
				break
			}
			now = now.Add(100 * time.Millisecond)
		}
		waits = append(waits, now.Sub(from).Round(time.Second))
		a, b = b, a
	}
	if fmt.Sprint(waits) != "[0s 0s 0s 1s 2s 4s 8s 16s 32s]" {
		t.Errorf("waits %v", waits)
	}
	k.release("x", b)
	if len(k.ids) != 1 {
		t.Error("released by one who does not hold it")
	}
	k.release("x", a)
	if len(k.ids) != 0 {
		t.Error("not released")
	}
}

// A device without a token cannot have the session of one with a token.
func TestEmbedded_KeepsSessionsOfDevicesFromOthers(t *testing.T) {
	t.Parallel()
	e, token := brokerOf(t, "pump-1")
	w := dialWire(t, e.local(), 4)
	w.enter(t, knock{client: "a", user: "pump-1", password: token, keep: true})
	w.follow(t, nil, ask{"fleet/pump-1/down/#", 1})
	for _, client := range []string{"a", "pump-1/a", "/a"} {
		thief := dialWire(t, e.local(), 4)
		if present, _ := thief.enter(t, knock{client: client, keep: true}); present {
			t.Errorf("%s has the session of a device", client)
		}
		thief.say(t, letter{topic: "fleet/pump-1/down/x", payload: client, qos: 1})
		if got := w.next(t); got.payload != client {
			t.Errorf("got %+v", got)
		}
	}
}
