package intake

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

const (
	sparkplugLook = 250 * time.Millisecond // between two looks for nodes that have to be asked
	recordsAtOnce = 1_024                  // of the log
	maxHostID     = 64                     // bytes
	maxGroups     = 50
	externalSpark = "external" // the source of what the external broker has
	embeddedSpark = "embedded"
)

// SparkplugConfig says who the Sparkplug host application is and where it listens:
// to the embedded broker, to an external one, or to both.
type SparkplugConfig struct {
	HostID    string        // unique wherever it is used
	Groups    []string      // those that are listened to; none = all
	Reorder   time.Duration // how long a missing sequence number is waited for; 0 = it is not
	BrokerURL string        // "" = no external broker
	TLS       BrokerTLS
	Embedded  *Embedded // nil = there is none
	Log       *intakelog.Log
	Now       func() time.Time // program clock; what is said to others has the wall clock's time
	Logger    *slog.Logger
}

// SparkplugHost is a Sparkplug B 3.0 host application: it tells edge nodes that it
// is online, takes what they say into the intake log, and asks them for their
// births where something is missing. What their messages mean is none of its
// business: that is decoded from the log.
type SparkplugHost struct {
	SparkplugConfig
	broker  *url.URL
	connect func(context.Context, *sparkplugSession) *mqtt.ClientOptions
	counts  *counts
	asked   *prometheus.CounterVec
	nodes   prometheus.GaugeFunc

	mu       sync.Mutex // guards what follows
	watch    *sparkplug.Watch
	sources  map[sparkplug.Node]string // where a node was heard last
	external *sparkplugSession         // nil while there is no connection
	embedded time.Time                 // since when we are online there; zero = we are not
}

// NewSparkplugHost checks what it is given and connects to nothing.
func NewSparkplugHost(c SparkplugConfig) (*SparkplugHost, error) {
	if c.HostID == "" || len(c.HostID) > maxHostID || topicFault(c.HostID) != "" || strings.ContainsAny(c.HostID, "/+#") {
		return nil, problem.New(problem.Invalid, "--sparkplug-host-id %q is no name of a host: no / + or #, at most %d bytes", printable(c.HostID), maxHostID)
	}
	if len(c.Groups) > maxGroups {
		return nil, problem.New(problem.Invalid, "--sparkplug-groups names %d groups, at most %d", len(c.Groups), maxGroups)
	}
	for _, group := range c.Groups {
		if group == "" || topicFault(group) != "" || strings.ContainsAny(group, "/+#") {
			return nil, problem.New(problem.Invalid, "--sparkplug-groups: %q is no group: no / + or #", printable(group))
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	h := &SparkplugHost{SparkplugConfig: c, counts: newCounts("sparkplug"), sources: map[sparkplug.Node]string{},
		watch: sparkplug.NewWatch(sparkplug.WatchConfig{Reorder: c.Reorder, AskMalformed: true})}
	h.asked = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thirdstate_sparkplug_rebirths_total",
		Help: "Edge nodes that were asked for their births, by reason."}, []string{"reason"})
	h.nodes = prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "thirdstate_sparkplug_nodes", Help: "Edge nodes that have been heard."},
		func() float64 {
			h.mu.Lock()
			defer h.mu.Unlock()
			return float64(h.watch.Nodes())
		})
	if c.BrokerURL == "" {
		return h, nil
	}
	var err error
	if h.broker, err = parseBrokerURL(c.BrokerURL); err != nil {
		return nil, err
	}
	tlsConfig, err := c.TLS.load(h.broker.Hostname())
	if err != nil {
		return nil, err
	}
	h.connect = func(ctx context.Context, s *sparkplugSession) *mqtt.ClientOptions { return s.options(ctx, tlsConfig) }
	return h, nil
}

// stateTopic is where the host says whether it is online.
func (h *SparkplugHost) stateTopic() string {
	return sparkplug.Topic{Type: sparkplug.State, Host: h.HostID}.String()
}

// Connected says whether the external broker is listened to; true where there is none.
func (h *SparkplugHost) Connected() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.broker == nil || h.external != nil
}

// Describe makes the host a prometheus.Collector.
func (h *SparkplugHost) Describe(to chan<- *prometheus.Desc) {
	h.counts.describe(to)
	h.asked.Describe(to)
	h.nodes.Describe(to)
}

// Collect gives the host's figures.
func (h *SparkplugHost) Collect(to chan<- prometheus.Metric) {
	links := 0
	if h.broker != nil && h.Connected() {
		links = 1
	}
	h.counts.collect(to, 0, links)
	h.asked.Collect(to)
	h.nodes.Collect(to)
}

// Run is the host's life until ctx ends. It keeps trying whatever the broker does.
func (h *SparkplugHost) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	if h.Embedded != nil {
		h.Embedded.watch(h.stateTopic(), h.contradict)
		h.announce(time.Now())
		defer h.renounce()
	}
	parts.Go(func() { h.look(ctx) })
	if h.broker != nil {
		parts.Go(func() { h.listen(ctx) })
	}
	err := h.follow(ctx)
	if ctx.Err() != nil { // that is how a run is ended
		return nil
	}
	return err
}

// announce tells the edge nodes on the embedded broker that the host is online.
func (h *SparkplugHost) announce(since time.Time) {
	h.mu.Lock()
	h.embedded = since
	h.mu.Unlock()
	h.Embedded.tell(h.stateTopic(), sparkplug.StatePayload(true, since), 1, true)
}

// renounce tells them that it is not any more.
func (h *SparkplugHost) renounce() {
	h.mu.Lock()
	h.embedded = time.Time{}
	h.mu.Unlock()
	h.Embedded.tell(h.stateTopic(), sparkplug.StatePayload(false, time.Now()), 1, true)
}

// follow reads the intake log from its end: what came before this program ran is
// as unknown as to any host that comes late.
func (h *SparkplugHost) follow(ctx context.Context) error {
	_, at := h.Log.Bounds()
	var buf []intakelog.Record
	for {
		records, err := h.Log.Read(ctx, at, recordsAtOnce, buf[:0])
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return context.Cause(ctx)
		}
		for i := range records {
			_ = formats.Contain(func() { h.see(&records[i]) }) // the stage names it, and keeps it
		}
		at, buf = records[len(records)-1].LSN, records
	}
}

// see notes a record that edge nodes have to do with.
func (h *SparkplugHost) see(r *intakelog.Record) {
	switch {
	case r.Kind == intakelog.Session:
		h.forget(r.Source)
		return
	case r.Kind != intakelog.Message || !strings.HasPrefix(r.Topic, sparkplug.Namespace) || r.Replayed():
		return
	}
	t, _, fault := sparkplug.ParseTopic(r.Topic)
	if fault != nil || !h.wants(t.Group) {
		return
	}
	p, _ := sparkplug.Decode(r.Payload)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watch.See(t, p, time.Now())
	if len(h.sources) > 2*h.watch.Nodes()+1_000 {
		clear(h.sources) // those who speak come back
	}
	h.sources[t.Node] = r.Source
}

// wants says whether a group is listened to.
func (h *SparkplugHost) wants(group string) bool {
	for _, g := range h.Groups {
		if g == group {
			return true
		}
	}
	return len(h.Groups) == 0
}

func (h *SparkplugHost) forget(source string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watch.Forget(func(n sparkplug.Node) bool { return h.sources[n] == source })
}

// contradict says again that the host is online, when somebody on the embedded
// broker has said that it is not.
func (h *SparkplugHost) contradict(payload []byte) {
	h.mu.Lock()
	since := h.embedded
	h.mu.Unlock()
	if s, ok := sparkplug.ParseState(payload); ok && !s.Online && !since.IsZero() {
		h.announce(since)
	}
}

// look asks the nodes that have to be asked, until ctx ends.
func (h *SparkplugHost) look(ctx context.Context) {
	tick := time.NewTicker(sparkplugLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.ask(time.Now())
		}
	}
}

func (h *SparkplugHost) ask(now time.Time) {
	h.mu.Lock()
	asks := h.watch.Due(now)
	external := h.external
	sources := make([]string, len(asks))
	for i := range asks {
		sources[i] = h.sources[asks[i].Node]
	}
	h.mu.Unlock()
	for i, a := range asks {
		topic := sparkplug.Topic{Node: a.Node, Type: sparkplug.NCmd}.String()
		switch {
		case sources[i] == embeddedSpark && h.Embedded != nil:
			h.Embedded.tell(topic, sparkplug.RebirthCommand(now), 0, false)
		case sources[i] == externalSpark && external != nil:
			external.client.Publish(topic, 0, false, sparkplug.RebirthCommand(now))
		default:
			continue // it will be heard again, and asked then
		}
		h.asked.WithLabelValues(a.Reason).Inc()
		h.Logger.Info("an edge node is asked for its births", "node", a.String(), "reason", a.Reason)
	}
}
