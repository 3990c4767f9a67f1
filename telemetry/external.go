package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

const (
	brokerAgain    = 2 * time.Second // between attempts, at most; the library's own default is ten minutes
	brokerWithin   = 10 * time.Second
	brokerAlive    = 30 * time.Second
	maxInboxBytes  = 64 << 20
	maxTopicsAsked = 100
)

// ExternalConfig says which broker is read.
type ExternalConfig struct {
	URL      string   // tcp://user:password@host:1883; mqtt, ssl, tls and mqtts as well
	Topics   []string // filters
	ClientID string   // the broker's session belongs to it; "" = made from the log's id
	Log      *intakelog.Log
	Now      func() time.Time // program clock
	Logger   *slog.Logger
}

// External reads the messages of an MQTT broker at QoS 1 with a persistent
// session, and acknowledges each after it is durable in the intake log: while
// this program is away, or its log full, the broker keeps them.
type External struct {
	ExternalConfig
	broker    *url.URL
	counts    *intakeCounts
	session   atomic.Pointer[externalSession] // the newest
	connected atomic.Bool
	warned    atomic.Int64 // second of the last warning about the connection
}

// NewExternal checks what it is given and connects to nothing.
func NewExternal(c ExternalConfig) (*External, error) {
	broker, err := parseBrokerURL(c.URL)
	if err != nil {
		return nil, err
	}
	if len(c.Topics) == 0 || len(c.Topics) > maxTopicsAsked {
		return nil, problem.New(problem.Invalid, "--mqtt-topics names %d topics; between 1 and %d can be subscribed to", len(c.Topics), maxTopicsAsked)
	}
	for _, topic := range c.Topics {
		if fault := topicFault(topic); fault != "" {
			return nil, problem.New(problem.Invalid, "--mqtt-topics: %q is %s", printable(topic), fault)
		}
	}
	if c.ClientID == "" {
		c.ClientID = "thirdstate-" + c.Log.ID().String()[:8]
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &External{ExternalConfig: c, broker: broker, counts: newIntakeCounts("external")}, nil
}

func parseBrokerURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil { // which may quote a password
		return nil, problem.New(problem.Invalid, "--mqtt-url is no URL such as tcp://user:password@127.0.0.1:1883")
	}
	port := "1883"
	switch u.Scheme {
	case "tcp", "mqtt":
	case "ssl", "tls", "mqtts":
		port = "8883"
	default:
		return nil, problem.New(problem.Invalid, "--mqtt-url %s: want tcp://HOST:PORT or ssl://HOST:PORT", u.Redacted())
	}
	if u.Hostname() == "" {
		return nil, problem.New(problem.Invalid, "--mqtt-url %s: the host is missing", u.Redacted())
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return u, nil
}

// Connected says whether messages can come in now.
func (x *External) Connected() bool { return x.connected.Load() }

// Describe makes the reader a prometheus.Collector.
func (x *External) Describe(to chan<- *prometheus.Desc) { x.counts.describe(to) }

// Collect gives the reader's figures.
func (x *External) Collect(to chan<- prometheus.Metric) {
	links, waiting := 0, 0
	if x.Connected() {
		links = 1
	}
	if s := x.session.Load(); s != nil {
		waiting = int(s.unacked.Load())
	}
	x.counts.collect(to, waiting, links)
}

// Run reads until ctx ends. It keeps trying whatever the broker does; an error
// means that the log was closed.
func (x *External) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := x.runOnce(ctx)
		x.connected.Store(false)
		if errors.Is(err, intakelog.ErrClosed) {
			return fmt.Errorf("read broker %s: %w", x.broker.Redacted(), err)
		}
		if err != nil {
			x.Logger.Warn("the session with the broker is begun anew", "broker", x.broker.Redacted(), "error", err)
		}
		_ = rest(ctx, brokerAgain)
	}
	return nil
}

// runOnce is one client of the library, which reconnects by itself. A client that
// was disconnected on purpose must not be used again.
func (x *External) runOnce(ctx context.Context) error {
	s := newExternalSession(x)
	x.session.Store(s)
	client := mqtt.NewClient(x.options(s))
	client.Connect() // goes on trying until Disconnect
	s.start(ctx)
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.broken:
	}
	s.stop()
	client.Disconnect(250)
	s.running.Wait()
	return err
}

func (x *External) options(s *externalSession) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().
		AddBroker(x.broker.String()).
		SetClientID(x.ClientID).
		SetCleanSession(false).
		SetOrderMatters(true).
		SetAutoAckDisabled(true).
		SetDefaultPublishHandler(s.receive). // before Connect: a resumed session sends before we have subscribed
		SetOnConnectHandler(s.subscribe).
		SetConnectionNotificationHandler(x.notified).
		SetAutoReconnect(true).
		SetConnectRetry(true).
		SetConnectRetryInterval(brokerAgain).
		SetMaxReconnectInterval(brokerAgain).
		SetConnectTimeout(brokerWithin).
		SetWriteTimeout(brokerWithin).
		SetKeepAlive(brokerAlive).
		SetPingTimeout(brokerWithin)
}

// notified says how the connection is doing, attempts at most every ten seconds.
func (x *External) notified(_ mqtt.Client, n mqtt.ConnectionNotification) {
	switch n := n.(type) {
	case mqtt.ConnectionNotificationLost:
		x.connected.Store(false)
		x.Logger.Warn("connection to the broker lost", "broker", x.broker.Redacted(), "error", n.Reason)
	case mqtt.ConnectionNotificationFailed:
		now := time.Now().Unix()
		if last := x.warned.Load(); now >= last+10 && x.warned.CompareAndSwap(last, now) {
			x.Logger.Warn("cannot connect to the broker, trying again", "broker", x.broker.Redacted(), "error", n.Reason)
		}
	}
}

// cleanTopic makes a topic fit for text columns: brokers check less than we do.
func cleanTopic(topic string) string {
	if topicFault(topic) == "" {
		return topic
	}
	topic = strings.ReplaceAll(topic[:min(len(topic), maxTopicBytes)], "\x00", "\uFFFD")
	return strings.ToValidUTF8(topic, "\uFFFD")
}
