package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
)

func bare(t *testing.T) (*echo.Echo, *Server) {
	t.Helper()
	e := echo.New()
	s, err := Mount(e, Config{})
	if err != nil {
		t.Fatal(err)
	}
	return e, s
}

func ask(e *echo.Echo, method, path, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	w := httptest.NewRecorder()
	e.ServeHTTP(w, req)
	return w
}

func TestProblem_EveryKindHasItsOwnStatus(t *testing.T) {
	t.Parallel()
	seen := map[int]problem.Kind{}
	for _, kind := range problem.Kinds {
		a := answerOf(kind)
		if a.Kind != kind {
			t.Errorf("%s has no HTTP status", kind)
		}
		if other, double := seen[a.Status]; double {
			t.Errorf("%s and %s share status %d", kind, other, a.Status)
		}
		seen[a.Status] = kind
	}
}

func TestProblem_TheTextOfAnInternalErrorStaysInside(t *testing.T) {
	t.Parallel()
	_, s := bare(t)
	err := s.fail(t.Context(), http.ErrHandlerTimeout)
	p, ok := errors.AsType[*Problem](err)
	if !ok || p.Status != http.StatusInternalServerError || p.Detail != "" {
		t.Fatalf("got %#v", err)
	}
}

func TestMount_EveryOperationSaysWhoMayUseIt(t *testing.T) {
	t.Parallel()
	_, s := bare(t)
	if len(s.Operations()) < 50 {
		t.Fatalf("only %d operations", len(s.Operations()))
	}
	ids := map[string]bool{}
	for _, op := range s.Operations() {
		if len(op.Roles) == 0 || ids[op.ID] || !strings.HasPrefix(op.Path, prefix+"/") || op.Path != strings.ToLower(op.Path) && !strings.Contains(op.Path, "{") {
			t.Errorf("operation %+v lacks roles, is doubled or has an odd path", op)
		}
		if slices.Contains(op.Roles, identity.System) {
			t.Errorf("operation %s is open to the program itself, which never asks over HTTP", op.ID)
		}
		ids[op.ID] = true
	}
	s.api.OpenAPI().Paths[prefix+"/clock"].Get.Extensions = nil
	if err := s.checkAuthz(); err == nil || !strings.Contains(err.Error(), "/clock") {
		t.Fatalf("an operation without x-authz was let through: %v", err)
	}
}

func TestRoutes_AreThoseOfTheOpenAPIDocument(t *testing.T) {
	t.Parallel()
	e, s := bare(t)
	routes := map[string]bool{}
	for _, r := range e.Routes() {
		routes[r.Method+" "+r.Path] = true
	}
	// The probes, the document itself, and what another standard describes.
	for _, own := range []string{fleetPrefix + "/*", "/livez", "/readyz", "/healthz", "/metrics", "/api/docs", "/api/docs/style.css", prefix + "/openapi.json", prefix + "/openapi-3.0.json"} {
		if !routes["GET "+own] {
			t.Errorf("%s is not routed", own)
		}
		delete(routes, "GET "+own)
	}
	for path, item := range s.api.OpenAPI().Paths {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			if op := operationAt(s.api.OpenAPI(), method, path); op == nil || op.Method != method || item == nil {
				continue
			}
			route := method + " " + strings.NewReplacer("{", ":", "}", "").Replace(path)
			if !routes[route] {
				t.Errorf("%s is described and not routed", route)
			}
			delete(routes, route)
		}
	}
	for route := range routes {
		t.Errorf("%s is routed and not described", route)
	}
}

func TestOpenAPI_Is31AndHasNoValueInItsErrors(t *testing.T) {
	t.Parallel()
	e, _ := bare(t)
	w := ask(e, http.MethodGet, prefix+"/openapi.json", "")
	var doc struct {
		OpenAPI    string         `json:"openapi"`
		Paths      map[string]any `json:"paths"`
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != http.StatusOK {
		t.Fatal(w.Code, err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || len(doc.Paths) < 40 {
		t.Fatalf("OpenAPI %s with %d paths", doc.OpenAPI, len(doc.Paths))
	}
	if _, there := doc.Components.Schemas["ErrorModel"]; there {
		t.Error("huma's own error shape is in the document")
	}
	if p := doc.Components.Schemas["Problem"].Properties; p["request_id"] == nil || p["allowed"] == nil {
		t.Errorf("the problem is described as %v", p)
	}
}

func TestDocs_ListEveryOperationWithoutForeignAssets(t *testing.T) {
	t.Parallel()
	e, s := bare(t)
	page := ask(e, http.MethodGet, "/api/docs", "").Body.String()
	for _, op := range s.Operations() {
		if !strings.Contains(page, `id="`+op.ID+`"`) {
			t.Errorf("the reference lacks %s", op.ID)
		}
	}
	for _, foreign := range []string{"<script", `src="http`, `href="http`, "unpkg", "cdn"} {
		if strings.Contains(page, foreign) {
			t.Errorf("the reference contains %s", foreign)
		}
	}
	if css := ask(e, http.MethodGet, "/api/docs/style.css", ""); css.Code != http.StatusOK || css.Body.Len() == 0 {
		t.Error("no stylesheet")
	}
}

func TestUnknownPathAndMethod_AreProblems(t *testing.T) {
	t.Parallel()
	e, _ := bare(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/api/v1/nothing", http.StatusNotFound},
		{http.MethodGet, "/api", http.StatusNotFound},
		{http.MethodDelete, "/api/v1/machines", http.StatusMethodNotAllowed},
		{http.MethodGet, "/api/v1/machines", http.StatusUnauthorized},
		{http.MethodGet, "/api/v1/3sd_secret/telemetry", http.StatusNotFound}, // devices have their token in the path
		{http.MethodPut, "/api/v1/x%2F3sd_secret", http.StatusNotFound},
	} {
		w := ask(e, c.method, c.path, "")
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s %s: tells the token in %s", c.method, c.path, w.Body)
		}
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Errorf("%s %s: %v in %q", c.method, c.path, err, w.Body)
			continue
		}
		h := w.Header()
		if w.Code != c.status || p.Status != c.status || h.Get("Content-Type") != "application/problem+json" ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Request-Id") == "" || p.RequestID != h.Get("X-Request-Id") {
			t.Errorf("%s %s: %d %v %+v", c.method, c.path, w.Code, h, p)
		}
	}
}

func TestRequestID_IsTakenWhenHarmless(t *testing.T) {
	t.Parallel()
	if got := requestIDFrom("abc-123"); got != "abc-123" {
		t.Errorf("got %q", got)
	}
	for _, bad := range []string{"", "a b", "x\ny", strings.Repeat("a", 65), "日志"} {
		if got := requestIDFrom(bad); got == bad {
			t.Errorf("took %q", bad)
		}
	}
}

func TestPlace_IsAJSONPointer(t *testing.T) {
	t.Parallel()
	for location, want := range map[string][2]string{
		"body":               {"", ""},
		"body.name":          {"", "/name"},
		"body.items[3].tags": {"", "/items/3/tags"},
		"body.a/b":           {"", "/a~1b"},
		"query.limit":        {"query", "/limit"},
		"path.id":            {"path", "/id"},
	} {
		if in, pointer := place(location); in != want[0] || pointer != want[1] {
			t.Errorf("%s: %q %q, want %q", location, in, pointer, want)
		}
	}
}
