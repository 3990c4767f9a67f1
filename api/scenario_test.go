package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/gate"
	"github.com/thirdstate/thirdstate/telemetry/history"
)

// scenario is one request against the real routes and the real schema, and what
// must come of it. The order of a list matters: they share one database.
type scenario struct {
	name   string
	role   identity.Role // staff by role; a customer's role is customer A's; "" is nobody
	other  bool          // a customer's role is customer B's
	method string
	path   string // below /api/v1
	body   string
	header []string
	status int
	has    []string
	not    []string
	audits int // entries of the audit log that the request leaves; 0 for every refusal
}

// house is the API over a small world.
type house struct {
	e     *echo.Echo
	s     *Server
	w     *maintenancetest.World
	a, b  *maintenancetest.Tenant
	clock *clock.Clock
	logs  *strings.Builder
}

func newHouse(t *testing.T) *house {
	t.Helper()
	pool := postgrestest.New(t)
	h := &house{e: echo.New(), w: maintenancetest.New(t, pool), clock: clock.New(maintenancetest.Now, 0, nil), logs: &strings.Builder{}}
	h.a, h.b = h.w.A, h.w.B
	held := &detection.Store{Pool: pool, Clock: h.clock, Log: slog.New(slog.DiscardHandler), Apply: keepFindings}
	rules := gate.New(gate.Config{Pool: pool, Clock: h.clock, Log: slog.New(slog.DiscardHandler), Fleet: detection.NewFleet(nil)})
	s, err := Mount(h.e, Config{Pool: pool, Clock: h.clock, Held: held, Gate: rules, History: history.NewPostgres(pool), Webhooks: maintenancetest.Webhooks(), Log: slog.New(slog.NewTextHandler(h.logs, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		t.Fatal(err)
	}
	h.s = s
	return h
}

func keepFindings(ctx context.Context, tx pgx.Tx, now time.Time, n detection.News) error {
	if err := maintenance.Accept(ctx, tx, now, n.Changes); err != nil {
		return err
	}
	return machines.SetSeen(ctx, tx, n.Seen)
}

func (h *house) token(role identity.Role, other bool) string {
	switch {
	case role == "":
		return ""
	case role.CustomerScoped() && other:
		return h.b.People[role].Token
	case role.CustomerScoped():
		return h.a.People[role].Token
	}
	return h.w.Staff[role].Token
}

func (h *house) ask(role identity.Role, method, path, body string, header ...string) *httptest.ResponseRecorder {
	return h.askAs(h.token(role, false), method, path, body, header...)
}

func (h *house) askAs(token, method, path, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, prefix+path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.e.ServeHTTP(w, req)
	return w
}

func (h *house) audits(t *testing.T) int {
	t.Helper()
	var n int
	err := postgres.As(t.Context(), h.w.Pool, maintenancetest.Program, func(tx pgx.Tx) (err error) {
		n, err = postgres.Value[int](t.Context(), tx, `SELECT count(*) FROM audit`, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// run plays the scenarios one after another.
func (h *house) run(t *testing.T, list []scenario) {
	t.Helper()
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			before := h.audits(t)
			w := h.askAs(h.token(c.role, c.other), c.method, c.path, c.body, c.header...)
			got := w.Body.String()
			if w.Code != c.status {
				t.Fatalf("status %d, want %d: %s\n%s", w.Code, c.status, got, h.logs)
			}
			for _, text := range c.has {
				if !strings.Contains(got, text) {
					t.Errorf("%q is not in %s", text, got)
				}
			}
			for _, text := range c.not {
				if strings.Contains(got, text) {
					t.Errorf("%q is in %s", text, got)
				}
			}
			if n := h.audits(t) - before; n != c.audits {
				t.Errorf("%d audit entries, want %d", n, c.audits)
			}
			if c.status >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("a refusal that is no problem: %v", w.Header())
			}
		})
	}
}

// The roles, short.
const (
	nobody     identity.Role = ""
	admin                    = identity.Admin
	manager                  = identity.ServiceManager
	dispatcher               = identity.Dispatcher
	engineer                 = identity.FieldEngineer
	agent                    = identity.CallCentre
	owner                    = identity.OwnerAdmin
	viewer                   = identity.OwnerViewer
	delegate                 = identity.CustomerRepresentative
)

// now is If-Match for "whatever it is now".
var now = []string{"If-Match", "*"}

const (
	get    = http.MethodGet
	post   = http.MethodPost
	remove = http.MethodDelete
	nil128 = "018f0000-0000-7000-8000-00000000dead" // nothing has this id
)
