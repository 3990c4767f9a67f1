package intake

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// credential is one credential and what it stands for, in the words of the rules.
type credential struct {
	name, user, token string
	owns              []string // machines
	all               bool     // speaks for any
}

// rooms are parts of topics; each is tried with every machine's name.
func matrixTopics() (topics []string) {
	for _, machine := range []string{"pump-1", "P1", "sensor-9", "pump-2", "pump-1x", "PUMP-1", "pump", "", " pump-1", "pump-1 "} {
		for _, rest := range []string{"/telemetry", "/status", "/down/set", "/down", "/downtime"} {
			topics = append(topics, "fleet/"+machine+rest)
		}
	}
	return append(topics, "v1/devices/me/telemetry", "v2/t", "v1/gateway/telemetry", "telegraf/host/cpu", "anything", "edge/gate/records", "edge/sensor-9/records", "edge/sensor-9/other", "/fleet/pump-2/telemetry", "Fleet/pump-2/x",
		"$SYS/broker", "$share/g/fleet/pump-1/x", "$other", "$will")
}

func (c credential) has(machine string) bool {
	for _, m := range c.owns {
		if m == machine {
			return true
		}
	}
	return c.all
}

// mayPublish is what the rules say in their own words: nobody to the broker's
// topics, a device to its machine's, but not to what is said to devices.
func (c credential) mayPublish(topic string) bool {
	levels := strings.Split(topic, "/")
	switch {
	case topic[0] == '$':
		return false
	case levels[0] == "edge" && levels[2] == "records": // an edge speaks under its own name
		return c.user == "" || c.all && levels[1] == c.user
	case levels[0] != "fleet":
		return true
	}
	return c.has(levels[1]) && (c.all || levels[2] != "down")
}

func matrixFilters() (filters []string) {
	for _, machine := range []string{"pump-1", "P1", "sensor-9", "pump-2", "+", "#", "pump-1x", ""} {
		for _, rest := range []string{"/#", "/down/#", "/+", "/down/set"} {
			if machine != "#" {
				filters = append(filters, "fleet/"+machine+rest)
			}
		}
	}
	return append(filters, "#", "+", "fleet/#", "fleet/pump-1", "+/pump-1/#", "v1/devices/me/#", "v1/devices/me/rpc/+", "v1/devices/+/x", "telegraf/#", "$SYS/#", "$other/#", "fleet/+/#")
}

func (c credential) mayFollow(filter string) bool {
	levels := strings.Split(filter, "/")
	switch {
	case filter[0] == '$':
		return false
	case c.all || strings.HasPrefix(filter, "v1/devices/me/"):
		return true
	}
	return levels[0] == "fleet" && len(levels) > 2 && c.has(levels[1])
}

// matrix tries every credential with every topic in every way.
type matrix struct {
	*Embedded
	credential
	version byte
	checks  *int
	log     map[string]string // payload to topic, of all that was taken
	n       int
}

func (m *matrix) connect(t *testing.T) *wire {
	m.n++
	w := dialWire(t, m.local(), m.version)
	w.enter(t, knock{client: fmt.Sprint("c", m.n), user: m.user, password: m.token})
	return w
}

// publish tries a topic at a QoS, plain, retained, by alias.
func (m *matrix) publish(t *testing.T, w *wire, topic string, qos byte, how string) *wire {
	*m.checks++
	l := letter{topic: topic, qos: qos, id: 1, payload: fmt.Sprintf("%s %d %d %s %s", m.name, m.version, qos, how, topic), retain: how == "retain"}
	may := m.mayPublish(topic)
	if may {
		m.log[l.payload] = topic
	}
	if how == "alias" { // the topic first, which may be refused; then the alias alone
		first := l
		first.props, first.payload = short(35, 1), "named "+l.payload
		m.send(t, w, first, may)
		if may {
			m.log[first.payload] = topic
		}
		l.topic, l.props = "", short(35, 1)
	}
	if m.send(t, w, l, may) {
		return w
	}
	w.Close()
	return m.connect(t)
}

// send publishes and holds the answer against what the rules say; false means
// that the connection has ended.
func (m *matrix) send(t *testing.T, w *wire, l letter, may bool) bool {
	w.write(t, l.packet(m.version))
	if l.qos == 0 {
		w.write(t, packet(0xC0, nil)) // what became of it is seen in the log
		kind, _ := w.read(t)
		if kind != 0xD0 {
			t.Errorf("%s on MQTT %d: QoS 0 to %q is answered with %#x", m.name, m.version, l.topic, kind)
		}
		return kind == 0xD0
	}
	kind, body := w.read(t)
	ok := kind == 0x30+l.qos*0x10 && (len(body) == 2 || body[2] < 0x80)
	if ok != may || !ok && m.version == 5 && (len(body) < 3 || body[2] != 0x87 && kind != 0xE0) {
		t.Errorf("%s on MQTT %d: QoS %d to %q (%s) is answered with %#x %x, allowed: %v", m.name, m.version, l.qos, l.topic, l.payload, kind, body, may)
	}
	if ok && l.qos == 2 {
		w.write(t, packet(0x62, []byte{0, 1}))
		w.ack(t, pubcomp)
	}
	return kind != 0 && kind != 0xE0
}

func (m *matrix) publishAll(t *testing.T) {
	w := m.connect(t)
	for _, topic := range matrixTopics() {
		for qos := range byte(3) {
			w = m.publish(t, w, topic, qos, "plain")
		}
		w = m.publish(t, w, topic, 1, "retain")
		if m.version == 5 && topic[0] != '$' {
			w = m.publish(t, w, topic, 1, "alias")
		}
		*m.checks++
		will := dialWire(t, m.local(), m.version)
		will.write(t, knock{client: "will", user: m.user, password: m.token, willTopic: topic, will: "x"}.packet(m.version))
		_, body := will.read(t)
		if got := body[1] == 0; got != m.mayPublish(topic) {
			t.Errorf("%s on MQTT %d: a will for %q is answered with %x", m.name, m.version, topic, body)
		}
		if body[1] == 0 {
			will.leave(t)
		}
	}
}

func (m *matrix) followAll(t *testing.T) {
	for _, shared := range []string{"", "$share/g/"} {
		var all []ask
		for _, filter := range matrixFilters() {
			all = append(all, ask{shared + filter, 1})
		}
		one, many := m.connect(t), m.connect(t)
		codes := many.follow(t, nil, all...) // in one packet: each must be looked at
		for i, filter := range matrixFilters() {
			*m.checks += 2
			one.write(t, subscribe(m.version, 5, nil, all[i]))
			_, body := one.read(t)
			for _, code := range []byte{body[len(body)-1], codes[i]} {
				if got := code < 0x80; got != m.mayFollow(filter) {
					t.Errorf("%s on MQTT %d subscribes to %s%s: code %#x", m.name, m.version, shared, filter, code)
				}
			}
			one.write(t, packet(0xA2, append(append([]byte{0, 6}, withLength(m.version, nil)...), text(all[i].filter)...)))
			for kind := byte(0); kind != 0xB0; kind, _ = one.read(t) { // retained messages may come before
			}
		}
		one.Close()
		many.Close()
	}
}

// S10: credentials x topics and filters x ways x {3.1.1, 5}, against rules that
// are written down here once more and in other words.
func TestEmbedded_HoldsEveryCredentialToItsTopics(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	id, _ := addMachine(t, pool, "pump-1")
	addMachine(t, pool, "pump-2")
	do(t, pool, func(tx pgx.Tx) error {
		_, err := postgres.Run(t.Context(), tx, `INSERT INTO machine_alias (alias, machine_id) VALUES ('P1', @id)`, pgx.NamedArgs{"id": id})
		return err
	})
	mine := []string{"pump-1", "P1", "sensor-9"}
	callers := []credential{
		{"a device", "sensor-9", enterDevice(t, pool, "sensor-9", "pump-1", false), mine, false},
		{"the machine's device", "pump-1", enterDevice(t, pool, "pump-1", "pump-1", false), mine[:2], false},
		{"another's device", "pump-2", enterDevice(t, pool, "pump-2", "pump-2", false), []string{"pump-2"}, false},
		{"a device without a machine", "lone", enterDevice(t, pool, "lone", "", false), []string{"lone"}, false},
		{"a gateway", "gate", enterDevice(t, pool, "gate", "", true), nil, true},
		{"nobody", "", "", nil, true},
	}
	log := openIntake(t, intakelog.Options{CommitDelay: -1})
	e := startEmbedded(t, EmbeddedConfig{Pool: pool, Log: log, Limits: openHouse})
	checks, taken := 0, map[string]string{}
	for _, c := range callers {
		for _, version := range []byte{4, 5} {
			m := &matrix{Embedded: e, credential: c, version: version, checks: &checks, log: taken}
			m.publishAll(t)
			m.followAll(t)
		}
	}
	want := len(taken)
	for _, r := range records(t, log, want) {
		if taken[string(r.Payload)] != r.Topic {
			t.Errorf("the log has %q on %q", r.Payload, r.Topic)
		}
		delete(taken, string(r.Payload))
	}
	if _, last := log.Bounds(); int(last) != want || len(taken) > 0 { //nolint:gosec // a count
		t.Errorf("%d records, %d were allowed, missing %v", last, want, taken)
	}
	if checks < 4_500 {
		t.Errorf("only %d checks", checks)
	}
	t.Logf("%d checks", checks)
	for name, k := range map[string]knock{"a guess": {user: "pump-1", password: "3sd_guess"}, "another's token": {user: "pump-1", password: callers[2].token}, "a bare token of nobody": {user: "3sd_nobody"}} {
		w := dialWire(t, e.local(), 5)
		w.write(t, k.packet(5))
		if _, body := w.read(t); body[1] != 0x86 {
			t.Errorf("%s is answered with %x", name, body)
		}
	}
}
