package dashboards

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
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
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// desk is the pages over a small world, and a browser for each person.
type desk struct {
	t     *testing.T
	e     *echo.Echo
	site  *Site
	w     *maintenancetest.World
	a, b  *maintenancetest.Tenant
	clock *clock.Clock
}

func newDesk(t *testing.T, demo *Demo) *desk {
	t.Helper()
	pool := postgrestest.New(t)
	d := &desk{t: t, e: echo.New(), w: maintenancetest.New(t, pool), clock: clock.New(maintenancetest.Now, 0, nil)}
	d.a, d.b = d.w.A, d.w.B
	store := history.NewPostgres(pool)
	fleet := detection.NewFleet(nil)
	judge := gate.New(gate.Config{Pool: pool, Clock: d.clock, Log: slog.New(slog.NewTextHandler(toTest{t}, nil)), Fleet: fleet, Rows: store.Rows,
		Criteria: gate.Criteria{Flags: 5, Days: 0.5},
		Faults:   func(context.Context, postgres.DB, []uuid.UUID) ([]gate.Fault, error) { return nil, nil },
		Verdicts: func(context.Context, postgres.DB, []gate.Since) ([]gate.Verdicts, error) { return nil, nil },
		Tell:     func(context.Context, postgres.DB, time.Time, machines.Text) error { return nil }})
	site, err := Mount(d.e, Config{Pool: pool, Clock: d.clock, History: store, Fleet: fleet, Gate: judge, Demo: demo, Log: slog.New(slog.NewTextHandler(toTest{t}, nil)),
		Webhooks: maintenancetest.Webhooks(),
		Intake:   func() IntakeStatus { return IntakeStatus{Sources: []string{"127.0.0.1:1883"}} }})
	if err != nil {
		t.Fatal(err)
	}
	d.site = site
	for i := range 48 {
		point := history.Point{Machine: d.a.Machine.Key, MachineNo: d.a.Machine.No, Model: "BC56", At: maintenancetest.Now.Add(-time.Duration(i) * time.Hour),
			Values: []observation.Value{{Signal: "hydraulic_oil_temp", Value: 60 + float64(i%5)}}}
		if err := store.Write(identity.With(t.Context(), maintenancetest.Program), []history.Point{point}); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

type toTest struct{ t *testing.T }

func (l toTest) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// browser keeps a session's cookie, as one does.
type browser struct {
	d      *desk
	cookie *http.Cookie
	lang   string
}

func (b *browser) send(method, target, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	req.Header.Set("Accept-Language", b.lang)
	if b.cookie != nil {
		req.AddCookie(b.cookie)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	b.d.e.ServeHTTP(w, req)
	for _, c := range w.Result().Cookies() {
		b.cookie = c
	}
	return w
}

func (b *browser) get(target string, header ...string) *httptest.ResponseRecorder {
	return b.send(http.MethodGet, target, "", header...)
}

func (b *browser) post(target string, form url.Values, header ...string) *httptest.ResponseRecorder {
	return b.send(http.MethodPost, target, form.Encode(), header...)
}

// signIn gives a browser in which a person has signed in and chosen a language.
func (d *desk) signIn(p maintenancetest.Person, lang string) *browser {
	d.t.Helper()
	b := &browser{d: d, lang: lang}
	w := b.post("/sign-in", url.Values{"login": {p.Login}, "password": {maintenancetest.Password}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") == "/sign-in" {
		d.t.Fatalf("%s cannot sign in: %d %s", p.Login, w.Code, w.Body)
	}
	if w := b.post("/language", url.Values{"language": {lang}}); w.Code != http.StatusSeeOther {
		d.t.Fatalf("language: %d %s", w.Code, w.Body)
	}
	return b
}

func (d *desk) person(role identity.Role) maintenancetest.Person {
	if role.CustomerScoped() {
		return d.a.People[role]
	}
	return d.w.Staff[role]
}

// address gives a page's address for customer A's thing.
func (d *desk) address(path string) string {
	parts := strings.Split(path, "/")
	ids := map[string]string{"cases": d.a.Case.ID.String(), "findings": d.a.Finding.ID.String(), "rules": gate.WatcherHash, "backtests": d.a.Case.ID.String(), "machines": d.a.Machine.ID.String(), "work-orders": d.a.Order.ID.String(), "callbacks": d.a.Callback.String(),
		"photos": d.a.Photo.ID.String(), "promises": d.a.Promise.ID.String(), "checklist": d.a.Item.ID.String(), "webhooks": d.a.Webhook.ID.String(), "sweeps": d.a.Sweep.String(), "alert-budgets": d.a.Sweep.String(), "webhook-deliveries": d.a.Delivery.ID.String(), "dead-letters": "1", "held-outcomes": d.a.Machine.ID.String(), "unclaimed": "x", "mappings": d.a.Machine.ID.String()}
	for i, part := range parts {
		if part == ":id" {
			parts[i] = ids[parts[i-1]]
		}
	}
	target := strings.Join(parts, "/")
	switch {
	case strings.HasSuffix(target, "/chart"):
		target += "?signal=hydraulic_oil_temp"
	case target == "/unclaimed/signals":
		target += "?key=GW-7&machine=" + d.a.Machine.Key
	}
	return target
}

func (d *desk) do(fn func(ctx context.Context, tx pgx.Tx) error) {
	d.t.Helper()
	ctx := identity.With(d.t.Context(), maintenancetest.Program)
	if err := postgres.As(ctx, d.w.Pool, maintenancetest.Program, func(tx pgx.Tx) error { return fn(ctx, tx) }); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) audits() (n int) {
	d.t.Helper()
	d.do(func(ctx context.Context, tx pgx.Tx) (err error) {
		n, err = postgres.Value[int](ctx, tx, `SELECT count(*) FROM audit`, nil)
		return err
	})
	return n
}

// fill gives customer A many machines, each with a case; name stands in all texts.
func (d *desk) fill(n int, name string) {
	d.t.Helper()
	mark := d.a.Mark
	for i := range n {
		d.do(func(ctx context.Context, tx pgx.Tx) error {
			m, err := machines.AddMachine(ctx, tx, maintenancetest.Now.Add(-time.Hour), maintenancetest.Program, machines.Machine{Key: fmt.Sprintf("%s-many-%d", mark, i), Manufacturer: "Beichen",
				Serial: fmt.Sprintf("%s-M%d", mark, i), Name: name, NameEN: name, ModelID: &d.w.Model.ID, CustomerID: &d.a.Customer.ID, SiteID: &d.a.Site.ID, HasDevice: i%3 != 0})
			if err != nil {
				return err
			}
			change := maintenancetest.Trouble(d.a, m, maintenancetest.Now.Add(-time.Duration(i+1)*time.Minute))
			change.Finding.Title, change.Finding.TitleEN = name, name
			return maintenance.Accept(ctx, tx, maintenancetest.Now, []machines.FindingChange{change})
		})
	}
}

func text(w *httptest.ResponseRecorder) string { return w.Body.String() }
