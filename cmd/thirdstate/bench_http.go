package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// benchHTTP asks a running demo for its pages, as the people who use them.
type benchHTTP struct {
	URL      string `name:"url" help:"Address of a running demo." default:"http://127.0.0.1:8080"`
	Requests int    `help:"Requests a page." default:"200"`
}

// asked is one address of the measurement and who asks for it.
type asked struct{ login, path string }

// benchPaths are the first screens of the roles and the lists behind them.
var benchPaths = []asked{
	{"zhaomin", "/today"}, {"zhaomin", "/cases"}, {"zhaomin", "/machines"}, {"zhaomin", "/fault-to-fix"}, {"zhaomin", "/meeting"},
	{"helin", "/dispatch"}, {"chenhaibo", "/my-day"}, {"wangqian", "/callbacks"}, {"liujianguo", "/machines"},
	{"zhaomin", "/api/v1/today"}, {"zhaomin", "/api/v1/machines?limit=100"}, {"zhaomin", "/api/v1/cases?limit=100"},
	{"zhaomin", "/api/v1/findings?limit=100"}, {"liujianguo", "/api/v1/machines"},
}

const maxBenchRequests = 100_000

// Run prints the latencies of pages and API in milliseconds.
func (c *benchHTTP) Run(ctx context.Context) error {
	if c.Requests < 10 || c.Requests > maxBenchRequests {
		return problem.New(problem.Invalid, "--requests must be between 10 and %d", maxBenchRequests)
	}
	clients := map[string]*http.Client{}
	t := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "as\tpath\tp50 ms\tp99 ms\tKiB")
	for _, a := range benchPaths {
		client := clients[a.login]
		if client == nil {
			var err error
			if client, err = c.signIn(ctx, a.login); err != nil {
				return err
			}
			clients[a.login] = client
		}
		took, size, err := c.measure(ctx, client, a.path)
		if err != nil {
			return err
		}
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%.1f\t%.0f\n", a.login, a.path, ms(quantile(took, 0.5)), ms(quantile(took, 0.99)), float64(size)/1024)
	}
	return t.Flush()
}

func (c *benchHTTP) signIn(ctx context.Context, login string) (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Jar: jar, Timeout: 30 * time.Second}
	form := url.Values{"login": {login}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/sign-in/one-click", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, problem.New(problem.Invalid, "--url: %v", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := client.Do(req)
	if err != nil {
		return nil, problem.New(problem.Unavailable, "no demo answers at %s (%v): start one with thirdstate demo, or give its address with --url", c.URL, rootCause(err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, problem.New(problem.Unavailable, "%s does not let %s in with one click (%s): is it a demo?", c.URL, login, res.Status)
	}
	return client, nil
}

// measure asks one after the other; the first ten answers are not counted.
func (c *benchHTTP) measure(ctx context.Context, client *http.Client, path string) (took []time.Duration, size int64, err error) {
	const warmUp = 10
	for i := range c.Requests + warmUp {
		began := time.Now()
		if size, err = get(ctx, client, c.URL+path); err != nil {
			return nil, 0, err
		}
		if i >= warmUp {
			took = append(took, time.Since(began))
		}
	}
	slices.Sort(took)
	return took, size, nil
}

func get(ctx context.Context, client *http.Client, address string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = problem.New(problem.Unavailable, "%s answered %s", address, res.Status)
	}
	return n, err
}

// quantile of sorted durations, by the nearest rank.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
