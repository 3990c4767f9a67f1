package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/accounts"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
)

// patience is how long a test waits for what comes by itself.
const patience = 60 * time.Second

// testSettings are serve's, on free ports and a database of their own.
func testSettings(t *testing.T) settings {
	t.Helper()
	return settings{Data: t.TempDir(), HTTP: "127.0.0.1:0", MQTTListen: "127.0.0.1:0", DatabaseURL: postgrestest.URL(t), Speed: 1, LogCompress: true,
		KeepRaw: 840 * time.Hour, MQTTTopics: []string{"fleet/#", "v1/gateway/#", "telegraf/#"}}
}

// product is the running program, as serve starts it.
type product struct {
	*system
	url   string
	token string
}

// serveProduct runs the product within the test; its clock stands still unless the
// settings say otherwise.
func serveProduct(t *testing.T, s settings) *product {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	log := slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	y, err := open(ctx, s, false, log)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	web, err := y.newWeb(ctx, nil)
	if err == nil {
		err = y.listen(ctx)
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- y.run(ctx, web.run, y.runHousekeeping) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the product did not end in order: %v", err)
		}
		if err := y.close(context.Background()); err != nil {
			t.Errorf("the product did not close in order: %v", err)
		}
	})
	p := &product{system: y, url: web.url()}
	p.as(t, func(tx pgx.Tx) (err error) {
		p.token, _, err = accounts.CreateToken(ctx, tx, y.clock.Now(), administrator, accounts.NewToken{Name: "test", Role: identity.Admin})
		return err
	})
	return p
}

func (p *product) as(t *testing.T, fn func(tx pgx.Tx) error) {
	t.Helper()
	if err := postgres.As(t.Context(), p.pool, identity.Program("test"), fn); err != nil {
		t.Fatal(err)
	}
}

// call asks the API and wants a status; out may be nil.
func (p *product) call(t *testing.T, method, path string, body, out any, want int) {
	t.Helper()
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		sent = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+"/api/v1"+path, sent)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != want {
		t.Fatalf("%s %s: %d, not %d: %s", method, path, answer.StatusCode, want, text)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatalf("%s %s answered no JSON: %v\n%s", method, path, err, text)
	}
}

// until waits for a condition that comes by itself.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("after %v not yet: %s", patience, what)
		}
	}
}

// background starts a program that ends with the test.
func background(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", goBin(t)} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	if err != nil {
		t.Fatalf("%s is needed: scripts/setup.sh mosquitto influxd", name)
	}
	return exec.Command(path, args...)
}

func goBin(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOPATH").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "bin")
}

func endWith(t *testing.T, c *exec.Cmd) {
	t.Helper()
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()
	})
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// startMosquitto starts a real broker on a free port and returns that.
func startMosquitto(t *testing.T) int {
	t.Helper()
	port, dir := freePort(t), t.TempDir()
	config := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\npersistence true\npersistence_location %s/\n", port, dir)
	if os.Geteuid() == 0 {
		text += "user root\n" // the test's folder is root's alone
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := background(t, "mosquitto", "-c", config)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	endWith(t, c)
	until(t, "Mosquitto listens", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	return port
}

const influxdConfig = `reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = "%[1]s/meta"
[data]
dir = "%[1]s/data"
wal-dir = "%[1]s/wal"
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:%[2]d"
flux-enabled = true
log-enabled = false
`

// startInfluxd starts a real InfluxDB with the database "telemetry".
func startInfluxd(t *testing.T) string {
	t.Helper()
	port, dir := freePort(t), t.TempDir()
	config := filepath.Join(dir, "influxd.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, influxdConfig, dir, port), 0o600); err != nil {
		t.Fatal(err)
	}
	c := background(t, "influxd", "-config", config)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	endWith(t, c)
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	until(t, "InfluxDB makes a database", func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/query?q=CREATE+DATABASE+telemetry", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return url
}

// mosquittoPub publishes lines with the real mosquitto_pub, a message a line.
func mosquittoPub(t *testing.T, port int, topic string, lines [][]byte) {
	t.Helper()
	c := background(t, "mosquitto_pub", "-h", "127.0.0.1", "-p", fmt.Sprint(port), "-q", "1", "-t", topic, "-l")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(in)
	for _, line := range lines {
		_, _ = w.Write(append(line, '\n')) // Flush tells
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("mosquitto_pub: %v\n%s", err, said.String())
	}
}
