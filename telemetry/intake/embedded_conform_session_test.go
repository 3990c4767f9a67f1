package intake

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// kept is a CONNECT whose session outlives the connection.
func kept(version byte, client string) knock {
	k := knock{client: client, keep: true}
	if version == 5 {
		k.props = long(17, 600)
	}
	return k
}

func sessionCases() []conformCase {
	return []conformCase{
		{"45", "a session that was kept is present, with its subscriptions [MQTT-3.1.2-4]", func(t *testing.T, e *Embedded, v byte) {
			w := dialWire(t, e.local(), v)
			w.enter(t, kept(v, "a"))
			w.follow(t, nil, ask{"a", 1})
			w.leave(t)
			w = dialWire(t, e.local(), v)
			if present, _ := w.enter(t, kept(v, "a")); !present {
				t.Error("no session is present")
			}
			enter(t, e, v, "b").say(t, letter{topic: "a", payload: "x", qos: 1})
			if got := w.next(t); got.payload != "x" {
				t.Errorf("got %+v", got)
			}
		}},
		{"45", "a clean session forgets the one before [MQTT-3.1.2-6]", func(t *testing.T, e *Embedded, v byte) {
			w := dialWire(t, e.local(), v)
			w.enter(t, kept(v, "a"))
			w.follow(t, nil, ask{"a", 1})
			w.leave(t)
			enter(t, e, v, "b").say(t, letter{topic: "a", qos: 1})
			w = dialWire(t, e.local(), v)
			if present, _ := w.enter(t, knock{client: "a"}); present {
				t.Error("a session is present")
			}
			w.write(t, packet(0xC0, nil))
			w.ackless(t, 0xD0)
		}},
		{"45", "messages of QoS 1 and 2 wait for who is away, in order [MQTT-3.1.2-5]", func(t *testing.T, e *Embedded, v byte) {
			w := dialWire(t, e.local(), v)
			w.enter(t, kept(v, "a"))
			w.follow(t, nil, ask{"a/#", 2})
			w.leave(t)
			sender := enter(t, e, v, "b")
			for n := range 40 {
				sender.say(t, letter{topic: fmt.Sprint("a/", n), qos: byte(n % 3)})
			}
			w = dialWire(t, e.local(), v)
			w.enter(t, kept(v, "a"))
			for n := range 40 {
				if n%3 > 0 {
					if got := w.next(t); got.topic != fmt.Sprint("a/", n) || got.qos != byte(n%3) {
						t.Fatalf("message %d is %+v", n, got)
					}
				}
			}
		}},
		{"45", "what was not acknowledged is sent again with DUP after the client is back [MQTT-4.4.0-1]", func(t *testing.T, e *Embedded, v byte) {
			w, sender := dialWire(t, e.local(), v), enter(t, e, v, "b")
			w.enter(t, kept(v, "a"))
			w.follow(t, nil, ask{"a", 2})
			for _, l := range []letter{{topic: "a", payload: "1", qos: 1}, {topic: "a", payload: "2", qos: 2}, {topic: "a", payload: "3", qos: 2}} {
				sender.say(t, l)
			}
			var ids []uint16
			for range 3 {
				ids = append(ids, w.letter(t).id)
			}
			w.write(t, packet(0x50, []byte{0, byte(ids[2])})) // he has the third
			if id, _ := w.ack(t, 0x62); id != ids[2] {
				t.Fatalf("PUBREL %d", id)
			}
			w.Close()
			w = dialWire(t, e.local(), v)
			w.enter(t, kept(v, "a"))
			for n := range 2 {
				if got := w.letter(t); got.payload != fmt.Sprint(n+1) || !got.dup || got.id != ids[n] {
					t.Errorf("message %d is %+v", n+1, got)
				}
			}
			if id, _ := w.ack(t, 0x62); id != ids[2] {
				t.Errorf("PUBREL %d, want %d", id, ids[2])
			}
			w.write(t, packet(0x70, []byte{0, byte(ids[2])}))
		}},
		{"45", "a PUBREC without its message is answered", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "a")
			w.follow(t, nil, ask{"a", 2})
			w.write(t, packet(0x50, []byte{0, 99}))
			if id, code := w.ack(t, 0x62); id != 99 || v == 5 && code != 0x92 {
				t.Errorf("PUBREL %d %#x", id, code)
			}
		}},
	}
}

func keptCases() []conformCase {
	return []conformCase{
		{"45", "a retained message greets a new subscriber, and is no longer marked for one who is there [MQTT-3.3.1-6, 3.3.1-8, 3.3.1-9]", func(t *testing.T, e *Embedded, v byte) {
			there, sender := enter(t, e, v, "there"), enter(t, e, v, "sender")
			there.follow(t, nil, ask{"a/#", 2})
			for qos := range byte(3) {
				sender.say(t, letter{topic: fmt.Sprint("a/", qos), payload: "kept", qos: qos, retain: true})
				if got := there.next(t); got.retain {
					t.Errorf("marked for one who is there: %+v", got)
				}
			}
			w := enter(t, e, v, "new")
			w.follow(t, nil, ask{"a/+", 2})
			seen := map[string]bool{}
			for range 3 {
				got := w.next(t)
				seen[got.topic] = got.retain && got.topic == fmt.Sprint("a/", got.qos)
			}
			if len(seen) != 3 || !seen["a/0"] || !seen["a/1"] || !seen["a/2"] {
				t.Errorf("greeted with %v", seen)
			}
		}},
		{"45", "the last retained message replaces the one before, an empty one takes it away [MQTT-3.3.1-10]", func(t *testing.T, e *Embedded, v byte) {
			there, sender := enter(t, e, v, "there"), enter(t, e, v, "sender")
			there.follow(t, nil, ask{"b", 1})
			for _, payload := range []string{"1", "2"} {
				sender.say(t, letter{topic: "a", payload: payload, qos: 1, retain: true})
				sender.say(t, letter{topic: "b", payload: payload, qos: 1, retain: true})
			}
			sender.say(t, letter{topic: "b", qos: 1, retain: true})
			for range 3 { // it is acknowledged before it is passed on
				there.next(t)
			}
			w := enter(t, e, v, "new")
			w.follow(t, nil, ask{"b", 1}, ask{"a", 1})
			if got := w.next(t); got.topic != "a" || got.payload != "2" {
				t.Errorf("got %+v", got)
			}
		}},
		{"45", "a last will is sent when the connection breaks [MQTT-3.1.2-8]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "reader")
			w.follow(t, nil, ask{"will", 1})
			gone := dialWire(t, e.local(), v)
			gone.enter(t, knock{client: "gone", willTopic: "will", will: "farewell", willFlags: 1<<3 | 1<<5})
			gone.Close()
			if got := w.next(t); got.payload != "farewell" || got.qos != 1 || got.retain {
				t.Errorf("got %+v", got)
			}
			w = enter(t, e, v, "later")
			w.follow(t, nil, ask{"will", 1})
			if got := w.next(t); got.payload != "farewell" || !got.retain {
				t.Errorf("a retained will greets with %+v", got)
			}
		}},
		{"45", "a last will is not sent after DISCONNECT [MQTT-3.14.4-3]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "reader")
			w.follow(t, nil, ask{"will", 1})
			gone := dialWire(t, e.local(), v)
			gone.enter(t, knock{client: "gone", willTopic: "will", will: "farewell"})
			gone.leave(t)
			enter(t, e, v, "b").say(t, letter{topic: "will", payload: "end", qos: 1})
			if got := w.next(t); got.payload != "end" {
				t.Errorf("got %+v", got)
			}
		}},
	}
}

func forbiddenCases() []conformCase {
	cases := []conformCase{
		{"45", "a topic of the broker is refused: to subscribe, to publish [MQTT-3.9.3-2]", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "a")
			codes := w.follow(t, nil, ask{"$SYS/#", 1}, ask{"fine", 1}, ask{"$share/g/$SYS/#", 1})
			no := map[byte]byte{4: 0x80, 5: 0x87}[v]
			if codes[0] != no || codes[1] != 1 || codes[2] != no {
				t.Errorf("codes %x", codes)
			}
			w.write(t, letter{topic: "$SYS/x", qos: 1, id: 1}.packet(v))
			if v == 4 {
				w.gone(t)
			} else if _, code := w.ack(t, puback); code != 0x87 {
				t.Errorf("PUBACK with %#x", code)
			}
		}},
		{"45", "a message larger than the broker takes ends the connection", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "a")
			_, _ = w.Write(letter{topic: "x", payload: strings.Repeat("x", maxPacketBytes), qos: 1, id: 1}.packet(v))
			w.gone(t)
		}},
	}
	for _, c := range []struct {
		says string
		out  func(v byte) []byte
	}{
		{"SUBSCRIBE without a filter [MQTT-3.8.3-2]", func(v byte) []byte { return subscribe(v, 1, nil) }},
		{"SUBSCRIBE with wrong flags [MQTT-3.8.1-1]", func(v byte) []byte {
			out := subscribe(v, 1, nil, ask{"a", 0})
			out[0] = 0x80
			return out
		}},
		{"SUBSCRIBE with QoS 3 [MQTT-3.8.3-4]", func(v byte) []byte { return subscribe(v, 1, nil, ask{"a", 3}) }},
		{"UNSUBSCRIBE without a filter [MQTT-3.10.3-2]", func(v byte) []byte { return packet(0xA2, append([]byte{0, 1}, withLength(v, nil)...)) }},
		{"PUBLISH with QoS 3 [MQTT-3.3.1-4]", func(v byte) []byte { return letter{topic: "a", qos: 3, id: 1}.packet(v) }},
		{"PUBLISH with a wildcard in its topic [MQTT-3.3.2-2]", func(v byte) []byte { return letter{topic: "a/#", qos: 1, id: 1}.packet(v) }},
		{"PUBLISH with packet id 0 [MQTT-2.3.1-1]", func(v byte) []byte { return letter{topic: "a", qos: 1}.packet(v) }},
		{"PUBLISH with invalid UTF-8 [MQTT-1.5.3-1]", func(v byte) []byte { return letter{topic: "a\xff", qos: 1, id: 1}.packet(v) }},
		{"PUBLISH with NUL in its topic [MQTT-1.5.3-2]", func(v byte) []byte { return letter{topic: "a\x00", qos: 1, id: 1}.packet(v) }},
		{"PUBREL with wrong flags [MQTT-3.6.1-1]", func(byte) []byte { return []byte{0x60, 2, 0, 1} }},
		{"a length of five bytes [MQTT-1.5.5-1]", func(byte) []byte { return []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x01} }},
		{"a packet of type 0", func(byte) []byte { return []byte{0, 0} }},
	} {
		cases = append(cases, conformCase{"45", c.says + " ends the connection", func(t *testing.T, e *Embedded, v byte) {
			w := enter(t, e, v, "a")
			w.write(t, c.out(v))
			w.gone(t)
			enter(t, e, v, "a").say(t, letter{topic: "x", qos: 1})
		}})
	}
	return cases
}

// after waits for a time to pass that the standard counts in seconds.
func after(t *testing.T, d time.Duration) {
	t.Helper()
	begun := time.Now()
	eventually(t, func() bool { return time.Since(begun) >= d })
}
