package stand

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

// Database is the one that a fresh InfluxDB has, and the name of the bucket.
const Database = "telemetry"

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
flux-enabled = %[3]t
log-enabled = false
`

// Influx is a real InfluxDB with a folder of its own.
type Influx struct {
	*Process
	URL         string
	dir, config string
	client      http.Client
	before      int // points written in earlier lives
}

// StartInflux starts a fresh InfluxDB in dir and makes Database there. With Flux it
// takes seconds of a processor to come up, and without it nothing can be reconciled.
func StartInflux(ctx context.Context, program, dir, address string, flux bool) (*Influx, error) {
	config := filepath.Join(dir, "influxd.conf")
	s := &Influx{URL: "http://" + address, dir: dir, config: config, Process: &Process{Name: "influxd", Command: []string{program, "-config", config}, Log: filepath.Join(dir, "influxd.log")}}
	if err := s.configure(flux); err != nil {
		return nil, err
	}
	if err := s.Begin(ctx); err != nil {
		return s, err
	}
	_, err := s.Query(ctx, "CREATE DATABASE "+Database)
	return s, err
}

func (s *Influx) configure(flux bool) error {
	if err := os.WriteFile(s.config, fmt.Appendf(nil, influxConfig, s.dir, strings.TrimPrefix(s.URL, "http://"), flux), 0o600); err != nil {
		return fmt.Errorf("write the configuration of InfluxDB: %w", err)
	}
	return nil
}

// TakeFlux has it answer in Flux from its next start on.
func (s *Influx) TakeFlux() error { return s.configure(true) }

// Begin starts it, again too.
func (s *Influx) Begin(ctx context.Context) error {
	if err := s.Start(); err != nil {
		return err
	}
	return s.Lasts(ctx, "InfluxDB answers", func() bool {
		_, err := s.Query(ctx, "SHOW DATABASES")
		return err == nil
	})
}

// Away ends it in good order; Written goes on counting after its next start.
func (s *Influx) Away(ctx context.Context) error {
	n, err := s.Written(ctx)
	if err != nil {
		return err
	}
	s.before = n
	return s.End(syscall.SIGTERM)
}

func (s *Influx) get(ctx context.Context, method, path string) ([]byte, error) {
	return s.ask(ctx, method, path, "")
}

// Write writes lines as a stranger would.
func (s *Influx) Write(ctx context.Context, lines string) error {
	_, err := s.ask(ctx, http.MethodPost, "/write?db="+Database, lines)
	return err
}

func (s *Influx) ask(ctx context.Context, method, path, sent string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(sent))
	if err != nil {
		return nil, err
	}
	answer, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 256<<20))
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("InfluxDB answers %s: %s", answer.Status, body)
	}
	return body, err
}

// Series is one group of an InfluxQL answer.
type Series struct {
	Tags   map[string]string
	Values [][]any
}

// Query asks in InfluxQL; times come in milliseconds.
func (s *Influx) Query(ctx context.Context, text string) ([]Series, error) {
	body, err := s.get(ctx, http.MethodPost, "/query?epoch=ms&db="+Database+"&q="+url.QueryEscape(text))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Results []struct {
			Series []Series
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

// Written is how many points were written so far, doubles counted.
func (s *Influx) Written(ctx context.Context) (int, error) {
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
