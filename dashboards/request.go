package dashboards

import (
	"bytes"
	"compress/gzip"
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

// request is one page view or action: who asks, in which language, at what
// program time.
type request struct {
	echo.Context
	site *Site
	ctx  context.Context
	who  identity.Principal
	view view
	now  time.Time
	// answer is how an action ends that does not go back to its page: what is told once
	// stands in the answer, not in a session.
	answer func() error
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
	Chart     bool              // the page draws one
	people    map[string]string // how they are written in English
}

type navItem struct {
	Path, Key string
	Current   bool
	Items     []navItem // of a menu, which has no path
}

// open wraps a handler that needs nobody signed in.
func (s *Site) open(h func(*request) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		if passive(c.Request()) {
			return s.serve(c, h)
		}
		var err error
		s.sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			c.SetRequest(req)
			old := c.Response().Writer
			c.Response().Writer = w
			err = s.answer(c, h)
			c.Response().Writer = old
		})).ServeHTTP(c.Response().Writer, c.Request())
		return err
	}
}

// wrap wraps a handler that only some roles may use; others are sent to sign in
// or told that they may not.
func (s *Site) wrap(roles []identity.Role, h func(*request) error) echo.HandlerFunc {
	return s.open(func(r *request) error {
		if !r.view.SignedIn {
			if r.Request().Header.Get("HX-Request") != "" { // htmx follows: the whole page, not a part of it
				r.Response().Header().Set("HX-Redirect", "/sign-in")
				return r.NoContent(http.StatusUnauthorized)
			}
			return r.Redirect(http.StatusSeeOther, "/sign-in")
		}
		if !r.who.Has(roles...) {
			return r.refusal(problem.Forbidden, "error.forbidden")
		}
		return h(r)
	})
}

// passive says whether a page asks for a part of itself. Such a request reads
// the session and never saves it: it could undo what a person just chose.
func passive(req *http.Request) bool {
	return req.Method == http.MethodGet && (req.Header.Get("HX-Request") != "" || req.URL.Path == "/events" ||
		strings.HasSuffix(req.URL.Path, "/chart") || strings.HasPrefix(req.URL.Path, "/photos/"))
}

func (s *Site) serve(c echo.Context, h func(*request) error) error {
	token := ""
	if cookie, err := c.Request().Cookie(s.sessions.Cookie.Name); err == nil {
		token = cookie.Value
	}
	ctx, err := s.sessions.Load(c.Request().Context(), token)
	if err != nil {
		s.sessionsAway(c.Response(), c.Request(), err)
		return nil
	}
	c.SetRequest(c.Request().WithContext(ctx))
	return s.answer(c, h)
}

func (s *Site) answer(c echo.Context, h func(*request) error) error {
	c.Response().Header().Set("Cache-Control", "no-store")
	r, err := s.begin(c)
	if err == nil {
		err = s.fromHere(r)
	}
	if err == nil {
		err = r.checkValues(r.QueryParams(), maxField)
	}
	if err == nil {
		err = h(r)
	}
	if err != nil {
		return r.fail(err)
	}
	return nil
}

// fromHere refuses a form that another site's page sent.
func (s *Site) fromHere(r *request) error {
	if err := s.guard.Check(r.Request()); err != nil {
		return r.refusal(problem.Forbidden, "error.origin")
	}
	return nil
}

func (s *Site) begin(c echo.Context) (*request, error) {
	ctx := c.Request().Context()
	r := &request{Context: c, site: s, ctx: ctx, now: s.Clock.Now()}
	var err error
	r.who, r.view.SignedIn, err = s.principal(ctx)
	r.view.texts, r.view.Language = s.texts, s.language(ctx, c.Request(), r.who)
	r.who.Language = r.view.Language
	r.ctx = identity.With(ctx, r.who)
	r.view.Who, r.view.Now, r.view.Zone, r.view.Path = r.who, r.now, zone, c.Request().URL.Path
	r.view.Nav = navigation(r.who.Role, r.view.Path)
	if err == nil && r.view.SignedIn && r.view.Language == "en" {
		r.view.people, err = s.names.english(ctx, s.Pool, r.now)
	}
	if s.Demo != nil {
		status := s.Demo.Status()
		r.view.Demo = &status
	}
	return r, err
}

// language is the one chosen in the header, else the user's, else the browser's.
func (s *Site) language(ctx context.Context, req *http.Request, who identity.Principal) string {
	lang := s.sessions.GetString(ctx, languageKey)
	if lang == "" {
		lang = who.Language
	}
	if lang == "" && strings.HasPrefix(strings.ToLower(req.Header.Get("Accept-Language")), "en") {
		lang = "en"
	}
	if lang != "en" {
		lang = "zh"
	}
	return lang
}

// zone is the service organisation's time zone; a page's times are shown in it.
var zone = time.FixedZone("UTC+8", 8*3600)

func (r *request) t(key string, args ...any) string { return r.view.T(key, args...) }

// refusal is a problem in the reader's own words.
func (r *request) refusal(kind problem.Kind, key string) *problem.Error {
	text := r.t(key)
	return problem.New(kind, "%s", text).WithZH("%s", text)
}

// read runs fn in a transaction that sees what the caller may see.
func (r *request) read(fn func(tx pgx.Tx) error) error {
	return postgres.As(r.ctx, r.site.Pool, r.who, fn)
}

// id reads a UUID from the path; anything else is "no such thing".
func (r *request) id() (uuid.UUID, error) {
	id, err := uuid.Parse(r.Param("id"))
	if err != nil {
		return id, r.refusal(problem.NotFound, "error.not_found")
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
	if r.view.Flash == "" && !passive(r.Request()) {
		r.view.Flash, r.view.FlashKind = r.site.sessions.PopString(r.ctx, flashKey), r.site.sessions.PopString(r.ctx, flashKind)
	}
	var buf bytes.Buffer
	if err := layout(r.view, body).Render(r.ctx, &buf); err != nil {
		return fmt.Errorf("render %s: %w", r.view.Path, err)
	}
	h := r.Response().Header()
	h.Add("Vary", "Accept-Encoding")
	if !strings.Contains(r.Request().Header.Get("Accept-Encoding"), "gzip") {
		return r.HTMLBlob(status, buf.Bytes())
	}
	h.Set("Content-Encoding", "gzip") // a page holds no secret of its own that its length could tell
	h.Set("Content-Type", echo.MIMETextHTMLCharsetUTF8)
	r.Response().WriteHeader(status)
	w := gzip.NewWriter(r.Response())
	if _, err := w.Write(buf.Bytes()); err != nil {
		return nil //nolint:nilerr // the reader has gone
	}
	return w.Close()
}

func (r *request) flash(kind, text string) {
	r.site.sessions.Put(r.ctx, flashKind, kind)
	r.site.sessions.Put(r.ctx, flashKey, text)
}

// back returns to the page that the form was on. Its path stays as it was written:
// what stands behind a %5C or a %09 would be another host to a browser.
func (r *request) back() error {
	target := "/"
	if u, err := url.Parse(r.Request().Referer()); err == nil && strings.HasPrefix(u.EscapedPath(), "/") && !strings.HasPrefix(u.Path, "//") {
		target = u.EscapedPath()
		if u.RawQuery != "" {
			target += "?" + u.RawQuery
		}
	}
	return r.Redirect(http.StatusSeeOther, target)
}

// fail shows what went wrong as a page. Text of internal errors stays in the log.
func (r *request) fail(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil // nobody waits for the answer
	}
	kind, text := problem.Of(err), r.t("error.internal")
	if kind == problem.Internal {
		r.site.Log.ErrorContext(r.ctx, "page failed", "path", r.view.Path, "error", err)
	} else {
		text = r.told(problem.As(err))
	}
	return r.render(statusOf(kind), "error.title", errorView(r.view, text))
}

// told is a problem in the reader's language. A problem that has words of its own
// in English only is told in Chinese by its kind.
func (r *request) told(p *problem.Error) string {
	text := p.In(r.view.Language)
	if text == "" || p.Kind == problem.NotFound {
		text = r.t("refused." + string(p.Kind))
	}
	if r.view.Language == "en" {
		for _, f := range p.Fields {
			if strings.Contains(text, f.Detail) {
				continue // said already
			}
			text += " " + strings.TrimPrefix(f.Pointer, "/") + ": " + f.Detail + "."
		}
	}
	if len(p.Allowed) == 0 {
		return text
	}
	names := make([]string, 0, len(p.Allowed))
	for _, state := range p.Allowed {
		names = append(names, r.stateName(state))
	}
	return r.t("refused.allowed", strings.TrimRight(text, "。. "), strings.Join(names, " · "))
}

// stateName names a state of a case or, on a work order's page, of the order.
func (r *request) stateName(state string) string {
	for _, prefix := range []string{"case_state.", "order_state."} {
		if key := prefix + state; r.view.has(key) && (prefix == "order_state.") == strings.HasPrefix(r.view.Path, "/work-orders/") {
			return r.t(key)
		}
	}
	return state
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
