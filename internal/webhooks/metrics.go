package webhooks

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

// scrapeWithin bounds how long a scrape waits for the database.
const scrapeWithin = 2 * time.Second

func newOutcomes() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "thirdstate", Name: "webhook_tries_total",
		Help: "Tries to deliver to webhooks since the start: delivered, retry (failed, will be tried again) or failed (given up)."}, []string{"outcome"})
}

func (d *Dispatcher) count(t try, r result) {
	outcome := "delivered"
	if r.err != nil {
		outcome = "retry"
		if lastTry(t, r) {
			outcome = "failed"
		}
	}
	d.outcomes.WithLabelValues(outcome).Inc()
}

const waitingSQL = `SELECT (SELECT count(*) FROM webhook_delivery WHERE state = 'waiting') AS waiting, (SELECT count(*) FROM webhook WHERE enabled) AS enabled,
  (` + brokenSQL + `) AS broken`

type counts struct {
	Waiting int64 `db:"waiting"`
	Enabled int64 `db:"enabled"`
	Broken  int64 `db:"broken"`
}

// Describe implements prometheus.Collector.
func (d *Dispatcher) Describe(ch chan<- *prometheus.Desc) {
	d.outcomes.Describe(ch)
	ch <- waitingDesc
	ch <- webhooksDesc
}

var (
	waitingDesc  = prometheus.NewDesc("thirdstate_webhook_waiting", "Deliveries to webhooks that wait for their next try.", nil, nil)
	webhooksDesc = prometheus.NewDesc("thirdstate_webhooks", "Webhooks that are enabled, and those that were switched off because their receiver failed.", []string{"state"}, nil)
)

// Collect implements prometheus.Collector.
func (d *Dispatcher) Collect(ch chan<- prometheus.Metric) {
	d.outcomes.Collect(ch)
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	var n counts
	err := postgres.As(ctx, d.pool, program, func(tx pgx.Tx) (err error) {
		n, err = postgres.One[counts](ctx, tx, waitingSQL, nil)
		return err
	})
	if err != nil {
		return // the database is away: nothing is known
	}
	ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(n.Waiting))
	ch <- prometheus.MustNewConstMetric(webhooksDesc, prometheus.GaugeValue, float64(n.Enabled), "enabled")
	ch <- prometheus.MustNewConstMetric(webhooksDesc, prometheus.GaugeValue, float64(n.Broken), "switched_off")
}
