package history

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// InfluxDB 1.8 takes Flux, but reduces a month of one signal ten times faster when
// it is asked in InfluxQL, its own language.

const influxVersionHeader = "X-Influxdb-Version"

// speaksQL says whether the server is an InfluxDB 1. It asks until it knows.
func (h *Influx) speaksQL(ctx context.Context) (bool, error) {
	if v := h.version.Load(); v != nil {
		return versionOne(*v), nil
	}
	service := h.client.HTTPService()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, service.ServerURL()+"ping", nil)
	if err != nil {
		return false, fmt.Errorf("ask InfluxDB for its version: %w", err)
	}
	answer, err := service.DoHTTPRequestWithResponse(req, nil)
	if err != nil {
		return false, h.fault("ask InfluxDB for its version", err)
	}
	version := answer.Header.Get(influxVersionHeader)
	if err := answer.Body.Close(); err != nil {
		return false, h.fault("ask InfluxDB for its version", err)
	}
	h.version.Store(&version)
	return versionOne(version), nil
}

// versionOne is what does not say that it is younger: an InfluxDB 1 that was built
// by go install calls itself unknown.
func versionOne(version string) bool {
	return version != "" && !strings.HasPrefix(version, "v") && !strings.HasPrefix(version, "2") && !strings.HasPrefix(version, "3")
}

var qlNames = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`) //nolint:gochecknoglobals // never written

// qlName writes a name of a field or measurement.
func qlName(s string) string { return `"` + qlNames.Replace(s) + `"` }

var qlTexts = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`) //nolint:gochecknoglobals // never written

// qlText writes a text.
func qlText(s string) string { return `'` + qlTexts.Replace(s) + `'` }

// ql writes the span as a condition.
func (s span) ql() string {
	return "time >= " + qlText(s.from.Format(time.RFC3339Nano)) + " AND time < " + qlText(s.to.Format(time.RFC3339Nano))
}

var qlFunctions = [...]string{"count", "mean", "min", "max"} //nolint:gochecknoglobals // a constant list

// reduceQL writes the query for buckets; without signals it asks for all of them.
func reduceQL(q Query, s span, width, offset time.Duration) string {
	var columns []string
	for _, f := range qlFunctions {
		if len(q.Signals) == 0 {
			columns = append(columns, f+"(*)") // called f_signal
		}
		for _, signal := range q.Signals {
			columns = append(columns, f+"("+qlName(signal)+") AS "+qlName(f+"_"+signal))
		}
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + qlName(influxMeasurement) + ` WHERE "machine"::tag = ` + qlText(q.Machine.Key) +
		" AND " + s.ql() + fmt.Sprintf(` GROUP BY time(%s, %s), "model"::tag fill(none)`, qlDuration(width), qlDuration(offset))
}

// reduceByQL does what reducedRange does, and says how many values the signal with
// the most has.
func (h *Influx) reduceByQL(ctx context.Context, q Query, spans []span) (series []Series, most int, err error) {
	width := q.bucket()
	offset := time.Duration(q.From.UnixMicro()%width.Microseconds()) * time.Microsecond
	buckets := map[bucketOf]*summary{}
	counts := map[string]float64{}
	for _, s := range spans {
		err := h.askQL(ctx, reduceQL(q, s, width, offset), func(at time.Time, values map[string]float64) {
			index := at.Sub(q.From) / width
			for column, n := range values {
				signal, counted := strings.CutPrefix(column, "count_")
				if !counted || n == 0 {
					continue
				}
				b := bucketOf{signal, q.From.Add(index * width).UnixMicro()}
				if buckets[b] == nil {
					buckets[b] = &summary{}
				}
				mean := values["mean_"+signal]
				if math.IsNaN(mean) { // sums beyond both ends
					mean = 0
				}
				buckets[b].add(n, values["min_"+signal], mean, values["max_"+signal])
				counts[signal] += n
			}
		})
		if err != nil {
			return nil, 0, err
		}
	}
	for _, n := range counts {
		most = max(most, int(n))
	}
	return seriesOf(buckets), most, nil
}

// askQL runs an InfluxQL query and gives each row of its answer to take: its time
// and what its columns hold.
func (h *Influx) askQL(ctx context.Context, ql string, take func(at time.Time, values map[string]float64)) error {
	ctx, cancel := context.WithTimeout(ctx, influxTimeout)
	defer cancel()
	database, policy, _ := strings.Cut(h.bucket, "/")
	form := url.Values{"db": {database}, "rp": {policy}, "epoch": {"u"}, "q": {ql}}
	service := h.client.HTTPService()
	failed := service.DoPostRequest(ctx, service.ServerURL()+"query", strings.NewReader(form.Encode()), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Accept", "application/csv") // JSON has no way to write an infinite mean
	}, func(r *http.Response) error {
		defer r.Body.Close()
		return readQL(r.Body, take)
	})
	if failed == nil {
		return nil
	}
	if p := problem.As(failed.Err); p != nil {
		return p
	}
	return h.fault("ask InfluxDB", failed)
}

var errQL = errors.New("InfluxDB refuses the query")

// readQL reads the CSV of an answer: name, tags and time, then the columns.
func readQL(body io.Reader, take func(at time.Time, values map[string]float64)) error {
	r := csv.NewReader(body)
	r.ReuseRecord, r.FieldsPerRecord = true, -1
	var columns []string
	values := map[string]float64{}
	for n := 0; ; {
		record, err := r.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the answer: %w", err)
		case len(record) > 0 && (record[0] == "name" || record[0] == "error"):
			columns = append([]string(nil), record...)
			continue
		case len(columns) == 1 && columns[0] == "error":
			return fmt.Errorf("%w: %s", errQL, strings.ToValidUTF8(record[0][:min(len(record[0]), 300)], ""))
		case len(record) != len(columns) || len(record) < 4:
			return fmt.Errorf("%w: a row of %d columns", errQL, len(record))
		}
		at, err := strconv.ParseInt(record[2], 10, 64)
		if err != nil {
			return fmt.Errorf("read the time of a row: %w", err)
		}
		clear(values)
		for i := 3; i < len(record); i++ {
			if v, err := strconv.ParseFloat(record[i], 64); err == nil {
				values[columns[i]] = v
				n++
			}
		}
		if n > maxFluxRecords*len(qlFunctions) {
			return problem.New(problem.TooLarge, "this is more than %d values: ask for less time or fewer signals", maxFluxRecords)
		}
		take(time.UnixMicro(at).UTC(), values)
	}
}

// qlDuration writes a duration, which is whole microseconds.
func qlDuration(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) + "u" }
