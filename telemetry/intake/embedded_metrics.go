package intake

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// figures that only the embedded broker has, read when they are asked for.
type embeddedFigure struct {
	name, help string
	read       func(*Embedded) float64
}

func embeddedFigures() []embeddedFigure {
	return []embeddedFigure{
		{"thirdstate_mqtt_subscribers", "Sessions that have subscribed, those of absent clients among them.", func(e *Embedded) float64 { return float64(e.relay.audience.Load()) }},
		{"thirdstate_mqtt_mailbox_bytes", "Bytes that wait for subscribers or for their acknowledgement.", func(e *Embedded) float64 { return float64(e.relay.boxed.Load()) }},
		{"thirdstate_mqtt_retained_messages", "Messages that are kept for later subscribers.", func(e *Embedded) float64 { return float64(e.relay.kept.Load()) }},
		{"thirdstate_mqtt_held_topics", "Topics that are held to their share because the rules are behind; 0 while nobody is.", (*Embedded).heldTopics},
		{"thirdstate_mqtt_certificate_seconds", "Seconds until the broker's certificate ends; 0 without one.", (*Embedded).certificateSeconds},
	}
}

func (e *Embedded) heldTopics() float64 {
	e.share.mu.Lock()
	defer e.share.mu.Unlock()
	return float64(len(e.share.said))
}

func (e *Embedded) certificateSeconds() float64 {
	for _, d := range e.doors {
		if d.keys != nil {
			return time.Until(d.keys.ends()).Seconds()
		}
	}
	return 0
}

func (f embeddedFigure) desc() *prometheus.Desc {
	return prometheus.NewDesc(f.name, f.help, nil, prometheus.Labels{"source": "embedded"})
}

// Describe makes the broker a prometheus.Collector.
func (e *Embedded) Describe(to chan<- *prometheus.Desc) {
	e.counts.describe(to)
	e.counts.dropped.Describe(to)
	e.counts.takeovers.Describe(to)
	to <- e.counts.relayDesc
	for _, f := range embeddedFigures() {
		to <- f.desc()
	}
}

// Collect gives the broker's figures.
func (e *Embedded) Collect(to chan<- prometheus.Metric) {
	e.counts.collect(to, int(e.unacked.Load()), e.Connections())
	e.counts.dropped.Collect(to)
	e.counts.takeovers.Collect(to)
	for qos := range e.counts.relayed {
		to <- prometheus.MustNewConstMetric(e.counts.relayDesc, prometheus.CounterValue, float64(e.counts.relayed[qos].Load()), strconv.Itoa(qos))
	}
	for _, f := range embeddedFigures() {
		to <- prometheus.MustNewConstMetric(f.desc(), prometheus.GaugeValue, f.read(e))
	}
}
