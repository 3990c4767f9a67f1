package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// The frame is tested with an operation of its own, so that these tests say
// nothing of any resource.
type probe struct {
	Name    string     `json:"name" minLength:"1" maxLength:"20"`
	Kind    string     `json:"kind,omitempty" enum:"a,b"`
	Count   int        `json:"count,omitempty" minimum:"0" maximum:"9"`
	Owner   *uuid.UUID `json:"owner,omitempty"`
	Version int        `json:"version,omitempty"`
	At      *time.Time `json:"at,omitempty"`
	Items   []struct {
		At time.Time `json:"at"`
	} `json:"items,omitempty"`
}

type probed struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
}

type probes struct {
	e    *echo.Echo
	s    *Server
	logs *strings.Builder
	ran  chan struct{}
	wait chan struct{}
}

const probeSQL = `INSERT INTO setting (name, value) VALUES (@name, '1')`

func newProbes(t *testing.T) *probes {
	t.Helper()
	p := &probes{e: echo.New(), logs: &strings.Builder{}, ran: make(chan struct{}, 100)}
	var mu sync.Mutex
	log := slog.New(slog.NewTextHandler(lockedWriter{&mu, p.logs}, nil))
	s, err := Mount(p.e, Config{Pool: postgrestest.New(t), Log: log, Clock: clock.New(time.Date(2026, 6, 4, 8, 0, 0, 0, time.UTC), 0, nil),
		SessionPrincipal: func(r *http.Request) (identity.Principal, bool) {
			role := identity.Role(r.Header.Get("X-Test-Role"))
			return identity.Principal{Name: "probe", Role: role, UserID: uuid.NewSHA1(uuid.Nil, []byte(role))}, role != ""
		}})
	if err != nil {
		t.Fatal(err)
	}
	p.s = s
	add(s, route{ID: "probe", Method: http.MethodPost, Path: "/probes/{id}", Roles: managers, EN: "probe", ZH: "探针"}, func(ctx context.Context, in *struct {
		ByID
		Matched
		Paged
		From time.Time `query:"from"`
		Body probe
	}) (*Answer[probed], error) {
		switch in.Body.Name {
		case "panic":
			panic("secret canary")
		case "internal":
			return nil, errInternal
		case "refused":
			return nil, problem.New(problem.Conflict, "it is closed").WithAllowed("open", "again")
		case "versioned":
			if _, err := version(in.Matched, in.Body.Version); err != nil {
				return nil, err
			}
		}
		out, err := write(ctx, s, func(a act) (probed, error) {
			p.ran <- struct{}{}
			if p.wait != nil {
				<-p.wait
			}
			_, err := postgres.Run(ctx, a.tx, probeSQL, map[string]any{"name": in.ID.String() + in.Body.Name + in.Cursor})
			return probed{in.Body.Name, 1}, err
		})
		return answered(out, out.Version, err)
	})
	return p
}

type canary struct{}

func (canary) Error() string { return "secret canary" }

var errInternal error = canary{}

type lockedWriter struct {
	mu *sync.Mutex
	to *strings.Builder
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

const someone = "018f0000-0000-7000-8000-000000000001"

func (p *probes) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("X-Test-Role", "service-manager")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.e.ServeHTTP(w, req)
	return w
}

func TestHostileInput_IsRefusedByNameAndNeverEchoed(t *testing.T) {
	t.Parallel()
	p := newProbes(t)
	const canary = "c4n4ry"
	for _, c := range []struct {
		name, path, body string
		header           []string
		status           int
		says             []string
	}{
		{name: "good", path: someone, body: `{"name":"x"}`, status: 200},
		{name: "no body", path: someone, status: 400, says: []string{"a body is required"}},
		{name: "null", path: someone, body: `null`, status: 400, says: []string{"expected object"}},
		{name: "a time with an offset", path: someone + "?from=2026-05-01T00:00:00%2B08:00", body: `{"name":"times","at":"2199-12-31T23:59:59Z","items":[{"at":"1900-01-01T00:00:00Z"}]}`, status: 200},
		{name: "a time that only its offset keeps in the year 9999", path: someone, body: `{"name":"x","at":"9999-12-31T23:59:59-10:00"}`, status: 400, says: []string{"/at", "between 1900 and 2200"}},
		{name: "a time before any machine", path: someone, body: `{"name":"x","items":[{"at":"2026-05-01T00:00:00Z"},{"at":"0000-01-01T00:00:00+10:00"}]}`, status: 400, says: []string{"/items/1/at"}},
		{name: "a time in the query", path: someone + "?from=0000-01-01T00:00:00Z", body: `{"name":"x"}`, status: 400, says: []string{`"in":"query"`, "/from"}},
		{name: "broken JSON", path: someone, body: `{"name":"c4n4ry"`, status: 400, says: []string{"ends too early"}},
		{name: "two documents", path: someone, body: `{"name":"x"}{}`, status: 400, says: []string{"something follows"}},
		{name: "doubled key", path: someone, body: `{"name":"x","name":"c4n4ry"}`, status: 400, says: []string{"same key twice"}},
		{name: "NUL", path: someone, body: `{"name":"c4n4ry\u0000"}`, status: 400, says: []string{"NUL at byte"}},
		{name: "bad UTF-8", path: someone, body: "{\"name\":\"c4n4ry\xff\"}", status: 400, says: []string{"invalid UTF-8 at byte"}},
		{name: "deep", path: someone, body: `{"name":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + `}`, status: 400, says: []string{"nested deeper"}},
		{name: "huge", path: someone, body: `{"name":"` + strings.Repeat("x", maxBody) + `"}`, status: 413, says: []string{"larger than the limit"}},
		{name: "huge with a key", path: someone, body: `{"name":"` + strings.Repeat("x", maxBody) + `"}`, header: []string{"Idempotency-Key", "k"}, status: 413},
		{name: "wrong media type", path: someone, body: `name=c4n4ry`, header: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 415, says: []string{"application/json"}},
		{name: "XML", path: someone, body: `<a/>`, header: []string{"Content-Type", "text/xml+c4n4ry;;"}, status: 415},
		{name: "all faults at once", path: someone, body: `{"name":"","kind":"c4n4ry","count":12,"owner":"c4n4ry","more":"c4n4ry"}`, status: 400,
			says: []string{`"/name"`, `"/kind"`, `"/count"`, `"/owner"`, `"/more"`, "unexpected property", "one of"}},
		{name: "missing field", path: someone, body: `{}`, status: 400, says: []string{"required property name"}},
		{name: "wrong type", path: someone, body: `{"name":7}`, status: 400, says: []string{"/name", "expected string"}},
		{name: "server-owned field", path: someone, body: `{"name":"x","customerId":"` + someone + `"}`, status: 400, says: []string{"/customerId"}},
		{name: "huge number", path: someone, body: `{"name":"x","count":1e400}`, status: 400, says: []string{"out of range"}},
		{name: "huge integer", path: someone, body: `{"name":"x","count":99999999999999999999}`, status: 400, says: []string{"/count"}},
		{name: "fraction", path: someone, body: `{"name":"x","count":1.5}`, status: 400, says: []string{"expected integer"}},
		{name: "bad id", path: "c4n4ry", body: `{"name":"x"}`, status: 400, says: []string{`"in":"path"`, `"/id"`}},
		{name: "bad urn", path: "urn:c4n4:018f0000-0000-7000-8000-000000000001", body: `{"name":"x"}`, status: 400, says: []string{`"/id"`}},
		{name: "NUL in the query", path: someone + "?cursor=%00", body: `{"name":"x"}`, status: 400, says: []string{"NUL"}},
		{name: "bad UTF-8 in the query", path: someone + "?cursor=%ff", body: `{"name":"x"}`, status: 400, says: []string{"UTF-8"}},
		{name: "bad UTF-8 in the path", path: "%ff", body: `{"name":"x"}`, status: 400, says: []string{"UTF-8"}},
		{name: "limit below", path: someone + "?limit=-1", body: `{"name":"x"}`, status: 400, says: []string{`"in":"query"`, `"/limit"`}},
		{name: "limit above", path: someone + "?limit=1000000000", body: `{"name":"x"}`, status: 400, says: []string{`"/limit"`}},
		{name: "limit no number", path: someone + "?limit=c4n4ry", body: `{"name":"x"}`, status: 400, says: []string{"invalid integer"}},
		{name: "unknown parameter", path: someone + "?sort=c4n4ry", body: `{"name":"x"}`, status: 400, says: []string{`"/sort"`, "unknown query parameter"}},
		{name: "odd key", path: someone, body: `{"name":"x"}`, header: []string{"Idempotency-Key", strings.Repeat("k", 200)}, status: 400, says: []string{"Idempotency-Key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := p.do(http.MethodPost, prefix+"/probes/"+c.path, c.body, c.header...)
			got := w.Body.String()
			if w.Code != c.status {
				t.Fatalf("status %d, want %d: %s", w.Code, c.status, got)
			}
			if strings.Contains(strings.ReplaceAll(got, `"instance":"/api/v1/probes/`+strings.Split(c.path, "?")[0], ""), canary) {
				t.Errorf("what was sent came back: %s", got)
			}
			for _, want := range c.says {
				if !strings.Contains(got, want) {
					t.Errorf("%q is not in %s", want, got)
				}
			}
			if c.status >= 400 {
				var said Problem
				if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || said.Status != w.Code || w.Header().Get("Content-Type") != "application/problem+json" || said.RequestID == "" {
					t.Errorf("no whole problem: %v %v %s", err, w.Header(), got)
				}
			}
		})
	}
}

func TestFault_OfOursStaysInTheLog(t *testing.T) {
	t.Parallel()
	p := newProbes(t)
	for _, name := range []string{"panic", "internal"} {
		w := p.do(http.MethodPost, prefix+"/probes/"+someone, `{"name":"`+name+`"}`, "X-Request-Id", "find-me-"+name)
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "canary") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if !strings.Contains(p.logs.String(), "secret canary") || !strings.Contains(p.logs.String(), "find-me-"+name) {
			t.Errorf("%s: not in the log with its request id: %s", name, p.logs)
		}
	}
}

func TestRefusedTransition_SaysWhatIsAllowed(t *testing.T) {
	t.Parallel()
	p := newProbes(t)
	w := p.do(http.MethodPost, prefix+"/probes/"+someone, `{"name":"refused"}`)
	if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), `"allowed":["open","again"]`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func TestVersion_MustBeNamed(t *testing.T) {
	t.Parallel()
	p := newProbes(t)
	for _, c := range []struct {
		match, body string
		status      int
	}{
		{"", `{"name":"versioned"}`, http.StatusPreconditionRequired},
		{"nonsense", `{"name":"versioned"}`, http.StatusPreconditionFailed},
		{`"3-abcdef"`, `{"name":"versioned","version":4}`, http.StatusBadRequest},
		{"", `{"name":"versioned","version":3}`, http.StatusOK},
	} {
		if w := p.do(http.MethodPost, prefix+"/probes/"+someone, c.body, "If-Match", c.match); w.Code != c.status {
			t.Errorf("If-Match %q, body %s: %d, want %d: %s", c.match, c.body, w.Code, c.status, w.Body)
		}
	}
}

func TestIdempotencyKey_AnswersOnceAndOnlyToItsOwner(t *testing.T) {
	t.Parallel()
	p := newProbes(t)
	send := func(body, role string) *httptest.ResponseRecorder {
		return p.do(http.MethodPost, prefix+"/probes/"+someone, body, "Idempotency-Key", `"one"`, "X-Test-Role", role)
	}
	first := send(`{"name":"x"}`, "service-manager")
	again := send(`{"name":"x"}`, "service-manager")
	if first.Code != 200 || again.Code != 200 || first.Body.String() != again.Body.String() || first.Header().Get("ETag") != again.Header().Get("ETag") {
		t.Errorf("not the same answer: %d %s / %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if len(p.ran) != 1 {
		t.Errorf("it ran %d times", len(p.ran))
	}
	if w := send(`{"name":"y"}`, "service-manager"); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("another body under the same key: %d %s", w.Code, w.Body)
	}
	if w := send(`{"name":"y"}`, "admin"); w.Code != 200 {
		t.Errorf("another caller's key is its own: %d %s", w.Code, w.Body)
	}
	if w := p.do(http.MethodPost, prefix+"/probes/"+someone+"?cursor=z", `{"name":"x"}`, "Idempotency-Key", "one"); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("another address under the same key: %d %s", w.Code, w.Body)
	}
}

func TestIdempotencyKey_InFlightIsRefused(t *testing.T) {
	t.Parallel()
	p := newProbes(t)
	p.wait = make(chan struct{})
	done := make(chan *httptest.ResponseRecorder)
	go func() {
		done <- p.do(http.MethodPost, prefix+"/probes/"+someone, `{"name":"x"}`, "Idempotency-Key", "slow")
	}()
	<-p.ran
	if w := p.do(http.MethodPost, prefix+"/probes/"+someone, `{"name":"x"}`, "Idempotency-Key", "slow"); w.Code != http.StatusConflict {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	close(p.wait)
	if w := <-done; w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := p.do(http.MethodPost, prefix+"/probes/"+someone, `{"name":"x"}`, "Idempotency-Key", "slow"); w.Code != http.StatusOK || len(p.ran) != 0 {
		t.Errorf("%d %s, ran %d more", w.Code, w.Body, len(p.ran))
	}
}

func TestSession_MayWriteFromOurOwnPagesOnly(t *testing.T) {
	t.Parallel()
	p := newProbes(t)
	for _, c := range []struct {
		name   string
		header []string
		status int
	}{
		{"same origin", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"origin matches", []string{"Sec-Fetch-Site", "", "Origin", "http://example.com"}, 200},
		{"cross site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "http://example.com"}, 403},
		{"same site is another host", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"a link typed by hand cannot post", []string{"Sec-Fetch-Site", "none"}, 403},
		{"another origin", []string{"Sec-Fetch-Site", "", "Origin", "http://evil.example"}, 403},
		{"null origin", []string{"Sec-Fetch-Site", "", "Origin", "null"}, 403},
		{"nothing said", []string{"Sec-Fetch-Site", ""}, 403},
		{"role may not", []string{"X-Test-Role", "owner-viewer"}, 403},
		{"unknown role", []string{"X-Test-Role", "root"}, 403},
		{"the program's role", []string{"X-Test-Role", "system"}, 403},
		{"nobody", []string{"X-Test-Role", ""}, 401},
		{"basic", []string{"Authorization", "Basic eDp5"}, 401},
		{"empty token", []string{"Authorization", "Bearer "}, 401},
	} {
		w := p.do(http.MethodPost, prefix+"/probes/"+uuid.NewString(), `{"name":"x"}`, c.header...)
		if w.Code != c.status || c.status == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d, want %d: %s", c.name, w.Code, c.status, w.Body)
		}
	}
}

func TestReadyz_TellsEachCheck(t *testing.T) {
	t.Parallel()
	e := echo.New()
	if _, err := Mount(e, Config{Ready: []Check{
		{"database", func(context.Context) error { return nil }},
		{"history", func(context.Context) error { return problem.New(problem.Unavailable, "InfluxDB does not answer") }},
		{"broker", func(context.Context) error { return errInternal }},
	}}); err != nil {
		t.Fatal(err)
	}
	w := ask(e, http.MethodGet, "/readyz", "")
	var seen Readiness
	if err := json.Unmarshal(w.Body.Bytes(), &seen); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusServiceUnavailable || len(seen.Checks) != 3 || !seen.Checks[0].OK || seen.Checks[1].Detail != "InfluxDB does not answer" || strings.Contains(w.Body.String(), "canary") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := ask(e, http.MethodGet, "/livez", ""); w.Code != http.StatusOK {
		t.Errorf("live: %d", w.Code)
	}
	ask(e, http.MethodGet, prefix+"/machines", "")
	if w := ask(e, http.MethodGet, "/metrics", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "thirdstate_http_request_seconds") {
		t.Errorf("metrics: %d %s", w.Code, w.Body)
	}
}
