package intake

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Why a client or a message was refused, as the metrics call it.
const (
	reasonTooMany     = "too_many_connections"
	reasonSessions    = "too_many_sessions"
	reasonClientID    = "client_id"
	reasonCredentials = "credentials"
	reasonRevoked     = "revoked"
	reasonUnavailable = "devices_unknown"
	reasonTopic       = "topic"
	reasonFilter      = "filter"
	reasonSameID      = "client_id_in_use"
	reasonTooFast     = "too_fast"
	reasonTLS         = "tls"
	reasonWeb         = "websocket"
	reasonSilent      = "no_connect"
	reasonTooLarge    = "too_large"
	reasonMalformed   = "malformed"
	reasonPanic       = "panic"
	reasonLogFull     = "log_full"
	reasonQueue       = "queue"
)

// Why a message that was acknowledged was not passed on to a subscriber, or not
// retained; it is in the intake log all the same.
const (
	dropSlow   = "slow_subscriber"
	dropAway   = "absent_subscriber"
	dropRelay  = "relay_behind"
	dropSize   = "too_large_for_subscriber"
	dropRetain = "not_retained"
)

// counts are the figures of one way in.
type counts struct {
	messages [3]atomic.Uint64 // by QoS
	bytes    atomic.Uint64
	refused  *prometheus.CounterVec

	// Of the embedded broker alone.
	relayed   [3]atomic.Uint64 // by QoS
	dropped   *prometheus.CounterVec
	takeovers prometheus.Counter
	relayDesc *prometheus.Desc

	messagesDesc, bytesDesc, waitingDesc, linksDesc *prometheus.Desc
}

func newCounts(source string) *counts {
	fixed := prometheus.Labels{"source": source}
	return &counts{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thirdstate_mqtt_refused_total", ConstLabels: fixed,
			Help: "Connections and messages that were refused, by reason."}, []string{"reason"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thirdstate_mqtt_relay_dropped_total", ConstLabels: fixed,
			Help: "Messages that were not passed on to a subscriber or not retained, by reason. The intake log has them all the same."}, []string{"reason"}),
		takeovers: prometheus.NewCounter(prometheus.CounterOpts{Name: "thirdstate_mqtt_takeovers_total", ConstLabels: fixed,
			Help: "Connections that were pushed out by another one with the same client id."}),
		relayDesc:    prometheus.NewDesc("thirdstate_mqtt_relayed_total", "Messages passed on to subscribers, by quality of service.", []string{"qos"}, fixed),
		messagesDesc: prometheus.NewDesc("thirdstate_mqtt_messages_total", "Messages given to the intake log, by quality of service.", []string{"qos"}, fixed),
		bytesDesc:    prometheus.NewDesc("thirdstate_mqtt_payload_bytes_total", "Payload bytes given to the intake log.", nil, fixed),
		waitingDesc:  prometheus.NewDesc("thirdstate_mqtt_unacknowledged", "Messages that wait for the disk or for their acknowledgement to be written.", nil, fixed),
		linksDesc:    prometheus.NewDesc("thirdstate_mqtt_connections", "Connections that are open.", nil, fixed),
	}
}

func (c *counts) took(qos byte, bytes int) {
	c.messages[min(qos, 2)].Add(1)
	c.bytes.Add(uint64(bytes)) //nolint:gosec // a length
}

func (c *counts) refuse(reason string) { c.refused.WithLabelValues(reason).Inc() }

func (c *counts) drop(reason string) { c.dropped.WithLabelValues(reason).Inc() }

func (c *counts) passed(qos byte) { c.relayed[min(qos, 2)].Add(1) }

func (c *counts) describe(to chan<- *prometheus.Desc) {
	c.refused.Describe(to)
	for _, d := range []*prometheus.Desc{c.messagesDesc, c.bytesDesc, c.waitingDesc, c.linksDesc} {
		to <- d
	}
}

func (c *counts) collect(to chan<- prometheus.Metric, waiting, links int) {
	c.refused.Collect(to)
	for qos := range c.messages {
		to <- prometheus.MustNewConstMetric(c.messagesDesc, prometheus.CounterValue, float64(c.messages[qos].Load()), strconv.Itoa(qos))
	}
	to <- prometheus.MustNewConstMetric(c.bytesDesc, prometheus.CounterValue, float64(c.bytes.Load()))
	to <- prometheus.MustNewConstMetric(c.waitingDesc, prometheus.GaugeValue, float64(waiting))
	to <- prometheus.MustNewConstMetric(c.linksDesc, prometheus.GaugeValue, float64(links))
}
