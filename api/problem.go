package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// Problem is what went wrong, as RFC 9457 wants it told.
type Problem struct {
	Type      string   `json:"type" doc:"stable; explained in the reference"`
	Title     string   `json:"title"`
	Status    int      `json:"status"`
	Detail    string   `json:"detail,omitempty"`
	Instance  string   `json:"instance,omitempty" doc:"the path that was asked for"`
	RequestID string   `json:"request_id,omitempty" doc:"names the request in the server's log"`
	Errors    []Fault  `json:"errors,omitempty" doc:"every faulty part of the request at once"`
	Allowed   []string `json:"allowed,omitempty" doc:"for a refused transition: what is allowed from here"`
}

// Fault is one faulty part of a request.
type Fault struct {
	In      string `json:"in,omitempty" doc:"path, query or header; absent for the body"`
	Pointer string `json:"pointer" doc:"JSON pointer into the body, or / and the parameter's name"`
	Detail  string `json:"detail"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// The kinds that only HTTP knows.
const (
	notAllowed   problem.Kind = "method_not_allowed"
	badMedia     problem.Kind = "unsupported_media_type"
	keyReused    problem.Kind = "idempotency_key_reused"
	bodyTimedOut problem.Kind = "request_timeout"
)

type answer struct {
	Kind   problem.Kind
	Status int
	Title  string
	ZH     string
}

// answers gives every kind of problem its status; a test holds that none is missing.
var answers = []answer{
	{problem.Invalid, http.StatusBadRequest, "The request breaks a rule", "请求不符合规则"},
	{problem.Unauthenticated, http.StatusUnauthorized, "Nobody has signed in", "未登录或令牌无效"},
	{problem.Forbidden, http.StatusForbidden, "This role may not do that", "该角色无权执行此操作"},
	{problem.NotFound, http.StatusNotFound, "No such thing", "对象不存在"},
	{problem.Conflict, http.StatusConflict, "Its state does not allow that now", "当前状态不允许此操作"},
	{problem.PreconditionFailed, http.StatusPreconditionFailed, "It was changed since you read it", "数据已被他人修改"},
	{problem.PreconditionRequired, http.StatusPreconditionRequired, "Name the version that you read", "请注明所读取的版本"},
	{problem.TooLarge, http.StatusRequestEntityTooLarge, "The request is too large", "请求过大"},
	{problem.Limited, http.StatusTooManyRequests, "Too many requests", "请求过于频繁"},
	{problem.Unavailable, http.StatusServiceUnavailable, "A part is away, try again", "服务暂不可用，请稍后重试"},
	{problem.Internal, http.StatusInternalServerError, "A fault of ours", "服务器内部错误"},
	{notAllowed, http.StatusMethodNotAllowed, "This path does not take that method", "该路径不支持此方法"},
	{badMedia, http.StatusUnsupportedMediaType, "The body is of a kind that is not read here", "不支持的内容类型"},
	{keyReused, http.StatusUnprocessableEntity, "The idempotency key was used for another request", "幂等键已用于其他请求"},
	{bodyTimedOut, http.StatusRequestTimeout, "The body took too long", "请求体接收超时"},
}

func answerOf(kind problem.Kind) answer {
	for _, a := range answers {
		if a.Kind == kind {
			return a
		}
	}
	return answers[slices.IndexFunc(answers, func(a answer) bool { return a.Kind == problem.Internal })]
}

func kindOfStatus(status int) problem.Kind {
	if status == http.StatusUnprocessableEntity { // huma's word for what breaks the schema
		return problem.Invalid
	}
	for _, a := range answers {
		if a.Status == status {
			return a.Kind
		}
	}
	if status >= 400 && status < 500 {
		return problem.Invalid
	}
	return problem.Internal
}

func newProblem(ctx context.Context, kind problem.Kind, detail string) *Problem {
	a := answerOf(kind)
	p := &Problem{Type: "/api/docs#problem-" + strings.ReplaceAll(string(a.Kind), "_", "-"), Title: a.Title, Status: a.Status, Detail: detail}
	if r := requestOf(ctx); r != nil {
		p.Instance, p.RequestID = r.path, r.id
	}
	return p
}

// fail turns a handler's error into the answer. The text of an internal error
// goes to the log and nowhere else.
func (s *Server) fail(ctx context.Context, err error) error {
	if known, ok := errors.AsType[*Problem](err); ok {
		return known
	}
	if unchanged, ok := errors.AsType[*notModified](err); ok {
		return unchanged
	}
	said := problem.As(err)
	if said == nil {
		said = fromDatabase(err)
	}
	if said == nil || said.Kind == problem.Internal {
		s.Log.ErrorContext(ctx, "request failed", "error", err, "request_id", requestID(ctx), "path", requestPath(ctx))
		return newProblem(ctx, problem.Internal, "")
	}
	p := newProblem(ctx, said.Kind, said.Text)
	p.Allowed = said.Allowed
	for _, f := range said.Fields {
		p.Errors = append(p.Errors, Fault{Pointer: f.Pointer, Detail: f.Detail})
	}
	if said.Kind == problem.NotFound { // the same words for what is missing and what is another's
		p.Detail, p.Errors = "", nil
	}
	return p
}

// fromDatabase names the faults that the database found and the domain did not
// translate, so that a hostile value is the caller's fault and not ours.
func fromDatabase(err error) *problem.Error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return problem.New(problem.Unavailable, "the request took longer than %s", requestTimeout)
	case errors.Is(err, context.Canceled):
		return problem.New(problem.Unavailable, "the request was given up")
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return nil
	}
	switch pg.Code {
	case "23505": // unique
		return problem.New(problem.Conflict, "there is one already")
	case "23503": // foreign key
		return problem.New(problem.Invalid, "a thing that the request names does not exist")
	case "23514", "23502", "22001", "22003", "22008", "22P02", "22021", "22P05": // check, null, length, range, text
		return problem.New(problem.Invalid, "a value is out of its range")
	case "42501": // row-level security
		return problem.New(problem.NotFound, "no such thing")
	case "40001", "40P01", "55P03", "57014", "57P01", "53300":
		return problem.New(problem.Unavailable, "the database was busy; try again")
	}
	return nil
}

// asProblem rewrites huma's errors: its shape becomes ours, and what the caller
// submitted is never sent back.
func asProblem(ctx huma.Context, _ string, body any) (any, error) {
	model, ok := body.(*huma.ErrorModel)
	if !ok {
		return body, nil
	}
	kind, detail := kindOfStatus(model.Status), ""
	switch {
	case strings.HasPrefix(model.Detail, "request body is too large"):
		detail = "the body is larger than the limit of this operation"
	case model.Detail == "request body is required":
		detail = "a body is required"
	case model.Detail == "cannot read request body":
		kind, detail = problem.Invalid, "the body could not be read to its end"
	case kind == badMedia:
		detail = "the body must be application/json"
	case kind == problem.Invalid:
		detail = "see errors"
	}
	p := newProblem(ctx.Context(), kind, detail)
	if kind == problem.Invalid {
		p.Errors = faults(model.Errors)
	}
	if x, ok := ctx.(*exchange); ok {
		x.instead = p.Status
	}
	return p, nil
}

const maxFaults = 100

func faults(details []*huma.ErrorDetail) []Fault {
	out := make([]Fault, 0, len(details))
	for _, d := range details {
		if d == nil || len(out) == maxFaults {
			continue
		}
		in, pointer := place(d.Location)
		out = append(out, Fault{In: in, Pointer: pointer, Detail: quiet(d.Message)})
	}
	slices.SortStableFunc(out, func(a, b Fault) int {
		return cmp.Or(strings.Compare(a.In, b.In), strings.Compare(a.Pointer, b.Pointer))
	})
	return out
}

// place turns huma's "body.items[3].name" into a JSON pointer and where it points.
func place(location string) (in, pointer string) {
	in, rest, _ := strings.Cut(location, ".")
	if in == "body" {
		in = ""
		rest = strings.TrimPrefix(location, "body")
	}
	rest = strings.NewReplacer("~", "~0", "/", "~1", "].", "/", "[", "/", "]", "", ".", "/").Replace(rest)
	if rest != "" && !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	if len(rest) > 200 {
		rest = strings.ToValidUTF8(rest[:200], "")
	}
	return in, rest
}

// quiet cuts the submitted value out of the messages that carry one.
func quiet(message string) string {
	for _, start := range []string{"expected string to be RFC 4122 uuid", "expected string to be RFC 5322 email", "expected string to be RFC 3986 uri",
		"expected string to be regex", "expected duration", "invalid value"} {
		if strings.HasPrefix(message, start+":") {
			return start
		}
	}
	if strings.HasPrefix(message, "json: ") || strings.HasPrefix(message, "parsing time") {
		return "the value has another type than the schema says"
	}
	return message
}
