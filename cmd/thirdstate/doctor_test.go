package main

import (
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/telemetry/intake"
)

// What is said of a broker names the setting of that broker, and all three where
// it is unknown. The measuring itself is tested on a real one in telemetry/intake.
func TestDoctor_NamesTheSettingToChange(t *testing.T) {
	t.Parallel()
	well := intake.BrokerReport{Software: "mosquitto version 2.0.11", Granted: 1, Kept: true, Sent: 2500, Arrived: 2500, Window: 1000, Retains: true,
		Largest: 256<<10 - 512, Tried: 1 << 20, Tells: true}
	for _, d := range diagnose(well) {
		if d.advice != "" {
			t.Errorf("%s: %s", d.seen, d.advice)
		}
	}
	for _, c := range []struct {
		about  string
		change func(*intake.BrokerReport)
		want   []string
	}{
		{"a short queue", func(r *intake.BrokerReport) { r.Arrived, r.Newest = 1000, true }, []string{"the newest 1500 were thrown away", "max_queued_messages 0", "1 s at 1,000"}},
		{"of EMQX", func(r *intake.BrokerReport) { r.Arrived, r.Software = 1000, "EMQX 5.8" }, []string{"the oldest 1500", "mqtt.max_mqueue_len = infinity"}},
		{"of an unknown broker", func(r *intake.BrokerReport) { r.Arrived, r.Software = 0, "" }, []string{"max_queued_messages", "max_mqueue_len", "max-queue-size"}},
		{"acknowledged and thrown away", func(r *intake.BrokerReport) { r.Swallowed = 261_632 }, []string{"max_packet_size 262656", "in place of message_size_limit"}},
		{"quality of service", func(r *intake.BrokerReport) { r.Granted = 0 }, []string{"QoS 0"}},
		{"a forgotten session", func(r *intake.BrokerReport) { r.Kept = false }, []string{"persistent_client_expiration"}},
		{"drops", func(r *intake.BrokerReport) { r.Dropped = 7 }, []string{"thrown away 7 messages"}},
	} {
		r := well
		c.change(&r)
		var said, advised strings.Builder
		for _, d := range diagnose(r) {
			if d.advice != "" {
				advised.WriteString(d.advice)
				said.WriteString(d.seen + d.advice)
			}
		}
		for _, want := range c.want {
			if advised.Len() == 0 || !strings.Contains(said.String(), want) {
				t.Errorf("%s: %q is not in %s", c.about, want, said.String())
			}
		}
	}
}
