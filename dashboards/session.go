package dashboards

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/thirdstate/thirdstate/internal/accounts"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const (
	userKey     = "user"
	languageKey = "language"
	flashKey    = "flash"
	flashKind   = "flash-kind"
)

// maxChecking bounds the passwords that are checked at the same time: each takes 19
// MiB and a processor. The others wait.
const maxChecking = 8

func newSessions(pool *postgres.Pool, secure bool) *scs.SessionManager {
	m := scs.New()
	if pool != nil {
		m.Store = pgxstore.NewWithCleanupInterval(pool.Raw(), 0) // expired sessions are never found; the scanner removes them
	}
	m.HashTokenInStore = true
	m.IdleTimeout, m.Lifetime = 12*time.Hour, 14*24*time.Hour
	m.Cookie.Name = "thirdstate"
	m.Cookie.HttpOnly, m.Cookie.SameSite, m.Cookie.Secure = true, http.SameSiteLaxMode, secure
	return m
}

// sessionsAway answers when the sessions cannot be read or saved: the database
// is away, so nothing else could be shown either.
func (s *Site) sessionsAway(w http.ResponseWriter, r *http.Request, err error) {
	s.Log.ErrorContext(r.Context(), "sessions away", "error", err)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Retry-After", "5")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintf(w, `<!DOCTYPE html><html lang="zh-CN"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/assets/app.css"><title>503</title><main><section class="card"><h1>%s</h1><p lang="en">%s</p></section></main></html>`,
		s.texts.known["zh"]["error.away"], s.texts.known["en"]["error.away"])
}

// principal says who has signed in on this request; it is read from the database
// each time, so that a disabled user is out at once.
func (s *Site) principal(ctx context.Context) (identity.Principal, bool, error) {
	id, err := uuid.Parse(s.sessions.GetString(ctx, userKey))
	if err != nil {
		return identity.Principal{}, false, nil //nolint:nilerr // nobody has signed in, which is no fault
	}
	who, err := accounts.ByID(ctx, s.Pool, id)
	switch problem.Of(err) {
	case problem.Internal, problem.Unavailable:
		if err != nil {
			return identity.Principal{}, false, err
		}
		return who, true, nil
	}
	return identity.Principal{}, false, nil
}

// SessionPrincipal says who has signed in on the pages with the request's
// cookie, for the API.
func (s *Site) SessionPrincipal(r *http.Request) (identity.Principal, bool) {
	cookie, err := r.Cookie(s.sessions.Cookie.Name)
	if err != nil {
		return identity.Principal{}, false
	}
	ctx, err := s.sessions.Load(r.Context(), cookie.Value)
	if err != nil {
		s.Log.ErrorContext(r.Context(), "session not read", "error", err)
		return identity.Principal{}, false
	}
	who, ok, err := s.principal(ctx)
	if err != nil {
		s.Log.ErrorContext(r.Context(), "signed-in user not read", "error", err)
	}
	return who, ok
}

func (s *Site) mountSignIn(e *echo.Echo) {
	e.GET("/sign-in", s.open(s.showSignIn))
	e.POST("/sign-in", s.open(s.signIn))
	e.POST("/sign-out", s.open(s.signOut))
	e.POST("/language", s.open(s.setLanguage))
	if s.Demo != nil {
		e.POST("/sign-in/one-click", s.open(s.oneClick))
		e.GET("/demo/login/:login", s.open(s.oneClick)) // the links that the demo prints
		e.GET("/demo/bar", s.wrap(everyone, s.showDemoBar))
	}
}

func (s *Site) showSignIn(r *request) error {
	page := signInPage{}
	if s.Demo != nil {
		logins, err := s.logins(r)
		if err != nil {
			return err
		}
		page.Logins = logins
	}
	return r.render(http.StatusOK, "sign_in.title", signInView(r.view, page))
}

func (s *Site) signIn(r *request) error {
	if err := r.readForm(0, 0); err != nil {
		return err
	}
	login := r.FormValue("login")
	if wait := s.throttle.try(login, r.RealIP()); wait > 0 {
		r.Response().Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		r.view.Flash, r.view.FlashKind = r.t("sign_in.slow", int(math.Ceil(wait.Seconds()))), "refused"
		return r.render(http.StatusTooManyRequests, "sign_in.title", signInView(r.view, signInPage{}))
	}
	select {
	case s.checking <- struct{}{}:
		defer func() { <-s.checking }()
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
	who, err := accounts.SignIn(r.ctx, s.Pool, s.Clock.Now(), login, r.FormValue("password"))
	switch {
	case err == nil:
		s.throttle.succeeded(login, r.RealIP())
		return s.enter(r, who)
	case problem.Of(err) == problem.Internal || problem.Of(err) == problem.Unavailable:
		return err
	}
	r.flash("refused", r.t("sign_in.wrong"))
	return r.Redirect(http.StatusSeeOther, "/sign-in")
}

func (s *Site) enter(r *request, who identity.Principal) error {
	if err := s.sessions.RenewToken(r.ctx); err != nil {
		return fmt.Errorf("renew the session's token: %w", err)
	}
	s.sessions.Put(r.ctx, userKey, who.UserID.String())
	return r.Redirect(http.StatusSeeOther, home(who.Role))
}

func (s *Site) signOut(r *request) error {
	lang := r.view.Language
	if err := s.sessions.Destroy(r.ctx); err != nil {
		return fmt.Errorf("end the session: %w", err)
	}
	s.sessions.Put(r.ctx, languageKey, lang)
	return r.Redirect(http.StatusSeeOther, "/sign-in")
}

func (s *Site) setLanguage(r *request) error {
	if err := r.readForm(0, 0); err != nil {
		return err
	}
	if lang := r.FormValue("language"); lang == "zh" || lang == "en" {
		s.sessions.Put(r.ctx, languageKey, lang)
	}
	return r.back()
}

const oneClickUserSQL = `SELECT id FROM app_user WHERE login = @login AND one_click AND disabled_at IS NULL`

// oneClick signs in as one of the demo's people; it is mounted in the demo only.
func (s *Site) oneClick(r *request) error {
	login := r.Param("login")
	if login == "" {
		if err := r.readForm(0, 0); err != nil {
			return err
		}
		login = r.FormValue("login")
	}
	var who identity.Principal
	err := postgres.As(r.ctx, s.Pool, identity.Program("sign-in"), func(tx pgx.Tx) error {
		id, err := postgres.Value[uuid.UUID](r.ctx, tx, oneClickUserSQL, pgx.NamedArgs{"login": login})
		if err != nil {
			return err
		}
		who.UserID = id
		return nil
	})
	if err != nil {
		return err
	}
	if who, err = accounts.ByID(r.ctx, s.Pool, who.UserID); err != nil {
		return err
	}
	s.sessions.Put(r.ctx, languageKey, r.view.Language) // the visitor's, not the person's
	return s.enter(r, who)
}
