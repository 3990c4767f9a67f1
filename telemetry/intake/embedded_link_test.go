package intake

import (
	"fmt"
	"testing"

	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// How a connection ends is in the log: who takes leave has done so, who is gone has
// not. One that has carried little says nothing, and neither does one that we end.
func TestEmbedded_NotesHowConnectionsEnd(t *testing.T) {
	t.Parallel()
	e := startEmbedded(t, EmbeddedConfig{})
	for _, version := range []byte{4, 5} {
		for _, c := range []struct {
			messages int
			topic    string
			leave    func(w *wire)
			want     string
		}{
			{3, "fleet/pump-%d/telemetry", func(w *wire) { w.write(t, packet(0xe0, nil)) }, `"" {"goodbye":true,"machines":["pump-0","pump-1","pump-2"]}`},
			{4, "fleet/pump/telemetry", func(w *wire) { _ = w.Close() }, `"" {"goodbye":false,"machines":["pump"]}`},
			{3, "v1/devices/me/telemetry", func(w *wire) { _ = w.Close() }, `"who" {"goodbye":false}`},
			{2, "fleet/pump/telemetry", func(w *wire) { w.write(t, packet(0xe0, nil)) }, ""},
			{5, "fleet/pump/telemetry", func(w *wire) { dialWire(t, e.local(), version).connect(t, hello{client: "who"}) }, ""}, // taken over
			{5, "fleet/pump/telemetry", func(w *wire) { w.write(t, publishPacket(version, 0, 0, "", "{}", false)) }, `"" {"goodbye":false,"machines":["pump"]}`},
		} {
			before := lastOf(e.Log)
			w := dialWire(t, e.local(), version)
			if code := w.connect(t, hello{client: "who"}); code != 0 {
				t.Fatal(code)
			}
			for i := range c.messages {
				topic := c.topic
				if c.topic == "fleet/pump-%d/telemetry" {
					topic = fmt.Sprintf(topic, i)
				}
				w.write(t, publishPacket(version, 1, uint16(i+1), topic, "{}", false)) //nolint:gosec // few
				w.ack(t, puback)
			}
			c.leave(w)
			eventually(t, func() bool { return e.Connections() <= 1 })
			want := c.messages
			if c.want != "" {
				want++
			}
			list := records(t, e.Log, before+want)
			got, last := "", list[len(list)-1]
			if last.Kind == intakelog.Link {
				got = fmt.Sprintf("%q %s", last.Device, last.Payload)
			}
			if len(list) != before+want || got != c.want {
				t.Errorf("version %d, %d messages on %s: %d records, the last %q, want %q", version, c.messages, c.topic, len(list)-before, got, c.want)
			}
		}
	}
}
