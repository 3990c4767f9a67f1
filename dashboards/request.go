package dashboards

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

var everyone = append([]identity.Role{}, identity.Roles...)

// request is one page view or action: who asks, in which language, at what
// program time.
type request struct {
	echo.Context
	site *Site
	ctx  context.Context
	who  identity.Principal
	view view
	now  time.Time
}

// view is what the layout shows around every page.
type view struct {
	*texts
	Language  string
	Title     string
	Path      string
	Who       identity.Principal
	SignedIn  bool
	Now       time.Time
	Zone      *time.Location
	Nav       []navItem
	Demo      *DemoStatus
	Flash     string
	FlashKind string
	Narrow    bool
}

type navItem struct {
	Path, Key string
	Current   bool
}

// open wraps a handler that needs nobody signed in.
func (s *Site) open(h func(*request) error) echo.HandlerFunc {
	return s.handler(func(r *request) error { return h(r) })
}

// wrap wraps a handler that only some roles may use; others are sent to sign in
// or told that they may not.
func (s *Site) wrap(roles []identity.Role, h func(*request) error) echo.HandlerFunc {
	return s.handler(func(r *request) error {
		if !r.view.SignedIn {
			return r.Redirect(http.StatusSeeOther, "/sign-in")
		}
		if !r.who.Has(roles...) {
			return problem.New(problem.Forbidden, "%s", r.t("error.forbidden"))
		}
		return h(r)
	})
}

func (s *Site) handler(h func(*request) error) echo.HandlerFunc {
	inner := func(c echo.Context) error {
		r := s.begin(c)
		err := h(r)
		if err == nil {
			return nil
		}
		return r.fail(err)
	}
	return func(c echo.Context) error {
		var err error
		s.sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			c.SetRequest(req)
			old := c.Response().Writer
			c.Response().Writer = w
			err = inner(c)
			c.Response().Writer = old
		})).ServeHTTP(c.Response().Writer, c.Request())
		return err
	}
}

func (s *Site) begin(c echo.Context) *request {
	ctx := c.Request().Context()
	r := &request{Context: c, site: s, ctx: ctx, now: s.Clock.Now()}
	r.who, r.view.SignedIn = s.Principal(ctx)
	lang := r.who.Language
	if lang == "" {
		lang = s.sessions.GetString(ctx, languageKey)
	}
	if lang == "" && strings.HasPrefix(strings.ToLower(c.Request().Header.Get("Accept-Language")), "en") {
		lang = "en"
	}
	if lang != "en" {
		lang = "zh"
	}
	r.ctx = identity.With(ctx, r.who)
	r.view.texts, r.view.Language, r.view.Who, r.view.Now = s.texts, lang, r.who, r.now
	r.view.Path, r.view.Zone = c.Request().URL.Path, zone
	r.view.Flash, r.view.FlashKind = s.sessions.PopString(ctx, flashKey), s.sessions.PopString(ctx, flashKind)
	r.view.Nav = navigation(r.who.Role, r.view.Path)
	if s.Demo != nil {
		status := s.Demo.Status()
		r.view.Demo = &status
	}
	return r
}

// zone is the service organisation's time zone; a page's times are shown in it.
var zone = time.FixedZone("UTC+8", 8*3600)

func (r *request) t(key string, args ...any) string { return r.view.T(key, args...) }

// read runs fn in a transaction that sees what the caller may see.
func (r *request) read(fn func(tx pgx.Tx) error) error {
	return postgres.As(r.ctx, r.site.Pool, r.who, fn)
}

// id reads a UUID from the path; anything else is "no such thing".
func (r *request) id() (uuid.UUID, error) {
	id, err := uuid.Parse(r.Param("id"))
	if err != nil {
		return id, problem.New(problem.NotFound, "%s", r.t("error.not_found"))
	}
	return id, nil
}

// render writes a whole page; it is built in memory first, so that a failing
// template never sends half a page.
func (r *request) render(status int, titleKey string, body templ.Component) error {
	r.view.Title = r.t(titleKey)
	return r.renderTitled(status, body)
}

func (r *request) renderTitled(status int, body templ.Component) error {
	var buf bytes.Buffer
	if err := layout(r.view, body).Render(r.ctx, &buf); err != nil {
		return fmt.Errorf("render %s: %w", r.view.Path, err)
	}
	return r.HTMLBlob(status, buf.Bytes())
}

func (r *request) flash(kind, text string) {
	r.site.sessions.Put(r.ctx, flashKind, kind)
	r.site.sessions.Put(r.ctx, flashKey, text)
}

// back returns to the page that the form was on.
func (r *request) back() error {
	target := "/"
	if u, err := url.Parse(r.Request().Referer()); err == nil && u.Path != "" && strings.HasPrefix(u.Path, "/") && !strings.HasPrefix(u.Path, "//") {
		target = u.Path
		if u.RawQuery != "" {
			target += "?" + u.RawQuery
		}
	}
	return r.Redirect(http.StatusSeeOther, target)
}

// fail shows what went wrong as a page. Text of internal errors stays in the log.
func (r *request) fail(err error) error {
	kind := problem.Of(err)
	text := err.Error()
	if kind == problem.Internal {
		if errors.Is(err, context.Canceled) {
			return nil
		}
		r.site.Log.Error("page failed", "path", r.view.Path, "error", err)
		text = r.t("error.internal")
	}
	return r.render(statusOf(kind), "error.title", errorView(r.view, text))
}

func statusOf(kind problem.Kind) int {
	switch kind {
	case problem.Invalid:
		return http.StatusUnprocessableEntity
	case problem.Unauthenticated:
		return http.StatusUnauthorized
	case problem.Forbidden:
		return http.StatusForbidden
	case problem.NotFound:
		return http.StatusNotFound
	case problem.Conflict:
		return http.StatusConflict
	case problem.PreconditionFailed:
		return http.StatusPreconditionFailed
	case problem.PreconditionRequired:
		return http.StatusPreconditionRequired
	case problem.TooLarge:
		return http.StatusRequestEntityTooLarge
	case problem.Limited:
		return http.StatusTooManyRequests
	case problem.Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
