package edge_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thirdstate/thirdstate/telemetry/edge"
	"github.com/thirdstate/thirdstate/telemetry/intake"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openLog(t *testing.T, dir string, o intakelog.Options) *intakelog.Log {
	t.Helper()
	o.CommitDelay, o.Plain = -1, true
	log, err := intakelog.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

// certificate is one for 127.0.0.1, as files and as who may sign it.
func certificate(t testing.TB) (intake.TLSFiles, *x509.CertPool) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := intake.TLSFiles{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for name, block := range map[string]*pem.Block{files.Certificate: {Type: "CERTIFICATE", Bytes: server.Certificate().Raw}, files.Key: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return files, pool
}

// running is a forwarder that runs.
type running struct {
	*edge.Forwarder
	stop  context.CancelFunc
	ended chan error
}

func forward(t testing.TB, c edge.Config) *running {
	t.Helper()
	f, err := edge.NewForwarder(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{Forwarder: f, stop: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- f.Run(ctx) }()
	return r
}

func (r *running) end(t testing.TB) {
	t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
}

func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not yet: %s", what)
		}
	}
}

// While the centre is away the log fills up to its bound and then takes nothing
// more; when the centre comes, it gets all of it over TLS, in order, and there is
// room again.
func TestForwarder_KeepsTheLogUntilTheCentreHasIt(t *testing.T) {
	dir := t.TempDir()
	options := intakelog.Options{SegmentBytes: 32 << 10, MaxBytes: 512 << 10, ReserveBytes: -1, Plain: true, Consumers: []string{edge.Consumer}}
	log := openLog(t, dir, options)
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := door.Addr().String()
	door.Close() // nobody is there for now
	files, pool := certificate(t)
	config := edge.Config{ID: "EDGE1", URL: "mqtts://" + address, Options: publish.Options{TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
		Log: log, Logger: slog.New(slog.DiscardHandler), MaxPayload: 600, CutPayload: 10}

	f := forward(t, config)
	sent := map[uint64]string{}
	for n := 0; ; n++ {
		r := intakelog.Record{Received: time.Unix(int64(n), 0).UTC(), Kind: intakelog.Message, Source: "embedded", Topic: fmt.Sprint("fleet/m/", n), Payload: []byte(strings.Repeat("x", 300+n%5*100))}
		if n%10 == 3 {
			r.Kind, r.Source = intakelog.Tick, "clock"
		}
		lsn, err := log.AppendWait(t.Context(), r)
		if errors.Is(err, intakelog.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == intakelog.Message {
			sent[uint64(lsn)] = r.Topic
		}
	}
	_, last := log.Bounds()
	if s := f.Status(); s.Connected || s.Trouble == "" || s.At != 0 || s.Waiting != uint64(last) || s.Oldest.IsZero() || s.InFlight > 1_001 {
		t.Errorf("while the centre is away: %+v", s)
	}
	f.end(t)
	f = forward(t, config)

	centre := openLog(t, t.TempDir(), intakelog.Options{})
	broker, err := intake.OpenEmbedded(intake.EmbeddedConfig{TLSListen: address, TLS: files, Log: centre, Now: time.Now, Logger: config.Logger})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- broker.Run(ctx) }()
	until(t, "the centre has everything", func() bool { return f.Status().Waiting == 0 })
	if s := f.Status(); !s.Connected || s.Forwarded != uint64(len(sent)) || s.Bytes != 0 || !s.Oldest.IsZero() {
		t.Errorf("with a centre: %+v", s)
	}
	until(t, "there is room again", func() bool { return log.Err() == nil })
	f.end(t)
	cancel()
	if err := errors.Join(<-ended, broker.Close()); err != nil {
		t.Error(err)
	}
	compare(t, centre, sent)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if at := openLog(t, dir, options).Place(edge.Consumer); at != last {
		t.Errorf("the next run goes on after %d, not after %d", at, last)
	}
}

// compare holds the centre's log against what was sent: all of it, once and in order.
func compare(t *testing.T, centre *intakelog.Log, sent map[uint64]string) {
	t.Helper()
	_, last := centre.Bounds()
	newest := uint64(0)
	for at := intakelog.LSN(0); at < last; {
		records, err := centre.Read(t.Context(), at, 1_000, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			at = r.LSN
			e, err := edge.Open(r.Payload)
			if err != nil || r.Topic != "edge/EDGE1/records" || e.LSN <= newest || sent[e.LSN] != e.Topic || e.Topic != fmt.Sprint("fleet/m/", e.Received.Unix()) {
				t.Fatalf("record %d on %s holds %+v after %d: %v", r.LSN, r.Topic, e, newest, err)
			}
			if whole := 300 + int(e.LSN-1)%5*100; e.Size != whole || len(e.Payload) != whole && (whole <= 600 || len(e.Payload) != 10) {
				t.Errorf("record %d has %d of %d bytes, not %d", e.LSN, len(e.Payload), e.Size, whole)
			}
			newest = e.LSN
			delete(sent, e.LSN)
		}
	}
	if len(sent) > 0 {
		t.Errorf("%d records have not come: %v", len(sent), sent)
	}
}

func TestNewForwarder_SaysWhatIsWrongWithTheURL(t *testing.T) {
	log := openLog(t, t.TempDir(), intakelog.Options{})
	for _, url := range []string{"", "http://centre", "mqtts://:1"} {
		if _, err := edge.NewForwarder(edge.Config{ID: "E", URL: url, Log: log, Logger: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
}

// BenchmarkForwarder catches up with a backlog over TLS, with a centre that makes
// each record durable before it acknowledges.
func BenchmarkForwarder(b *testing.B) {
	near, centre := open(b), open(b)
	payload := []byte(`{"ts":1772431200000,"boot":"b","seq":12345,"values":{"running":1,"power":210.5,"oil_pressure":4.2,"coolant_temp":81.3,"speed":1498}}`)
	for range b.N - 1 {
		if err := near.Append(intakelog.Record{Received: time.Now(), Kind: intakelog.Message, Source: "embedded", Topic: "fleet/m/telemetry", Payload: payload}, nil); err != nil {
			b.Fatal(err)
		}
	}
	last, err := near.AppendWait(b.Context(), intakelog.Record{Received: time.Now(), Kind: intakelog.Message, Source: "embedded", Topic: "fleet/m/telemetry", Payload: payload})
	if err != nil {
		b.Fatal(err)
	}
	files, pool := certificate(b)
	broker, err := intake.OpenEmbedded(intake.EmbeddedConfig{TLSListen: "127.0.0.1:0", TLS: files, Log: centre, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- broker.Run(ctx) }()
	b.ResetTimer()
	f := forward(b, edge.Config{ID: "E", URL: broker.URLs()[0], Options: publish.Options{TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}, Log: near, Logger: slog.New(slog.DiscardHandler)})
	until(b, "the centre has everything", func() bool { return f.Status().At == last })
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	f.end(b)
	cancel()
	if err := errors.Join(<-ended, broker.Close()); err != nil {
		b.Error(err)
	}
}

func open(b *testing.B) *intakelog.Log {
	b.Helper()
	log, err := intakelog.Open(b.TempDir(), intakelog.Options{Plain: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { log.Close() })
	return log
}
