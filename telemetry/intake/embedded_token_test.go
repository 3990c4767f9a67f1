package intake

import (
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
)

// A device that signs in as ThingsBoard's do gives its token as the user name: that
// is a secret on a loopback address too, and never a machine's name or a word of the log.
func TestEmbedded_TakesATokenForWhatItIsAndKeepsIt(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	addMachine(t, pool, "pump-1")
	token := enterDevice(t, pool, "pump-1", "pump-1", false)
	var said lockedText
	e := startEmbedded(t, EmbeddedConfig{Pool: pool, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	w := dialWire(t, e.local(), 4)
	if got := w.connect(t, hello{client: "a", user: token}); got != 0 {
		t.Fatalf("not let in: %d", got)
	}
	w.write(t, publishPacket(4, 1, 1, "v1/devices/me/telemetry", `{"oil":1}`, false))
	if r := records(t, e.Log, 1)[0]; r.Device != "pump-1" {
		t.Errorf("the message is of %q", r.Device)
	}
	for _, h := range []hello{
		{client: "a", user: token + "x"},
		{client: "a", user: token, willTopic: "fleet/pump-2/status", will: "offline"},
	} {
		e.warned.Store(0) // it speaks once a second
		if got := dialWire(t, e.local(), 4).connect(t, h); got == 0 {
			t.Errorf("%+v was let in", h)
		}
	}
	if text := said.String(); strings.Count(text, "not let in") != 2 || strings.Contains(text, token[:12]) {
		t.Errorf("the log says: %s", text)
	}
}

type lockedText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
