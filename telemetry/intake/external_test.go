package intake

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/publish"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

// startExternal reads a broker in this process until the test ends.
func startExternal(t *testing.T, c ExternalConfig) *External {
	t.Helper()
	x, _ := launchExternal(t, c)
	return x
}

// runExternal reads a broker in this process until the test ends or stop is called.
func runExternal(t *testing.T, c ExternalConfig) (x *External, stop func()) {
	t.Helper()
	x, stop = launchExternal(t, c)
	eventually(t, x.Connected)
	return x, stop
}

func launchExternal(t *testing.T, c ExternalConfig) (x *External, stop func()) {
	t.Helper()
	if c.Logger = slog.New(slog.DiscardHandler); c.Now == nil {
		c.Now = time.Now
	}
	x, err := NewExternal(c)
	if err != nil {
		t.Fatal(err)
	}
	return x, telemetrytest.Run(t, x.Run)
}

// send publishes and waits until the broker has acknowledged everything.
func send(t *testing.T, address string, payloads ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wirePatience)
	defer cancel()
	p, err := publish.Dial(ctx, "mqtt://"+address, publish.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range payloads {
		if err := p.Publish(ctx, "fleet/pump-1/telemetry", []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestExternal_TakesWhatTheBrokerHas(t *testing.T) {
	t.Parallel()
	address, log := spareAddress(t), openIntake(t, intakelog.Options{})
	startMosquitto(t, t.TempDir(), address)
	x, stop := runExternal(t, ExternalConfig{URL: "mqtt://" + address, Topics: []string{"fleet/#"}, Log: log})
	large := strings.Repeat("x", intakelog.MaxRecordBytes)
	w := dialWire(t, address, 4)
	if code := w.connect(t, hello{client: "sender"}); code != 0 {
		t.Fatal(code)
	}
	for qos := range byte(3) {
		w.write(t, publishPacket(4, qos, uint16(qos), "fleet/pump-1/telemetry", fmt.Sprint(qos), false))
	}
	w.ack(t, puback)
	w.ack(t, pubrec)
	w.write(t, packet(0x62, []byte{0, 2}))
	w.ack(t, pubcomp)
	send(t, address, large, "after")
	got := records(t, log, 5)
	for i, want := range []string{"0", "1", "2", large[:tooLargeKept], "after"} {
		topic := "fleet/pump-1/telemetry"
		if i == 3 {
			topic = tooLargeMark + topic
		}
		if r := got[i]; string(r.Payload) != want || r.Topic != topic || r.Source != "external" || r.Device != "" {
			t.Errorf("record %d: %s from %q with %d bytes, want %s with %d", i+1, r.Topic, r.Source, len(r.Payload), topic, len(want))
		}
	}
	eventually(t, func() bool { return figure(t, x, "thirdstate_mqtt_messages_total", "1") == 4 }) // QoS 2 is granted as 1
	stop()
	if x.Connected() {
		t.Error("connected after the end")
	}
	if got := lastOf(log); got != 5 {
		t.Errorf("%d records, want each message once", got)
	}
}

// What is said to devices comes back with fleet/#; it says nothing of them.
func TestExternal_TakesWhatIsSaidToDevicesForNoTelemetry(t *testing.T) {
	t.Parallel()
	address, log := spareAddress(t), openIntake(t, intakelog.Options{})
	startMosquitto(t, t.TempDir(), address)
	x, _ := runExternal(t, ExternalConfig{URL: "mqtt://" + address, Topics: []string{"fleet/#"}, Log: log})
	if err := x.Publish(t.Context(), "fleet/pump-1/down/resend", []byte(`{"boot":"a","from":1,"to":2}`)); err != nil {
		t.Fatal(err)
	}
	send(t, address, "after")
	eventually(t, func() bool { return inLog(t, log)["after"] > 0 })
	for _, r := range records(t, log, 2) { // at QoS 1 it may come twice
		want := intakelog.Relay
		if string(r.Payload) == "after" {
			want = intakelog.Message
		}
		if r.Kind != want {
			t.Errorf("%s is of kind %d, want %d", r.Topic, r.Kind, want)
		}
	}
}

func TestExternal_LeavesMessagesWithTheBrokerWhileTheLogIsFull(t *testing.T) {
	t.Parallel()
	const messages = 300
	address, log := spareAddress(t), openIntake(t, intakelog.Options{MaxBytes: 64 << 10, Plain: true, CommitDelay: -1})
	startMosquitto(t, t.TempDir(), address)
	x, _ := runExternal(t, ExternalConfig{URL: "mqtt://" + address, Topics: []string{"fleet/#"}, Log: log})
	var payloads []string
	for n := range messages {
		payloads = append(payloads, fmt.Sprintf("%d %s", n, strings.Repeat("x", 1000)))
	}
	send(t, address, payloads...)
	eventually(t, func() bool { return log.Err() != nil })
	if !x.Connected() {
		t.Error("a full log must not end the connection")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*wirePatience)
	defer cancel()
	for next, after := 0, intakelog.LSN(0); next < messages; {
		got, err := log.Read(ctx, after, 100, nil)
		if err != nil {
			t.Fatalf("%d of %d messages: %v", next, messages, err)
		}
		for _, r := range got {
			if string(r.Payload) == payloads[next] {
				next++
			} else if !r.Dup {
				t.Fatalf("message %.10s, want %d", r.Payload, next)
			}
			after = r.LSN
		}
		log.Release("history", after)
		log.Release("rules", after)
	}
}

func TestExternal_ReadsOnWhenTheBrokerIsBack(t *testing.T) {
	t.Parallel()
	address, dir, log := spareAddress(t), t.TempDir(), openIntake(t, intakelog.Options{})
	kill := startMosquitto(t, dir, address)
	x, _ := runExternal(t, ExternalConfig{URL: "mqtt://" + address, Topics: []string{"fleet/#"}, Log: log})
	send(t, address, "before")
	records(t, log, 1)
	kill()
	eventually(t, func() bool { return !x.Connected() })
	startMosquitto(t, dir, address)
	eventually(t, x.Connected) // and subscribed again, whatever the broker remembers
	send(t, address, "after")
	if got := records(t, log, 2); string(got[len(got)-1].Payload) != "after" {
		t.Errorf("the log has %s", got[len(got)-1].Payload)
	}
}

func TestExternal_SaysWhatIsWrongWithItsSettings(t *testing.T) {
	t.Parallel()
	log := openIntake(t, intakelog.Options{})
	good := []string{"fleet/#"}
	for _, c := range []struct {
		url    string
		topics []string
		want   string
	}{
		{"tcp://u:secret@host", good, ""},
		{"ssl://host:1", good, ""},
		{"http://u:secret@host", good, "want tcp://"},
		{"tcp://u:secret@:1883", good, "host is missing"},
		{"tcp://u:secret@host:port", good, "no URL"},
		{"tcp://host", nil, "0 topics"},
		{"tcp://host", []string{"a\x00b"}, "NUL"},
		{"tcp://host", []string{"fleet/#/more"}, "last level only"},
		{"tcp://host", []string{"fleet/a+"}, "stand alone"},
	} {
		x, err := NewExternal(ExternalConfig{URL: c.url, Topics: c.topics, Log: log})
		if c.want == "" {
			if err != nil || x.broker.Port() == "" {
				t.Errorf("%s: %v", c.url, err)
			}
			continue
		}
		if problem.Of(err) != problem.Invalid || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s and no password", c.url, err, c.want)
		}
	}
}
