package history

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/influxdata/influxdb-client-go/v2/api/query"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// Prune deletes whole days before an instant. InfluxDB 2 has an operation for it,
// InfluxDB 1.8 a statement.
func (h *Influx) Prune(ctx context.Context, before time.Time) (int, error) {
	who, err := caller(ctx)
	if err != nil {
		return 0, err
	}
	if who.Role != identity.System && who.Role != identity.Admin {
		return 0, problem.New(problem.Forbidden, "only an administrator prunes the history")
	}
	s := span{always().from, before.UTC().Truncate(24 * time.Hour)}
	days, err := h.days(ctx, s)
	if err != nil {
		return 0, fmt.Errorf("list the days of the history: %w", err)
	}
	if days == 0 {
		return 0, nil
	}
	for _, measurement := range []string{influxMeasurement, influxQuality} {
		if err := h.remove(ctx, measurement, s); err != nil {
			return 0, fmt.Errorf("prune the history before %s: %w", s.to.Format(time.DateOnly), err)
		}
	}
	return days, nil
}

// days counts the days of which there are points.
func (h *Influx) days(ctx context.Context, s span) (int, error) {
	flux := fmt.Sprintf(`from(bucket: %s) |> %s |> filter(fn: (r) => r._measurement == %s) |> window(every: 1d) |> first() |> keep(columns: ["_start"]) |> group() |> distinct(column: "_start")`,
		fluxText(h.bucket), s.flux(), fluxText(influxMeasurement))
	days := 0
	err := h.ask(ctx, flux, func(*query.FluxRecord) { days++ })
	return days, err
}

func (h *Influx) remove(ctx context.Context, measurement string, s span) error {
	body, err := json.Marshal(map[string]any{"start": s.from, "stop": s.to, "predicate": `_measurement="` + measurement + `"`})
	if err != nil {
		return fmt.Errorf("write down what to delete: %w", err)
	}
	service := h.client.HTTPService()
	address := service.ServerAPIURL() + "delete?" + url.Values{"org": {h.org}, "bucket": {h.bucket}}.Encode()
	failed := service.DoPostRequest(ctx, address, bytes.NewReader(body), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
	}, func(r *http.Response) error { return r.Body.Close() })
	switch {
	case failed == nil:
		return nil
	case failed.StatusCode == http.StatusNotFound && failed.Code != "not found": // no such bucket would be said in JSON
		return h.removeByStatement(ctx, measurement, s)
	}
	return h.fault("delete from InfluxDB", failed)
}

// removeByStatement is for InfluxDB 1.8, which does not have the operation.
func (h *Influx) removeByStatement(ctx context.Context, measurement string, s span) error {
	database, _, _ := strings.Cut(h.bucket, "/")
	form := url.Values{"db": {database}, "q": {fmt.Sprintf(`DELETE FROM %q WHERE time < '%s'`, measurement, s.to.Format(time.RFC3339))}}
	var answer struct {
		Results []struct {
			Error string `json:"error"`
		} `json:"results"`
	}
	service := h.client.HTTPService()
	failed := service.DoPostRequest(ctx, service.ServerURL()+"query", strings.NewReader(form.Encode()), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}, func(r *http.Response) error {
		defer r.Body.Close()
		return json.NewDecoder(io.LimitReader(r.Body, influxErrorBytes)).Decode(&answer)
	})
	if failed != nil {
		return h.fault("delete from InfluxDB", failed)
	}
	for _, r := range answer.Results {
		if r.Error != "" {
			return h.away("InfluxDB at %s does not delete: %s", h.server, r.Error[:min(len(r.Error), 300)])
		}
	}
	return nil
}
