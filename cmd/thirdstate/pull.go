package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/telemetry/aemp/pull"
)

// pullState is a source in a few signs: well or not, when it was polled last, when
// it is next, and why it cannot be read.
func pullState(s pull.Status) string {
	const clock = "15:04:05"
	switch {
	case s.Polled.IsZero():
		return "…"
	case s.Trouble != "":
		return "✗ " + s.Polled.Format(clock) + " → " + s.Next.Format(clock) + " · " + s.Trouble
	}
	return "✓ " + s.Polled.Format(clock) + " → " + s.Next.Format(clock)
}

// pullMetrics tells how the makers' servers are doing, by source.
type pullMetrics struct {
	puller                             *pull.Puller
	polls, failures, pages, good, next *prometheus.Desc
}

func newPullMetrics(p *pull.Puller) *pullMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("thirdstate_aemp_"+name, help, []string{"source"}, nil)
	}
	return &pullMetrics{puller: p,
		polls:    desc("polls_total", "Times that a maker's fleet was asked for."),
		failures: desc("poll_failures_total", "Polls that failed."),
		pages:    desc("pages_total", "Answers that were written into the intake log."),
		good:     desc("last_good_seconds", "When a poll succeeded last, in Unix seconds; 0 for never."),
		next:     desc("next_poll_seconds", "When the source is polled next, in Unix seconds."),
	}
}

// Describe names the metrics.
func (m *pullMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.polls, m.failures, m.pages, m.good, m.next} {
		ch <- d
	}
}

// Collect gives them for each source.
func (m *pullMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, s := range m.puller.Sources() {
		count := func(d *prometheus.Desc, n uint64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), s.Name)
		}
		count(m.polls, s.Polls)
		count(m.failures, s.Failures)
		count(m.pages, s.Pages)
		good, next := 0.0, 0.0
		if !s.Good.IsZero() {
			good = float64(s.Good.Unix())
		}
		if !s.Next.IsZero() {
			next = float64(s.Next.Unix())
		}
		ch <- prometheus.MustNewConstMetric(m.good, prometheus.GaugeValue, good, s.Name)
		ch <- prometheus.MustNewConstMetric(m.next, prometheus.GaugeValue, next, s.Name)
	}
}
