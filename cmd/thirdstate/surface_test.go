package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/thirdstate/thirdstate/api"
	"github.com/thirdstate/thirdstate/dashboards"
	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// surface is all that a person or a program can reach over HTTP, with a small
// world behind it.
type surface struct {
	world *maintenancetest.World
	clock *clock.Clock
	e     *echo.Echo
	api   *api.Server
}

func newSurface(t *testing.T) *surface {
	t.Helper()
	pool := postgrestest.New(t)
	s := &surface{world: maintenancetest.New(t, pool), clock: clock.New(maintenancetest.Now, 0, nil), e: echo.New()}
	store := history.NewPostgres(pool)
	log := slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	site, err := dashboards.Mount(s.e, dashboards.Config{Pool: pool, Clock: s.clock, Log: log, History: store, Webhooks: maintenancetest.Webhooks()})
	if err != nil {
		t.Fatal(err)
	}
	intake, err := intakelog.Open(t.TempDir(), intakelog.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { intake.Close() })
	s.api, err = api.Mount(s.e, api.Config{IntakeLog: intake, Pool: pool, Clock: s.clock, Log: log, Held: &detection.Store{Pool: pool, Clock: s.clock, Log: log, Apply: apply}, History: store, SessionPrincipal: site.SessionPrincipal,
		Gate: newGate(pool, s.clock, log, detection.NewFleet(nil), store, gateSettings{}), Webhooks: maintenancetest.Webhooks()})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []*maintenancetest.Tenant{s.world.A, s.world.B} {
		point := history.Point{Machine: a.Machine.Key, MachineNo: a.Machine.No, Model: "BC56", At: maintenancetest.Now.Add(-time.Hour),
			Values: []observation.Value{{Signal: "hydraulic_oil_temp", Value: 61.5}}}
		if err := store.Write(identity.With(t.Context(), maintenancetest.Program), []history.Point{point}); err != nil {
			t.Fatal(err)
		}
		s.do(t, func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, addGapSQL, pgx.NamedArgs{"machine": a.Machine.ID, "boot": a.Mark + "-boot", "at": maintenancetest.Now.Add(-time.Hour)})
			return err
		})
	}
	return s
}

const addGapSQL = `INSERT INTO sequence_gap (machine_id, boot, first, last, found_at) VALUES (@machine, @boot, 7, 9, @at)`

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// caller is a person who asks by token or, with a cookie, by session.
type caller struct {
	person maintenancetest.Person
	cookie *http.Cookie
}

func (c caller) String() string {
	if c.cookie != nil {
		return string(c.person.Role) + " by session"
	}
	return string(c.person.Role) + " by token"
}

// signIn asks for a session as a browser does.
func (s *surface) signIn(t *testing.T, p maintenancetest.Person) caller {
	t.Helper()
	form := url.Values{"login": {p.Login}, "password": {maintenancetest.Password}}
	w := s.send(caller{}, http.MethodPost, "/sign-in", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if cookies := w.Result().Cookies(); w.Code == http.StatusSeeOther && len(cookies) == 1 && w.Header().Get("Location") != "/sign-in" {
		return caller{person: p, cookie: cookies[0]}
	}
	t.Fatalf("%s cannot sign in: %d %v %s", p.Login, w.Code, w.Header(), w.Body)
	return caller{}
}

func (s *surface) send(c caller, method, target, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	switch {
	case c.cookie != nil:
		req.AddCookie(c.cookie)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	case c.person.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.person.Token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.e.ServeHTTP(w, req)
	return w
}

// read gives an answer's body.
func read(w *httptest.ResponseRecorder) string { return w.Body.String() }

// TestActions_EachHasAnOperation holds that nothing can be done on a page that
// cannot be done by the API, by the same people or more.
func TestActions_EachHasAnOperation(t *testing.T) {
	t.Parallel()
	operations, err := api.Operations()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range dashboards.Actions() {
		if a.Operation == "" && strings.HasPrefix(a.Path, "/demo/") {
			continue // the demo's clock is steered by its own pages only
		}
		at := slices.IndexFunc(operations, func(o api.Operation) bool { return o.ID == a.Operation })
		if at < 0 {
			t.Errorf("%s stands for operation %q, which the API does not have", a.Path, a.Operation)
			continue
		}
		for _, role := range a.Roles {
			if !slices.Contains(operations[at].Roles, role) {
				t.Errorf("%s lets %s do what %s refuses", a.Path, role, a.Operation)
			}
		}
	}
}
