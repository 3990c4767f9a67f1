package telemetry

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// influxd is a real InfluxDB 1.8 of one test.
type influxd struct {
	url string
	dir string
	cmd *exec.Cmd
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

// startInflux starts InfluxDB in a folder of its own, on a free port.
func startInflux(t *testing.T, auth bool) *influxd {
	t.Helper()
	s := &influxd{dir: t.TempDir()}
	s.start(t, "127.0.0.1:0", auth)
	t.Cleanup(s.kill)
	return s
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

func (s *influxd) start(t *testing.T, address string, auth bool) {
	t.Helper()
	config := filepath.Join(s.dir, "influxd.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, influxConfig, s.dir, address, auth), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(findInfluxd(t), "-config", config)
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
			s.url = "http://" + m[1]
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

// kill ends the server as a power failure would.
func (s *influxd) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// query runs an InfluxQL statement. A server that has just begun to listen may
// still refuse one.
func (s *influxd) query(t *testing.T, statement string) {
	t.Helper()
	var err error
	for wait := time.After(wirePatience); ; {
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

// ask runs a statement once. InfluxDB says 200 and the error in the body.
func (s *influxd) ask(t *testing.T, statement string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/query?q="+url.QueryEscape(statement), nil)
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

// history makes a database and returns the history in it.
func (s *influxd) history(t *testing.T, c InfluxConfig) *InfluxHistory {
	t.Helper()
	c.URL = s.url
	if c.Bucket == "" {
		c.Bucket = "test/autogen"
		s.query(t, `CREATE DATABASE "test"`)
	}
	if c.Now == nil {
		c.Now = func() time.Time { return start.Add(time.Hour) }
	}
	h, err := NewInfluxHistory(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
