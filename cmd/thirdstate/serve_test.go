package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/internal/problem"
)

func taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestServe_SaysInOneLineWhatToDo(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*settings)
		says   []string
	}{
		"HTTP address taken":   {func(s *settings) { s.HTTP = taken(t) }, []string{"cannot listen on", "--http"}},
		"MQTT address taken":   {func(s *settings) { s.MQTTListen = taken(t) }, []string{"cannot listen", "--mqtt-listen"}},
		"folder not writable":  {func(s *settings) { s.Data = filepath.Join(file, "data") }, []string{"--data", "give another one"}},
		"nothing could come":   {func(s *settings) { s.MQTTListen = "" }, []string{"--mqtt-listen", "nothing could come in"}},
		"database unreachable": {func(s *settings) { s.DatabaseURL = "postgres://127.0.0.1:1/none" }, []string{"cannot be reached"}},
		"no URL":               {func(s *settings) { s.InfluxURL = "influx" }, []string{"--influx-url"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testSettings(t)
			c.change(&s)
			err := (&serveCommand{settings: s, LogLevel: "error"}).Run(t.Context())
			if err == nil {
				t.Fatal("it was started")
			}
			if kind := problem.Of(err); kind != problem.Invalid && kind != problem.Unavailable {
				t.Errorf("%v is no problem that the caller can mend", err)
			}
			said := oneLine(err)
			for _, want := range c.says {
				if !strings.Contains(said, want) {
					t.Errorf("%q does not say %q", said, want)
				}
			}
			if strings.Contains(said, "\n") {
				t.Errorf("more than one line: %q", said)
			}
		})
	}
}

func TestServe_IsReadyAndShowsTheIdentityOfTheIntake(t *testing.T) {
	t.Parallel()
	p := serveProduct(t, testSettings(t))
	for path, want := range map[string]string{"/livez": `"live"`, "/readyz": `"ready"`, "/metrics": `thirdstate_intake_records{state="received"}`} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text := body(t, answer)
		if answer.StatusCode != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d, without %s:\n%s", path, answer.StatusCode, want, text)
		}
	}
}

func TestServe_ASecondOneOnTheSameFolderIsRefusedAndHarmsNobody(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	p := serveProduct(t, s)
	s.HTTP = "127.0.0.1:0"
	err := (&serveCommand{settings: s, LogLevel: "error"}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "another thirdstate is at work in "+s.Data) {
		t.Errorf("a second one on the same folder: %v", err)
	}
	if err := p.databaseReady(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("the first one lost its database: %v", err)
	}
}
