package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/thirdstate/thirdstate/api"
	"github.com/thirdstate/thirdstate/dashboards"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/intake"
)

type serveCommand struct {
	settings
	LogLevel string `name:"log-level" help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
}

// Run serves until it is told to stop.
func (c *serveCommand) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	y, err := open(ctx, c.settings, false, newLogger(c.LogLevel))
	if err != nil {
		return err
	}
	web, err := y.newWeb(ctx, nil)
	if err == nil {
		err = y.listen(ctx)
	}
	if err == nil {
		fmt.Fprintf(y.out, "thirdstate %s serves %s (data in %s)\n", version, web.url(), c.Data)
		err = y.run(ctx, web.run, y.runTicks, y.runHousekeeping)
	}
	return errors.Join(err, y.close(context.WithoutCancel(ctx)))
}

// web is the HTTP side: pages and API on one listener.
type web struct {
	listener net.Listener
	server   *http.Server
	pages    *dashboards.Site
}

func (y *system) newWeb(ctx context.Context, demo *dashboards.Demo) (*web, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", y.HTTP)
	if err != nil {
		return nil, inUse("--http", y.HTTP, err)
	}
	y.onClose(func(context.Context) error {
		if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = echo.ExtractIPDirect()
	if y.BehindProxy {
		e.IPExtractor = proxied
	}
	e.Logger.SetOutput(io.Discard) // failures are logged where they are decided, with slog
	e.Use(middleware.Recover(), headers)
	site, err := dashboards.Mount(e, dashboards.Config{Pool: y.pool, Clock: y.clock, Log: y.log, History: y.history,
		Detection: y.runner, Fleet: y.fleet, Gate: y.gate, Lives: y.lives.Shelf, Held: y.held, Intake: y.intakeStatus, IntakeLog: y.intake, Stored: &y.stored, Demo: demo, Secure: y.BehindProxy, Webhooks: y.webhooks})
	if err != nil {
		return nil, fmt.Errorf("mount the pages: %w", err)
	}
	_, err = api.Mount(e, api.Config{Pool: y.pool, Clock: y.clock, Log: y.log, History: y.history, IntakeLog: y.intake, Fleet: y.fleet, Held: y.held, Gate: y.gate, Lives: y.lives.Shelf,
		Reconciler: y.reconciler,
		Registry:   y.registry, Version: version, Webhooks: y.webhooks,
		Ready:            y.readiness(),
		SessionPrincipal: func(r *http.Request) (identity.Principal, bool) { return site.SessionPrincipal(r) }})
	if err != nil {
		return nil, fmt.Errorf("mount the API: %w", err)
	}
	if err := y.mountDevices(e); err != nil {
		return nil, err
	}
	guard := http.NewCrossOriginProtection()
	return &web{listener: listener, pages: site, server: &http.Server{
		Handler: guard.Handler(e), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 60 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(y.log.Handler(), slog.LevelDebug),
	}}, nil
}

// mountDevices adds the paths on which devices send with their token.
func (y *system) mountDevices(e *echo.Echo) error {
	y.devices = intake.NewHTTP(intake.HTTPConfig{Log: y.intake, Pool: y.pool, Now: y.clock.Now, Logger: y.log})
	for _, path := range []string{"/api/v1/:token/telemetry", "/api/v1/:token/attributes", "/api/v1/:token/publish/*"} {
		e.POST(path, echo.WrapHandler(y.devices))
	}
	if err := y.registry.Register(y.devices); err != nil {
		return fmt.Errorf("register the metrics of devices over HTTP: %w", err)
	}
	return nil
}

// proxied is the address that the proxy next to us has seen: the last one of the
// header. What stands before it was said by somebody else.
func proxied(r *http.Request) string {
	said := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	last := strings.TrimSpace(said[strings.LastIndexByte(said, ',')+1:])
	if ip, err := netip.ParseAddr(last); err == nil {
		return ip.String()
	}
	return echo.ExtractIPDirect()(r)
}

func (w *web) url() string { return "http://" + w.listener.Addr().String() }

func (w *web) run(ctx context.Context) error {
	failed := make(chan error, 2)
	pages, cancel := context.WithCancel(ctx)
	defer cancel()
	w.server.BaseContext = func(net.Listener) context.Context { return pages } // ends event streams at a stop
	go func() { failed <- w.server.Serve(w.listener) }()
	go func() { failed <- w.pages.Run(pages) }()
	var err error
	left := 2
	select {
	case <-ctx.Done():
	case err = <-failed:
		left--
	}
	cancel()
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer done()
	err = errors.Join(err, w.server.Shutdown(stop))
	for range left {
		if one := <-failed; one != nil && !errors.Is(one, http.ErrServerClosed) {
			err = errors.Join(err, one)
		}
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// comeBackAfter is when whoever met a part that is away may ask again, in seconds.
const comeBackAfter = "5"

// headers are on every answer.
func headers(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		c.Response().Before(func() {
			if c.Response().Status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
				h.Set("Retry-After", comeBackAfter)
			}
		})
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; script-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'")
		return next(c)
	}
}

// inUse says which flag to change when an address is taken.
func inUse(flag, address string, err error) error {
	return problem.New(problem.Invalid, "cannot listen on %s (%v); stop what uses it or give another address with %s", address, rootCause(err), flag)
}

func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
