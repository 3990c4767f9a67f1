package telemetrytest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Influx is a real InfluxDB 1.8 of one test.
type Influx struct {
	URL     string
	Dir     string // where its data lie
	cmd     *exec.Cmd
	buckets atomic.Int32
}

const influxConfig = `reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = "%[1]s/meta"
[data]
dir = "%[1]s/data"
wal-dir = "%[1]s/wal"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "%[2]s"
flux-enabled = true
log-enabled = false
auth-enabled = %[3]t
max-body-size = 2000000
`

// StartInflux starts InfluxDB in a folder of its own, on a free port.
func StartInflux(t *testing.T, auth bool) *Influx {
	t.Helper()
	s := &Influx{Dir: t.TempDir()}
	s.Start(t, "127.0.0.1:0", auth)
	t.Cleanup(s.Kill)
	return s
}

// ours is the server that tests of this binary share.
var ours struct { //nolint:gochecknoglobals // a test binary has no main of ours to own it
	sync.Mutex
	server *Influx
	users  int
}

// ShareInflux is one server for the tests that do it no harm, each with a Bucket of
// its own: it takes four seconds of a processor to start. It ends with the last of
// those that use it at a time.
func ShareInflux(t *testing.T) *Influx {
	t.Helper()
	ours.Lock()
	defer ours.Unlock()
	if ours.users == 0 {
		dir, err := os.MkdirTemp("", "thirdstate-influx-") //nolint:usetesting // it lives longer than one test
		if err != nil {
			t.Fatal(err)
		}
		ours.server = &Influx{Dir: dir}
		ours.server.Start(t, "127.0.0.1:0", false)
	}
	ours.users++
	t.Cleanup(func() {
		ours.Lock()
		defer ours.Unlock()
		if ours.users--; ours.users > 0 {
			return
		}
		ours.server.Kill()
		if err := os.RemoveAll(ours.server.Dir); err != nil {
			t.Error(err)
		}
	})
	return ours.server
}

func findInfluxd(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("influxd"); err == nil {
		return path
	}
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOPATH").Output()
	if err == nil {
		path := filepath.Join(strings.TrimSpace(string(root)), "bin", "influxd")
		if _, err = os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("a real InfluxDB is needed: scripts/setup.sh influxd")
	return ""
}

var influxListens = regexp.MustCompile(`Listening on HTTP.*addr="?(127\.0\.0\.1:[0-9]+)`)

// Start starts it, perhaps again, in its folder; it listens when Start returns.
func (s *Influx) Start(t *testing.T, address string, auth bool) {
	t.Helper()
	config := filepath.Join(s.Dir, "influxd.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, influxConfig, s.Dir, address, auth), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), findInfluxd(t), "-config", config) // until Kill
	out, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var said []string
	for lines.Scan() {
		if m := influxListens.FindStringSubmatch(lines.Text()); m != nil {
			s.URL = "http://" + m[1]
			go func() { // until the process ends, which the test waits for
				for lines.Scan() {
					continue
				}
			}()
			return
		}
		said = append(said, lines.Text())
	}
	_ = s.cmd.Wait()
	t.Fatalf("InfluxDB did not start:\n%s", strings.Join(said, "\n"))
}

// Kill ends the server as a power failure would.
func (s *Influx) Kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// Query runs an InfluxQL statement. A server that has just begun to listen may
// still refuse one.
func (s *Influx) Query(t *testing.T, statement string) {
	t.Helper()
	var err error
	for wait := time.After(Patience); ; {
		if err = s.ask(t, statement); err == nil {
			return
		}
		select {
		case <-wait:
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Bucket makes a fresh database and names its bucket.
func (s *Influx) Bucket(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("test%d", s.buckets.Add(1))
	s.Query(t, fmt.Sprintf("CREATE DATABASE %q", name))
	return name + "/autogen"
}

// ask runs a statement once. InfluxDB says 200 and the error in the body.
func (s *Influx) ask(t *testing.T, statement string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/query?q="+url.QueryEscape(statement), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("root", "secret")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if err == nil && (answer.StatusCode != http.StatusOK || bytes.Contains(said, []byte(`"error"`))) {
		err = fmt.Errorf("%s: %s %s", statement, answer.Status, said)
	}
	return err
}
