package intake

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

const (
	connack  = 0x20
	puback   = 0x40
	pubrec   = 0x50
	pubcomp  = 0x70
	suback   = 0x90
	anywhere = "0.0.0.0:0" // not a loopback address: nobody is let in without a token
)

// startEmbedded runs a broker until the test ends.
func startEmbedded(t testing.TB, c EmbeddedConfig) *Embedded {
	t.Helper()
	e, stop := runEmbedded(t, c)
	t.Cleanup(stop)
	return e
}

// runEmbedded runs a broker until stop, which may be called twice.
func runEmbedded(t testing.TB, c EmbeddedConfig) (*Embedded, func()) {
	t.Helper()
	c.Now = func() time.Time { return start }
	if c.Listen == "" && c.TLSListen == "" && c.WSListen == "" && c.WSSListen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Log == nil {
		c.Log = openIntake(t, intakelog.Options{})
	}
	e, err := OpenEmbedded(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()
	return e, sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := e.Connections(); n != 0 {
			t.Errorf("%d connections after the end", n)
		}
	})
}

func (e *Embedded) local() string {
	return fmt.Sprintf("127.0.0.1:%d", e.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // it listens on TCP
}

func TestEmbedded_AcknowledgesWhatIsInTheLog(t *testing.T) {
	t.Parallel()
	for _, version := range []byte{3, 4, 5} {
		e := startEmbedded(t, EmbeddedConfig{})
		w := dialWire(t, e.local(), version)
		h := hello{client: "pump 1"}
		out := h.packet(version)
		if version == 3 { // MQTT 3.1 has another name
			out = packet(0x10, append(append(text("MQIsdp"), out[8:12]...), text(h.client)...))
		}
		w.write(t, out)
		if kind, body := w.read(t); kind != connack || body[1] != 0 {
			t.Fatalf("version %d: CONNECT is answered with %#x %x", version, kind, body)
		}
		w.write(t, publishPacket(version, 0, 0, "fleet/pump-1/telemetry", "zero", false))
		w.write(t, publishPacket(version, 1, 7, "fleet/pump-1/telemetry", "one", true))
		if id, code := w.ack(t, puback); id != 7 || code != 0 {
			t.Fatalf("version %d: PUBACK %d with code %#x", version, id, code)
		}
		if _, last := e.Log.Bounds(); last != 2 {
			t.Fatalf("version %d: acknowledged with %d records durable", version, last)
		}
		for range 2 { // the second time as if PUBREC was lost
			w.write(t, publishPacket(version, 2, 9, "somewhere/else", "two", false))
			if id, _ := w.ack(t, pubrec); id != 9 {
				t.Fatalf("version %d: PUBREC %d", version, id)
			}
		}
		w.write(t, packet(0x62, []byte{0, 9}))
		if id, _ := w.ack(t, pubcomp); id != 9 {
			t.Fatalf("version %d: PUBCOMP %d", version, id)
		}
		w.write(t, publishPacket(version, 1, 10, "v1/devices/me/telemetry", "{}", false))
		w.ack(t, puback)
		var got []string
		for _, r := range records(t, e.Log, 4) {
			got = append(got, fmt.Sprintf("%s %s %q dup=%v %s", r.Topic, r.Payload, r.Device, r.Dup, r.Source))
			if !r.Received.Equal(start) || r.Kind != intakelog.Message {
				t.Errorf("version %d: record %+v", version, r)
			}
		}
		want := `fleet/pump-1/telemetry zero "" dup=false embedded|fleet/pump-1/telemetry one "" dup=true embedded|` +
			`somewhere/else two "" dup=false embedded|v1/devices/me/telemetry {} "pump 1" dup=false embedded`
		if strings.Join(got, "|") != want {
			t.Errorf("version %d: got  %s\nwant %s", version, strings.Join(got, "|"), want)
		}
	}
}

func TestEmbedded_KeepsAWillButNotWhenItLeavesItself(t *testing.T) {
	t.Parallel()
	log := openIntake(t, intakelog.Options{})
	t.Run("broker", func(t *testing.T) {
		e := startEmbedded(t, EmbeddedConfig{Log: log})
		for _, will := range []string{"offline 1", "offline 2"} {
			w := dialWire(t, e.local(), 4)
			if code := w.connect(t, hello{client: will, willTopic: "fleet/pump-1/status", will: will}); code != 0 {
				t.Fatal(code)
			}
			if will == "offline 1" {
				w.Close()
				records(t, log, 1)
			}
		}
	})
	if got := records(t, log, 1); len(got) != 1 || !got[0].Will || string(got[0].Payload) != "offline 1" || got[0].Topic != "fleet/pump-1/status" {
		t.Errorf("the log has %+v, want the will of the one who left", got)
	}
}

func TestEmbedded_SaysThatTheAddressIsTaken(t *testing.T) {
	t.Parallel()
	e := startEmbedded(t, EmbeddedConfig{})
	_, err := OpenEmbedded(EmbeddedConfig{Listen: e.local(), Log: e.Log})
	if problem.Of(err) != problem.Invalid || !strings.Contains(err.Error(), e.local()) || !strings.Contains(err.Error(), "--mqtt-listen") {
		t.Errorf("got %v", err)
	}
}

func TestEmbedded_AnswersWhatItDoesNotTake(t *testing.T) {
	t.Parallel()
	e := startEmbedded(t, EmbeddedConfig{})
	for _, version := range []byte{4, 5} {
		for name, topic := range map[string]string{"too long": strings.Repeat("x", 513), "of the broker": "$SYS/broker", "of a share": "$share/a/b"} {
			w := dialWire(t, e.local(), version)
			if code := w.connect(t, hello{client: name}); code != 0 {
				t.Fatal(code)
			}
			w.write(t, publishPacket(version, 1, 1, topic, "x", false))
			if version == 4 {
				w.gone(t)
				continue
			}
			if _, code := w.ack(t, puback); code < 0x80 {
				t.Errorf("%s: PUBACK with code %#x", name, code)
			}
			w.write(t, publishPacket(version, 2, 2, topic, "x", false))
			if _, code := w.ack(t, pubrec); code < 0x80 {
				t.Errorf("%s: PUBREC with code %#x", name, code)
			}
			w.write(t, publishPacket(version, 1, 3, "fine", "x", false))
			w.ack(t, puback)
		}
		w := dialWire(t, e.local(), version)
		w.connect(t, hello{client: "large"})
		_, _ = w.Write(publishPacket(version, 1, 1, "x", strings.Repeat("x", maxPacketBytes), false))
		w.gone(t)
	}
	if _, last := e.Log.Bounds(); last != 3 {
		t.Errorf("%d records, want the 3 good ones", last)
	}
}

// enterDevice enters a device and returns its token.
func enterDevice(t testing.TB, pool *postgres.Pool, key, machine string, gateway bool) (token string) {
	t.Helper()
	do(t, pool, func(tx pgx.Tx) (err error) {
		if machine == "" {
			token, err = AddDevice(t.Context(), tx, start, key, nil, gateway)
			return err
		}
		id, err := postgres.Value[uuid.UUID](t.Context(), tx, `SELECT id FROM machine WHERE key = @key`, pgx.NamedArgs{"key": machine})
		if err == nil {
			token, err = AddDevice(t.Context(), tx, start, key, &id, gateway)
		}
		return err
	})
	return token
}

func TestEmbedded_LetsInWhoHasAToken(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	addMachine(t, pool, "pump-1")
	e := startEmbedded(t, EmbeddedConfig{Listen: anywhere, Pool: pool})
	token, other := enterDevice(t, pool, "pump-1", "pump-1", false), enterDevice(t, pool, "gate", "", true)
	for _, c := range []struct {
		name       string
		h          hello
		old, fresh byte
	}{
		{"nobody", hello{client: "a"}, 5, 0x87},
		{"a name alone", hello{client: "a", user: "pump-1"}, 4, 0x86},
		{"a guess", hello{client: "a", user: "pump-1", password: "x"}, 4, 0x86},
		{"another's token", hello{client: "a", user: "pump-1", password: other}, 4, 0x86},
		{"the device", hello{client: "a", user: "pump-1", password: token}, 0, 0},
		{"a ThingsBoard device", hello{client: "a", user: token}, 0, 0},
		{"a gateway", hello{client: "a", user: "gate", password: other}, 0, 0},
		{"a will for another", hello{client: "a", user: "pump-1", password: token, willTopic: "fleet/pump-2/status", will: "offline"}, 5, 0x87},
		{"an odd client id", hello{client: strings.Repeat("a", 300), user: "pump-1", password: token}, 2, 0x85},
	} {
		if got := dialWire(t, e.local(), 4).connect(t, c.h); got != c.old {
			t.Errorf("%s: MQTT 3.1.1 says %d, want %d", c.name, got, c.old)
		}
		if got := dialWire(t, e.local(), 5).connect(t, c.h); got != c.fresh {
			t.Errorf("%s: MQTT 5 says %#x, want %#x", c.name, got, c.fresh)
		}
	}
}

func TestEmbedded_HoldsDevicesToTheirTopics(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	id, _ := addMachine(t, pool, "pump-1")
	do(t, pool, func(tx pgx.Tx) error {
		_, err := postgres.Run(t.Context(), tx, `INSERT INTO machine_alias (alias, machine_id) VALUES ('P1', @id)`, pgx.NamedArgs{"id": id})
		return err
	})
	device, gate := enterDevice(t, pool, "sensor-9", "pump-1", false), enterDevice(t, pool, "gate", "", true)
	e := startEmbedded(t, EmbeddedConfig{Listen: anywhere, Pool: pool})
	topics := []struct {
		topic           string
		device, gateway bool
	}{
		{"fleet/pump-1/telemetry", true, true}, {"fleet/P1/telemetry", true, true}, {"fleet/sensor-9/status", true, true},
		{"fleet/pump-2/telemetry", false, true}, {"fleet/pump-1x/telemetry", false, true}, {"fleet//telemetry", false, true},
		{"v1/devices/me/telemetry", true, true}, {"v1/gateway/telemetry", true, true}, {"telegraf/host/cpu", true, true},
		{"nobody/knows", true, true}, {"$SYS/x", false, false}, {"$other", false, false},
	}
	filters := []struct {
		filter          string
		device, gateway bool
	}{
		{"fleet/pump-1/#", true, true}, {"fleet/P1/down/+", true, true}, {"$share/g/fleet/pump-1/#", true, true}, {"v1/devices/me/attributes", true, true},
		{"#", false, true}, {"fleet/#", false, true}, {"fleet/+/down", false, true}, {"fleet/pump-1", false, true}, {"fleet/pump-2/#", false, true},
		{"$share/g/#", false, true}, {"$SYS/#", false, false}, {"telegraf/#", false, true},
	}
	accepted := 0
	for _, who := range []struct {
		user, token string
		gateway     bool
	}{{"sensor-9", device, false}, {"gate", gate, true}} {
		for _, version := range []byte{4, 5} {
			for _, c := range topics {
				w := dialWire(t, e.local(), version)
				w.connect(t, hello{client: c.topic, user: who.user, password: who.token})
				w.write(t, publishPacket(version, 1, 1, c.topic, "x", false))
				kind, body := w.read(t)
				ok := kind == puback && len(body) == 2
				if ok {
					accepted++
				}
				if want := c.device && !who.gateway || c.gateway && who.gateway; ok != want || !ok && version == 5 && (kind != puback || body[2] != 0x87) {
					t.Errorf("%s on MQTT %d to %s: accepted %v (%#x %x), want %v", who.user, version, c.topic, ok, kind, body, want)
				}
			}
			w := dialWire(t, e.local(), version)
			w.connect(t, hello{client: "x", user: who.user, password: who.token})
			var all []string
			for _, c := range filters {
				all = append(all, c.filter)
			}
			w.write(t, subscribePacket(version, 3, all...)) // in one packet: each must be looked at
			_, body := w.read(t)
			codes := body[len(body)-len(filters):]
			for i, c := range filters {
				if want := c.device && !who.gateway || c.gateway && who.gateway; (codes[i] < 0x80) != want {
					t.Errorf("%s on MQTT %d subscribes to %s: code %#x, want it granted: %v", who.user, version, c.filter, codes[i], want)
				}
			}
		}
	}
	if got := len(records(t, e.Log, accepted)); got != accepted {
		t.Errorf("%d records, %d messages were accepted", got, accepted)
	}
}

func TestEmbedded_RevokesAndRemembers(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	addMachine(t, pool, "pump-1")
	addMachine(t, pool, "pump-2")
	gone, stays := enterDevice(t, pool, "pump-1", "pump-1", false), enterDevice(t, pool, "pump-2", "pump-2", false)
	e := startEmbedded(t, EmbeddedConfig{Listen: anywhere, Pool: pool})
	first, second := dialWire(t, e.local(), 4), dialWire(t, e.local(), 5)
	if a, b := first.connect(t, hello{client: "x", user: "pump-1", password: gone}), second.connect(t, hello{client: "x", user: "pump-2", password: stays}); a != 0 || b != 0 {
		t.Fatalf("not let in: %d, %d", a, b)
	}
	do(t, pool, func(tx pgx.Tx) error { return RevokeDevice(t.Context(), tx, start, "pump-1") })
	e.DevicesChanged()
	first.gone(t)
	if code := dialWire(t, e.local(), 4).connect(t, hello{client: "x", user: "pump-1", password: gone}); code != 4 {
		t.Errorf("a revoked device was answered %d", code)
	}
	second.write(t, publishPacket(5, 1, 1, "fleet/pump-2/telemetry", "{}", false))
	second.ack(t, puback)

	pool.Close() // as if the database were away
	if code := dialWire(t, e.local(), 4).connect(t, hello{client: "y", user: "pump-2", password: stays}); code != 0 {
		t.Errorf("a known device was answered %d while the database is away", code)
	}
	if err := e.devices.load(t.Context()); err == nil {
		t.Error("the database is not away")
	}
	if code := dialWire(t, e.local(), 4).connect(t, hello{client: "z", user: "pump-3", password: "new"}); code != 3 {
		t.Errorf("an unknown device was answered %d while the database is away, want to be told to try again", code)
	}
	second.write(t, publishPacket(5, 1, 2, "fleet/pump-2/telemetry", "{}", false))
	second.ack(t, puback)
}

// figure reads one figure with a label's value.
func figure(t testing.TB, c prometheus.Collector, name, label string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetValue() == label {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
}
