package intake

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

// spy stands between a client and the broker and keeps what the client has sent,
// connection by connection.
type spy struct {
	listener net.Listener
	mu       sync.Mutex
	sent     []*bytes.Buffer
	open     []net.Conn
}

func startSpy(t *testing.T, broker string) *spy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &spy{listener: listener}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(context.Background(), "tcp", broker)
			if err != nil {
				_ = client.Close()
				continue
			}
			sent := &bytes.Buffer{}
			s.mu.Lock()
			s.sent, s.open = append(s.sent, sent), append(s.open, client, server)
			s.mu.Unlock()
			running.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
			running.Go(func() { _, _ = io.Copy(io.MultiWriter(server, locked{s, sent}), client); _ = server.Close() })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.cut()
		running.Wait()
	})
	return s
}

type locked struct {
	s *spy
	b *bytes.Buffer
}

func (l locked) Write(b []byte) (int, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.b.Write(b)
}

// cut breaks all connections.
func (s *spy) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		_ = c.Close()
	}
	s.open = nil
}

// mqttPacket is one packet of a client.
type mqttPacket struct {
	first byte
	body  []byte
}

// packets are those of the connection number n.
func (s *spy) packets(n int) (list []mqttPacket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n >= len(s.sent) {
		return nil
	}
	for b := s.sent[n].Bytes(); len(b) > 1; {
		length, used := binary.Uvarint(b[1:])
		if used <= 0 || 1+used+int(length) > len(b) {
			break
		}
		list = append(list, mqttPacket{b[0], b[1+used : 1+used+int(length)]})
		b = b[1+used+int(length):]
	}
	return list
}

// field takes a length-prefixed field off the front of b.
func field(b []byte) (string, []byte) {
	n := int(binary.BigEndian.Uint16(b))
	return string(b[2 : 2+n]), b[2+n:]
}

// seat is a client of the tests on a broker.
type seat struct {
	*telemetrytest.Seat
	said time.Time
}

func sit(t *testing.T, address, id string, options func(*mqtt.ClientOptions), filters ...string) *seat {
	t.Helper()
	return &seat{Seat: telemetrytest.Sit(t, address, id, options, filters...)}
}

// say publishes as an edge node does.
func (s *seat) say(t *testing.T, topic string, seq uint64, metrics ...sparkplug.Metric) {
	t.Helper()
	s.said = s.said.Add(time.Millisecond) // no two messages of the same instant
	if now := time.Now(); now.After(s.said) {
		s.said = now
	}
	p := &sparkplug.Payload{Timestamp: uint64(s.said.UnixMilli()), HasTimestamp: true, Seq: seq, HasSeq: true, Metrics: metrics}
	done(t, s.Publish(sparkplug.Namespace+topic, 0, false, sparkplug.Encode(p)))
}

func startHost(t *testing.T, c SparkplugConfig) (h *SparkplugHost, stop func()) {
	t.Helper()
	c.HostID, c.Reorder, c.Now, c.Logger = "thirdstate", time.Second, time.Now, slog.New(slog.NewTextHandler(t.Output(), nil))
	h, err := NewSparkplugHost(c)
	if err != nil {
		t.Fatal(err)
	}
	stop = telemetrytest.Run(t, h.Run)
	eventually(t, func() bool { return h.Connected() && (c.Embedded == nil || c.Embedded.relay.kept.Load() > 0) })
	return h, stop
}

const ownState = "spBv1.0/STATE/thirdstate"

func stateOf(t *testing.T, m mqtt.Message) sparkplug.HostState {
	t.Helper()
	s, ok := sparkplug.ParseState(m.Payload())
	if want := fmt.Sprintf(`{"online":%t,"timestamp":%d}`, s.Online, s.Timestamp); !ok || string(m.Payload()) != want {
		t.Errorf("STATE is %s", m.Payload())
	}
	return s
}

// holds is a subtest that bears the names of the assertions of the standard that
// it holds; docs/sparkplug.md lists them.
func holds(t *testing.T, ids string, isTrue bool, args ...any) {
	t.Helper()
	t.Run(ids, func(t *testing.T) {
		if !isTrue {
			t.Error(args...)
		}
	})
}

func TestSparkplugHost_KeepsTheStandardOnARealBroker(t *testing.T) {
	t.Parallel()
	address := spareAddress(t)
	startMosquitto(t, t.TempDir(), address)
	between := startSpy(t, address)
	log := openIntake(t, intakelog.Options{})
	monitor := sit(t, address, "monitor", nil, "spBv1.0/#")
	_, stop := startHost(t, SparkplugConfig{BrokerURL: "tcp://" + between.listener.Addr().String(), Log: log})

	birth := monitor.Last(t, ownState, 1)
	first := between.packets(0)
	connect := first[0].body
	flags, rest := connect[7], connect[10:]
	_, rest = field(rest) // the client's id
	willTopic, rest := field(rest)
	willPayload, _ := field(rest)
	will, _ := sparkplug.ParseState([]byte(willPayload))
	holds(t, "tck-id-message-flow-phid-sparkplug-clean-session-311", connect[6] == 4 && flags&2 != 0, "flags", flags)
	holds(t, "tck-id-operational-behavior-host-application-connect-will-topic", willTopic == ownState, willTopic)
	holds(t, "tck-id-operational-behavior-host-application-connect-will-qos", flags>>3&3 == 1, flags)
	holds(t, "tck-id-operational-behavior-host-application-connect-will-retained", flags&32 != 0, flags)
	holds(t, "tck-id-operational-behavior-host-application-connect-will-payload", !will.Online && will.Timestamp > time.Now().Add(-time.Minute).UnixMilli(), willPayload)
	kinds := ""
	for _, p := range first[:3] {
		kinds += fmt.Sprintf("%x ", p.first>>4)
	}
	holds(t, "tck-id-host-topic-phid-birth-sub-required tck-id-payloads-state-subscribe tck-id-principles-birth-certificates-order", kinds == "1 8 3 ", kinds)
	subscribed := string(first[1].body)
	holds(t, "tck-id-message-flow-phid-sparkplug-subscription", bytes.Contains([]byte(subscribed), []byte("spBv1.0/#")) && bytes.Contains([]byte(subscribed), []byte(ownState)), subscribed)
	topic, _ := field(first[2].body)
	holds(t, "tck-id-message-flow-phid-sparkplug-state-publish tck-id-host-topic-phid-birth-topic", topic == ownState, topic)
	holds(t, "tck-id-host-topic-phid-birth-qos tck-id-host-topic-phid-birth-retain", first[2].first == 0x33, first[2].first)
	state := stateOf(t, birth)
	holds(t, "tck-id-host-topic-phid-birth-payload tck-id-host-topic-phid-birth-payload-timestamp", state.Online && state.Timestamp == will.Timestamp, state, will)
	late := sit(t, address, "late", nil, ownState)
	holds(t, "tck-id-payloads-state-birth", late.Last(t, ownState, 1).Retained(), "not retained")

	// Somebody says that we are offline: an old will that comes late.
	done(t, monitor.Publish(ownState, 1, true, sparkplug.StatePayload(false, time.Now())))
	again := stateOf(t, monitor.Last(t, ownState, 3))
	holds(t, "tck-id-message-flow-hid-sparkplug-state-message-delivered", again == state, again)

	// The connection breaks: the broker sends the will, and the host begins anew.
	between.cut()
	monitor.Last(t, ownState, 5)
	list := monitor.On(ownState)
	died, reborn := stateOf(t, list[3]), stateOf(t, list[4])
	holds(t, "tck-id-host-topic-phid-death-payload tck-id-payloads-state-will-message-payload", !died.Online && died.Timestamp == state.Timestamp, died)
	holds(t, "tck-id-host-topic-phid-birth-required", reborn.Online && reborn.Timestamp > state.Timestamp, reborn)
	eventually(t, func() bool { return len(between.packets(1)) >= 3 })
	_, rest = field(between.packets(1)[0].body[10:])
	_, rest = field(rest)
	fresh, _ := field(rest)
	holds(t, "tck-id-host-topic-phid-death-payload-timestamp-connect", fresh == string(sparkplug.StatePayload(false, time.UnixMilli(reborn.Timestamp))), fresh)

	stop()
	left := stateOf(t, monitor.Last(t, ownState, 6))
	ended := func() bool { p := between.packets(1); return p[len(p)-1].first == 0xe0 }
	eventually(t, ended)
	published := mqttPacket{}
	for _, p := range between.packets(1) {
		if p.first>>4 == 3 {
			published = p
		}
	}
	holds(t, "tck-id-operational-behavior-host-application-termination tck-id-host-topic-phid-death-payload-timestamp-disconnect-clean",
		!left.Online && left.Timestamp >= reborn.Timestamp && published.first == 0x33, left)
	holds(t, "tck-id-operational-behavior-host-application-disconnect-intentional", ended(), "no DISCONNECT")
	if records := records(t, log, 2); records[0].Kind != intakelog.Session || records[1].Kind != intakelog.Session {
		t.Error("the log does not know when the host began to listen")
	}
}

func TestSparkplugHost_AsksForBirthsOnARealBroker(t *testing.T) {
	t.Parallel()
	address := spareAddress(t)
	startMosquitto(t, t.TempDir(), address)
	w := newWorks(t)
	_, pump := addMachine(t, w.pool, "PUMP01")
	monitor := sit(t, address, "monitor", nil, "spBv1.0/+/NCMD/#")
	host, stop := startHost(t, SparkplugConfig{BrokerURL: "tcp://" + address, Log: w.log})
	monitorNode := "spBv1.0/plant/NCMD/gw"
	death := sparkplug.Encode(&sparkplug.Payload{Metrics: []sparkplug.Metric{bdSeq(3)}})
	edge := sit(t, address, "edge", func(o *mqtt.ClientOptions) { o.SetBinaryWill("spBv1.0/plant/NDEATH/gw", death, 1, false) })

	edge.say(t, "plant/DDATA/gw/PUMP01", 9, metric("", 7, 60)) // the host was late
	command := monitor.Last(t, monitorNode, 1)
	p, fault := sparkplug.Decode(command.Payload())
	if fault != nil || len(p.Metrics) != 1 {
		t.Fatalf("%v %v", p, fault)
	}
	m := p.Metrics[0]
	holds(t, "tck-id-operational-behavior-data-commands-ncmd-rebirth-name", m.Name == "Node Control/Rebirth", m.Name)
	holds(t, "tck-id-operational-behavior-data-commands-ncmd-rebirth-value", m.Datatype == sparkplug.Boolean && m.Value.Bits == 1, m)
	holds(t, "tck-id-operational-behavior-data-commands-ncmd-rebirth-verb tck-id-topics-ncmd-topic", command.Topic() == monitorNode, command.Topic())
	holds(t, "tck-id-payloads-ncmd-timestamp", p.HasTimestamp && time.Since(time.UnixMilli(int64(p.Timestamp))).Abs() < time.Minute, p.Timestamp)
	holds(t, "tck-id-payloads-ncmd-seq", !p.HasSeq, p.Seq)
	holds(t, "tck-id-payloads-ncmd-qos tck-id-payloads-ncmd-retain", command.Qos() == 0 && !command.Retained(), command.Qos())

	edge.say(t, "plant/NBIRTH/gw", 0, bdSeq(3))
	edge.say(t, "plant/DBIRTH/gw/PUMP01", 1, metric("Hydraulic/OilTemp", 7, 61))
	edge.say(t, "plant/DDATA/gw/PUMP01", 2, metric("", 7, 62))
	edge.say(t, "plant/DDATA/gw/PUMP01", 4, metric("", 7, 63)) // one is missing, for ever
	eventually(t, func() bool {                                // it was asked a moment ago: the next request waits
		host.mu.Lock()
		defer host.mu.Unlock()
		return len(host.watch.Due(time.Now().Add(29*time.Second))) == 0 && host.watch.Nodes() == 1
	})
	edge.say(t, "plant/DDATA/gw/PUMP01", 5, metric("", 7, 64))
	edge.Disconnect(0)
	crash := sit(t, address, "edge2", func(o *mqtt.ClientOptions) { o.SetBinaryWill("spBv1.0/other/NDEATH/gw2", death, 1, false) })
	crash.say(t, "other/NBIRTH/gw2", 0, bdSeq(3))
	crash.say(t, "other/NDATA/gw2", 1)
	crash.say(t, "other/NDATA/gw2", 3) // a gap on a node that was not asked yet: once, within the limit
	asked := time.Now()
	monitor.Last(t, "spBv1.0/other/NCMD/gw2", 1)
	holds(t, "tck-id-operational-behavior-host-reordering-rebirth tck-id-operational-behavior-host-reordering-start", time.Since(asked) < 30*time.Second, time.Since(asked))
	holds(t, "tck-id-operational-behavior-host-reordering-param", figure(t, host, "thirdstate_sparkplug_rebirths_total", sparkplug.Reordered) == 1, "asked more than once")
	done(t, monitor.Publish("spBv1.0/plant/NDEATH/gw", 1, false, death)) // as the broker does for a node that is gone
	eventually(t, func() bool { return lastOf(w.log) >= 11 })
	stop()
	if n := len(monitor.On(monitorNode)); n != 1 {
		t.Errorf("the node was asked %d times", n)
	}

	b, err := telemetry.NewStage(w.log, w.pool, quiet()).Next(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	presence := b.Presences[len(b.Presences)-1]
	holds(t, "tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-offline", presence.Machine == "PUMP01" && !presence.Online, presence)
	w.run(t)
	rows, err := w.history.Rows(program(t.Context()), pump, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), 0)
	if err != nil {
		t.Fatal(err)
	}
	want(t, len(rows), 4)
	want(t, rows[3].Values[0].Value, 64.0)
	want(t, value[string](t, w.pool, `SELECT reason FROM dead_letter`), sparkplug.NoBirth)
}

func TestSparkplugHost_ServesEdgeNodesOfTheEmbeddedBroker(t *testing.T) {
	t.Parallel()
	log := openIntake(t, intakelog.Options{})
	e := startEmbedded(t, EmbeddedConfig{Log: log})
	_, stop := startHost(t, SparkplugConfig{Embedded: e, Log: log})
	edge := sit(t, e.local(), "edge", nil, ownState, "spBv1.0/plant/NCMD/gw")
	birth := edge.Last(t, ownState, 1)
	holds(t, "tck-id-host-topic-phid-birth-retain on the embedded broker", birth.Retained() && birth.Qos() == 1 && stateOf(t, birth).Online, birth.Qos())
	edge.say(t, "plant/DDATA/gw/PUMP01", 9, metric("", 7, 60))
	command := edge.Last(t, "spBv1.0/plant/NCMD/gw", 1)
	holds(t, "tck-id-payloads-ncmd-qos on the embedded broker", command.Qos() == 0 && !command.Retained(), command.Qos())

	done(t, edge.Publish(ownState, 1, true, sparkplug.StatePayload(false, time.Now())))
	eventually(t, func() bool { list := edge.On(ownState); return len(list) == 3 && stateOf(t, list[2]).Online })
	stop()
	holds(t, "tck-id-operational-behavior-host-application-termination on the embedded broker", !stateOf(t, edge.Last(t, ownState, 4)).Online, "online")
}

// A device's token is for its own node: it must not speak as another one, nor as
// a host.
func TestMayPublishTo_HoldsEdgeNodesToTheirName(t *testing.T) {
	t.Parallel()
	node := &grant{key: "gw1", names: []string{"gw1"}}
	gateway := &grant{key: "gw2", gateway: true}
	for topic, allowed := range map[string]bool{
		"spBv1.0/g/NBIRTH/gw1": true, "spBv1.0/g/DDATA/gw1/pump": true, "spBv1.0/g/NBIRTH/gw3": false, "spBv1.0/g/DDATA/gw3/gw1": false,
		"spBv1.0/g/NCMD/gw1": false, "spBv1.0/STATE/thirdstate": false,
	} {
		if mayPublishTo(node, topic) != allowed {
			t.Errorf("%s: %v", topic, !allowed)
		}
		if !mayPublishTo(gateway, topic) {
			t.Errorf("%s is refused to a gateway", topic)
		}
	}
	for filter, allowed := range map[string]bool{
		"spBv1.0/STATE/thirdstate": true, "spBv1.0/STATE/+": true, "spBv1.0/+/NCMD/gw1": true, "spBv1.0/g/DCMD/gw1/#": true, "spBv1.0/g/NCMD/+": false,
		"spBv1.0/#": false, "spBv1.0/+/+/gw1": false, "spBv1.0/g/DDATA/gw1/#": false,
	} {
		if maySubscribeTo(node, filter) != allowed {
			t.Errorf("%s: %v", filter, !allowed)
		}
	}
}
