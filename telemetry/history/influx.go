package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api"
	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// What InfluxDB holds: one point a machine and instant, its signals as float
// fields, and of values that are not good the quality under the same name.
const (
	influxMeasurement = "telemetry"
	influxQuality     = "telemetry_quality"
	influxTimeout     = 30 * time.Second // of one request
	influxErrorBytes  = 64 << 10         // read of an answer that is an error
)

// InfluxConfig says where an InfluxDB is. InfluxDB 1.8 takes "database/retention
// policy" as the bucket and "user:password" as the token.
type InfluxConfig struct {
	URL    string
	Token  string
	Org    string
	Bucket string
	Pool   *postgres.Pool   // knows who owned a machine when
	Now    func() time.Time // the program clock; nil = the wall
}

// Influx keeps the history in InfluxDB 2, or 1.8 with Flux. Safe for
// concurrent use. A day that is pruned is gone: unlike the history in PostgreSQL
// it leaves no roll-ups.
type Influx struct {
	pool    *postgres.Pool
	client  influxdb2.Client
	writes  api.WriteAPIBlocking
	queries api.QueryAPI
	server  string // its URL without what is secret
	org     string
	bucket  string
	now     func() time.Time
	version atomic.Pointer[string] // of the server; nil: not known yet
}

var _ Store = (*Influx)(nil)

// NewInflux checks the settings, all at once, and asks nobody: a server
// that is away now may be there later.
func NewInflux(c InfluxConfig) (*Influx, error) {
	u, err := url.Parse(c.URL)
	var fields []problem.Field
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		fields = append(fields, problem.Field{Pointer: "--influx-url", Detail: "is no URL such as http://127.0.0.1:8086"})
	}
	if c.Bucket == "" {
		fields = append(fields, problem.Field{Pointer: "--influx-bucket", Detail: "is needed (database/retention policy for InfluxDB 1.8)"})
	}
	if strings.ContainsAny(c.Token, "\r\n") {
		fields = append(fields, problem.Field{Pointer: "--influx-token", Detail: "has a line break"})
	}
	if len(fields) > 0 {
		return nil, problem.New(problem.Invalid, "%s %s", fields[0].Pointer, fields[0].Detail).WithFields(fields...)
	}
	options := influxdb2.DefaultOptions().SetPrecision(time.Microsecond).SetApplicationName("thirdstate").SetHTTPClient(&http.Client{
		Timeout:   influxTimeout,
		Transport: shortErrors{http.DefaultTransport},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the token is for this server only
		},
	})
	if c.Now == nil {
		c.Now = time.Now
	}
	client := influxdb2.NewClientWithOptions(c.URL, c.Token, options)
	return &Influx{
		pool: c.Pool, client: client, server: u.Redacted(), org: c.Org, bucket: c.Bucket, now: c.Now,
		writes: client.WriteAPIBlocking(c.Org, c.Bucket), queries: client.QueryAPI(c.Org),
	}, nil
}

// shortErrors bounds what is read of an answer that is an error.
type shortErrors struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t shortErrors) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.RoundTripper.RoundTrip(r)
	if err == nil && answer.StatusCode >= 300 {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, influxErrorBytes), answer.Body}
	}
	return answer, err
}

// influxStatus is the HTTP status that an error of the client stands for, 0 for
// none: the server was not reached or broke off.
func influxStatus(err error) int {
	if e, ok := errors.AsType[*influxhttp.Error](err); ok {
		return e.StatusCode
	}
	return 0
}

// fault names what is wrong and what mends it. A setting that is wrong is no
// reason to lose data: the caller tries again until somebody has set it right.
func (h *Influx) fault(what string, err error) error {
	e, _ := errors.AsType[*influxhttp.Error](err)
	if e == nil {
		e = &influxhttp.Error{Err: err}
	}
	said := strings.ToValidUTF8(e.Message[:min(len(e.Message), 300)], "")
	switch e.StatusCode {
	case http.StatusUnauthorized:
		err = h.away("InfluxDB at %s refuses the token: give a valid one with --influx-token (user:password for InfluxDB 1.8): %s", h.server, said)
	case http.StatusForbidden:
		err = h.away("InfluxDB at %s forbids this: the token must read and write bucket %s, and InfluxDB 1.8 needs flux-enabled = true: %s", h.server, h.bucket, said)
	case http.StatusNotFound:
		err = h.away("InfluxDB at %s has no bucket %s in organisation %s: make it, or name another with --influx-bucket and --influx-org: %s", h.server, h.bucket, h.org, said)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		err = &LaterError{After: time.Duration(e.RetryAfter) * time.Second, Err: h.away("InfluxDB at %s is busy (%d): %s", h.server, e.StatusCode, said)}
	case 0:
		err = fmt.Errorf("%w: %w", h.away("InfluxDB at %s cannot be reached", h.server), err)
	default:
		err = h.away("InfluxDB at %s answers %d: %s", h.server, e.StatusCode, said)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (h *Influx) away(format string, args ...any) error {
	return problem.New(problem.Unavailable, format, args...)
}

// span is a stretch of time, [from, to).
type span struct{ from, to time.Time }

// always is all the time that there can be data of.
func always() span {
	return span{time.Unix(0, 0).UTC(), time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (s span) cut(from, to time.Time) (span, bool) {
	if from.After(s.from) {
		s.from = from.UTC()
	}
	if to.Before(s.to) {
		s.to = to.UTC()
	}
	return s, s.from.Before(s.to)
}

// flux writes the span as the range of a query. Instants are whole microseconds,
// so that it does not matter that InfluxDB 1.8 takes stop in.
func (s span) flux() string {
	return "range(start: " + s.from.Format(time.RFC3339Nano) + ", stop: " + s.to.Add(-time.Nanosecond).Format(time.RFC3339Nano) + ")"
}

type ownedSpan struct {
	From time.Time  `db:"valid_from"`
	To   *time.Time `db:"valid_to"`
}

// A former owner does not see the machine any more, and so nothing of it.
const ownedSpansSQL = `SELECT o.valid_from, o.valid_to FROM machine m JOIN machine_ownership o ON o.machine_id = m.id
WHERE m.key = @key AND m.no = @no AND o.customer_id = @customer ORDER BY o.valid_from`

// spans are the times in which the caller sees a machine, in their order.
func (h *Influx) spans(ctx context.Context, machine Ref) ([]span, error) {
	who, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case who.Role == identity.System, who.Role.Valid() && !who.Role.CustomerScoped():
		return []span{always()}, nil
	case !who.Role.Valid():
		return nil, nil
	}
	rows, err := asCaller(ctx, h.pool, who, ownedSpansSQL, machine)
	if err != nil {
		return nil, fmt.Errorf("read whose machine %s was when: %w", machine.Key, err)
	}
	list := make([]span, 0, len(rows))
	for _, r := range rows {
		s := span{r.From.UTC(), always().to}
		if r.To != nil {
			s.to = r.To.UTC()
		}
		list = append(list, s)
	}
	return list, nil
}

// fluxText writes a text as a Flux literal. Whatever could mean something to Flux
// is written as bytes.
func fluxText(s string) string {
	const hex = "0123456789abcdef"
	b := append(make([]byte, 0, len(s)+2), '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '.', c == '/', c == ' ':
			b = append(b, c)
		default:
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		}
	}
	return string(append(b, '"'))
}

// from begins a query for some measurements of one machine.
func (h *Influx) from(s span, machine string, signals []string, measurements ...string) string {
	var q strings.Builder
	fmt.Fprintf(&q, "from(bucket: %s) |> %s |> filter(fn: (r) => (%s) and r.machine == %s", fluxText(h.bucket), s.flux(), anyOf("_measurement", measurements), fluxText(machine))
	if len(signals) > 0 {
		q.WriteString(" and (" + anyOf("_field", signals) + ")")
	}
	return q.String() + ")"
}

func anyOf(column string, values []string) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = "r." + column + " == " + fluxText(v)
	}
	return strings.Join(parts, " or ")
}

// fluxDuration writes a duration, which is whole microseconds.
func fluxDuration(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) + "us" }
