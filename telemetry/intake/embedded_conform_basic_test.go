package intake

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func connectCases() []conformCase {
	return []conformCase{
		{"45", "CONNECT is answered with CONNACK, no session being present [MQTT-3.2.2-2]", func(t *testing.T, e *Embedded, v byte) {
			if present, _ := dialWire(t, e.local(), v).enter(t, knock{client: "a"}); present {
				t.Error("a session is said to be present")
			}
		}},
		{"45", "a second CONNECT ends the connection [MQTT-3.1.0-2]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "a")
			w.write(t, knock{client: "a"}.packet(v))
			w.gone(t)
		}},
		{"45", "a packet before CONNECT ends the connection [MQTT-3.1.0-1]", func(t *testing.T, e *Embedded, v byte) {
			w := dialWire(t, e.local(), v)
			w.write(t, packet(0xC0, nil))
			w.gone(t)
		}},
		{"45", "another protocol's name is refused [MQTT-3.1.2-1]", func(t *testing.T, e *Embedded, v byte) {
			w := dialWire(t, e.local(), v)
			w.write(t, slices.Concat([]byte{0x10}, []byte(strings.Replace(string(knock{client: "a"}.packet(v)[1:]), "MQTT", "MQTX", 1))))
			w.refused(t)
		}},
		{"45", "a reserved flag of CONNECT is refused [MQTT-3.1.2-3]", func(t *testing.T, e *Embedded, v byte) {
			w := dialWire(t, e.local(), v)
			out := knock{client: "a"}.packet(v)
			out[9] |= 1
			w.write(t, out)
			w.refused(t)
		}},
		{"45", "a password and a last will of no bytes are allowed [MQTT-3.1.3.5, 3.1.3.3]", func(t *testing.T, e *Embedded, v byte) {
			reader := enter(t, e, v, "reader")
			reader.follow(t, nil, ask{"gone/a", 1})
			w := dialWire(t, e.local(), v)
			out := append(knock{client: "a", user: "a", willTopic: "gone/a"}.packet(v), 0, 0)
			out[1], out[9] = out[1]+2, out[9]|1<<6
			w.write(t, out)
			if kind, body := w.read(t); kind != connack || body[1] != 0 {
				t.Fatalf("answered with %#x %x", kind, body)
			}
			_ = w.Close()
			if got := reader.next(t); got.topic != "gone/a" || got.payload != "" {
				t.Errorf("got %+v", got)
			}
		}},
		{"4", "no client id without a clean session is answered with code 2 [MQTT-3.1.3-8]", func(t *testing.T, e *Embedded, v byte) {
			w := dialWire(t, e.local(), v)
			w.write(t, knock{keep: true}.packet(v))
			if _, body := w.read(t); len(body) < 2 || body[1] != 2 {
				t.Errorf("answered with %x", body)
			}
		}},
		{"5", "who has no client id is given one [MQTT-3.1.3-6]", func(t *testing.T, e *Embedded, v byte) {
			if _, props := dialWire(t, e.local(), v).enter(t, knock{}); !strings.Contains(string(props), "\x12\x00\x14") {
				t.Errorf("no assigned client identifier in %x", props)
			}
		}},
		{"45", "PINGREQ is answered [MQTT-3.12.4-1]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "a")
			w.write(t, packet(0xC0, nil))
			w.ackless(t, 0xD0)
		}},
		{"45", "a client that is silent for one and a half keepalives is disconnected [MQTT-3.1.2-24]", func(t *testing.T, e *Embedded, v byte) {
			w := dialWire(t, e.local(), v)
			begun := time.Now() // the broker's time begins when it has read the CONNECT
			w.enter(t, knock{client: "a", keepalive: 1})
			w.gone(t)
			if took := time.Since(begun); took < time.Second {
				t.Errorf("after %s", took)
			}
		}},
		{"45", "a newcomer with the same client id pushes the one before out [MQTT-3.1.4-2]", func(t *testing.T, e *Embedded, v byte) {
			first := enter(t, e, v, "a")
			second := enter(t, e, v, "a")
			if code := first.gone(t); v == 5 && code != 0x8E {
				t.Errorf("disconnected with %#x", code)
			}
			second.say(t, letter{topic: "x", qos: 1})
		}},
	}
}

// refused waits for a CONNACK that says no, or for the end.
func (w *wire) refused(t testing.TB) {
	t.Helper()
	if kind, body := w.read(t); kind == connack && body[1] == 0 {
		t.Fatal("let in")
	}
}

func (w *wire) ackless(t testing.TB, want byte) {
	t.Helper()
	if kind, body := w.read(t); kind != want || len(body) != 0 {
		t.Fatalf("got packet %#x %x, want %#x", kind, body, want)
	}
}

func messageCases() []conformCase {
	return []conformCase{
		{"45", "a message comes at the lesser of its QoS and the subscription's [MQTT-3.8.4-6]", func(t *testing.T, e *Embedded, v byte) {
			sender := enter(t, e, v, "sender")
			for granted := range byte(3) {
				w := enter(t, e, v, fmt.Sprint("reader", granted))
				if codes := w.follow(t, nil, ask{"a/b", granted}); codes[0] != granted {
					t.Fatalf("granted %#x", codes)
				}
				for qos := range byte(3) {
					sender.say(t, letter{topic: "a/b", payload: fmt.Sprint(qos), qos: qos})
					if got := w.next(t); got.qos != min(qos, granted) || got.payload != fmt.Sprint(qos) || got.topic != "a/b" || got.retain || got.dup {
						t.Errorf("QoS %d to a subscription of %d: %+v", qos, granted, got)
					}
				}
				w.leave(t)
			}
		}},
		{"45", "+ and # take in what they should and nothing else [MQTT-4.7.1-2, 4.7.1-3, 4.7.2-1]", wildcards},
		{"45", "a message that two subscriptions of a client match comes once, at the highest QoS [MQTT-3.3.5-1]", func(t *testing.T, e *Embedded, v byte) {
			w, sender := enter(t, e, v, "a"), enter(t, e, v, "b")
			w.follow(t, nil, ask{"a/#", 2}, ask{"a/+", 1})
			sender.say(t, letter{topic: "a/b", payload: "1", qos: 2})
			sender.say(t, letter{topic: "a/b", payload: "2", qos: 2})
			for _, payload := range []string{"1", "2"} {
				if got := w.next(t); got.qos != 2 || got.payload != payload {
					t.Errorf("got %+v", got)
				}
			}
		}},
		{"45", "nothing comes after UNSUBSCRIBE, which is answered [MQTT-3.10.4-2, 3.10.4-4]", func(t *testing.T, e *Embedded, v byte) {
			w, sender := enter(t, e, v, "a"), enter(t, e, v, "b")
			w.follow(t, nil, ask{"a", 1}, ask{"b", 1})
			w.write(t, packet(0xA2, append(append([]byte{0, 9}, withLength(v, nil)...), text("a")...)))
			if kind, body := w.read(t); kind != 0xB0 || body[1] != 9 {
				t.Fatalf("answered with %#x %x", kind, body)
			}
			sender.say(t, letter{topic: "a", qos: 1})
			sender.say(t, letter{topic: "b", qos: 1})
			if got := w.next(t); got.topic != "b" {
				t.Errorf("got %+v", got)
			}
		}},
		{"45", "messages of one topic come in the order in which they were sent [MQTT-4.6.0-5]", func(t *testing.T, e *Embedded, v byte) {
			w, sender := enter(t, e, v, "a"), enter(t, e, v, "b")
			w.follow(t, nil, ask{"a", 1})
			const messages = 300
			for n := range messages {
				sender.write(t, letter{topic: "a", payload: fmt.Sprint(n), qos: 1, id: uint16(n + 1)}.packet(v)) //nolint:gosec // small
			}
			for n := range messages {
				if id, _ := sender.ack(t, puback); int(id) != n+1 {
					t.Fatalf("acknowledgement %d is for %d", n+1, id)
				}
				if got := w.next(t); got.payload != fmt.Sprint(n) {
					t.Fatalf("message %d is %q", n, got.payload)
				}
			}
		}},
		{"45", "a QoS 2 message that is sent again is passed on once [MQTT-4.3.3-2]", func(t *testing.T, e *Embedded, v byte) {
			w, sender := enter(t, e, v, "a"), enter(t, e, v, "b")
			w.follow(t, nil, ask{"a", 2})
			for _, dup := range []bool{false, true, true} {
				sender.write(t, letter{topic: "a", payload: "once", qos: 2, id: 9, dup: dup}.packet(v))
				if id, code := sender.ack(t, pubrec); id != 9 || code != 0 {
					t.Fatalf("PUBREC %d %#x", id, code)
				}
			}
			sender.write(t, packet(0x62, []byte{0, 9}))
			sender.ack(t, pubcomp)
			sender.say(t, letter{topic: "a", payload: "then", qos: 1})
			for _, payload := range []string{"once", "then"} {
				if got := w.next(t); got.payload != payload {
					t.Errorf("got %+v", got)
				}
			}
		}},
		{"45", "a client is sent its own messages when it has subscribed to them", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "a")
			w.follow(t, nil, ask{"a", 0})
			w.write(t, letter{topic: "a", payload: "x"}.packet(v))
			if got := w.next(t); got.payload != "x" {
				t.Errorf("got %+v", got)
			}
		}},
		{"45", "PUBACKs come in the order of the messages [MQTT-4.6.0-2]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "a")
			for id := range uint16(500) {
				topic := []string{"x", "fleet/pump-1/telemetry", "fleet/pump-1/down/x"}[id%3]
				w.write(t, letter{topic: topic, qos: 1, id: id + 1}.packet(v))
			}
			for n := range uint16(500) {
				if id, _ := w.ack(t, puback); id != n+1 {
					t.Fatalf("acknowledgement %d is for %d", n+1, id)
				}
			}
		}},
	}
}

func wildcards(t *testing.T, e *Embedded, v byte) {
	sender := enter(t, e, v, "sender")
	for n, c := range []struct{ filter, yes, no string }{
		{"a/b", "a/b", "a a/b/c /a/b a/B"},
		{"a/+", "a/b a/", "a a/b/c"},
		{"+/+", "a/b /b", "a a/b/c"},
		{"+", "a", "/a a/b"},
		{"a/#", "a a/b a/b/c", "b ab/c"},
		{"#", "a /a a/b", ""},
		{"+/b/#", "a/b a/b/c", "b/a"},
		{"a/+/c", "a/b/c a//c", "a/c a/b/d"},
	} {
		w := enter(t, e, v, fmt.Sprint("reader", n))
		w.follow(t, nil, ask{c.filter, 0}, ask{"end", 0})
		topics := append(strings.Fields(c.yes), strings.Fields(c.no)...)
		for _, topic := range append(topics, "end") {
			sender.write(t, letter{topic: topic}.packet(v))
		}
		var got []string
		for {
			l := w.next(t)
			if l.topic == "end" && c.filter != "#" && c.filter != "+" || len(got) == len(strings.Fields(c.yes)) {
				break
			}
			got = append(got, l.topic)
		}
		if !slices.Equal(got, strings.Fields(c.yes)) {
			t.Errorf("%s has taken in %q, want %q", c.filter, got, c.yes)
		}
		w.leave(t)
	}
}
