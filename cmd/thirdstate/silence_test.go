package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// Machines fall silent on a real broker, each in its own way, and the API says which
// of them is off, which has no coverage and of which nobody knows; what one of them
// sends later corrects what was thought of another time.
func TestProduct_SaysWhyMachinesAreSilent(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	begin := time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC)
	s.ClockStart = begin
	p := serveProduct(t, s)
	broker := "mqtt://" + p.embedded.Addr().String()
	ids := map[string]string{}
	for _, key := range []string{"PARKED", "TUNNEL", "LEFT", "RIDDLE"} {
		var m machines.Machine
		p.call(t, http.MethodPost, "/machines", map[string]any{"manufacturer": "Acme", "serial": key, "name": key, "hasDevice": true}, &m, http.StatusCreated)
		ids[key] = m.ID.String()
	}
	lines := map[string]*publish.Publisher{}
	say := func(key string, at time.Time, running int) {
		t.Helper()
		if lines[key] == nil {
			line, err := publish.Dial(t.Context(), broker, publish.Options{ClientID: key})
			if err != nil {
				t.Fatal(err)
			}
			lines[key] = line
			t.Cleanup(func() { _ = line.Close() })
		}
		payload := fmt.Sprintf(`{"ts":%d,"values":{"running":%d,"temp":%d}}`, at.UnixMilli(), running, 60+at.Minute())
		if err := lines[key].Publish(t.Context(), "fleet/"+key+"/telemetry", []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	passed := func(d time.Duration) {
		t.Helper()
		for _, line := range lines {
			if err := line.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		from := p.clock.Now()
		p.clock.Advance(d)
		if err := p.ticker().Write(t.Context(), p.clock.Now(), from, p.clock.Now()); err != nil {
			t.Fatal(err)
		}
		if err := p.settled(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		at := p.clock.Now()
		for key := range ids {
			running := 1
			if key == "PARKED" {
				running = 0
			}
			say(key, at, running)
		}
		passed(time.Minute)
	}
	if err := lines["LEFT"].Close(); err != nil { // with DISCONNECT
		t.Fatal(err)
	}
	delete(lines, "LEFT")
	if err := publish.Lose(t.Context(), broker, publish.Options{ClientID: "modem"}, publish.Will{Topic: "fleet/TUNNEL/status", Payload: []byte("offline")}); err != nil {
		t.Fatal(err)
	}
	until(t, "the will and the end of a connection are in the log", func() bool {
		_, last := p.intake.Bounds()
		return int(last) >= 4*10+10+2 //nolint:gosec // small
	})
	passed(20 * time.Minute)

	get := func(key string) machines.Row {
		t.Helper()
		var m machines.File
		p.call(t, http.MethodGet, "/machines/"+ids[key], nil, &m, http.StatusOK)
		return m.Machine
	}
	for key, want := range map[string]string{
		"PARKED": "off at_rest", "TUNNEL": "no_coverage at_work,link_broken", "LEFT": "off at_work,goodbye", "RIDDLE": "silent at_work",
	} {
		m := get(key)
		if got := m.Connectivity + " " + strings.Join(m.ConnectedWhy, ","); got != want || m.ConnectedSince == nil || !m.ConnectedSince.Truncate(time.Minute).Equal(begin.Add(9*time.Minute)) {
			t.Errorf("%s is %s since %v, want %s", key, got, m.ConnectedSince, want)
		}
	}
	var listed struct{ Items []machines.Row }
	if p.call(t, http.MethodGet, "/machines?connectivity=no_coverage", nil, &listed, http.StatusOK); len(listed.Items) != 1 || listed.Items[0].Key != "TUNNEL" {
		t.Errorf("without coverage: %+v", listed.Items)
	}

	// The riddle is solved by what comes later: it went on working.
	for at := begin.Add(10 * time.Minute); !at.After(p.clock.Now()); at = at.Add(time.Minute) {
		say("RIDDLE", at, 1)
	}
	passed(time.Minute)
	if m := get("RIDDLE"); m.Connectivity != "online" {
		t.Errorf("it speaks and is %s", m.Connectivity)
	}
	var told struct{ Items []machines.Silence }
	p.call(t, http.MethodGet, "/silences?machineId="+ids["RIDDLE"], nil, &told, http.StatusOK)
	if len(told.Items) != 1 || told.Items[0].Cause != "no_coverage" || told.Items[0].FirstCause != "silent" || strings.Join(told.Items[0].Why, ",") != "backlog,at_work" || told.Items[0].Until == nil {
		t.Errorf("its silence: %+v", told.Items)
	}
	var log struct{ Items []machines.AuditEntry }
	p.call(t, http.MethodGet, "/audits?entity=machine&machineId="+ids["RIDDLE"], nil, &log, http.StatusOK)
	var actions []string
	for _, e := range log.Items {
		actions = append(actions, e.Action)
	}
	if got := strings.Join(actions, ","); got != "silence explained,connectivity,connectivity,health,added" && got != "connectivity,connectivity,health,added" {
		t.Errorf("what webhooks were told: %s", got)
	}
}
