package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// TestServe_GoesOnWhenItsDatabaseIsKilled kills the private PostgreSQL under the
// running product: messages are acknowledged all the while, whoever asks is told
// to come again, and everything is as before without a restart.
func TestServe_GoesOnWhenItsDatabaseIsKilled(t *testing.T) {
	s := testSettings(t)
	s.Data, s.DatabaseURL = postgrestest.Folder(t), ""
	p := serveProduct(t, s)
	var machine machines.Machine
	p.call(t, http.MethodPost, "/machines", map[string]any{"manufacturer": "Acme", "serial": "PM1", "hasDevice": true}, &machine, http.StatusCreated)
	device, err := publish.Dial(t.Context(), "mqtt://"+p.embedded.Addr().String(), publish.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	sent := 0
	speak := func(n int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // it must not wait for the database
		defer cancel()
		for range n {
			sent++
			if err := device.Publish(ctx, "fleet/PM1/telemetry", fmt.Appendf(nil, `{"boot":"b","seq":%d,"values":{"a":%[1]d}}`, sent)); err != nil {
				t.Fatal(err)
			}
		}
		if err := device.Flush(ctx); err != nil {
			t.Fatalf("not acknowledged while the database is away: %v", err)
		}
	}
	settle := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := p.settled(ctx); err != nil {
			t.Fatal(err)
		}
	}
	speak(10)
	settle()
	for range 2 {
		killed := p.cluster.PID()
		if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		speak(100)
		away := 0
		until(t, "the API answers again", func() bool {
			status, after, said := p.ask(t, "/api/v1/machines/"+machine.ID.String())
			if status != http.StatusOK {
				away++
				if status != http.StatusServiceUnavailable || after == "" || !strings.Contains(said, "problem-unavailable") {
					t.Errorf("while the database is away: %d, Retry-After %q: %s", status, after, said)
				}
			}
			return status == http.StatusOK
		})
		if away == 0 {
			t.Error("nobody has noticed that the database was away")
		}
		if now := p.cluster.PID(); now == killed || now == 0 {
			t.Errorf("process %d serves where %d was killed", now, killed)
		}
		speak(100)
		settle()
		until(t, "it is ready again", func() bool { status, _, _ := p.ask(t, "/readyz"); return status == http.StatusOK })
	}
	var account struct {
		Received, Stored int
		Holds            bool
	}
	p.call(t, http.MethodGet, "/intake", nil, &account, http.StatusOK)
	if account.Received != sent || account.Stored != sent || !account.Holds {
		t.Errorf("of %d messages: %+v", sent, account)
	}
}

// ask is a question whose answer may be no.
func (p *product) ask(t *testing.T, path string) (status int, after, said string) {
	t.Helper()
	answer, text := fetch(t, p.url+path, p.token)
	return answer.StatusCode, answer.Header.Get("Retry-After"), string(text)
}
