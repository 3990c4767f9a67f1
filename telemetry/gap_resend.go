package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

const (
	resendEvery    = 5 * time.Second
	resendAtOnce   = 100              // requests in one round: 20 a second in all
	resendLooksAt  = 1_000            // gaps, the newest
	resendTries    = 5                // of one gap
	resendPause    = time.Minute      // after the first request; each next one is twice as long
	resendPatience = 10 * time.Second // program clock: what comes out of order has time to come
	resendWithin   = 10 * time.Second // for the brokers to take a request
	resendDay      = 24 * time.Hour   // program clock: what devices may still have
)

// Resender asks devices for messages that have not come: {"boot":"a1","from":7,
// "to":9} on fleet/{machine}/down/resend. A device that can sends them again, as it
// sent them before; one that cannot has not subscribed, and nothing happens.
type Resender struct {
	Pool    *postgres.Pool
	Publish []func(ctx context.Context, topic string, payload []byte) error // to the devices of each broker
	Now     func() time.Time                                                // program clock
	Log     *slog.Logger

	asked    map[resendKey]resent // bounded by resendLooksAt
	requests atomic.Uint64
}

type resendKey struct {
	machine uuid.UUID
	boot    string
	first   int64
}

// resent is how often a gap was asked for, and when it may be again (wall clock).
type resent struct {
	times int
	next  time.Time
}

// Run asks until ctx ends.
func (r *Resender) Run(ctx context.Context) error {
	for clock.Rest(ctx, resendEvery) == nil {
		if err := r.runOnce(ctx, time.Now()); err != nil && ctx.Err() == nil {
			r.Log.Warn("devices were not asked for what is missing", "error", err)
		}
	}
	return nil
}

const resendSQL = `SELECT g.machine_id, m.key, g.boot, g.first, g.last, g.found_at, g.filled_at FROM sequence_gap g JOIN machine m ON m.id = g.machine_id
WHERE g.filled_at IS NULL AND g.found_at <= @before AND g.found_at > @after ORDER BY g.found_at DESC, g.machine_id, g.first LIMIT @limit`

func (r *Resender) runOnce(ctx context.Context, wall time.Time) error {
	now := r.Now()
	args := pgx.NamedArgs{"before": now.Add(-resendPatience), "after": now.Add(-resendDay), "limit": resendLooksAt}
	var gaps []SequenceGap
	err := postgres.As(ctx, r.Pool, identity.Program("intake"), func(tx pgx.Tx) (err error) {
		gaps, err = postgres.All[SequenceGap](ctx, tx, resendSQL, args)
		return err
	})
	if err != nil {
		return fmt.Errorf("read what is missing: %w", err)
	}
	listed, left := make(map[resendKey]resent, len(gaps)), resendAtOnce
	var errs []error
	for _, g := range gaps {
		key := resendKey{g.MachineID, g.Boot, g.From}
		before := r.asked[key]
		if left > 0 && len(errs) == 0 && before.times < resendTries && !wall.Before(before.next) {
			left--
			if err := r.ask(ctx, g); err != nil {
				errs = append(errs, err)
			} else {
				before = resent{before.times + 1, wall.Add(resendPause << before.times)}
			}
		}
		listed[key] = before
	}
	r.asked = listed
	return errors.Join(errs...)
}

// ask publishes one request.
func (r *Resender) ask(ctx context.Context, g SequenceGap) error {
	payload, err := json.Marshal(struct {
		Boot string `json:"boot"`
		From int64  `json:"from"`
		To   int64  `json:"to"`
	}{g.Boot, g.From, g.To})
	if err != nil {
		return fmt.Errorf("write a request to %s: %w", g.Machine, err)
	}
	topic := "fleet/" + g.Machine + "/down/resend"
	ctx, cancel := context.WithTimeout(ctx, resendWithin)
	defer cancel()
	for _, publish := range r.Publish {
		if err := publish(ctx, topic, payload); err != nil {
			return fmt.Errorf("ask %s for what is missing: %w", g.Machine, err)
		}
	}
	r.requests.Add(1)
	return nil
}

//nolint:gochecknoglobals // a description, never written
var resendDesc = prometheus.NewDesc("thirdstate_resend_requests_total", "Requests to devices for messages that did not come.", nil, nil)

// Describe makes it a prometheus.Collector.
func (r *Resender) Describe(ch chan<- *prometheus.Desc) { ch <- resendDesc }

// Collect gives the number of requests.
func (r *Resender) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(resendDesc, prometheus.CounterValue, float64(r.requests.Load()))
}
