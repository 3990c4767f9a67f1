package intake

import (
	"strconv"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"
)

// droppedTopic is where Mosquitto counts the messages that it has thrown away, of
// all its clients, since it was started.
const droppedTopic = "$SYS/broker/publish/messages/dropped"

// BrokerDrops is what a broker says of the messages that it has thrown away since
// this program looks at it: those of any of its clients.
type BrokerDrops struct {
	Known bool      // the broker tells
	Count uint64    // since we look
	Last  time.Time // program clock; zero when none
}

// brokerDrops follows the broker's count over its restarts.
type brokerDrops struct {
	mu    sync.Mutex
	seen  bool
	total uint64 // as the broker says
	now   BrokerDrops
}

// Drops says what the broker has thrown away since this program looks at it.
func (x *External) Drops() BrokerDrops {
	x.drops.mu.Lock()
	defer x.drops.mu.Unlock()
	return x.drops.now
}

// watchDrops asks the broker for its count. A broker that has none, or does not
// tell us, is none the worse for it.
func (s *externalSession) watchDrops(client mqtt.Client) {
	client.Subscribe(droppedTopic, 0, nil)
}

// tells takes a message that is the broker's word about itself.
func (x *External) tells(m mqtt.Message) bool {
	if !strings.HasPrefix(m.Topic(), "$SYS/") {
		return false
	}
	total, err := strconv.ParseUint(strings.TrimSpace(string(m.Payload()[:min(len(m.Payload()), 24)])), 10, 64)
	if m.Topic() != droppedTopic || err != nil {
		return true
	}
	if more := x.drops.note(total, x.Now()); more > 0 {
		x.Logger.Warn("the broker throws messages away; thirdstate doctor broker says which limit it is", "broker", x.broker.Redacted(), "messages", more)
	}
	return true
}

// note returns how many were thrown away since the last word. A count that went
// back is that of a broker which was started again.
func (d *brokerDrops) note(total uint64, at time.Time) (more uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.seen:
	case total < d.total:
		more = total
	default:
		more = total - d.total
	}
	d.seen, d.total, d.now.Known = true, total, true
	if more > 0 {
		d.now.Count += more
		d.now.Last = at
	}
	return more
}

//nolint:gochecknoglobals // a description, never written
var droppedDesc = prometheus.NewDesc("thirdstate_broker_dropped_total", "Messages that the external broker says it has thrown away since this program looks at it.", nil, prometheus.Labels{"source": "external"})

// Describe implements prometheus.Collector.
func (d *brokerDrops) Describe(to chan<- *prometheus.Desc) { to <- droppedDesc }

// Collect implements prometheus.Collector; a broker that does not tell has no figure.
func (d *brokerDrops) Collect(to chan<- prometheus.Metric) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now.Known {
		to <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(d.now.Count))
	}
}
