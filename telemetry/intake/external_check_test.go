package intake

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

const mosquittoDefaults = "listener %s 127.0.0.1\nallow_anonymous true\n# %s keeps nothing\n"

func TestCheckBroker_MeasuresMosquitto(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, config             string
		arrived, window, largest int
		retains                  bool
	}{
		{"as it comes", mosquittoDefaults, 1000, 20, 1 << 20, true},
		{"without a limit", mosquittoDefaults + "max_queued_messages 0\nmax_inflight_messages 1000\n", 1500, 1000, 1 << 20, true},
		{"small and strict", mosquittoDefaults + "max_queued_messages 50\nmessage_size_limit 100000\nretain_available false\n", 50, 20, 64 << 10, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address := spareAddress(t)
			telemetrytest.LaunchMosquitto(t, t.TempDir(), address, c.config)
			r, err := CheckBroker(t.Context(), BrokerCheck{URL: "mqtt://" + address, Topic: "doctor", Messages: 1500, Quiet: 500 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", r)
			if r.Sent != 1500 || r.Arrived < c.arrived || r.Arrived > c.arrived+c.window && r.Arrived < 1500 || r.Window != c.window || r.Largest != c.largest || r.Retains != c.retains {
				t.Errorf("want %d arrived and at most the window more, %d without acknowledgement, %d bytes, retained %v", c.arrived, c.window, c.largest, c.retains)
			}
			if strings.Contains(r.Software, "mosquitto version") != c.retains || r.Tells != c.retains || r.Granted != 1 || !r.Kept || (r.Swallowed > 0) != (c.largest < 1<<20) || (r.Lost() > 0) != r.Newest {
				t.Errorf("%+v", r)
			}
			if kept := retainedOf(t, address, "doctor/#"); kept > 0 {
				t.Errorf("%d retained messages are left", kept)
			}
		})
	}
}

// retainedOf counts what a newcomer is sent of a filter.
func retainedOf(t *testing.T, address, filter string) (n int) {
	t.Helper()
	broker, err := parseBrokerURL("mqtt://" + address)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := (&prober{broker: broker, within: wirePatience}).connect(t.Context(), "newcomer", true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.leave()
	if _, err := c.subscribe(wirePatience, 1, filter); err != nil {
		t.Fatal(err)
	}
	for {
		p, err := c.read(200 * time.Millisecond)
		if err != nil {
			return n
		}
		if _, message := p.(*packets.PublishPacket); message {
			n++
		}
	}
}

// The sessions of a check are gone after it, also of one that was broken off.
func TestCheckBroker_LeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir, address := t.TempDir(), spareAddress(t)
	m := telemetrytest.LaunchMosquitto(t, dir, address, mosquittoDefaults+"persistence true\npersistence_location "+dir+"/\n")
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	_, err := CheckBroker(ctx, BrokerCheck{URL: "mqtt://" + address, Topic: "doctor", Messages: MostCheckMessages})
	if err == nil {
		t.Fatal("the check ran to its end")
	}
	if err := m.Process.Signal(os.Interrupt); err != nil { // which makes it write what it has
		t.Fatal(err)
	}
	_ = m.Wait()
	kept, err := os.ReadFile(dir + "/mosquitto.db")
	if err != nil || strings.Contains(string(kept), "thirdstate-doctor-") {
		t.Errorf("the session of the check is still there: %v", err)
	}
}

func TestCheckBroker_SaysWhatIsWrongWithItsSettings(t *testing.T) {
	t.Parallel()
	good := BrokerCheck{URL: "mqtt://127.0.0.1:1", Topic: "doctor", Messages: 1000}
	for want, change := range map[string]func(*BrokerCheck){
		"--messages": func(c *BrokerCheck) { c.Messages = 1 },
		"--topic":    func(c *BrokerCheck) { c.Topic = "a/#" },
		"--mqtt-url": func(c *BrokerCheck) { c.URL = "http://host" },
		"--mqtt-ca":  func(c *BrokerCheck) { c.TLS.CA = "/nowhere" },
	} {
		c := good
		change(&c)
		if _, err := CheckBroker(t.Context(), c); problem.Of(err) != problem.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", c, err, want)
		}
	}
	if _, err := CheckBroker(t.Context(), good); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("no broker: %v", err)
	}
}
