package intake

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func freshCases() []conformCase {
	return append([]conformCase{
		{"5", "CONNACK says what the broker takes: 266,240 bytes, 16 aliases, 1,024 unacknowledged", func(t *testing.T, e *Embedded, v byte) {
			_, props := dialWire(t, e.local(), v).enter(t, knock{client: "a"})
			for _, p := range [][]byte{long(39, 266_240), short(34, 16), short(33, 1024)} {
				if !bytes.Contains(props, p) {
					t.Errorf("no %x in %x", p, props)
				}
			}
		}},
		{"5", "properties of a message reach its subscriber unchanged [MQTT-3.3.2-4, 3.3.2-15 to 3.3.2-20]", func(t *testing.T, e *Embedded, v byte) {
			w, sender := enter(t, e, v, "a"), enter(t, e, v, "b")
			w.follow(t, nil, ask{"a", 2})
			props := slices.Concat([]byte{1, 1}, append([]byte{3}, text("text/plain")...), append([]byte{8}, text("answers/here")...), append([]byte{9}, text("7")...), user("k", "1"), user("k", "2"))
			for qos := range byte(3) {
				sender.say(t, letter{topic: "a", payload: "x", qos: qos, props: props})
				if got := w.next(t); !bytes.Equal(got.props, props) {
					t.Errorf("got  %x\nwant %x", got.props, props)
				}
			}
		}},
		{"5", "a message that has expired is not passed on, one that has not says how long it has left [MQTT-3.3.2-5, 3.3.2-6]", func(t *testing.T, e *Embedded, v byte) {
			w, sender := dialWire(t, e.local(), v), enter(t, e, v, "b")
			w.enter(t, kept(v, "a"))
			w.follow(t, nil, ask{"a", 1})
			w.leave(t)
			sender.say(t, letter{topic: "a", payload: "short", qos: 1, props: long(2, 1)})
			sender.say(t, letter{topic: "a", payload: "long", qos: 1, props: long(2, 60)})
			after(t, 1100*time.Millisecond)
			w = dialWire(t, e.local(), v)
			w.enter(t, kept(v, "a"))
			if got := w.next(t); got.payload != "long" || len(got.props) != 5 || got.props[4] >= 60 || got.props[4] < 50 {
				t.Errorf("got %+v", got)
			}
		}},
		{"5", "No Local keeps a client's own messages from it [MQTT-3.8.3-3]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "a")
			w.follow(t, nil, ask{"a", 4})
			w.write(t, letter{topic: "a", payload: "own"}.packet(v))
			enter(t, e, v, "b").say(t, letter{topic: "a", payload: "other", qos: 1})
			if got := w.next(t); got.payload != "other" {
				t.Errorf("got %+v", got)
			}
		}},
		{"5", "Retain As Published keeps the mark [MQTT-3.3.1-13]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "a")
			w.follow(t, nil, ask{"a", 8})
			enter(t, e, v, "b").say(t, letter{topic: "a", payload: "x", qos: 1, retain: true})
			if got := w.next(t); !got.retain {
				t.Errorf("got %+v", got)
			}
		}},
		{"5", "Retain Handling: always, for new subscriptions, never [MQTT-3.3.1-9 to 3.3.1-11]", func(t *testing.T, e *Embedded, v byte) {
			w, sender := enter(t, e, v, "a"), enter(t, e, v, "b")
			sender.say(t, letter{topic: "a", payload: "kept", qos: 1, retain: true})
			for _, c := range []struct {
				options  byte
				greeting bool
			}{{2 << 4, false}, {1 << 4, false}, {0, true}, {1 << 4, false}} {
				w.follow(t, nil, ask{"a", c.options})
				sender.say(t, letter{topic: "a", payload: "live", qos: 1})
				got := w.next(t)
				if c.greeting {
					if got.payload != "kept" {
						t.Errorf("handling %#x: %+v", c.options, got)
					}
					got = w.next(t)
				}
				if got.payload != "live" {
					t.Errorf("handling %#x: %+v", c.options, got)
				}
			}
			other := enter(t, e, v, "c")
			other.follow(t, nil, ask{"a", 1 << 4})
			if got := other.next(t); got.payload != "kept" {
				t.Errorf("a new subscription is greeted with %+v", got)
			}
		}},
		{"5", "subscription identifiers come with the message, all of them [MQTT-3.3.4-3, 3.3.4-4]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "a")
			w.follow(t, []byte{11, 7}, ask{"a/#", 1})
			w.follow(t, []byte{11, 9}, ask{"a/b", 1})
			sender := enter(t, e, v, "b")
			sender.say(t, letter{topic: "a/b", qos: 1})
			if got := w.next(t); !bytes.Equal(got.props, []byte{11, 7, 11, 9}) {
				t.Errorf("identifiers %x", got.props)
			}
			sender.say(t, letter{topic: "a/c", qos: 1})
			if got := w.next(t); !bytes.Equal(got.props, []byte{11, 7}) {
				t.Errorf("identifiers %x", got.props)
			}
		}},
		{"5", "UNSUBSCRIBE from what was never subscribed to is answered with 0x11 [MQTT-3.11.3-1]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "a")
			w.write(t, packet(0xA2, append([]byte{0, 9, 0}, text("x")...)))
			if kind, body := w.read(t); kind != 0xB0 || body[len(body)-1] != 0x11 {
				t.Errorf("answered with %#x %x", kind, body)
			}
		}},
		{"5", "a shared subscription gives each message to one of the group, in turn [MQTT-4.8.2-4]", func(t *testing.T, e *Embedded, v byte) {
			one, two, alone := enter(t, e, v, "one"), enter(t, e, v, "two"), enter(t, e, v, "alone")
			one.follow(t, nil, ask{"$share/g/a/#", 1}, ask{"end", 1})
			two.follow(t, nil, ask{"$share/g/a/#", 1}, ask{"end", 1})
			alone.follow(t, nil, ask{"a/#", 1})
			sender := enter(t, e, v, "sender")
			for n := range 20 {
				sender.say(t, letter{topic: fmt.Sprint("a/", n), qos: 1})
				alone.next(t)
			}
			sender.say(t, letter{topic: "end", qos: 1})
			var all []string
			for _, w := range []*wire{one, two} {
				mine := 0
				for got := w.next(t); got.topic != "end"; got = w.next(t) {
					all = append(all, got.topic)
					mine++
				}
				if mine < 5 {
					t.Errorf("one of two was given %d of 20", mine)
				}
			}
			slices.Sort(all)
			if len(slices.Compact(all)) != 20 {
				t.Errorf("%d messages for the group: %v", len(all), all)
			}
		}},
		{"5", "a delayed will waits, and is taken back when the client is back in time [MQTT-3.1.3-9]", delayedWills},
		{"5", "DISCONNECT 0x04 sends the last will, with its properties [MQTT-3.1.2-10]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "reader")
			w.follow(t, nil, ask{"will", 1})
			gone := dialWire(t, e.local(), v)
			gone.enter(t, knock{client: "gone", willTopic: "will", will: "x", willProps: slices.Concat([]byte{1, 1}, user("a", "b"))})
			gone.write(t, packet(0xE0, []byte{4, 0}))
			if got := w.next(t); got.payload != "x" || !bytes.Equal(got.props, slices.Concat([]byte{1, 1}, user("a", "b"))) {
				t.Errorf("got %+v", got)
			}
		}},
	}, boundCases()...)
}

func delayedWills(t *testing.T, e *Embedded, v byte) {
	w := enter(t, e, v, "reader")
	w.follow(t, nil, ask{"will/#", 1})
	for _, client := range []string{"back", "stays away"} {
		gone := dialWire(t, e.local(), v)
		k := kept(v, client)
		k.willTopic, k.will, k.willProps = "will/"+client, "farewell", long(24, 1)
		gone.enter(t, k)
		gone.Close()
	}
	back := dialWire(t, e.local(), v)
	if present, _ := back.enter(t, kept(v, "back")); !present {
		t.Fatal("no session is present")
	}
	begun := time.Now()
	if got := w.next(t); got.topic != "will/stays away" {
		t.Errorf("got %+v", got)
	}
	if took := time.Since(begun); took < 500*time.Millisecond || took > 20*time.Second {
		t.Errorf("the will came after %s", took)
	}
}

func boundCases() []conformCase {
	return []conformCase{
		{"5", "a session ends with the connection when no expiry is given, else later [MQTT-3.1.2-23]", func(t *testing.T, e *Embedded, v byte) {
			for _, seconds := range []uint32{0, 600, 1} {
				w := dialWire(t, e.local(), v)
				w.enter(t, knock{client: "a", props: long(17, seconds)})
				w.follow(t, nil, ask{"a", 1})
				w.leave(t)
				if seconds == 1 {
					eventually(t, func() bool { _, known := e.server.Clients.Get("/a"); return !known })
				}
				w = dialWire(t, e.local(), v)
				if present, _ := w.enter(t, knock{client: "a", keep: true}); present != (seconds == 600) {
					t.Errorf("kept for %d s: present %v", seconds, present)
				}
				w.leave(t)
			}
		}},
		{"5", "a topic alias stands for its topic on its connection; an unknown one and 0 end it with 0x94 [MQTT-3.3.2-7, 3.3.2-8]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "reader")
			w.follow(t, nil, ask{"a", 1})
			sender := enter(t, e, v, "sender")
			sender.say(t, letter{topic: "a", payload: "1", qos: 1, props: short(35, 1)})
			sender.say(t, letter{payload: "2", qos: 1, props: short(35, 1)})
			for n := range 2 {
				if got := w.next(t); got.topic != "a" || got.payload != fmt.Sprint(n+1) || len(got.props) != 0 {
					t.Errorf("got %+v", got)
				}
			}
			for n, props := range [][]byte{short(35, 2), short(35, 0), short(35, 17)} {
				sender := enter(t, e, v, fmt.Sprint("sender", n))
				topic := "a"
				if n == 0 {
					topic = ""
				}
				sender.write(t, letter{topic: topic, qos: 1, id: 1, props: props}.packet(v))
				if code := sender.gone(t); code != 0x94 {
					t.Errorf("%x ends with %#x", props, code)
				}
			}
		}},
		{"5", "the broker uses aliases where a client takes them [MQTT-3.1.2-26]", func(t *testing.T, e *Embedded, v byte) {
			w := dialWire(t, e.local(), v)
			w.enter(t, knock{client: "reader", props: short(34, 1)})
			w.follow(t, nil, ask{"#", 1})
			sender := enter(t, e, v, "sender")
			for n, want := range []struct {
				topic, on string
				props     []byte
			}{{"a", "a", short(35, 1)}, {"a", "", short(35, 1)}, {"b", "b", nil}} {
				sender.say(t, letter{topic: want.topic, qos: 1})
				if got := w.next(t); got.topic != want.on || !bytes.Equal(got.props, want.props) {
					t.Errorf("message %d: %+v", n, got)
				}
			}
		}},
		{"5", "a client is not sent more than it takes: Receive Maximum [MQTT-3.3.4-9]", func(t *testing.T, e *Embedded, v byte) {
			w := dialWire(t, e.local(), v)
			w.enter(t, knock{client: "reader", props: short(33, 2)})
			w.follow(t, nil, ask{"a", 1})
			sender := enter(t, e, v, "sender")
			for n := range 4 {
				sender.say(t, letter{topic: "a", payload: fmt.Sprint(n), qos: 1})
			}
			first, second := w.letter(t), w.letter(t)
			w.write(t, packet(0xC0, nil))
			w.ackless(t, 0xD0) // and no third message before it
			w.write(t, packet(0x40, []byte{0, byte(first.id)}))
			if got := w.next(t); got.payload != "2" {
				t.Errorf("got %+v", got)
			}
			w.write(t, packet(0x40, []byte{0, byte(second.id)}))
			if got := w.next(t); got.payload != "3" {
				t.Errorf("got %+v", got)
			}
		}},
		{"5", "a client that sends more QoS 2 than the broker takes is disconnected with 0x93 [MQTT-3.3.4-7]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "sender")
			for id := range uint16(maxUnacknowledged + 1) {
				w.write(t, letter{topic: "a", qos: 2, id: id + 1}.packet(v))
			}
			if code := w.gone(t); code != 0x93 {
				t.Errorf("ends with %#x", code)
			}
		}},
		{"5", "a message larger than a client takes is not sent to it [MQTT-3.1.2-24, 3.1.2-25]", func(t *testing.T, e *Embedded, v byte) {
			w := dialWire(t, e.local(), v)
			w.enter(t, knock{client: "reader", props: long(39, 64)})
			w.follow(t, nil, ask{"a", 1})
			sender := enter(t, e, v, "sender")
			sender.say(t, letter{topic: "a", payload: strings.Repeat("x", 64), qos: 1})
			sender.say(t, letter{topic: "a", payload: "small", qos: 1})
			if got := w.next(t); got.payload != "small" {
				t.Errorf("got %+v", got)
			}
		}},
		{"5", "a subscription identifier of 0 ends the connection [MQTT-3.8.2.1.2]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "a")
			w.write(t, subscribe(v, 1, []byte{11, 0}, ask{"a", 1}))
			if kind, body := w.read(t); kind == suback && body[len(body)-1] < 0x80 {
				t.Errorf("granted: %x", body)
			}
		}},
		{"5", "No Local on a shared subscription is refused [MQTT-3.8.3-4]", func(t *testing.T, e *Embedded, v byte) {
			if codes := enter(t, e, v, "a").follow(t, nil, ask{"$share/g/a", 4}); codes[0] != 0x82 {
				t.Errorf("codes %x", codes)
			}
		}},
	}
}
