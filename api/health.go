package api

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// Readiness says of each part whether it is ready.
type Readiness struct {
	Status string      `json:"status" enum:"ready,not_ready"`
	Checks []CheckSeen `json:"checks"`
}

// CheckSeen is what one check found.
type CheckSeen struct {
	Name         string  `json:"name"`
	OK           bool    `json:"ok"`
	Detail       string  `json:"detail,omitempty"`
	Milliseconds float64 `json:"milliseconds"`
}

const checkTimeout = 3 * time.Second

func (s *Server) mountHealth(e *echo.Echo) {
	live := func(c echo.Context) error {
		guardHeaders(c.Response().Header(), requestIDFrom(c.Request().Header.Get("X-Request-Id")))
		return c.JSON(http.StatusOK, map[string]string{"status": "live"})
	}
	e.GET("/livez", live)
	e.GET("/healthz", live)
	e.GET("/readyz", func(c echo.Context) error {
		guardHeaders(c.Response().Header(), requestIDFrom(c.Request().Header.Get("X-Request-Id")))
		seen := s.readiness(c.Request().Context())
		status := http.StatusOK
		if seen.Status != "ready" {
			status = http.StatusServiceUnavailable
		}
		return c.JSON(status, seen)
	})
	e.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: requestTimeout})))
}

// readiness runs the checks one after another, each with its own time limit.
func (s *Server) readiness(ctx context.Context) Readiness {
	out := Readiness{Status: "ready", Checks: []CheckSeen{}}
	for _, check := range s.Ready {
		began := time.Now()
		err := runCheck(ctx, check)
		seen := CheckSeen{Name: check.Name, OK: err == nil, Milliseconds: float64(time.Since(began).Microseconds()) / 1000}
		if err != nil {
			out.Status, seen.Detail = "not_ready", "not ready; see the log"
			if said := problem.As(err); said != nil && said.Kind != problem.Internal {
				seen.Detail = said.Text
			}
			s.Log.WarnContext(ctx, "not ready", "check", check.Name, "error", err)
		}
		out.Checks = append(out.Checks, seen)
	}
	return out
}

func runCheck(ctx context.Context, check Check) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return check.Run(ctx)
}
