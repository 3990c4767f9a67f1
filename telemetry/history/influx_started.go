package history

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// influxMetricsBytes bounds what is read of the server's own metrics.
const influxMetricsBytes = 4 << 20

// Started says between which two instants the server was started, from its metrics:
// InfluxDB 1.8 names the instant, InfluxDB 2 for how long it runs. Both are zero where
// it does neither, or shows its metrics to nobody.
func (h *Influx) Started(ctx context.Context) (earliest, latest time.Time, err error) {
	service := h.client.HTTPService()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, service.ServerURL()+"metrics", nil)
	if err != nil {
		return earliest, latest, fmt.Errorf("ask InfluxDB for its start: %w", err)
	}
	asked := time.Now()
	answer, problem := service.DoHTTPRequestWithResponse(req, nil)
	if problem != nil {
		return earliest, latest, h.fault("ask InfluxDB for its start", problem)
	}
	defer answer.Body.Close()
	answered := time.Now()
	for lines := bufio.NewScanner(io.LimitReader(answer.Body, influxMetricsBytes)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil || !(seconds >= 0 && seconds < 9e9) {
			continue
		}
		d := time.Duration(seconds * float64(time.Second))
		switch name, _, _ := strings.Cut(name, "{"); name {
		case "process_start_time_seconds":
			at := time.Unix(0, 0).Add(d)
			return at, at, nil
		case "influxdb_uptime_seconds":
			earliest, latest = asked.Add(-d), answered.Add(-d)
		}
	}
	return earliest, latest, nil
}
