package intake

import (
	"encoding/binary"
	"testing"
)

// knock is a CONNECT with everything that one can say.
type knock struct {
	client         string
	keep           bool // the session: not clean
	keepalive      uint16
	props          []byte
	user, password string
	willTopic      string
	will           string
	willFlags      byte // QoS << 3, retain << 5
	willProps      []byte
}

func withLength(version byte, props []byte) []byte {
	if version != 5 {
		return nil
	}
	return append([]byte{byte(len(props))}, props...)
}

func (k knock) packet(version byte) []byte {
	flags := byte(0)
	if !k.keep {
		flags |= 2
	}
	if k.keepalive == 0 {
		k.keepalive = 60
	}
	body := append(append(text("MQTT"), version, 0), byte(k.keepalive>>8), byte(k.keepalive))
	body = append(append(body, withLength(version, k.props)...), text(k.client)...)
	if k.willTopic != "" {
		flags |= 4 | k.willFlags
		body = append(append(append(body, withLength(version, k.willProps)...), text(k.willTopic)...), text(k.will)...)
	}
	if k.user != "" {
		flags |= 1 << 7
		body = append(body, text(k.user)...)
	}
	if k.password != "" {
		flags |= 1 << 6
		body = append(body, text(k.password)...)
	}
	body[7] = flags
	return packet(0x10, body)
}

// enter connects and returns whether the session was there, and the CONNACK's properties.
func (w *wire) enter(t testing.TB, k knock) (present bool, props []byte) {
	t.Helper()
	w.write(t, k.packet(w.version))
	kind, body := w.read(t)
	if kind != connack || body[1] != 0 {
		t.Fatalf("%s is answered with %#x %x", k.client, kind, body)
	}
	if w.version == 5 {
		props = body[3:]
	}
	return body[0] == 1, props
}

// letter is a PUBLISH as it is on the wire.
type letter struct {
	topic, payload string
	qos            byte
	retain, dup    bool
	id             uint16
	props          []byte
}

func (l letter) packet(version byte) []byte {
	first := 0x30 | l.qos<<1
	if l.dup {
		first |= 8
	}
	if l.retain {
		first |= 1
	}
	body := text(l.topic)
	if l.qos > 0 {
		body = binary.BigEndian.AppendUint16(body, l.id)
	}
	return packet(first, append(append(body, withLength(version, l.props)...), l.payload...))
}

// letter reads the next packet, which must be a PUBLISH.
func (w *wire) letter(t testing.TB) (l letter) {
	t.Helper()
	if len(w.held) > 0 {
		l, w.held = w.held[0], w.held[1:]
		return l
	}
	kind, body := w.read(t)
	if kind>>4 != 3 {
		t.Fatalf("got packet %#x %x, want a message", kind, body)
	}
	return w.parse(kind, body)
}

func (w *wire) parse(kind byte, body []byte) (l letter) {
	l.qos, l.retain, l.dup = kind>>1&3, kind&1 == 1, kind&8 != 0
	size := int(binary.BigEndian.Uint16(body))
	l.topic, body = string(body[2:2+size]), body[2+size:]
	if l.qos > 0 {
		l.id, body = binary.BigEndian.Uint16(body), body[2:]
	}
	if w.version == 5 {
		l.props, body = body[1:1+body[0]], body[1+body[0]:]
	}
	l.payload = string(body)
	return l
}

// next reads a message and answers it as its QoS wants.
func (w *wire) next(t testing.TB) letter {
	t.Helper()
	l := w.letter(t)
	switch l.qos {
	case 1:
		w.write(t, packet(0x40, binary.BigEndian.AppendUint16(nil, l.id)))
	case 2:
		w.write(t, packet(0x50, binary.BigEndian.AppendUint16(nil, l.id)))
		kind, body := w.read(t)
		for ; kind>>4 == 3; kind, body = w.read(t) {
			w.held = append(w.held, w.parse(kind, body))
		}
		if id := binary.BigEndian.Uint16(body); kind != 0x62 || id != l.id {
			t.Fatalf("%#x %d for %d", kind, id, l.id)
		}
		w.write(t, packet(0x70, binary.BigEndian.AppendUint16(nil, l.id)))
	}
	return l
}

// say publishes and waits until it is acknowledged; messages that come meanwhile
// are not expected.
func (w *wire) say(t testing.TB, l letter) {
	t.Helper()
	if l.qos > 0 && l.id == 0 {
		l.id = 77
	}
	w.write(t, l.packet(w.version))
	switch l.qos {
	case 1:
		if _, code := w.ack(t, puback); code >= 0x80 {
			t.Fatalf("PUBACK with %#x", code)
		}
	case 2:
		if _, code := w.ack(t, pubrec); code >= 0x80 {
			t.Fatalf("PUBREC with %#x", code)
		}
		w.write(t, packet(0x62, binary.BigEndian.AppendUint16(nil, l.id)))
		w.ack(t, pubcomp)
	}
}

// ask is a filter with its options.
type ask struct {
	filter  string
	options byte
}

func subscribe(version byte, id uint16, props []byte, all ...ask) []byte {
	body := append(binary.BigEndian.AppendUint16(nil, id), withLength(version, props)...)
	for _, f := range all {
		body = append(append(body, text(f.filter)...), f.options)
	}
	return packet(0x82, body)
}

// follow subscribes and returns the codes.
func (w *wire) follow(t testing.TB, props []byte, all ...ask) []byte {
	t.Helper()
	w.write(t, subscribe(w.version, 5, props, all...))
	kind, body := w.read(t)
	if kind != suback || len(body) < 2+len(all) {
		t.Fatalf("SUBSCRIBE is answered with %#x %x", kind, body)
	}
	return body[len(body)-len(all):]
}

// leave says good-bye.
func (w *wire) leave(t testing.TB) {
	t.Helper()
	w.write(t, packet(0xE0, nil))
	w.gone(t)
}

func user(key, value string) []byte { return append(append([]byte{38}, text(key)...), text(value)...) }

func long(property byte, value uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{property}, value)
}

func short(property byte, value uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{property}, value)
}
