package intake

import (
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

func TestEmbedded_HoldsAClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	e := startEmbedded(t, EmbeddedConfig{})
	w := dialWire(t, e.local(), 4)
	_ = w.Conn.(*net.TCPConn).SetReadBuffer(4 << 10) //nolint:forcetypeassert // it is TCP
	w.connect(t, hello{client: "deaf"})
	var sent int
	var wg sync.WaitGroup
	wg.Go(func() {
		payload := strings.Repeat("x", 100)
		for sent < 1_000_000 {
			_ = w.SetWriteDeadline(time.Now().Add(40 * time.Second)) // before its keepalive is over
			if _, err := w.Write(publishPacket(4, 1, uint16(sent%65_535+1), "fleet/deaf/telemetry", payload, false)); err != nil {
				if !errors.Is(err, os.ErrDeadlineExceeded) { // which says that it is held: nothing more is read from it
					t.Error(err)
				}
				return
			}
			if sent++; sent%1000 == 0 && e.unacked.Load() == maxUnacknowledged {
				return
			}
		}
		t.Errorf("%d messages were taken from a client that reads nothing", sent)
	})
	other := dialWire(t, e.local(), 4) // meanwhile others are served
	other.connect(t, hello{client: "other"})
	for id := range uint16(100) {
		other.write(t, publishPacket(4, 1, id+1, "fleet/other/telemetry", "x", false))
		other.ack(t, puback)
	}
	wg.Wait()
	if e.Connections() != 2 {
		t.Fatalf("%d connections, want the deaf one held and not dropped", e.Connections())
	}
	for n := range sent {
		if id, _ := w.ack(t, puback); id != uint16(n%65_535+1) {
			t.Fatalf("acknowledgement %d is for %d", n, id)
		}
	}
	t.Logf("%d messages, all acknowledged in order", sent)
}

func TestEmbedded_FullLogStopsAcknowledgingAndResumes(t *testing.T) {
	t.Parallel()
	log := openIntake(t, intakelog.Options{MaxBytes: 64 << 10, Plain: true, CommitDelay: -1})
	e := startEmbedded(t, EmbeddedConfig{Log: log})
	payload := strings.Repeat("x", 1000)
	acked := 0
	for _, version := range []byte{4, 5} {
		w := dialWire(t, e.local(), version)
		if code := w.connect(t, hello{client: "x"}); code != 0 {
			t.Fatalf("not let in: %d", code)
		}
		for id := uint16(1); ; id++ {
			w.write(t, publishPacket(version, 1, id, "fleet/x/telemetry", payload, false))
			kind, body := w.read(t)
			if kind == puback {
				acked++
				continue
			}
			if version == 5 && (kind != 0xE0 || body[0] != 0x97) || version == 4 && kind != 0 {
				t.Errorf("MQTT %d: the full log is answered with %#x %x", version, kind, body)
			}
			break
		}
		if code := dialWire(t, e.local(), version).connect(t, hello{client: "x"}); code != map[byte]byte{4: 3, 5: 0x88}[version] {
			t.Errorf("MQTT %d: CONNECT is answered with %#x while the log is full", version, code)
		}
		if got := len(records(t, log, acked)); version == 4 && got != acked {
			t.Errorf("%d records, %d acknowledged", got, acked)
		}
		_, last := log.Bounds()
		log.Release("history", last)
		log.Release("rules", last)
		eventually(t, func() bool { return log.Err() == nil })
	}
	if acked < 60 {
		t.Errorf("only %d messages were acknowledged", acked)
	}
}
