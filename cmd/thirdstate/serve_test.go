package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
		"no speed":             {func(s *settings) { s.Speed = math.NaN() }, []string{"--speed", "between"}},
		"no year of ours":      {func(s *settings) { s.ClockStart = time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC) }, []string{"--clock-start", "between"}},
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

// Behind a proxy everything comes from this host: that must neither let anybody
// publish nor let one guesser slow down all.
func TestServe_BehindAProxyKnowsWhoAsks(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	s.BehindProxy = true
	p := serveProduct(t, s)
	signIn := func(login, forwarded string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/sign-in", strings.NewReader(url.Values{"login": {login}, "password": {"x"}}.Encode()))
		if err != nil {
			t.Error(err)
			return &http.Response{}
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Forwarded-For", forwarded)
		answer, err := http.DefaultTransport.RoundTrip(req) // as it is, without the page behind it
		if err != nil {
			t.Error(err)
			return &http.Response{}
		}
		answer.Body.Close()
		return answer
	}
	var slowed atomic.Bool
	var guesses sync.WaitGroup
	for i := range 25 { // at once: the checks of one after the other may take so long on a busy machine that tries are free again
		guesses.Go(func() {
			answer := signIn(fmt.Sprint("nobody", i), fmt.Sprintf("203.0.113.%d, 192.0.2.1", i))
			if answer.StatusCode == http.StatusTooManyRequests {
				slowed.Store(true)
			} else if len(answer.Cookies()) != 1 || !answer.Cookies()[0].Secure {
				t.Errorf("the cookie is %v", answer.Cookies())
			}
		})
	}
	if guesses.Wait(); !slowed.Load() {
		t.Error("25 guesses of one address: none was slowed down")
	}
	if answer := signIn("somebody", "192.0.2.2"); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("somebody else: %d", answer.StatusCode)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.embedded.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a")); err != nil {
		t.Fatal(err)
	}
	connack := make([]byte, 4)
	if _, err := io.ReadFull(conn, connack); err != nil || connack[3] != 5 {
		t.Errorf("without a token: %x, %v", connack, err)
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
