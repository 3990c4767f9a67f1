package intake

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

// inLog says how often each payload is in the log.
func inLog(t *testing.T, log *intakelog.Log) map[string]int {
	t.Helper()
	found := map[string]int{}
	_, last := log.Bounds()
	for after := intakelog.LSN(0); after < last; {
		got, err := log.Read(t.Context(), after, 1024, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range got {
			found[string(r.Payload)]++
		}
		after = got[len(got)-1].LSN
	}
	return found
}

func inTurn(n int) []string {
	payloads := make([]string, n)
	for i := range payloads {
		payloads[i] = fmt.Sprintf(`{"ts":%d,"boot":"b","seq":%d,"values":{"a":%d}}`, start.Add(time.Duration(i)*time.Second).UnixMilli(), i, i)
	}
	return payloads
}

// F26: the broker never hears our acknowledgements and sends everything three
// times more; the history, and so the rules, see each message once.
func TestExternal_CountsOnceWhatTheBrokerSendsAgain(t *testing.T) {
	t.Parallel()
	const messages = 200
	w, broker := newWorks(t), spareAddress(t)
	addMachine(t, w.pool, "pump-1")
	startMosquitto(t, t.TempDir(), broker)
	p := startProxy(t, broker)
	x, stop := runExternal(t, ExternalConfig{URL: "mqtt://" + p.address(), Topics: []string{"fleet/#"}, Log: w.log})
	p.mute.Store(true)
	send(t, broker, inTurn(messages)...)
	eventually(t, func() bool { return lastOf(w.log) >= messages })
	for again := range 3 {
		p.mute.Store(false)
		p.cut() // and a new connection comes, which is mute after its subscription
		eventually(t, func() bool { return p.connections() == again+2 && x.Connected() })
		p.mute.Store(again < 2)
		eventually(t, func() bool { return len(inLog(t, w.log)) == messages })
	}
	send(t, broker, "the end")
	eventually(t, func() bool { return inLog(t, w.log)["the end"] == 1 })
	stop()
	a := w.run(t)
	if a.Stored != messages || a.Readings != messages || a.Duplicates < messages/2 {
		t.Errorf("%d messages were sent and sent again: %+v", messages, a)
	}
	t.Logf("%d messages, %d redelivered and removed", messages, a.Duplicates)
}

// F15: nothing comes back any more, and no end of the connection either.
func TestExternal_GivesUpAConnectionThatIsHalfOpen(t *testing.T) {
	t.Parallel()
	address, log := spareAddress(t), openIntake(t, intakelog.Options{})
	startMosquitto(t, t.TempDir(), address)
	p := startProxy(t, address)
	x, _ := runExternal(t, ExternalConfig{URL: "mqtt://" + p.address(), Topics: []string{"fleet/#"}, Log: log, KeepAlive: 2 * time.Second})
	p.mute.Store(true)
	p.deaf.Store(true)
	began := time.Now()
	eventually(t, func() bool { return !x.Connected() })
	took := time.Since(began)
	t.Logf("a half-open connection was given up after %v, with a keepalive of 2 s", took)
	if took > 10*time.Second { // 1.5 times the keepalive on an idle machine
		t.Errorf("given up after %v", took)
	}
	p.mute.Store(false)
	p.deaf.Store(false)
	p.cut() // with what was half open again in the meantime
	eventually(t, x.Connected)
	send(t, address, "after")
	records(t, log, 1)
}

// F08: the broker stops for longer than the keepalive, with the connection open.
func TestExternal_LosesNothingWhileTheBrokerIsFrozen(t *testing.T) {
	t.Parallel()
	const messages = 300
	frozen := longform.Choose(6*time.Second, time.Minute)
	address, log := spareAddress(t), openIntake(t, intakelog.Options{})
	m := telemetrytest.LaunchMosquitto(t, t.TempDir(), address, telemetrytest.MosquittoConfig)
	x, _ := runExternal(t, ExternalConfig{URL: "mqtt://" + address, Topics: []string{"fleet/#"}, Log: log, KeepAlive: 2 * time.Second})
	payloads := inTurn(messages)
	send(t, address, payloads[:messages/2]...)
	if err := m.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	thaw := time.After(frozen)
	eventually(t, func() bool { return !x.Connected() })
	<-thaw
	if err := m.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually(t, x.Connected)
	took := time.Since(began)
	send(t, address, payloads[messages/2:]...)
	eventually(t, func() bool { return len(inLog(t, log)) == messages })
	t.Logf("frozen for %v, read again %v after it went on, %d of %d messages", frozen, took, len(inLog(t, log)), messages)
	if took > 10*time.Second { // 2 s on an idle machine
		t.Errorf("read again after %v", took)
	}
}

// F13: while nothing reads the log, the broker is read on; while the log is shut
// away for a time, no message is lost with Mosquitto's own defaults as long as its
// queue is not full. F14: and neither when the connection breaks again and again.
func TestExternal_LosesNothingWhenTheConnectionBreaksAgainAndAgain(t *testing.T) {
	t.Parallel()
	breaks := longform.Choose(12, 120)
	address, log := spareAddress(t), openIntake(t, intakelog.Options{})
	startMosquitto(t, t.TempDir(), address)
	p := startProxy(t, address)
	x, _ := runExternal(t, ExternalConfig{URL: "mqtt://" + p.address(), Topics: []string{"fleet/#"}, Log: log})
	s := startSenders(t, address, 2, 1000)
	for n := range breaks {
		before := p.connections()
		if n%3 == 2 { // first one way, then the end
			p.mute.Store(true)
			eventually(t, func() bool { return lastOf(log) > 0 })
		}
		p.cut()
		p.mute.Store(false)
		eventually(t, func() bool { return p.connections() > before && x.Connected() })
	}
	s.finish(t)
	var missing, doubles int
	eventually(t, func() bool { missing, doubles = s.missing(t, log); return missing == 0 })
	t.Logf("%d breaks, %d messages acknowledged by the broker, %d lost, %d in the log twice", breaks, len(s.acked), missing, doubles)
}

// A refused subscription is said, and asked again until it is allowed. Mosquitto
// refuses one with its security plugin; with an acl_file it grants everything and
// sends nothing.
func TestExternal_SaysThatASubscriptionIsRefused(t *testing.T) {
	t.Parallel()
	dir, address, log := t.TempDir(), spareAddress(t), openIntake(t, intakelog.Options{})
	plugins, err := filepath.Glob("/usr/lib/*/mosquitto_dynamic_security.so")
	if err != nil || len(plugins) == 0 {
		t.Fatalf("Mosquitto's dynamic security plugin is needed: %v", err)
	}
	launch := func(subscribe bool) *telemetrytest.Mosquitto {
		t.Helper()
		access := fmt.Sprintf(`{"defaultACLAccess":{"publishClientSend":true,"publishClientReceive":true,"subscribe":%v,"unsubscribe":true},"clients":[],"groups":[],"roles":[]}`, subscribe)
		if err := os.WriteFile(dir+"/security.json", []byte(access), 0o600); err != nil {
			t.Fatal(err)
		}
		return telemetrytest.LaunchMosquitto(t, dir, address, telemetrytest.MosquittoConfig+"plugin "+plugins[0]+"\nplugin_opt_config_file "+dir+"/security.json\n")
	}
	m := launch(false)
	x := startExternal(t, ExternalConfig{URL: "mqtt://" + address, Topics: []string{"fleet/#"}, Log: log})
	eventually(t, func() bool { return strings.Contains(x.Trouble(), "does not let us subscribe to fleet/#") })
	if x.Connected() {
		t.Error("connected without a subscription")
	}
	m.Kill()
	launch(true)
	eventually(t, x.Connected)
	if x.Trouble() != "" {
		t.Errorf("trouble %q though all is well", x.Trouble())
	}
}

// The library falls back to MQTT 3.1 where a connection fails; there a broker
// cannot refuse a subscription.
func TestExternal_InsistsOnMQTT311(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	hellos := make(chan []byte, 64)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			hello := make([]byte, 12)
			_, _ = io.ReadFull(conn, hello)
			hellos <- hello
			_, _ = conn.Write([]byte{0x20, 2, 0, 5})
			conn.Close()
		}
	}()
	x := startExternal(t, ExternalConfig{URL: "mqtt://" + l.Addr().String(), Topics: []string{"fleet/#"}, Log: openIntake(t, intakelog.Options{})})
	for range 2 {
		h := <-hellos
		if h[8] != 4 || h[9]&2 != 0 {
			t.Errorf("CONNECT % x: want protocol level 4 without clean session", h)
		}
	}
	eventually(t, func() bool { return strings.Contains(x.Trouble(), "refuses client thirdstate-") })
}

// A message that the broker has kept for newcomers comes with each subscription.
// With a time of its own it is a duplicate; without one nobody knows how old it is.
func TestExternal_TakesARetainedMessageForWhatItIs(t *testing.T) {
	t.Parallel()
	w, address := newWorks(t), spareAddress(t)
	_, ref := addMachine(t, w.pool, "pump-1")
	startMosquitto(t, t.TempDir(), address)
	p := startProxy(t, address)
	c := dialWire(t, address, 4)
	c.connect(t, hello{client: "sender"})
	for id, payload := range []string{`{"values":{"a":1}}`, `{"values":{"a":2}}`} {
		packet := publishPacket(4, 1, uint16(id+1), "fleet/pump-1/telemetry", payload, false)
		packet[0] |= 1
		c.write(t, packet)
		c.ack(t, puback)
	}
	x, stop := runExternal(t, ExternalConfig{URL: "mqtt://" + p.address(), Topics: []string{"fleet/#"}, Log: w.log})
	records(t, w.log, 1)
	p.cut()
	eventually(t, func() bool { return p.connections() == 2 && x.Connected() })
	got := records(t, w.log, 2)
	stop()
	if !got[0].Retained || !got[1].Retained || string(got[1].Payload) != `{"values":{"a":2}}` {
		t.Fatalf("%+v", got)
	}
	w.run(t)
	rows, err := w.history.Rows(program(t.Context()), ref, start.Add(-time.Hour), time.Now().Add(time.Hour), 0)
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows {
		if row.Values[0].Quality != observation.Stale {
			t.Errorf("a retained value without a time counts as %s", row.Values[0].Quality)
		}
	}
}

// Several programs share a subscription: each message comes to one of them.
func TestExternal_SharesASubscription(t *testing.T) {
	t.Parallel()
	const messages = 400
	address := spareAddress(t)
	startMosquitto(t, t.TempDir(), address)
	var logs [2]*intakelog.Log
	for i := range logs {
		logs[i] = openIntake(t, intakelog.Options{})
		runExternal(t, ExternalConfig{URL: "mqtt://" + address, Topics: []string{"fleet/#"}, Share: "all", Log: logs[i], ClientID: fmt.Sprintf("reader-%d", i)})
	}
	send(t, address, inTurn(messages)...)
	eventually(t, func() bool { return lastOf(logs[0])+lastOf(logs[1]) == messages })
	if lastOf(logs[0]) == 0 || lastOf(logs[1]) == 0 {
		t.Errorf("%d and %d messages: not shared", lastOf(logs[0]), lastOf(logs[1]))
	}
}

// More than any broker sends unacknowledged waits here without harm: the library's
// goroutine is never held, and nothing is dropped.
func TestExternal_HoldsABrokersWholeWindow(t *testing.T) {
	t.Parallel()
	const window = 65_535
	x := &External{counts: newCounts("external")}
	s := newExternalSession(x)
	for n := range window {
		s.receive(nil, plain{topic: "fleet/pump-1/telemetry", payload: []byte(`{"ts":1767225600000,"boot":"a1","seq":7,"values":{"oil_temp":62.5,"rpm":1500}}`), id: uint16(n)}) //nolint:gosec // wraps nowhere
	}
	select {
	case err := <-s.broken:
		t.Fatal(err)
	default:
	}
	if len(s.inbox.items) != window {
		t.Errorf("%d of %d messages wait", len(s.inbox.items), window)
	}
}

// plain is a message without a broker.
type plain struct {
	topic   string
	payload []byte
	id      uint16
}

func (p plain) Duplicate() bool   { return false }
func (p plain) Qos() byte         { return 1 }
func (p plain) Retained() bool    { return false }
func (p plain) Topic() string     { return p.topic }
func (p plain) MessageID() uint16 { return p.id }
func (p plain) Payload() []byte   { return p.payload }
func (p plain) Ack()              {}

func TestPacketCutter_CutsLongPacketsAndNothingElse(t *testing.T) {
	t.Parallel()
	var stream, want []byte
	for _, size := range []int{0, 1, 127, 128, 16_383, 16_384, maxBrokerPacket, maxBrokerPacket + 1, 8 << 20, 2} {
		body := bytes.Repeat([]byte{byte(size)}, size)
		stream = append(stream, packet(0x32, body)...)
		want = append(want, packet(0x32, body[:min(size, maxBrokerPacket)])...)
	}
	for name, from := range map[string]io.Reader{"at once": bytes.NewReader(stream), "in halves": iotest.HalfReader(bytes.NewReader(stream))} {
		got, err := io.ReadAll(&packetCutter{from: bufio.NewReader(from)})
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d: %v", name, len(got), len(want), err)
		}
	}
	cutter := packetCutter{from: bufio.NewReader(bytes.NewReader([]byte{0x30, 255, 255, 255, 255, 1}))}
	if _, err := cutter.Read(make([]byte, 10)); err != errPacketLength { //nolint:errorlint // our own
		t.Errorf("a malformed length gives %v", err)
	}
}

// A message of many megabytes costs a bounded piece of memory and is kept as one
// that is too large.
func TestExternal_CutsWhatIsLargerThanAnyMessageOfOurs(t *testing.T) {
	t.Parallel()
	address, log := spareAddress(t), openIntake(t, intakelog.Options{})
	startMosquitto(t, t.TempDir(), address)
	runExternal(t, ExternalConfig{URL: "mqtt://" + address, Topics: []string{"fleet/#"}, Log: log})
	send(t, address, strings.Repeat("x", 20<<20), "after")
	got := records(t, log, 2)
	if got[0].Topic != tooLargeMark+"fleet/pump-1/telemetry" || len(got[0].Payload) != tooLargeKept || string(got[1].Payload) != "after" {
		t.Errorf("%s with %d bytes, then %.20s", got[0].Topic, len(got[0].Payload), got[1].Payload)
	}
}

func TestExternal_WatchesWhatTheBrokerThrowsAway(t *testing.T) {
	t.Parallel()
	address, log := spareAddress(t), openIntake(t, intakelog.Options{})
	telemetrytest.LaunchMosquitto(t, t.TempDir(), address, telemetrytest.MosquittoConfig+"sys_interval 1\nmax_queued_messages 10\n")
	sleeper := dialWire(t, address, 4)
	body := append(append(text("MQTT"), 4, 0), 0, 60)
	sleeper.write(t, packet(0x10, append(body, text("sleeper")...)))
	sleeper.read(t)
	sleeper.write(t, subscribePacket(4, 1, "fleet/#"))
	sleeper.read(t)
	sleeper.Close() // its session stays
	x, _ := runExternal(t, ExternalConfig{URL: "mqtt://" + address, Topics: []string{"fleet/#"}, Log: log})
	eventually(t, func() bool { return x.Drops().Known })
	send(t, address, inTurn(50)...)
	eventually(t, func() bool { return x.Drops().Count > 0 })
	if d := x.Drops(); d.Last.IsZero() || figure(t, x, "thirdstate_broker_dropped_total", "external") != float64(d.Count) {
		t.Errorf("%+v", d)
	}
	if got := lastOf(log); got > 50 {
		t.Errorf("%d records: the broker's word about itself is no telemetry", got)
	}
}

func TestBrokerDrops_FollowTheBrokerOverARestart(t *testing.T) {
	t.Parallel()
	var d brokerDrops
	for i, c := range []struct{ says, more uint64 }{{7, 0}, {7, 0}, {9, 2}, {0, 0}, {3, 3}, {1, 1}} {
		if more := d.note(c.says, start); more != c.more {
			t.Errorf("%d: the broker says %d: %d more, want %d", i, c.says, more, c.more)
		}
	}
	if d.now.Count != 6 {
		t.Errorf("%d in all", d.now.Count)
	}
}
