package intake

import (
	"context"
	"crypto/tls"
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

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

const (
	// brokerAgain is between two attempts to connect, at most; the library's own
	// default is ten minutes. A broker that was killed has forgotten us: what devices
	// publish before we are back is lost, and they try again quickly too.
	brokerAgain    = 500 * time.Millisecond
	brokerRefused  = 2 * time.Second // after the broker has said no
	brokerWithin   = 10 * time.Second
	brokerAlive    = 30 * time.Second
	maxInboxBytes  = 64 << 20
	maxTopicsAsked = 100
	mqtt311        = 4 // the library would fall back to 3.1, which cannot refuse a subscription
)

// ExternalConfig says which broker is read.
type ExternalConfig struct {
	URL       string // tcp://user:password@host:1883; mqtt, ssl, tls and mqtts as well
	TLS       BrokerTLS
	Topics    []string      // filters
	Share     string        // group of a shared subscription; "" reads everything alone
	ClientID  string        // the broker's session belongs to it; "" = made from the log's id
	KeepAlive time.Duration // a silent connection is given up after 1.5 times this; 0 = 30 s
	Log       *intakelog.Log
	Now       func() time.Time // program clock
	Logger    *slog.Logger
}

// External reads the messages of an MQTT broker at QoS 1 with a persistent
// session, and acknowledges each after it is durable in the intake log: while
// this program is away, or its log full, the broker keeps them.
type External struct {
	ExternalConfig
	broker  *url.URL
	tls     *tls.Config
	counts  *counts
	drops   brokerDrops
	session atomic.Pointer[externalSession] // the newest
	trouble atomic.Pointer[string]
	warned  atomic.Int64 // second of the last warning about the connection
}

// NewExternal checks what it is given and connects to nothing.
func NewExternal(c ExternalConfig) (*External, error) {
	broker, err := parseBrokerURL(c.URL)
	if err != nil {
		return nil, err
	}
	if err := c.checkTopics(); err != nil {
		return nil, err
	}
	tlsConfig, err := c.TLS.load(broker.Hostname())
	if err != nil {
		return nil, err
	}
	if c.ClientID == "" {
		c.ClientID = "thirdstate-" + c.Log.ID().String()[:8]
	}
	if c.KeepAlive < time.Second {
		c.KeepAlive = brokerAlive
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &External{ExternalConfig: c, broker: broker, tls: tlsConfig, counts: newCounts("external")}, nil
}

func (c ExternalConfig) checkTopics() error {
	if len(c.Topics) == 0 || len(c.Topics) > maxTopicsAsked {
		return problem.New(problem.Invalid, "--mqtt-topics names %d topics; between 1 and %d can be subscribed to", len(c.Topics), maxTopicsAsked)
	}
	for _, topic := range c.Topics {
		if fault := filterFault(topic); fault != "" {
			return problem.New(problem.Invalid, "--mqtt-topics: %q is %s", printable(topic), fault)
		}
	}
	if strings.ContainsAny(c.Share, "/+#\x00") || len(c.Share) > maxClientIDBytes {
		return problem.New(problem.Invalid, "--mqtt-share %q is no name of a group: no / + or #, at most %d bytes", printable(c.Share), maxClientIDBytes)
	}
	return nil
}

// filterFault says what is wrong with a topic filter, "" for nothing.
func filterFault(filter string) string {
	if fault := topicFault(filter); fault != "" {
		return fault
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		switch {
		case len(level) > 1 && strings.ContainsAny(level, "+#"):
			return "no filter: + and # stand alone between slashes"
		case level == "#" && i < len(levels)-1:
			return "no filter: # can be the last level only"
		}
	}
	return ""
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
func (x *External) Connected() bool {
	s := x.session.Load()
	return s != nil && s.subscribed()
}

// Trouble is why messages cannot come in now, "" when they can.
func (x *External) Trouble() string {
	if x.Connected() {
		return ""
	}
	if t := x.trouble.Load(); t != nil {
		return *t
	}
	return "not connected yet"
}

// Describe makes the reader a prometheus.Collector.
func (x *External) Describe(to chan<- *prometheus.Desc) {
	x.counts.describe(to)
	x.drops.Describe(to)
}

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
	x.drops.Collect(to)
}

// Run reads until ctx ends. It keeps trying whatever the broker does; an error
// means that the log was closed.
func (x *External) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := x.runOnce(ctx)
		if errors.Is(err, intakelog.ErrClosed) {
			return fmt.Errorf("read broker %s: %w", x.broker.Redacted(), err)
		}
		if err != nil {
			x.suffer(err)
		}
		_ = clock.Rest(ctx, brokerRefused)
	}
	return nil
}

// runOnce is one client of the library, which reconnects by itself. A client that
// was disconnected on purpose must not be used again.
func (x *External) runOnce(ctx context.Context) error {
	s := newExternalSession(x)
	s.client = mqtt.NewClient(x.options(ctx, s))
	x.session.Store(s)
	s.client.Connect() // goes on trying until Disconnect
	s.start(ctx)
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.broken:
	}
	s.stop()
	s.client.Disconnect(250)
	s.running.Wait()
	return err
}

func (x *External) options(ctx context.Context, s *externalSession) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().
		AddBroker(x.broker.String()).
		SetProtocolVersion(mqtt311).
		SetClientID(x.ClientID).
		SetCleanSession(false).
		SetOrderMatters(true).
		SetAutoAckDisabled(true).
		SetDefaultPublishHandler(s.receive). // before Connect: a resumed session sends before we have subscribed
		SetOnConnectHandler(s.subscribe).
		SetConnectionNotificationHandler(s.notified).
		SetCustomOpenConnectionFn(func(broker *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			return dialBroker(ctx, broker, x.tls, brokerWithin)
		}).
		SetAutoReconnect(true).
		SetConnectRetry(true).
		SetConnectRetryInterval(brokerAgain).
		SetMaxReconnectInterval(brokerAgain).
		SetConnectTimeout(brokerWithin).
		SetWriteTimeout(brokerWithin).
		SetKeepAlive(x.KeepAlive).
		SetPingTimeout(x.KeepAlive * 2 / 9) // the library looks every quarter or five seconds: within 1.5 times in all
}

// suffer keeps why the broker cannot be read and says it, at most every ten
// seconds while nothing changes.
func (x *External) suffer(err error) {
	text := err.Error()
	before := x.trouble.Swap(&text)
	now := time.Now().Unix()
	if before == nil || *before != text || now >= x.warned.Load()+10 {
		x.warned.Store(now)
		x.Logger.Warn("the broker cannot be read, trying again", "broker", x.broker.Redacted(), "error", text)
	}
}

// Publish sends a message to a device, at QoS 1. Nil says that the broker has it,
// not that the device does.
func (x *External) Publish(ctx context.Context, topic string, payload []byte) error {
	s := x.session.Load()
	if s == nil || !s.subscribed() {
		return problem.New(problem.Unavailable, "the external broker is not connected: %s", x.Trouble())
	}
	token := s.client.Publish(topic, 1, false, payload)
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return fmt.Errorf("publish to %s: %w", topic, ctx.Err())
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
