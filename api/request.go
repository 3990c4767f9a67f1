package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/intake"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// request is what every part of one exchange may know of it.
type request struct {
	id    string
	path  string
	query url.Values
	key   *key // of idempotency, when the caller sent one
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

func requestID(ctx context.Context) string {
	if r := requestOf(ctx); r != nil {
		return r.id
	}
	return ""
}

func requestPath(ctx context.Context) string {
	if r := requestOf(ctx); r != nil {
		return r.path
	}
	return ""
}

type humaContext = huma.Context

// exchange is huma's context with our own context and the last word on the status.
type exchange struct {
	humaContext
	ctx     context.Context
	instead int // the status that a rewritten error has, or 0
	written int
}

func (x *exchange) Context() context.Context { return x.ctx }
func (x *exchange) Unwrap() huma.Context     { return x.humaContext }

func (x *exchange) SetStatus(code int) {
	if x.instead != 0 {
		code = x.instead
	}
	x.written = code
	x.humaContext.SetStatus(code)
}

// with returns the same exchange with another context.
func (x *exchange) with(ctx context.Context) *exchange {
	x.ctx = ctx
	return x
}

// frame is around every operation: request id, headers, time limit, measuring,
// and the fence that keeps a fault of ours to one request.
func (s *Server) frame(hc huma.Context, next func(huma.Context)) {
	began := time.Now()
	asked := hc.URL()
	r := &request{id: requestIDFrom(hc.Header("X-Request-Id")), path: intake.HideToken(asked.Path), query: asked.Query()}
	ctx, cancel := context.WithTimeout(context.WithValue(hc.Context(), requestKey{}, r), requestTimeout)
	defer cancel()
	x := &exchange{humaContext: hc, ctx: ctx}
	guardHeaders(humaecho.Unwrap(hc).Response().Header(), r.id)
	defer func() {
		if fault := recover(); fault != nil {
			s.Log.ErrorContext(ctx, "request panicked", "fault", fault, "stack", string(debug.Stack()), "request_id", r.id, "path", r.path)
			if x.written == 0 {
				s.refuse(x, newProblem(ctx, problem.Internal, ""))
			}
		}
		s.measured.WithLabelValues(hc.Operation().OperationID, strconv.Itoa(x.written)).Observe(time.Since(began).Seconds())
	}()
	if fault := badText(asked.Path, "path"); fault != nil {
		s.refuseText(x, fault)
		return
	}
	for name, values := range r.query {
		for _, value := range append([]string{name}, values...) {
			if fault := badText(value, "query"); fault != nil {
				s.refuseText(x, fault)
				return
			}
		}
	}
	next(x)
}

func guardHeaders(h http.Header, id string) {
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
}

// requestIDFrom takes the caller's id when it is harmless in a log, else a new one.
func requestIDFrom(given string) string {
	if given != "" && len(given) <= 64 && strings.IndexFunc(given, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}) < 0 {
		return given
	}
	return uuid.NewString()
}

// badText names text that no field can hold: PostgreSQL knows no NUL and no broken UTF-8.
func badText(text, in string) *Fault {
	if i := strings.IndexByte(text, 0); i >= 0 {
		return &Fault{In: in, Pointer: "", Detail: "NUL at byte " + strconv.Itoa(i)}
	}
	if !utf8.ValidString(text) {
		return &Fault{In: in, Pointer: "", Detail: "not valid UTF-8"}
	}
	return nil
}

func (s *Server) refuseText(x *exchange, fault *Fault) {
	p := newProblem(x.ctx, problem.Invalid, "see errors")
	p.Errors = []Fault{*fault}
	s.refuse(x, p)
}

// refuse answers a problem before the operation's handler is reached.
func (s *Server) refuse(x *exchange, p *Problem) {
	x.SetHeader("Content-Type", p.ContentType(""))
	if p.Status == http.StatusUnauthorized {
		x.SetHeader("WWW-Authenticate", `Bearer realm="thirdstate"`)
	}
	x.instead = p.Status
	x.SetStatus(p.Status)
	if err := writeJSON(x.BodyWriter(), p); err != nil {
		s.Log.DebugContext(x.ctx, "answer not written", "error", err, "request_id", requestID(x.ctx))
	}
}

func (s *Server) measure() error {
	s.measured = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "thirdstate_http_request_seconds", Help: "Time to answer an API request, by operation and status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"operation", "status"})
	return s.Registry.Register(s.measured)
}

// mountErrors answers what no operation took: an unknown path or method below /api.
func (s *Server) mountErrors(e *echo.Echo) {
	before := e.HTTPErrorHandler
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		path := c.Request().URL.Path
		if path != "/api" && !strings.HasPrefix(path, "/api/") {
			before(err, c)
			return
		}
		if c.Response().Committed {
			return
		}
		kind := problem.Internal
		if he, ok := errors.AsType[*echo.HTTPError](err); ok {
			kind = kindOfStatus(he.Code)
		}
		r := &request{id: requestIDFrom(c.Request().Header.Get("X-Request-Id")), path: strings.ToValidUTF8(intake.HideToken(path), "\uFFFD")}
		if kind == problem.Internal {
			s.Log.ErrorContext(c.Request().Context(), "request failed", "error", err, "request_id", r.id, "path", r.path)
		}
		p := newProblem(context.WithValue(c.Request().Context(), requestKey{}, r), kind, "")
		guardHeaders(c.Response().Header(), r.id)
		c.Response().Header().Set("Content-Type", p.ContentType(""))
		c.Response().WriteHeader(p.Status)
		if err := writeJSON(c.Response(), p); err != nil {
			s.Log.Debug("answer not written", "error", err, "request_id", r.id)
		}
	}
}
