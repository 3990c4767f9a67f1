package dashboards

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

// A page that is open hears of a change that somebody else made, and when it
// goes away its place is free again.
func TestEvents_TellOfChangesAndEnd(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	b := d.signIn(d.w.Staff[identity.ServiceManager], "en")
	ctx, stop := context.WithCancel(t.Context())
	server := httptest.NewUnstartedServer(d.e)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	ran := make(chan error, 1)
	go func() { ran <- d.site.Run(ctx) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(b.cookie)
	res, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(res.Body); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	await(t, lines, "event: clock")
	await(t, lines, "event: changed") // what Run finds when it first looks
	d.do(func(ctx context.Context, tx pgx.Tx) error {
		return maintenance.Comment(ctx, tx, maintenancetest.Now, maintenancetest.Program, d.a.Case.ID, machines.Text{ZH: "news"})
	})
	await(t, lines, "event: changed")
	stop()
	for range lines { // the stream ends
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
	res.Body.Close()
	server.Close() // waits for the handlers
	if !d.site.hub.empty() {
		t.Error("a viewer who has gone still holds his place")
	}
}

func await(t *testing.T, lines <-chan string, want string) {
	t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for {
		select {
		case line, open := <-lines:
			if !open {
				t.Fatalf("the stream ended before %q", want)
			}
			if strings.Contains(line, want) {
				return
			}
		case <-limit.C:
			t.Fatalf("no %q came", want)
		}
	}
}

func TestHub_IsBoundedAndNeverWaits(t *testing.T) {
	t.Parallel()
	h := newHub()
	var all []chan struct{}
	for range maxViewers {
		ch, ok := h.join()
		if !ok {
			t.Fatal("no place below the bound")
		}
		all = append(all, ch)
	}
	if _, ok := h.join(); ok {
		t.Error("a place above the bound")
	}
	h.changed()
	h.changed() // nobody reads: neither waits nor adds
	if len(all[0]) != 1 {
		t.Errorf("%d ticks wait", len(all[0]))
	}
	for _, ch := range all {
		h.leave(ch)
	}
	if !h.empty() {
		t.Error("viewers are left")
	}
}
