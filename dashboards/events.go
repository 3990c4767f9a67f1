package dashboards

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
)

// hub tells open pages that something changed. A page then asks for itself
// again, under its own principal, so that nothing is ever pushed across tenants.
// A viewer that does not read misses ticks and nothing else.
type hub struct {
	mu      sync.Mutex
	viewers map[chan struct{}]struct{}
}

func newHub() *hub { return &hub{viewers: map[chan struct{}]struct{}{}} }

// maxViewers bounds open event streams.
const maxViewers = 1_000

func (h *hub) join() (chan struct{}, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) >= maxViewers {
		return nil, false
	}
	ch := make(chan struct{}, 1)
	h.viewers[ch] = struct{}{}
	return ch, true
}

func (h *hub) leave(ch chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.viewers, ch)
}

func (h *hub) changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.viewers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (h *hub) empty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.viewers) == 0
}

const newestAuditSQL = `SELECT coalesce((SELECT id FROM audit ORDER BY id DESC LIMIT 1), '00000000-0000-0000-0000-000000000000')`

// Run watches the audit log, which every change goes through, and wakes the open
// pages. It blocks until ctx ends.
func (s *Site) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var last uuid.UUID
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if s.hub.empty() {
			continue
		}
		newest := last
		err := postgres.As(ctx, s.Pool, identity.Program("pages"), func(tx pgx.Tx) error {
			id, err := postgres.Value[uuid.UUID](ctx, tx, newestAuditSQL, nil)
			newest = id
			return err
		})
		if err == nil && newest != last {
			last = newest
			s.hub.changed()
		}
	}
}

// events streams "changed" whenever something did, and the clock each second.
func (s *Site) events(r *request) error {
	ch, ok := s.hub.join()
	if !ok {
		return r.NoContent(http.StatusServiceUnavailable)
	}
	defer s.hub.leave(ch)
	w := r.Response()
	ctl := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	clock := time.NewTicker(time.Second)
	defer clock.Stop()
	for {
		// A viewer that does not read for 30 s is cut off; it reconnects by itself.
		if err := ctl.SetWriteDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return nil
		}
		text := "event: clock\ndata: " + r.view.Time(s.Clock.Now()) + "\n\n"
		select {
		case <-r.ctx.Done():
			return nil
		case <-ch:
			text = "event: changed\ndata: 1\n\n"
		case <-clock.C:
		}
		if _, err := fmt.Fprint(w, text); err != nil {
			return nil
		}
		if err := ctl.Flush(); err != nil {
			return nil
		}
	}
}
