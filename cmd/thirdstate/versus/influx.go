package versus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// database is where both chains write to.
const database = "telemetry"

const influxConfig = `reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = "%[1]s/meta"
[data]
dir = "%[1]s/data"
wal-dir = "%[1]s/wal"
query-log-enabled = false
max-series-per-database = 0
[monitor]
store-enabled = false
[http]
bind-address = "%[2]s"
flux-enabled = true
log-enabled = false
`

// influx is a real InfluxDB of one chain.
type influx struct {
	*process
	url    string
	client http.Client
	before int // points written in earlier lives
}

func (r *runner) startInflux(ctx context.Context, dir string) (*influx, error) {
	address, err := r.spare(ctx)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "influxd.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, influxConfig, dir, address), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration of InfluxDB: %w", err)
	}
	s := &influx{url: "http://" + address, process: &process{name: "influxd", command: []string{r.Influxd, "-config", config}, log: filepath.Join(dir, "influxd.log")}}
	if err := s.begin(ctx); err != nil {
		return s, err
	}
	_, err = s.query(ctx, "CREATE DATABASE "+database)
	return s, err
}

// begin starts it, again too.
func (s *influx) begin(ctx context.Context) error {
	if err := s.start(); err != nil {
		return err
	}
	return s.lasts(ctx, "InfluxDB answers", func() bool {
		_, err := s.query(ctx, "SHOW DATABASES")
		return err == nil
	})
}

// away ends it in good order; written goes on counting after its next start.
func (s *influx) away(ctx context.Context) error {
	n, err := s.written(ctx)
	if err != nil {
		return err
	}
	s.before = n
	return s.end(syscall.SIGTERM)
}

func (s *influx) get(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 256<<20))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("InfluxDB answers %s: %s", answer.Status, body)
	}
	return body, err
}

// series is one group of an InfluxQL answer.
type series struct {
	Tags   map[string]string
	Values [][]any
}

func (s *influx) query(ctx context.Context, text string) ([]series, error) {
	body, err := s.get(ctx, http.MethodPost, "/query?epoch=ms&db="+database+"&q="+url.QueryEscape(text))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Results []struct {
			Series []series
			Error  string
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("read an answer of InfluxDB: %w", err)
	}
	if len(answer.Results) == 0 {
		return nil, errors.New("InfluxDB answered nothing")
	}
	if text := answer.Results[0].Error; text != "" {
		return nil, errors.New(text)
	}
	return answer.Results[0].Series, nil
}

// written is how many points were written so far, doubles counted.
func (s *influx) written(ctx context.Context) (int, error) {
	body, err := s.get(ctx, http.MethodGet, "/debug/vars")
	if err != nil {
		return 0, err
	}
	var vars map[string]struct{ Values map[string]any }
	if err := json.Unmarshal(body, &vars); err != nil {
		var loose map[string]json.RawMessage // some members are no objects
		if err := json.Unmarshal(body, &loose); err != nil {
			return 0, fmt.Errorf("read the figures of InfluxDB: %w", err)
		}
		for name, raw := range loose {
			var one struct{ Values map[string]any }
			if json.Unmarshal(raw, &one) == nil {
				if vars == nil {
					vars = map[string]struct{ Values map[string]any }{}
				}
				vars[name] = one
			}
		}
	}
	for name, one := range vars {
		if strings.HasPrefix(name, "httpd") {
			n, _ := one.Values["pointsWrittenOK"].(float64)
			return s.before + int(n), nil
		}
	}
	return s.before, nil
}

// instants are the times, in milliseconds, of which a point is stored of each machine.
func (s *influx) instants(ctx context.Context) (map[string]map[int64]bool, error) {
	groups, err := s.query(ctx, `SELECT "ignition" FROM "telemetry" GROUP BY "machine"`)
	if err != nil {
		return nil, err
	}
	out := map[string]map[int64]bool{}
	for _, g := range groups {
		set := make(map[int64]bool, len(g.Values))
		for _, row := range g.Values {
			if at, ok := row[0].(float64); ok {
				set[int64(at)] = true
			}
		}
		out[g.Tags["machine"]] = set
	}
	return out, nil
}
