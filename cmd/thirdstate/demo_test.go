package main

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/demo"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

func body(t *testing.T, answer *http.Response) string {
	t.Helper()
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// showing is a demo that runs.
type showing struct {
	*product
	demo  *demo.Demo
	stop  context.CancelFunc
	ended chan error
}

// startDemo starts the demo with its private PostgreSQL, as `thirdstate demo` does, with
// so many days of history; 0 = the story's.
func startDemo(t *testing.T, data string, days int) *showing {
	t.Helper()
	s := testSettings(t)
	s.Data, s.DatabaseURL = data, ""
	ctx, stop := context.WithCancel(t.Context())
	show := &showing{stop: stop, ended: make(chan error, 1)}
	ready := make(chan struct{})
	c := &demoCommand{settings: s, LogLevel: "warn", Every: 10 * time.Second, days: days, ready: func(y *system, w *web, d *demo.Demo) {
		show.product, show.demo = &product{system: y, url: w.url()}, d
		close(ready)
	}}
	go func() { show.ended <- c.Run(ctx) }()
	t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-show.ended:
		t.Fatalf("the demo did not start: %v", err)
	case <-time.After(2 * patience):
		t.Fatal("the demo does not start")
	}
	return show
}

// end stops the demo as Ctrl-C does.
func (s *showing) end(t *testing.T) {
	t.Helper()
	s.stop()
	select {
	case err := <-s.ended:
		if err != nil {
			t.Fatalf("the demo did not end in order: %v", err)
		}
	case <-time.After(2 * patience):
		t.Fatal("the demo does not end")
	}
}

func TestDemo_OpensItsFirstCaseStopsCleanlyAndFindsItsDataAgain(t *testing.T) {
	const days = 20 // the first case is opened early on
	data := postgrestest.Folder(t)
	show := startDemo(t, data, days)
	page := signInAs(t, show.url, "zhaomin")
	if !strings.Contains(page, "赵敏") {
		t.Errorf("one click did not sign Zhao Min in:\n%.2000s", page)
	}
	select {
	case <-show.demo.Opened():
	case err := <-show.ended:
		t.Fatalf("the demo ended by itself: %v", err)
	case <-time.After(10 * time.Minute): // on a machine that has much else to do
		t.Fatalf("no case is open after ten minutes: the history is at %+v, the clock at %v", show.demo.Status(), show.clock.Now())
	}
	before := show.count(t)
	if before.machines < 60 || before.bare < 12 || before.cases == 0 {
		t.Errorf("the demo has %+v", before)
	}
	show.end(t)

	again := startDemo(t, data, days)
	if now := again.clock.Now(); now.Before(show.clock.Now().Add(-time.Hour)) {
		t.Errorf("the clock went back from %v to %v", show.clock.Now(), now)
	}
	after := again.count(t)
	if after.machines != before.machines || after.cases < before.cases {
		t.Errorf("the second start has %+v, the first had %+v", after, before)
	}
	again.end(t)
}

type contents struct{ machines, bare, cases int }

func (s *showing) count(t *testing.T) (c contents) {
	t.Helper()
	s.as(t, func(tx pgx.Tx) error {
		all, err := machines.List(t.Context(), tx, machines.Filter{Limit: 500})
		if err != nil {
			return err
		}
		for _, m := range all.Items {
			c.machines++
			if !m.HasDevice {
				c.bare++
			}
		}
		cases, err := maintenance.Cases(t.Context(), tx, maintenance.CaseFilter{Limit: 500})
		c.cases = len(cases.Items)
		return err
	})
	return c
}

// signInAs follows the link that the demo prints and returns the person's page.
func signInAs(t *testing.T, url, login string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/demo/login/"+login, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Jar: jar}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return body(t, answer)
}
