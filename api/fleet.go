package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/thirdstate/thirdstate/internal/accounts"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/aemp"
)

// fleetPrefix is where other fleet tools read ours (ISO/TS 15143-3).
const fleetPrefix = "/aemp/v2"

const maxFleetPage = 100_000

// mountFleet adds the fleet of ISO/TS 15143-3. Its words are routed in any case,
// because clients spell them in several ways.
func (s *Server) mountFleet(e *echo.Echo) {
	e.GET(fleetPrefix+"/*", func(c echo.Context) error {
		r := c.Request()
		id := requestIDFrom(r.Header.Get("X-Request-Id"))
		guardHeaders(c.Response().Header(), id)
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		who, err := s.fleetReader(ctx, r)
		var answer fleetAnswer
		if err == nil {
			answer, err = s.readFleet(identity.With(ctx, who), r.URL)
		}
		if err == nil {
			return answer.write(c)
		}
		kind := problem.Of(err)
		if kind == problem.Internal {
			s.Log.ErrorContext(ctx, "fleet not read", "error", err, "request_id", id)
		}
		p := newProblem(context.WithValue(ctx, requestKey{}, &request{id: id, path: strings.ToValidUTF8(r.URL.Path, "\uFFFD")}), kind, textOf(err))
		if p.Status == http.StatusUnauthorized {
			c.Response().Header().Set("WWW-Authenticate", `Basic realm="thirdstate"`)
		}
		c.Response().Header().Set("Content-Type", p.ContentType(""))
		c.Response().WriteHeader(p.Status)
		return writeJSON(c.Response(), p)
	})
}

// textOf is what a caller may read of an error.
func textOf(err error) string {
	if said := problem.As(err); said != nil && said.Kind != problem.Internal {
		return said.Text
	}
	return ""
}

// fleetReader finds out who is asking: a token as bearer, or as the password of
// Basic. Every role may read; what it sees is the database's word.
func (s *Server) fleetReader(ctx context.Context, r *http.Request) (identity.Principal, error) {
	token := ""
	if scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		token = rest
	} else if _, password, ok := r.BasicAuth(); ok {
		token = password
	}
	if token == "" || len(token) > 512 {
		return identity.Principal{}, problem.New(problem.Unauthenticated, "send an API token as bearer, or as the password of Basic")
	}
	who, err := accounts.PrincipalOfToken(ctx, s.Pool, s.Clock.Now(), token)
	if err == nil && !who.Has(everyone...) {
		err = problem.New(problem.Forbidden, "the role %s may not read fleets", who.Role)
	}
	return who, err
}

// fleetAnswer is a document in the form that was asked for.
type fleetAnswer struct {
	fleet  aemp.Fleet
	series string
}

func (a fleetAnswer) write(c echo.Context) error {
	accept := strings.ToLower(c.Request().Header.Get("Accept"))
	json, xml := strings.Index(accept, "json"), strings.Index(accept, "xml")
	if json >= 0 && (xml < 0 || json < xml) {
		body, err := a.fleet.JSON(a.series)
		if err != nil {
			return err
		}
		return c.Blob(http.StatusOK, "application/json", body)
	}
	body, err := a.fleet.XML(a.series)
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "application/xml; charset=utf-8", body)
}

func nothingThere() error { return problem.New(problem.NotFound, "no such page of the fleet") }

// fleetPath is an address taken apart.
type fleetPath struct {
	page              int
	machine           bool
	maker, model, num string // num is a serial number, or the number behind ID
	byNumber          bool
	metric            string
	from, to          time.Time
	base              string // as it was written, without the page
	upTo              string // of a series, as it was written up to its times, with the slash
}

func readFleetPath(u *url.URL) (p fleetPath, err error) {
	escaped := strings.TrimPrefix(u.EscapedPath(), fleetPrefix)
	var parts []string
	for _, raw := range strings.Split(strings.Trim(escaped, "/"), "/") {
		part, err := url.PathUnescape(raw)
		if err != nil || badText(part, "path") != nil || len(part) > 200 {
			return p, nothingThere()
		}
		parts = append(parts, part)
	}
	p.base = strings.TrimSuffix(u.EscapedPath(), "/")
	word := func(i int) string {
		if i < len(parts) {
			return strings.ToLower(parts[i])
		}
		return ""
	}
	if word(0) != "fleet" {
		return p, nothingThere()
	}
	var rest []string
	switch {
	case word(1) != "equipment":
		if len(parts) == 1 {
			p.page = 1
			return p, nil
		}
		if len(parts) == 2 {
			p.base = p.base[:strings.LastIndexByte(p.base, '/')]
			p.page, err = pageNumber(parts[1])
			return p, err
		}
		return p, nothingThere()
	case word(2) == "id" && len(parts) >= 4:
		p.machine, p.byNumber, p.num, rest = true, true, parts[3], parts[4:]
	case word(2) == "makemodelserial" && len(parts) >= 6:
		p.machine, p.maker, p.model, p.num, rest = true, parts[3], parts[4], parts[5], parts[6:]
	default:
		return p, nothingThere()
	}
	return p, p.readSeries(rest)
}

// longestSeries bounds what one question asks for.
const longestSeries = 31 * 24 * time.Hour

func (p *fleetPath) readSeries(rest []string) (err error) {
	p.page = 1
	switch len(rest) {
	case 0:
		return nil
	case 3:
	case 4:
		p.base = p.base[:strings.LastIndexByte(p.base, '/')]
		if p.page, err = pageNumber(rest[3]); err != nil {
			return err
		}
	default:
		return nothingThere()
	}
	if _, _, ok := aemp.Series(rest[0]); !ok {
		return problem.New(problem.NotFound, "no such time series")
	}
	p.metric = rest[0]
	times := p.base[:strings.LastIndexByte(p.base, '/')]
	p.upTo = times[:strings.LastIndexByte(times, '/')+1]
	for i, at := range []*time.Time{&p.from, &p.to} {
		t, err := time.Parse(time.RFC3339, rest[1+i])
		if err != nil || t.Year() < 2000 || t.Year() > 2099 {
			return problem.New(problem.Invalid, "times are as 2026-03-01T08:00:00Z")
		}
		*at = t.UTC()
	}
	if !p.from.Before(p.to) || p.to.Sub(p.from) > longestSeries {
		return problem.New(problem.Invalid, "the start lies before the end, and at most 31 days")
	}
	return nil
}

func pageNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxFleetPage {
		return 0, nothingThere()
	}
	return n, nil
}
