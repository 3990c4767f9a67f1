package dashboards

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
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

// Between two ticks of "changed" lies this at least: a busy minute must not make
// each open page ask for itself all the time. The last change is never lost.
const betweenChanges = 2 * time.Second

// events streams "changed" whenever something did, and the clock each second.
func (s *Site) events(r *request) error {
	ch, ok := s.hub.join()
	if !ok {
		return r.refusal(problem.Unavailable, "error.viewers")
	}
	defer s.hub.leave(ch)
	w := r.Response()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	clock := time.NewTicker(time.Second)
	defer clock.Stop()
	var told time.Time
	var demo DemoStatus
	changed := false
	for {
		text := "event: clock\ndata: " + r.view.Time(s.Clock.Now()) + "\n\n"
		if changed && time.Since(told) >= betweenChanges {
			text += "event: changed\ndata: 1\n\n"
			changed, told = false, time.Now()
		}
		if s.Demo != nil {
			if now := s.Demo.Status(); now != demo {
				demo = now
				text += "event: demo\ndata: 1\n\n"
			}
		}
		if err := send(w, text); err != nil {
			return nil // the viewer has gone
		}
		select {
		case <-r.ctx.Done():
			return nil
		case <-ch:
			changed = true
		case <-clock.C:
		}
	}
}

// showDemoBar is the demo's bar alone, for pages that are open.
func (s *Site) showDemoBar(r *request) error {
	var buf bytes.Buffer
	if err := demoBar(r.view).Render(r.ctx, &buf); err != nil {
		return fmt.Errorf("render the demo's bar: %w", err)
	}
	return r.HTMLBlob(http.StatusOK, buf.Bytes())
}

// send writes one event. A viewer that does not read for 30 s is cut off; it
// reconnects by itself.
func send(w *echo.Response, text string) error {
	ctl := http.NewResponseController(w)
	if err := ctl.SetWriteDeadline(time.Now().Add(30 * time.Second)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	return ctl.Flush()
}
