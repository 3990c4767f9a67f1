package intake

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

const childEnv = "INTAKE_CHILD" // kind, folder of the log and address

// TestIntakeChild is no test but the process that the kill tests kill: this
// binary runs it in a child. It serves until its standard input ends.
func TestIntakeChild(t *testing.T) {
	what, told := os.LookupEnv(childEnv)
	if !told {
		return
	}
	kind, rest, _ := strings.Cut(what, " ")
	dir, address, _ := strings.Cut(rest, " ")
	log, err := intakelog.Open(dir, intakelog.Options{SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready := func() bool { return true }
	var run func(context.Context) error
	if kind == "embedded" {
		e, err := OpenEmbedded(EmbeddedConfig{Listen: address, Log: log, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		run = e.Run
	} else {
		x, err := NewExternal(ExternalConfig{URL: "tcp://" + address, Topics: []string{"fleet/#"}, Log: log, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		run, ready = x.Run, x.Connected
	}
	ended := make(chan error)
	go func() { ended <- run(ctx) }()
	eventually(t, ready)
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	stop()
	if err := errors.Join(<-ended, log.Close()); err != nil {
		t.Fatal(err)
	}
}

type child struct {
	*exec.Cmd
	input io.Closer
}

func startChild(t *testing.T, kind, dir, address string) *child {
	t.Helper()
	c := &child{Cmd: exec.Command(os.Args[0], "-test.run=^TestIntakeChild$", "-test.timeout=2m")} //nolint:gosec // ourselves
	c.Env = append(os.Environ(), childEnv+"="+kind+" "+dir+" "+address)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		c.input, err = c.StdinPipe()
	}
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return c
		}
	}
	_ = c.Process.Kill()
	t.Fatalf("the child does not serve: %v", c.Wait())
	return nil
}

// kill is kill -9.
func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
}

// senders publish at a rate over several connections until the test says so, and
// remember what was truly acknowledged.
type senders struct {
	publishers []*publish.Publisher
	mu         sync.Mutex
	acked      map[string]bool
	stop       chan struct{}
	running    sync.WaitGroup
}

func startSenders(t *testing.T, address string, connections, perSecond int) *senders {
	t.Helper()
	s := &senders{acked: map[string]bool{}, stop: make(chan struct{})}
	for n := range connections {
		p, err := publish.Dial(t.Context(), "mqtt://"+address, publish.Options{ClientID: fmt.Sprintf("sender-%d", n), OnAck: func(_ string, payload []byte) {
			s.mu.Lock()
			s.acked[string(payload)] = true
			s.mu.Unlock()
		}})
		if err != nil {
			t.Fatal(err)
		}
		s.publishers = append(s.publishers, p)
		s.running.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; {
				select {
				case <-s.stop:
					return
				case <-tick.C:
				}
				for range perSecond / 100 / connections {
					if err := p.Publish(t.Context(), fmt.Sprintf("fleet/m%d/telemetry", n), fmt.Appendf(nil, `{"seq":%d,"boot":"%d"}`, i, n)); err != nil {
						t.Error(err)
						return
					}
					i++
				}
			}
		})
	}
	return s
}

// finish stops sending and waits until all is acknowledged.
func (s *senders) finish(t *testing.T) {
	t.Helper()
	close(s.stop)
	s.running.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, p := range s.publishers {
		if err := errors.Join(p.Flush(ctx), p.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// missing counts the acknowledged messages that the log does not have.
func (s *senders) missing(t *testing.T, log *intakelog.Log) (missing, doubles int) {
	t.Helper()
	found := map[string]bool{}
	_, last := log.Bounds()
	for after := intakelog.LSN(0); after < last; {
		got, err := log.Read(t.Context(), after, 1024, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range got {
			if found[string(r.Payload)] {
				doubles++
			}
			found[string(r.Payload)] = true
		}
		after = got[len(got)-1].LSN
	}
	for payload := range s.acked {
		if !found[payload] {
			missing++
		}
	}
	return missing, doubles
}

func TestEmbedded_LosesNothingAcknowledgedWhenItIsKilled(t *testing.T) {
	t.Parallel()
	const kills = 6
	dir, address, random := t.TempDir(), spareAddress(t), rand.New(rand.NewPCG(9, 9))
	c := startChild(t, "embedded", dir, address)
	s := startSenders(t, address, 4, 2000)
	for range kills {
		awhile(random)
		c.kill(t)
		c = startChild(t, "embedded", dir, address)
	}
	s.finish(t)
	c.kill(t)
	log, err := intakelog.Open(dir, intakelog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	missing, doubles := s.missing(t, log)
	t.Logf("%d kills, %d messages acknowledged, %d lost, %d in the log twice; damage %v", kills, len(s.acked), missing, doubles, log.Damage())
	if missing > 0 || len(s.acked) < 2000 {
		t.Errorf("%d of %d acknowledged messages are lost", missing, len(s.acked))
	}
}

func TestExternal_LosesNothingAcknowledgedWhenWeAreKilled(t *testing.T) {
	t.Parallel()
	const kills = 5
	dir, address, random := t.TempDir(), spareAddress(t), rand.New(rand.NewPCG(8, 8))
	startMosquitto(t, t.TempDir(), address)
	c := startChild(t, "external", dir, address)
	s := startSenders(t, address, 4, 2000)
	for range kills {
		awhile(random)
		c.kill(t)
		c = startChild(t, "external", dir, address)
	}
	s.finish(t)
	c.kill(t)
	log, err := intakelog.Open(dir, intakelog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	_, stop := runExternal(t, ExternalConfig{URL: "mqtt://" + address, Topics: []string{"fleet/#"}, Log: log})
	defer stop()
	var missing, doubles int
	eventually(t, func() bool {
		missing, doubles = s.missing(t, log)
		return missing == 0
	})
	t.Logf("%d kills, %d messages acknowledged by the broker, %d lost, %d in the log twice", kills, len(s.acked), missing, doubles)
	if len(s.acked) < 2000 {
		t.Errorf("only %d messages", len(s.acked))
	}
}
