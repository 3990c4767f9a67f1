package telemetry

import (
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"
)

// samples are well-formed packets, none longer than 127 bytes.
func samples(version byte) [][]byte {
	end := func(first byte, body ...byte) []byte {
		if version == 5 {
			body = append(body, 0, 0)
		}
		return packet(first, body)
	}
	return [][]byte{
		publishPacket(version, 0, 0, "fleet/pump-1/telemetry", `{"a":1}`, false),
		publishPacket(version, 1, 1, "fleet/pump-1/telemetry", `{"a":1}`, false), publishPacket(version, 2, 2, "a", "b", true),
		subscribePacket(version, 3, "fleet/#", "a/+"), packet(0xA2, append([]byte{0, 4, 0}, text("a/b")...)),
		end(0x40, 0, 1), end(0x50, 0, 1), end(0x62, 0, 2), end(0x70, 0, 1), end(0xE0), end(0xF0), packet(0xC0, nil),
		packet(0x30, append(append(text("t"), 12, 38), append(text("key"), text("value")...)...)),
		hello{client: "x", user: "u", password: "p", willTopic: "w", will: "x"}.packet(version),
	}
}

// mutate changes some bytes; of half the packets the length stays right, so that
// what is behind it is looked at.
func mutate(random *rand.Rand, p []byte) []byte {
	head := 0
	if random.IntN(2) == 0 && len(p) > 2 {
		head = 2
	}
	b := slices.Clone(p[head:])
	for range 1 + random.IntN(4) {
		i := random.IntN(len(b) + 1)
		switch random.IntN(4) {
		case 0:
			b = b[:i]
		case 1:
			b = slices.Insert(b, i, byte(random.IntN(256)))
		case 2:
			b = slices.Delete(b, i, min(i+1+random.IntN(3), len(b)))
		default:
			if i < len(b) {
				b[i] = byte(random.IntN(256))
			}
		}
	}
	if head == 0 {
		return b
	}
	return packet(p[0], b)
}

// The library panics on some malformed packets; that must end the connection
// which sent them, and nothing else.
func TestEmbedded_SurvivesMalformedPackets(t *testing.T) {
	t.Parallel()
	const mutations = 4000
	e := startEmbedded(t, EmbeddedConfig{Logger: slog.New(slog.DiscardHandler)})
	send := func(b []byte) {
		conn, err := net.Dial("tcp", e.local())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write(b)
		_ = conn.(*net.TCPConn).CloseWrite() //nolint:forcetypeassert // it is TCP
		_ = conn.SetReadDeadline(time.Now().Add(wirePatience))
		answer := make([]byte, 512)
		for err == nil {
			_, err = conn.Read(answer)
		}
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // of the connection itself
			t.Fatalf("the connection stays open after %x", b)
		}
	}
	known := packet(0x82, []byte{0, 1, 0, 0, 1, 'a'}) // a SUBSCRIBE that ends before its options: mochi issue 501
	send(append(hello{client: "x"}.packet(5), known...))
	// The connection is closed before its panic is counted. A library that does not
	// panic on what is known would make this test prove nothing.
	eventually(t, func() bool { return figure(t, e, "thirdstate_mqtt_refused_total", reasonPanic) > 0 })
	random := rand.New(rand.NewPCG(5, 0x501))
	for range mutations {
		version := []byte{4, 5}[random.IntN(2)]
		all := samples(version)
		b := mutate(random, all[random.IntN(len(all))])
		if random.IntN(10) > 0 {
			b = append(hello{client: "x"}.packet(version), b...)
		}
		send(b)
	}
	t.Logf("%v panics were contained", figure(t, e, "thirdstate_mqtt_refused_total", reasonPanic))
	w := dialWire(t, e.local(), 5)
	if code := w.connect(t, hello{client: "x"}); code != 0 {
		t.Fatalf("not let in: %d", code)
	}
	w.write(t, publishPacket(5, 1, 1, "fleet/pump-1/telemetry", "{}", false))
	w.ack(t, puback)
}
