// Package dashboards serves the pages: server-rendered, one struct a page, live
// by server-sent events, in English and Chinese. A page reads and acts through
// the same domain functions as the API; it holds no rule of its own.
package dashboards

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/labstack/echo/v4"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/gate"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/intake"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/lifespan"
)

//go:embed assets
var assets embed.FS

// Config is what the pages need. Detection and Demo may be nil.
type Config struct {
	Pool      *postgres.Pool
	Clock     *clock.Clock
	Log       *slog.Logger
	History   history.Store
	Detection *detection.Runner
	Fleet     *detection.Fleet         // for bundles of evidence; may be nil
	Lives     *lifespan.Shelf          // models of remaining life; may be nil
	Gate      *gate.Gate               // judges rules on the stored history; may be nil
	Held      *detection.Store         // knows what the records refuse of machines; may be nil
	Intake    func() IntakeStatus      // for the intake page
	IntakeLog *intakelog.Log           // where replayed messages go
	Stored    *telemetry.HistoryStatus // knows whose clocks are ahead; may be nil
	Demo      *Demo
	Webhooks  webhooks.Settings
	Secure    bool // cookies over https only
}

// Demo lets the pages steer the demo's clock.
type Demo struct {
	Advance func(d time.Duration) error // asks for a jump; the fleet and the people live through it
	Status  func() DemoStatus
}

// DemoStatus is shown in the demo's bar.
type DemoStatus struct {
	Phase    string // "history", "live" or "advancing"
	Progress int    // percent of the history or the jump
	Speed    float64
}

// IntakeStatus is what the wire and the log look like now.
type IntakeStatus struct {
	LogID    string
	First    uint64
	Last     uint64
	Bytes    int64
	Damaged  int
	Sources  []string
	Evaluate uint64 // last record evaluated
	Broker   *BrokerStatus
	Centre   *CentreStatus // of an edge
}

// CentreStatus is how an edge's forwarding is doing.
type CentreStatus struct {
	URL     string    // without a password
	Edge    string    // as which it signs in there
	Trouble string    // why nothing can be forwarded now, "" when it can
	At      uint64    // last record that the centre has
	Waiting uint64    // records behind it
	Oldest  time.Time // when the oldest of them came; zero for none
}

// BrokerStatus is how the external broker is doing.
type BrokerStatus struct {
	URL     string // without a password
	Trouble string // why nothing can come in now, "" when it can
	Drops   intake.BrokerDrops
}

// Site serves the pages.
type Site struct {
	Config
	sessions *scs.SessionManager
	texts    *texts
	hub      *hub
	throttle *throttle
	guard    *http.CrossOriginProtection
	checking chan struct{} // a place for each password that is being checked
	names    names
}

// Mount adds every page to e, and wraps e's error handler so that an unknown
// address is answered by a page. Run must be called for live updates.
func Mount(e *echo.Echo, cfg Config) (*Site, error) {
	t, err := loadTexts()
	if err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Site{Config: cfg, texts: t, hub: newHub(), throttle: newThrottle(), guard: http.NewCrossOriginProtection(), checking: make(chan struct{}, maxChecking)}
	s.sessions = newSessions(cfg.Pool, cfg.Secure)
	s.sessions.ErrorFunc = s.sessionsAway
	static, err := fs.Sub(assets, "assets")
	if err != nil {
		return nil, fmt.Errorf("open the assets: %w", err)
	}
	if e.IPExtractor == nil {
		e.IPExtractor = echo.ExtractIPDirect() // a header must not choose who is throttled
	}
	e.GET("/assets/*", echo.WrapHandler(http.StripPrefix("/assets/", packed(static))))
	for _, p := range pages {
		e.GET(p.Path, s.wrap(p.Roles, func(r *request) error { return p.Show(s, r) }))
	}
	for _, a := range actions {
		e.POST(a.Path, s.wrap(a.Roles, func(r *request) error { return s.act(r, a) }))
	}
	s.mountSignIn(e)
	e.GET("/events", s.wrap(everyone, s.events))
	s.mountErrors(e)
	return s, nil
}

// mountErrors answers an unknown address or method with a page.
func (s *Site) mountErrors(e *echo.Echo) {
	before := e.HTTPErrorHandler
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		he, known := errors.AsType[*echo.HTTPError](err)
		if c.Response().Committed || !known || he.Code != http.StatusNotFound && he.Code != http.StatusMethodNotAllowed {
			before(err, c)
			return
		}
		page := s.open(func(r *request) error { return r.refusal(problem.NotFound, "error.not_found") })
		if err := page(c); err != nil {
			before(err, c)
		}
	}
}
