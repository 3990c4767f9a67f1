package intake

import (
	"bufio"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// Messages acknowledged a second over eight connections; sender, receiver of the
// acknowledgements and broker share this process and its processors.
func BenchmarkEmbedded(b *testing.B) {
	const connections, window = 8, 512
	e := startEmbedded(b, EmbeddedConfig{})
	payload := `{"ts":1767225600000,"boot":"a1","seq":7,"values":{` + strings.Repeat(`"oil_temp":62.5,`, 8) + `"x":1}}`
	b.SetBytes(int64(len(payload)))
	var wires []*wire
	for n := range connections {
		w := dialWire(b, e.local(), 4)
		w.connect(b, hello{client: string(rune('a' + n))})
		if err := w.SetReadDeadline(time.Now().Add(5 * time.Minute)); err != nil {
			b.Fatal(err)
		}
		wires = append(wires, w)
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, w := range wires {
		slots := make(chan struct{}, window)
		messages := b.N/connections + 1
		wg.Go(func() {
			out := bufio.NewWriterSize(w, 64<<10)
			for n := range messages {
				select {
				case slots <- struct{}{}:
				default:
					_ = out.Flush()
					slots <- struct{}{}
				}
				_, _ = out.Write(publishPacket(4, 1, uint16(n%65_535+1), "fleet/pump-1/telemetry", payload, false))
			}
			_ = out.Flush()
		})
		wg.Go(func() {
			acks := make([]byte, 4)
			for range messages {
				if _, err := io.ReadFull(w.in, acks); err != nil || acks[0] != puback {
					b.Errorf("%x: %v", acks, err)
					return
				}
				<-slots
			}
		})
	}
	wg.Wait()
	if _, last := e.Log.Bounds(); int(last) < b.N { //nolint:gosec // a count
		b.Errorf("%d records for %d messages", last, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(e.Log.Stats().Syncs)/b.Elapsed().Seconds(), "syncs/s")
}
