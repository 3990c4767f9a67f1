package intake

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// brokerOf runs a broker that knows machines with a device each; the token is
// that of the first.
func brokerOf(t *testing.T, keys ...string) (e *Embedded, token string) {
	t.Helper()
	pool := postgrestest.New(t)
	for i, key := range keys {
		addMachine(t, pool, key)
		if t := enterDevice(t, pool, key, key, false); i == 0 {
			token = t
		}
	}
	return startEmbedded(t, EmbeddedConfig{Pool: pool}), token
}

// What is bounded is what a message takes in memory: a sender may put all of it
// into its properties.
func TestMessage_IsAsLargeAsWhatItCarries(t *testing.T) {
	t.Parallel()
	m := message{topic: "a"}
	p := packets.Properties{ContentType: strings.Repeat("c", 1_000), ResponseTopic: strings.Repeat("r", 1_000), CorrelationData: make([]byte, 1_000),
		User: []packets.UserProperty{{Key: strings.Repeat("k", 1_000), Val: strings.Repeat("v", 1_000)}, {}}}
	m.take(&p, time.Now())
	if got := m.size(); got < 5_000+1+2*userPropertyBytes {
		t.Errorf("%d bytes", got)
	}
}

// A message for a device is in the log before it is passed on, and is none of
// the telemetry.
func TestEmbedded_PassesMessagesOnToDevices(t *testing.T) {
	t.Parallel()
	e, token := brokerOf(t, "pump-1", "pump-2")
	device := dialWire(t, e.local(), 5)
	device.enter(t, knock{client: "d", user: "pump-1", password: token})
	device.follow(t, nil, ask{"fleet/pump-1/#", 1}, ask{"v1/devices/me/#", 1})
	operator := enter(t, e, 4, "operator")
	operator.follow(t, nil, ask{"fleet/#", 1})
	for n, topic := range []string{"fleet/pump-2/down/set", "v1/devices/me/attributes", "fleet/pump-1/down/set"} {
		operator.write(t, letter{topic: topic, payload: topic, qos: 1, id: uint16(n + 1)}.packet(4)) //nolint:gosec // small
	}
	if got := device.next(t); got.topic != "fleet/pump-1/down/set" {
		t.Errorf("the device is given %+v", got)
	}
	device.say(t, letter{topic: "v1/devices/me/telemetry", payload: "{}", qos: 0})
	if got := device.next(t); got.topic != "v1/devices/me/telemetry" {
		t.Errorf("the device is given %+v", got)
	}
	var kinds []intakelog.Kind
	for _, r := range records(t, e.Log, 4) {
		kinds = append(kinds, r.Kind)
	}
	if !slices.Equal(kinds, []intakelog.Kind{intakelog.Relay, intakelog.Message, intakelog.Relay, intakelog.Message}) {
		t.Errorf("records of the kinds %v", kinds)
	}
}

// What a device may see is looked at when a message comes, not when it subscribed.
func TestEmbedded_GivesNothingToWhoMayNoLongerSeeIt(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	addMachine(t, pool, "pump-1")
	token := enterDevice(t, pool, "sensor", "pump-1", false)
	e := startEmbedded(t, EmbeddedConfig{Pool: pool})
	w, operator, witness := dialWire(t, e.local(), 4), enter(t, e, 4, "operator"), enter(t, e, 4, "witness")
	w.enter(t, knock{client: "d", user: "sensor", password: token, keep: true})
	w.follow(t, nil, ask{"fleet/pump-1/#", 1})
	w.leave(t)
	do(t, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE device SET machine_id = NULL`)
		return err
	})
	if err := e.devices.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	witness.follow(t, nil, ask{"fleet/sensor/down/own", 1})
	operator.say(t, letter{topic: "fleet/pump-1/down/secret", qos: 1})
	operator.say(t, letter{topic: "fleet/sensor/down/own", qos: 1})
	witness.next(t) // what was said before it is passed on now
	w = dialWire(t, e.local(), 4)
	w.enter(t, knock{client: "d", user: "sensor", password: token, keep: true})
	w.follow(t, nil, ask{"fleet/sensor/#", 1})
	operator.say(t, letter{topic: "fleet/pump-1/down/secret", qos: 1})
	operator.say(t, letter{topic: "fleet/sensor/down/end", qos: 1})
	if got := w.next(t); got.topic != "fleet/sensor/down/end" {
		t.Errorf("given %+v", got)
	}
}

// A subscriber that does not read costs nobody anything: acknowledgements go on,
// another subscriber is given everything, what is dropped is counted.
func TestEmbedded_DoesNotWaitForASlowSubscriber(t *testing.T) {
	t.Parallel()
	e := startEmbedded(t, EmbeddedConfig{})
	for qos := range byte(2) {
		deaf := enter(t, e, 4, fmt.Sprint("deaf", qos))
		_ = deaf.Conn.(*net.TCPConn).SetReadBuffer(4 << 10) //nolint:forcetypeassert // it is TCP
		deaf.follow(t, nil, ask{"fleet/#", qos})
	}
	reader, sender := enter(t, e, 4, "reader"), enter(t, e, 4, "sender")
	reader.follow(t, nil, ask{"fleet/#", 1})
	payload := strings.Repeat("x", 8<<10)
	const messages = 1_500
	var worst time.Duration
	for n := range messages {
		begun := time.Now()
		sender.say(t, letter{topic: "fleet/pump-1/telemetry", payload: payload, qos: 1})
		worst = max(worst, time.Since(begun))
		if got := reader.next(t); len(got.payload) != len(payload) {
			t.Fatalf("message %d is cut", n)
		}
	}
	dropped := figure(t, e, "thirdstate_mqtt_relay_dropped_total", dropSlow)
	if dropped == 0 || e.Connections() != 4 || worst > unreadFor/10 {
		t.Errorf("%v dropped, %d connections, slowest acknowledgement %s", dropped, e.Connections(), worst)
	}
	if n := e.relay.boxed.Load(); n > 3*boxBytes {
		t.Errorf("%d bytes wait", n)
	}
	t.Logf("%d messages, %v dropped for two who do not read, slowest acknowledgement %s", messages, dropped, worst)
}

// What waits for one who is away has a bound, and what is beyond is counted.
func TestEmbedded_KeepsABoundedNumberForWhoIsAway(t *testing.T) {
	t.Parallel()
	e := startEmbedded(t, EmbeddedConfig{})
	w := dialWire(t, e.local(), 4)
	w.enter(t, kept(4, "away"))
	w.follow(t, nil, ask{"a", 1})
	w.leave(t)
	eventually(t, func() bool { return e.Connections() == 0 })
	sender := enter(t, e, 4, "sender")
	payload := strings.Repeat("x", 200<<10)
	for range 30 {
		sender.say(t, letter{topic: "a", payload: payload, qos: 1})
	}
	eventually(t, func() bool { return figure(t, e, "thirdstate_mqtt_relay_dropped_total", dropAway) > 0 })
	w = dialWire(t, e.local(), 4)
	w.enter(t, kept(4, "away"))
	for range boxBytes / (len(payload) + 1) {
		w.next(t)
	}
	eventually(t, func() bool { return e.relay.boxed.Load() == 0 })
}

// A QoS 2 message of a client that has left before it was durable is no fault of the log.
func TestEmbedded_DoesNotBlameTheLogForWhoHasLeft(t *testing.T) {
	t.Parallel()
	log := openIntake(t, intakelog.Options{CommitDelay: 2 * time.Millisecond})
	e := startEmbedded(t, EmbeddedConfig{Log: log})
	for n := range 50 {
		w := enter(t, e, 4, fmt.Sprint(n))
		w.write(t, letter{topic: "a", qos: 2, id: 1}.packet(4))
		w.Close()
	}
	eventually(t, func() bool { return e.Connections() == 0 })
	if n := figure(t, e, "thirdstate_mqtt_refused_total", reasonLogFull); n > 0 {
		t.Errorf("%v are counted as refused by the log", n)
	}
}

func TestMatches_FollowsTheStandard(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ filter, yes, no string }{
		{"a/b", "a/b", "a a/b/c a/B"}, {"a/+", "a/b a/", "a a/b/c"}, {"a/#", "a a/b a/b/c a/", "b ab"}, {"#", "a /a a/b", "$SYS/x"},
		{"+/b", "a/b /b", "$SYS/b b"}, {"+/+", "/a a/", "a"}, {"a/+/#", "a/b a/b/c", "a b/c"}, {"$SYS/#", "$SYS $SYS/x", "x"},
	} {
		for _, topic := range strings.Fields(c.yes) {
			if !matches(c.filter, topic) {
				t.Errorf("%s does not take %s in", c.filter, topic)
			}
		}
		for _, topic := range strings.Fields(c.no) {
			if matches(c.filter, topic) {
				t.Errorf("%s takes %s in", c.filter, topic)
			}
		}
	}
}
