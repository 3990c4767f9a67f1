// Package api is JSON over HTTP: every resource of the product under /api/v1,
// described by an OpenAPI 3.1 document that is generated from the Go types. It
// authenticates, asks one domain function and answers; it holds no rule of its
// own and knows nothing of pages.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/gate"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/lifespan"
)

const (
	prefix         = "/api/v1"
	requestTimeout = 30 * time.Second
	maxBody        = 1 << 20
	maxPhoto       = 15 << 20
)

// Config is what the API needs. Pool, Clock and Log are required to answer;
// Registry may be nil (a new one is made then).
type Config struct {
	Pool     *postgres.Pool
	Clock    *clock.Clock
	Log      *slog.Logger
	History  history.Store
	Registry *prometheus.Registry
	Ready    []Check
	// IntakeLog takes observations that come over HTTP and messages that are
	// replayed; Fleet knows the rule packs. Without one its operations answer 503,
	// or an empty list.
	IntakeLog *intakelog.Log
	Fleet     *detection.Fleet
	// Held knows what the records refuse of machines; without one it cannot be
	// tried again.
	Held *detection.Store
	// Gate keeps versions of rule packs and judges them; without one its operations
	// answer 503.
	Gate *gate.Gate
	// Lives knows the models of remaining life; without one the list of them is empty.
	Lives *lifespan.Shelf
	// Reconciler compares InfluxDB with the intake log; nil where the history is in
	// PostgreSQL.
	Reconciler *telemetry.Reconciler
	Webhooks   webhooks.Settings
	Version    string // of the program, shown in the OpenAPI document
	// SessionPrincipal says who has signed in on the pages, so that a browser
	// may call the API; nil means tokens only.
	SessionPrincipal func(*http.Request) (identity.Principal, bool)
}

// Check is one condition of readiness. Run returns nil when the part is ready;
// the text of a problem is shown at /readyz, any other text stays in the log.
type Check struct {
	Name string
	Run  func(context.Context) error
}

// Operation is one thing that the API can do, and who may do it.
type Operation struct {
	ID     string
	Method string
	Path   string // the whole path, parameters as {name}
	Roles  []identity.Role
}

// Server answers the API's requests.
type Server struct {
	Config
	api        huma.API
	operations []Operation
	measured   *prometheus.HistogramVec
}

// Mount adds every route of the API, the health routes and the metrics to e, and
// wraps e's error handler so that /api answers problems. It fails when an
// operation has no roles. The caller owns the listener and its timeouts.
func Mount(e *echo.Echo, cfg Config) (s *Server, err error) {
	defer func() { // huma panics on a type that it cannot describe
		if fault := recover(); fault != nil {
			s, err = nil, fmt.Errorf("describe the API: %v", fault)
		}
	}()
	if cfg.Registry == nil {
		cfg.Registry = prometheus.NewRegistry()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s = &Server{Config: cfg}
	if err := s.measure(); err != nil {
		return nil, err
	}
	s.api = humaecho.New(e, s.humaConfig())
	s.api.UseMiddleware(s.frame, s.authenticate, s.readKey)
	for _, add := range resources {
		add(s)
	}
	if err := s.checkAuthz(); err != nil {
		return nil, err
	}
	s.mountDocs(e)
	s.mountHealth(e)
	s.mountFleet(e)
	s.mountErrors(e)
	return s, nil
}

// Operations lists every operation of the API, in the order of the reference.
func Operations() ([]Operation, error) {
	s, err := Mount(echo.New(), Config{})
	if err != nil {
		return nil, err
	}
	return s.Operations(), nil
}

// Operations lists every operation that is mounted.
func (s *Server) Operations() []Operation { return append([]Operation(nil), s.operations...) }

// OpenAPI returns the API's description.
func (s *Server) OpenAPI() *huma.OpenAPI { return s.api.OpenAPI() }

// checkAuthz holds the default deny: an operation that names no role is a fault
// of the program, found at start.
func (s *Server) checkAuthz() error {
	var faults []error
	for path, item := range s.api.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			if roles, ok := op.Extensions["x-authz"].([]identity.Role); !ok || len(roles) == 0 {
				faults = append(faults, fmt.Errorf("operation %s %s says not who may use it (x-authz)", op.Method, path))
			}
		}
	}
	return errors.Join(faults...)
}
