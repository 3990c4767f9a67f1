package intake

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// wire speaks MQTT by hand: client libraries hide what this is about.
type wire struct {
	net.Conn
	in      *bufio.Reader
	version byte
	held    []letter // messages that came before an answer that was waited for
}

func dialWire(t testing.TB, address string, version byte) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &wire{Conn: conn, in: bufio.NewReader(conn), version: version}
}

func text(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

func packet(first byte, body []byte) []byte {
	out := []byte{first}
	for n := len(body); ; {
		b := byte(n % 128)
		if n /= 128; n > 0 {
			out = append(out, b|128)
			continue
		}
		return append(append(out, b), body...)
	}
}

// hello is a CONNECT of a client that begins with an empty session.
type hello struct {
	client, user, password string
	willTopic, will        string
}

func (h hello) packet(version byte) []byte {
	flags := byte(2)
	props := func(b []byte) []byte {
		if version == 5 {
			return append(b, 0)
		}
		return b
	}
	body := props(append(append(text("MQTT"), version, 0), 0, 60))
	body = append(body, text(h.client)...)
	if h.willTopic != "" {
		flags |= 4 | 1<<5 // retained
		body = append(append(props(body), text(h.willTopic)...), text(h.will)...)
	}
	if h.user != "" {
		flags |= 1 << 7
		body = append(body, text(h.user)...)
	}
	if h.password != "" {
		flags |= 1 << 6
		body = append(body, text(h.password)...)
	}
	body[7] = flags
	return packet(0x10, body)
}

// connect returns the CONNACK's code.
func (w *wire) connect(t testing.TB, h hello) byte {
	t.Helper()
	w.write(t, h.packet(w.version))
	kind, body := w.read(t)
	if kind != 0x20 {
		t.Fatalf("answer to CONNECT is %#x %x", kind, body)
	}
	return body[1]
}

func publishPacket(version, qos byte, id uint16, topic, payload string, dup bool) []byte {
	first := 0x30 | qos<<1
	if dup {
		first |= 8
	}
	body := text(topic)
	if qos > 0 {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	if version == 5 {
		body = append(body, 0)
	}
	return packet(first, append(body, payload...))
}

func subscribePacket(version byte, id uint16, filters ...string) []byte {
	body := binary.BigEndian.AppendUint16(nil, id)
	if version == 5 {
		body = append(body, 0)
	}
	for _, f := range filters {
		body = append(append(body, text(f)...), 1)
	}
	return packet(0x82, body)
}

func (w *wire) write(t testing.TB, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
}

// read returns the next packet; kind 0 is the end of the connection.
func (w *wire) read(t testing.TB) (kind byte, body []byte) {
	t.Helper()
	if err := w.SetReadDeadline(time.Now().Add(wirePatience)); err != nil {
		t.Fatal(err)
	}
	kind, err := w.in.ReadByte()
	if err != nil {
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // of the connection itself
			t.Fatal("no answer")
		}
		return 0, nil
	}
	size, shift := 0, 0
	for {
		b, err := w.in.ReadByte()
		if err != nil {
			return 0, nil
		}
		size |= int(b&127) << shift
		if shift += 7; b < 128 {
			break
		}
	}
	body = make([]byte, size)
	if _, err := io.ReadFull(w.in, body); err != nil {
		return 0, nil
	}
	return kind, body
}

// ack returns the packet id and the code of the next packet, which must be of a kind.
func (w *wire) ack(t testing.TB, want byte) (id uint16, code byte) {
	t.Helper()
	kind, body := w.read(t)
	if kind != want {
		t.Fatalf("got packet %#x %x, want %#x", kind, body, want)
	}
	if len(body) > 2 {
		code = body[2]
	}
	return binary.BigEndian.Uint16(body), code
}

// gone waits for the end of the connection and returns the last DISCONNECT's code.
func (w *wire) gone(t testing.TB) (code byte) {
	t.Helper()
	for {
		kind, body := w.read(t)
		switch {
		case kind == 0:
			return code
		case kind == 0xE0 && len(body) > 0:
			code = body[0]
		case kind == 0x40:
			t.Fatalf("acknowledged %x", body)
		}
	}
}
