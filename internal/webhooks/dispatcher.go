package webhooks

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

const (
	lanesAtOnce = 64          // webhooks that are served at the same time, one delivery each
	lanesForIll = 32          // of them for receivers whose last try failed
	lookEvery   = time.Second // for what has become due
	laneTurn    = 20          // deliveries; then others have their turn
)

// program is who acts when nobody is there.
var program = identity.Program("webhooks")

// Dispatcher carries deliveries to their receivers. Each webhook is served by one
// lane at a time, in order while its receiver takes what it gets: a receiver that
// hangs costs itself and nobody else. What a crash leaves undone is due again when
// its lease is over. Make one with NewDispatcher.
type Dispatcher struct {
	pool     *postgres.Pool
	clock    *clock.Clock
	log      *slog.Logger
	settings Settings
	out      outside
	wall     func() time.Time // receivers live by the wall's time, not by the program's
	outcomes *prometheus.CounterVec
	wake     chan struct{} // a lane has ended: look again

	mu   sync.Mutex
	busy map[uuid.UUID]bool // webhooks with a lane; true: the receiver's last try failed
}

// NewDispatcher opens the ways out; the work begins with Run.
func NewDispatcher(pool *postgres.Pool, clock *clock.Clock, log *slog.Logger, s Settings) *Dispatcher {
	return &Dispatcher{pool: pool, clock: clock, log: log, settings: s, out: newOutside(s, nil, nil), wall: time.Now,
		outcomes: newOutcomes(), wake: make(chan struct{}, 1), busy: map[uuid.UUID]bool{}}
}

// Run delivers until ctx ends, and then waits for what is under way, which ends at
// once: an interrupted try is made again after the next start.
func (d *Dispatcher) Run(ctx context.Context) error {
	var lanes sync.WaitGroup
	defer d.out.close()
	defer lanes.Wait()
	for {
		if err := d.runOnce(ctx, &lanes); err != nil && ctx.Err() == nil {
			d.log.ErrorContext(ctx, "webhooks not looked at, trying again", "error", err)
		}
		timer := time.NewTimer(lookEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-d.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// Receivers that take what they get come first, and of them those that have waited
// longest for a turn.
const dueSQL = `SELECT w.id, w.failures > 0 AS ill FROM webhook w
WHERE w.enabled AND (w.rest_until IS NULL OR w.rest_until <= @wall) AND w.id <> ALL(@busy::uuid[])
  AND EXISTS (SELECT 1 FROM webhook_delivery d WHERE d.webhook_id = w.id AND d.state = 'waiting' AND coalesce(d.next_at, '-infinity'::timestamptz) <= @wall)
ORDER BY w.failures > 0, w.tried_at NULLS FIRST, w.id LIMIT @most`

// due is a webhook that something is due for.
type due struct {
	ID  uuid.UUID `db:"id"`
	Ill bool      `db:"ill"` // its last try failed
}

// runOnce opens a lane for each webhook that something is due for, as far as there
// are lanes.
func (d *Dispatcher) runOnce(ctx context.Context, lanes *sync.WaitGroup) error {
	busy, ill := d.serving()
	if len(busy) >= lanesAtOnce {
		return nil
	}
	var list []due
	err := postgres.As(ctx, d.pool, program, func(tx pgx.Tx) (err error) {
		list, err = postgres.All[due](ctx, tx, dueSQL, pgx.NamedArgs{"wall": d.wall(), "busy": busy, "most": lanesAtOnce - len(busy)})
		return err
	})
	for _, w := range list {
		if w.Ill {
			if ill++; ill > lanesForIll {
				break
			}
		}
		d.begin(w)
		lanes.Go(func() {
			d.lane(ctx, w.ID)
			d.end(w)
			select {
			case d.wake <- struct{}{}:
			default:
			}
		})
	}
	return err
}

// serving gives the webhooks that have a lane, and how many of them are ill.
func (d *Dispatcher) serving() (busy []uuid.UUID, ill int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	busy = make([]uuid.UUID, 0, len(d.busy))
	for id, failed := range d.busy {
		busy = append(busy, id)
		if failed {
			ill++
		}
	}
	return busy, ill
}

func (d *Dispatcher) begin(w due) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy[w.ID] = w.Ill
}

func (d *Dispatcher) end(w due) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.busy, w.ID)
}

// lane delivers to one webhook until nothing is due, a try fails or its turn is over.
func (d *Dispatcher) lane(ctx context.Context, webhook uuid.UUID) {
	for range laneTurn {
		taken, err := d.deliverNext(ctx, webhook)
		if err != nil && ctx.Err() == nil {
			d.log.ErrorContext(ctx, "a webhook could not be served, trying again", "webhook_id", webhook, "error", err)
		}
		if err != nil || !taken {
			return
		}
	}
}
