package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/internal/webhooks"
)

// settings are the flags that serve and demo share. Each is also THIRDSTATE_...
// in the environment.
type settings struct {
	Data         string        `help:"Folder for the intake log, snapshots and the private database." type:"path" placeholder:"DIR"`
	HTTP         string        `name:"http" help:"Address of pages and API." default:"127.0.0.1:8080"`
	BehindProxy  bool          `name:"behind-proxy" help:"A TLS proxy passes on what comes from outside: cookies go over https only, its X-Forwarded-For says who asks, and MQTT clients need a token though the proxy is on this host."`
	MQTTListen   string        `name:"mqtt-listen" help:"Address of the embedded MQTT broker; empty switches it off." default:"127.0.0.1:1883"`
	MQTT         mqttSettings  `embed:"" prefix:"mqtt-"`
	MQTTURL      string        `name:"mqtt-url" help:"An external broker to subscribe to, such as tcp://user:password@127.0.0.1:1883." placeholder:"URL"`
	MQTTTopics   []string      `name:"mqtt-topics" help:"Topics to subscribe to on the external broker." default:"fleet/#,v1/gateway/#,telegraf/#,/neuron/#,tele/#,zigbee2mqtt/+,zigbee2mqtt/+/availability,/wisepaas/scada/+/data,Advantech/+/data,Advantech/+/Device_Status,devices/+/messages/events/#"`
	MQTTShare    string        `name:"mqtt-share" help:"Group of a shared subscription on the external broker: several installations take turns. Order and gaps of a device are then spread over them; see docs/brokers.md." placeholder:"GROUP"`
	MQTTCA       string        `name:"mqtt-ca" help:"PEM file of the authorities that may sign an ssl:// broker's certificate; by default the system's." placeholder:"FILE"`
	MQTTCert     string        `name:"mqtt-cert" help:"PEM file of our certificate for an ssl:// broker." placeholder:"FILE"`
	MQTTKey      string        `name:"mqtt-key" help:"PEM file of that certificate's key." placeholder:"FILE"`
	Sparkplug    hostSettings  `embed:"" prefix:"sparkplug-"`
	Rules        string        `name:"rules" help:"Folder of rule packs (*.yaml) beside those that are built in; one of the same model takes their place. Read again at SIGHUP; while a file is bad the rules of before go on." type:"path" placeholder:"DIR"`
	Gate         gateSettings  `embed:"" prefix:"gate-"`
	AEMPSources  string        `name:"aemp-sources" help:"File of makers' servers whose fleets are pulled (ISO 15143-3), see docs/aemp.md." type:"path" placeholder:"FILE"`
	InfluxURL    string        `name:"influx-url" help:"InfluxDB 2 (or 1.8) for the telemetry history; empty keeps it in PostgreSQL." placeholder:"URL"`
	InfluxToken  string        `name:"influx-token" help:"Token for InfluxDB (user:password for 1.8)." placeholder:"TOKEN"`
	InfluxOrg    string        `name:"influx-org" help:"Organisation in InfluxDB." default:"thirdstate"`
	InfluxBucket string        `name:"influx-bucket" help:"Bucket in InfluxDB (db/rp for 1.8)." default:"telemetry"`
	DatabaseURL  string        `name:"database-url" help:"A PostgreSQL server (>= 15); empty starts a private one in the data folder." placeholder:"URL"`
	LogLimit     byteSize      `name:"log-limit" help:"Size at which the intake log stops acknowledging until its readers have caught up, such as 8GiB. Default: 8GiB or a fifth of the free disk, whichever is less." placeholder:"SIZE"`
	LogReserve   byteSize      `name:"log-reserve" help:"Room kept on the disk so that a full one can be worked off, such as 64MiB; 0B for none. Default: 64MiB or a 64th of the free disk, whichever is less." placeholder:"SIZE"`
	Resend       bool          `help:"Ask devices on fleet/MACHINE/down/resend for messages that did not come; see docs/brokers.md." default:"true" negatable:""`
	LogCompress  bool          `name:"log-compress" help:"Compress parts of the intake log that wait for the history or the rules." default:"true" negatable:""`
	ClockStart   time.Time     `name:"clock-start" help:"Program time to start at on the first start (RFC 3339)." placeholder:"T"`
	Speed        float64       `help:"Program seconds a real second." default:"1"`
	WebhookAllow []string      `name:"webhook-allow" help:"Networks that webhooks may reach though they are not public, also without TLS, such as 10.1.0.0/16 or 127.0.0.1." placeholder:"CIDR"`
	KeepRaw      time.Duration `name:"keep-raw" help:"How long PostgreSQL keeps telemetry as it came; older is kept as 15-minute mean, lowest and highest. InfluxDB has the retention of its bucket." default:"840h"`

	centre *centreSettings // of an edge
}

// check finds every fault before anything is started, and says them all at once.
func (s *settings) check() error {
	if s.Data == "" {
		s.Data = defaultData()
	}
	var fields []problem.Field
	bad := func(flag, format string, args ...any) {
		fields = append(fields, problem.Field{Pointer: flag, Detail: fmt.Sprintf(format, args...)})
	}
	if _, _, err := net.SplitHostPort(s.HTTP); err != nil {
		bad("--http", "%q is no address such as 127.0.0.1:8080", s.HTTP)
	}
	s.MQTT.check(s.MQTTListen, bad)
	for flag, text := range map[string]string{"--mqtt-url": s.MQTTURL, "--influx-url": s.InfluxURL, "--database-url": s.DatabaseURL} {
		if text == "" {
			continue
		}
		if u, err := url.Parse(text); err != nil || u.Scheme == "" {
			bad(flag, "is no URL such as tcp://127.0.0.1:1883")
		}
	}
	if !s.listens() && s.MQTTURL == "" {
		bad("--mqtt-listen", "is empty and --mqtt-url is not given: nothing could come in")
	}
	if s.LogLimit.given && s.LogLimit.bytes < minLogLimit {
		bad("--log-limit", "must be at least %dMiB", minLogLimit>>20)
	}
	if _, err := webhooks.ReadAllow(s.WebhookAllow); err != nil {
		bad("--webhook-allow", "%v", err)
	}
	s.Gate.check(bad)
	if s.KeepRaw < 24*time.Hour {
		bad("--keep-raw", "must be at least 24h")
	}
	if !(s.Speed >= 0 && s.Speed <= 100_000) { // which NaN is not
		bad("--speed", "must be between 0 and 100000")
	}
	if year := s.ClockStart.UTC().Year(); !s.ClockStart.IsZero() && (year < 2000 || year > 2099) {
		bad("--clock-start", "must be between 2000 and 2100")
	}
	if err := os.MkdirAll(s.Data, 0o755); err != nil { //nolint:gosec // the database's user must be able to pass through; what is inside is private
		bad("--data", "cannot make the folder: %v; give another one with --data", err)
	} else if err := writable(s.Data); err != nil {
		bad("--data", "%v; give another one with --data", err)
	}
	if len(fields) == 0 {
		return nil
	}
	lines := make([]string, 0, len(fields))
	for _, f := range fields {
		lines = append(lines, f.Pointer+" "+f.Detail)
	}
	return problem.New(problem.Invalid, "%s", strings.Join(lines, "\n            ")).WithFields(fields...)
}

func writable(dir string) error {
	probe, err := os.CreateTemp(dir, ".probe")
	if err != nil {
		return fmt.Errorf("the folder %s cannot be written: %w", dir, err)
	}
	name := probe.Name()
	if err := probe.Close(); err != nil {
		return fmt.Errorf("the folder %s cannot be written: %w", dir, err)
	}
	return os.Remove(name)
}

// defaultData is /var/lib/thirdstate for root (the database runs as another
// user, which must reach it), else a folder in the user's data home.
func defaultData() string {
	if os.Geteuid() == 0 {
		return "/var/lib/thirdstate"
	}
	if home := os.Getenv("XDG_DATA_HOME"); home != "" {
		return filepath.Join(home, "thirdstate")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "thirdstate-data"
	}
	return filepath.Join(home, ".local", "share", "thirdstate")
}

// withoutPassword is a URL as it may be shown.
func withoutPassword(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(not a URL)"
	}
	u.User = nil
	return u.String()
}
