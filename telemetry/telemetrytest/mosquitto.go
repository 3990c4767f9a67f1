package telemetrytest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// MosquittoConfig begins a configuration: its port, and the folder where it keeps things.
const MosquittoConfig = `listener %s 127.0.0.1
allow_anonymous true
persistence true
persistence_location %s/
max_queued_messages 0
max_inflight_messages 1000
`

// StartMosquitto starts the real broker, with what it has kept in dir; stop is kill -9.
func StartMosquitto(t *testing.T, dir, address string) (stop func()) {
	t.Helper()
	return LaunchMosquitto(t, dir, address, MosquittoConfig).Kill
}

// Mosquitto is a real broker that this test has started.
type Mosquitto struct {
	*exec.Cmd
	Kill func() // kill -9
}

// LaunchMosquitto starts the real broker with a configuration whose first verbs
// are its port and its folder.
func LaunchMosquitto(t testing.TB, dir, address, format string) *Mosquitto {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto"
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("a real Mosquitto is needed: scripts/setup.sh mosquitto")
	}
	_, port, _ := net.SplitHostPort(address)
	config := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf(format, port, dir)
	if os.Geteuid() == 0 {
		text += "user root\n"
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &Mosquitto{Cmd: exec.CommandContext(context.WithoutCancel(t.Context()), path, "-c", config)} //nolint:gosec // the broker under test
	said, err := m.StderrPipe()
	if err == nil {
		err = m.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	m.Kill = sync.OnceFunc(func() {
		_ = m.Process.Kill()
		_ = m.Wait()
	})
	t.Cleanup(m.Kill)
	lines, last := bufio.NewScanner(said), ""
	for lines.Scan() {
		if last = lines.Text(); strings.HasSuffix(last, " running") {
			go func() { _, _ = io.Copy(io.Discard, said) }()
			return m
		}
	}
	t.Fatalf("Mosquitto does not serve: %s", last)
	return nil
}
