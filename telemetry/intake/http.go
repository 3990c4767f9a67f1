package intake

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// Bounds of what comes over HTTP.
const (
	httpAtOnce    = 256 // requests of known devices
	httpStrangers = 16  // requests whose token is being looked up
	httpRate      = 100 // messages a second of one device
	httpBurst     = 500
	httpWithin    = 10 * time.Second // for the log to make it durable
)

// HTTPConfig says where messages go that devices send over HTTP.
type HTTPConfig struct {
	Log    *intakelog.Log
	Pool   *postgres.Pool   // where the devices' tokens are
	Now    func() time.Time // program clock
	Logger *slog.Logger
}

// HTTP takes in what devices send over HTTP, as ThingsBoard's device API has
// it: POST /api/v1/{token}/telemetry and /attributes. What would be published
// over MQTT goes to /api/v1/{token}/publish/{topic}, in any format. 200 means that
// the message is durable in the intake log; it is decoded later, as all others.
type HTTP struct {
	HTTPConfig
	devices   *credentials
	mux       *http.ServeMux
	known     chan struct{} // a place for each request
	strangers chan struct{}

	mu    sync.Mutex
	rates map[string]*rate.Limiter // by device

	messages, bytes prometheus.Counter
	refused         *prometheus.CounterVec
}

// NewHTTP returns the handler of those paths; Run must run beside it.
func NewHTTP(c HTTPConfig) *HTTP {
	h := &HTTP{
		HTTPConfig: c, devices: &credentials{pool: c.Pool}, mux: http.NewServeMux(), rates: map[string]*rate.Limiter{},
		known: make(chan struct{}, httpAtOnce), strangers: make(chan struct{}, httpStrangers),
		messages: prometheus.NewCounter(prometheus.CounterOpts{Name: "thirdstate_http_intake_messages_total", Help: "Messages that devices sent over HTTP and that were acknowledged."}),
		bytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "thirdstate_http_intake_payload_bytes_total", Help: "Their payload bytes."}),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thirdstate_http_intake_refused_total", Help: "Requests of devices that were refused, by status."}, []string{"status"}),
	}
	h.mux.HandleFunc("POST /api/v1/{token}/telemetry", h.take(func(*http.Request) string { return formats.DeviceTopics + "telemetry" }))
	h.mux.HandleFunc("POST /api/v1/{token}/attributes", h.take(func(*http.Request) string { return formats.DeviceTopics + "attributes" }))
	h.mux.HandleFunc("POST /api/v1/{token}/publish/{topic...}", h.take(func(r *http.Request) string { return r.PathValue("topic") }))
	return h
}

// ServeHTTP implements http.Handler.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Describe makes it a prometheus.Collector.
func (h *HTTP) Describe(to chan<- *prometheus.Desc) {
	h.messages.Describe(to)
	h.bytes.Describe(to)
	h.refused.Describe(to)
}

// Collect gives its figures.
func (h *HTTP) Collect(to chan<- prometheus.Metric) {
	h.messages.Collect(to)
	h.bytes.Collect(to)
	h.refused.Collect(to)
}

// Run keeps the devices' tokens fresh until ctx ends.
func (h *HTTP) Run(ctx context.Context) error {
	tick := time.NewTicker(credentialsEvery)
	defer tick.Stop()
	for trouble := false; ; {
		err := h.devices.refresh(ctx, credentialsEvery/2)
		if err != nil && !trouble && ctx.Err() == nil {
			h.Logger.Warn("devices cannot be read; over HTTP only known ones are heard", "error", err)
		}
		trouble = err != nil
		h.forget()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// forget drops the pace of devices that have been slow enough to start anew.
func (h *HTTP) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, l := range h.rates {
		if l.Tokens() >= httpBurst {
			delete(h.rates, key)
		}
	}
}

func (h *HTTP) take(topicOf func(*http.Request) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if f := h.takeOne(w, r, topicOf(r)); f != nil {
			h.refuse(w, f)
		}
	}
}

// refusal is what a device is told; it is written as RFC 9457 wants it.
type refusal struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	after  int    // seconds after which it may try again
}

func (h *HTTP) refuse(w http.ResponseWriter, f *refusal) {
	f.Title = http.StatusText(f.Status)
	h.refused.WithLabelValues(strconv.Itoa(f.Status)).Inc()
	w.Header().Set("Content-Type", "application/problem+json")
	if f.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.after))
	}
	w.WriteHeader(f.Status)
	_ = json.NewEncoder(w).Encode(f) // it may have gone
}

func (h *HTTP) takeOne(w http.ResponseWriter, r *http.Request, topic string) *refusal {
	g, f := h.signIn(r)
	if f != nil {
		return f
	}
	select {
	case h.known <- struct{}{}:
		defer func() { <-h.known }()
	default:
		return &refusal{Status: http.StatusServiceUnavailable, Detail: "too many requests at once", after: 1}
	}
	switch {
	case topicFault(topic) != "":
		return &refusal{Status: http.StatusBadRequest, Detail: "the topic is " + topicFault(topic)}
	case !mayPublishTo(g, topic) || forDevices(topic):
		return &refusal{Status: http.StatusForbidden, Detail: "the device may not publish to this topic"}
	case !h.pace(g.key):
		return &refusal{Status: http.StatusTooManyRequests, Detail: "more than " + strconv.Itoa(httpRate) + " messages a second: send several in one", after: 1}
	}
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, formats.MaxPayload))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return &refusal{Status: http.StatusRequestEntityTooLarge, Detail: "a message has at most " + strconv.Itoa(formats.MaxPayload) + " bytes"}
	}
	if err != nil {
		return &refusal{Status: http.StatusBadRequest, Detail: "the body did not come whole"}
	}
	return h.append(r.Context(), intakelog.Record{
		Kind: intakelog.Message, Source: "http", Device: g.key, Topic: topic, Received: h.Now(), Payload: payload,
	})
}

// signIn finds out whose token the path has.
func (h *HTTP) signIn(r *http.Request) (*grant, *refusal) {
	hash := sha256.Sum256([]byte(r.PathValue("token")))
	find := func() *grant { return h.devices.byHash(hash) }
	if g := find(); g != nil {
		return g, nil
	}
	select {
	case h.strangers <- struct{}{}:
		defer func() { <-h.strangers }()
	default:
		return nil, &refusal{Status: http.StatusTooManyRequests, Detail: "too many unknown tokens at once", after: 2}
	}
	switch g, sure := h.devices.of(r.Context(), find); {
	case g != nil:
		return g, nil
	case !sure:
		return nil, &refusal{Status: http.StatusServiceUnavailable, Detail: "the devices' tokens cannot be read at the moment", after: 5}
	}
	return nil, &refusal{Status: http.StatusUnauthorized, Detail: "no device has this token"}
}

// pace says whether a device may send now.
func (h *HTTP) pace(device string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.rates[device]
	if l == nil {
		l = rate.NewLimiter(httpRate, httpBurst)
		h.rates[device] = l
	}
	return l.Allow()
}

// append returns when the message is durable.
func (h *HTTP) append(ctx context.Context, r intakelog.Record) *refusal {
	ctx, cancel := context.WithTimeout(ctx, httpWithin)
	defer cancel()
	switch _, err := h.Log.AppendWait(ctx, r); {
	case err == nil:
		h.messages.Inc()
		h.bytes.Add(float64(len(r.Payload)))
		return nil
	case errors.Is(err, intakelog.ErrBusy):
		return &refusal{Status: http.StatusTooManyRequests, Detail: "the disk does not keep up", after: 1}
	case errors.Is(err, intakelog.ErrFull):
		return &refusal{Status: http.StatusServiceUnavailable, Detail: "the intake log is full; keep the message and try again", after: 5}
	}
	return &refusal{Status: http.StatusServiceUnavailable, Detail: "the intake log takes nothing at the moment; keep the message and try again", after: 5}
}
