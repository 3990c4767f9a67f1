package intake

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
)

// fullStorm is how many clients the long run has: 0 outside it.
func fullStorm() int {
	if !longform.Asked() {
		return 0
	}
	if n, err := strconv.Atoi(os.Getenv("STORM_CLIENTS")); err == nil && n > 0 {
		return n
	}
	return 100_000
}

// stormAtOnce is how many sockets a side may have open under the usual limit of
// descriptors: both sides are in this process.
const stormAtOnce = 4_000

// storm has clients connect at once, each from an address of its own; each brings
// a message and leaves when that is acknowledged. Whoever is refused or not
// answered comes again.
func storm(t *testing.T, address string, clients int) (took time.Duration, resident, retries int64) {
	t.Helper()
	sockets := make(chan struct{}, stormAtOnce)
	var again, most atomic.Int64
	var all sync.WaitGroup
	begun := time.Now()
	for n := range clients {
		sockets <- struct{}{}
		if n%500 == 0 {
			most.Store(max(most.Load(), residentBytes(t)))
		}
		all.Go(func() {
			defer func() { <-sockets }()
			for bring(address, n) != nil {
				if again.Add(1) > int64(clients)*20 || time.Since(begun) > 5*time.Minute {
					t.Errorf("client %d gave up", n)
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(begun), max(most.Load(), residentBytes(t)), again.Load()
}

// bring is one client's visit.
func bring(address string, n int) error {
	from := net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n))
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: 60 * time.Second}).Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		return err
	}
	out := knock{client: fmt.Sprint("storm", n)}.packet(4)
	out = append(out, letter{topic: "fleet/pump-1/telemetry", payload: fmt.Sprint(n), qos: 1, id: 1}.packet(4)...)
	if _, err := conn.Write(out); err != nil {
		return err
	}
	answer := make([]byte, 8) // CONNACK and PUBACK
	if _, err := io.ReadFull(bufio.NewReader(conn), answer); err != nil {
		return err
	}
	if answer[0] != connack || answer[3] != 0 || answer[4] != puback {
		return fmt.Errorf("answered with %x", answer)
	}
	return nil
}

// residentBytes is what the system says that this process holds.
func residentBytes(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// One address that comes too fast is told to come back later, in what it speaks,
// while another is let in.
func TestEmbedded_TellsWhoComesTooFastToComeBack(t *testing.T) {
	t.Parallel()
	e := startEmbedded(t, EmbeddedConfig{WSListen: "127.0.0.1:0", Listen: "127.0.0.1:0", Limits: EmbeddedLimits{AddressRate: 1, PerAddress: 3}})
	for n := range 3 {
		enter(t, e, 4, fmt.Sprint(n))
	}
	for version, want := range map[byte]byte{4: 3, 5: 0x89} {
		w := dialWire(t, e.local(), version)
		w.write(t, knock{client: "more"}.packet(version))
		if kind, body := w.read(t); kind != connack || body[1] != want {
			t.Errorf("MQTT %d is answered with %#x %x", version, kind, body)
		}
		w.gone(t)
	}
	conn, err := net.Dial("tcp", e.doors[1].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), "503") || !strings.Contains(string(answer), "Retry-After") {
		t.Errorf("a browser is answered with %q, %v", answer, err)
	}
	if err := bring(e.local(), 7); err != nil {
		t.Errorf("another address: %v", err)
	}
	if n := figure(t, e, "thirdstate_mqtt_refused_total", reasonTooFast); n != 3 {
		t.Errorf("%v are counted as too fast, want 3", n)
	}
}

// Whoever has connected and says nothing, or says that he will say too much, is
// not waited for.
func TestEmbedded_BoundsWhoHasNotSaidWhoHeIs(t *testing.T) {
	t.Parallel()
	e := startEmbedded(t, EmbeddedConfig{})
	large, silent := dialWire(t, e.local(), 4), dialWire(t, e.local(), 4)
	large.write(t, []byte{0x10, 0xff, 0xff, 0x0f}) // 262,143 bytes: the library would set them aside
	begun := time.Now()
	large.gone(t)
	if took := time.Since(begun); took >= helloWithin {
		t.Errorf("after %s", took)
	}
	_ = silent.SetReadDeadline(time.Now().Add(3 * helloWithin))
	if _, err := silent.in.ReadByte(); err == nil || time.Since(begun) > 3*helloWithin {
		t.Errorf("who is silent: %v after %s", err, time.Since(begun))
	}
	for reason, n := range map[string]float64{reasonTooLarge: 1, reasonSilent: 1} {
		eventually(t, func() bool { return figure(t, e, "thirdstate_mqtt_refused_total", reason) == n })
	}
}

// F28 in small: many come back at once, each from an address of its own, and
// each has one message to bring. TEST_FULL=1 takes a hundred thousand.
func TestEmbedded_TakesAllInWhoComeBackAtOnce(t *testing.T) {
	clients, limits := 2_000, EmbeddedLimits{Rate: 1_000}
	if full := fullStorm(); full > 0 {
		clients, limits = full, EmbeddedLimits{}
	}
	e := startEmbedded(t, EmbeddedConfig{Limits: limits})
	took, most, retries := storm(t, e.local(), clients)
	got := map[string]bool{}
	for _, r := range records(t, e.Log, clients) {
		got[string(r.Payload)] = true
	}
	if len(got) != clients {
		t.Errorf("%d of %d messages are in the log", len(got), clients)
	}
	if took > 300*time.Second || most > 4<<30 {
		t.Errorf("it took %s and %d MiB", took, most>>20)
	}
	t.Logf("%d clients in %s (%.0f a second), %d tried again, at most %d MiB resident", clients, took.Round(time.Millisecond), float64(clients)/took.Seconds(), retries, most>>20)
}
