package intake

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
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

// malformed are packets cut at every byte and with every byte changed, with their
// length right and wrong.
func malformed(version byte) (all [][]byte) {
	for _, p := range samples(version) {
		for i := range p {
			all = append(all, slices.Clone(p[:i])) // its length lies
			if i >= 2 {
				all = append(all, packet(p[0], p[2:i]))
			}
			for _, b := range []byte{0, 0x7f, 0x80, 0xff} {
				changed := slices.Clone(p)
				changed[i] = b
				all = append(all, changed)
			}
		}
	}
	return all
}

// assault is one connection that sends bytes and waits for the broker to end it.
func assault(t testing.TB, e *Embedded, n int, b []byte) {
	from := net.IPv4(127, 0, byte(1+n/20_000%250), byte(1+n/250%250)) // one address has too few ports for a million connections
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: wirePatience}).Dial("tcp", e.local())
	if err != nil {
		t.Error(err)
		return
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
		t.Errorf("the connection stays open after %x", b)
	}
}

// openHouse lets in as many as come, as fast as they come.
var openHouse = EmbeddedLimits{Connections: 100_000, PerAddress: 100_000, Rate: 1_000_000, AddressRate: 1_000_000} //nolint:gochecknoglobals // never written

// The library panics on some malformed packets; that must end the connection
// which sent them, and nothing else. Nothing may be left of them either.
// TEST_FULL=1 tries a million.
func TestEmbedded_SurvivesMalformedPackets(t *testing.T) {
	mutations := longform.Choose(20_000, 1_000_000)
	log := openIntake(t, intakelog.Options{})
	before := runtime.NumGoroutine()
	e, stop := runEmbedded(t, EmbeddedConfig{Log: log, Logger: slog.New(slog.DiscardHandler), Limits: openHouse})
	known := packet(0x82, []byte{0, 1, 0, 0, 1, 'a'}) // a SUBSCRIBE that ends before its options: mochi issue 501
	assault(t, e, 0, append(hello{client: "x"}.packet(5), known...))
	// The connection is closed before its panic is counted. A library that does not
	// panic on what is known would make this test prove nothing.
	eventually(t, func() bool { return figure(t, e, "thirdstate_mqtt_refused_total", reasonPanic) > 0 })
	const workers = 4
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(5, uint64(0x501+worker))) //nolint:gosec // as often as one likes the same
			list := map[byte][][]byte{4: samples(4), 5: samples(5)}
			exact := append(malformed(4), malformed(5)...)
			for n := worker; n < mutations && !t.Failed(); n += workers {
				version := []byte{4, 5}[random.IntN(2)]
				b := mutate(random, list[version][random.IntN(len(list[version]))])
				if n < len(exact) {
					b = exact[n]
				}
				if random.IntN(10) > 0 {
					b = append(hello{client: fmt.Sprint("x", n)}.packet(version), b...)
				}
				assault(t, e, n, b)
			}
		})
	}
	all.Wait()
	t.Logf("%d packets, %v panics were contained, %v refused as malformed", mutations,
		figure(t, e, "thirdstate_mqtt_refused_total", reasonPanic), figure(t, e, "thirdstate_mqtt_refused_total", reasonMalformed))
	w := dialWire(t, e.local(), 5)
	w.enter(t, knock{client: "after"})
	w.write(t, publishPacket(5, 1, 1, "fleet/pump-1/telemetry", "{}", false))
	w.ack(t, puback)
	w.Close()
	eventually(t, func() bool { return e.Connections() == 0 })
	for id, cl := range e.server.Clients.GetAll() { // a mutation may ask for its session to be kept
		if !cl.Closed() {
			t.Errorf("the library keeps %q as connected", id)
		}
	}
	if n := len(e.clients.ids); n > 0 {
		t.Errorf("%d client ids are held", n)
	}
	stop()
	eventually(t, func() bool { return runtime.NumGoroutine() <= before })
}

// Any bytes, alone and after a CONNECT, end their connection and nothing else.
func FuzzEmbedded_Packets(f *testing.F) {
	for _, version := range []byte{4, 5} {
		for _, p := range samples(version) {
			f.Add(version == 5, true, p)
			f.Add(version == 5, false, p)
		}
	}
	f.Add(true, true, packet(0x82, []byte{0, 1, 0, 0, 1, 'a'}))
	e := startEmbedded(f, EmbeddedConfig{Limits: openHouse})
	f.Fuzz(func(t *testing.T, five, greeted bool, b []byte) {
		version := map[bool]byte{false: 4, true: 5}[five]
		if greeted {
			b = append(hello{client: "x" + fmt.Sprint(len(b))}.packet(version), b...)
		}
		assault(t, e, int(time.Now().UnixNano()/1e6), b)
	})
}
