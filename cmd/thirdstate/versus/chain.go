package versus

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/stand"
)

//go:embed telegraf.conf
var telegrafConfig string

// chainKind is one way from the wire to InfluxDB.
type chainKind struct {
	name  string
	ours  bool
	roomy bool // Mosquitto without limits of its queues, else as it comes
}

// kinds are the peers that can run here, and us.
func (r *runner) kinds(peers ...chainKind) []chainKind {
	if r.Telegraf == "" {
		peers = nil
	}
	return append(peers, chainKind{name: "thirdstate, rules on, acknowledged after fsync", ours: true})
}

// chain is one running way from the wire to InfluxDB.
type chain struct {
	chainKind
	mqtt   string // URL for the devices
	web    string // address of our pages
	influx *stand.Influx
	broker *stand.Process // the same as intake in ours
	intake *stand.Process
	since  time.Time // when the stored points last grew
}

// start starts the parts of a chain, the database first.
func (r *runner) start(ctx context.Context, kind chainKind, dir string, machines int) (*chain, error) {
	c := &chain{chainKind: kind}
	var err error
	address, err := r.ports.Spare(ctx)
	if err != nil {
		return c, err
	}
	if c.influx, err = stand.StartInflux(ctx, r.Influxd, dir, address, true); err != nil {
		return c, err
	}
	if address, err = r.ports.Spare(ctx); err != nil {
		return c, err
	}
	c.mqtt = "mqtt://" + address
	if kind.ours {
		err = r.startOurs(ctx, c, dir, address, machines)
	} else {
		err = r.startTheirs(ctx, c, dir, address)
	}
	return c, err
}

// stop ends all that was started, in the order of the way.
func (c *chain) stop() error {
	var err error
	for _, p := range []*stand.Process{c.broker, c.intake, c.database()} {
		if p != nil {
			err = errors.Join(err, p.End(syscall.SIGTERM))
		}
	}
	return err
}

// database is nil where it did not come to be.
func (c *chain) database() *stand.Process {
	if c.influx == nil {
		return nil
	}
	return c.influx.Process
}

// Key is the key of a machine; its model has a rule pack in ours.
func Key(i int) string { return fmt.Sprintf("bench%06d", i) }

// Model is the machines' model: one with a rule pack, so that all is evaluated.
const Model = "BC5430THB-56"

func (r *runner) startOurs(ctx context.Context, c *chain, dir, address string, machines int) error {
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "machines.csv")
	text := strings.Builder{}
	text.WriteString("manufacturer,serial,model,name,customer,site\n")
	for i := range machines {
		fmt.Fprintf(&text, "Bench,%s,%s,,Bench,Yard\n", Key(i), Model)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("write the machines: %w", err)
	}
	out, err := exec.CommandContext(ctx, r.Program, "import", "machines", "--data", data, file).CombinedOutput() //nolint:gosec // ourselves
	if err != nil {
		return fmt.Errorf("import the machines: %w: %s", err, out)
	}
	if c.web, err = r.ports.Spare(ctx); err != nil {
		return err
	}
	c.intake = &stand.Process{Name: "thirdstate", Log: filepath.Join(dir, "thirdstate.log"), Command: []string{r.Program, "serve", "--log-level", "warn",
		"--data", data, "--http", c.web, "--mqtt-listen", address, "--influx-url", c.influx.URL, "--influx-bucket", stand.Database}}
	c.broker = c.intake
	return c.begin(ctx)
}

func (r *runner) startTheirs(ctx context.Context, c *chain, dir, address string) error {
	limits := ""
	if c.roomy {
		limits = "max_queued_messages 0\nmax_inflight_messages 0\n"
	}
	telegraf := filepath.Join(dir, "telegraf.conf")
	if err := os.WriteFile(telegraf, []byte(strings.NewReplacer("@BROKER@", address, "@INFLUX@", c.influx.URL, "@DATABASE@", stand.Database).Replace(telegrafConfig)), 0o600); err != nil {
		return fmt.Errorf("write the configuration of Telegraf: %w", err)
	}
	var err error
	if c.broker, err = stand.Mosquitto(r.Mosquitto, dir, address, limits); err != nil {
		return err
	}
	c.intake = &stand.Process{Name: "telegraf", Command: []string{r.Telegraf, "--config", telegraf}, Log: filepath.Join(dir, "telegraf.log")}
	return c.begin(ctx)
}

// begin starts what takes messages in, again too, and waits until it does.
func (c *chain) begin(ctx context.Context) error {
	if !c.broker.Runs() {
		if err := c.broker.BeginAt(ctx, strings.TrimPrefix(c.mqtt, "mqtt://")); err != nil {
			return err
		}
	}
	if !c.intake.Runs() {
		if err := c.intake.Start(); err != nil {
			return err
		}
	}
	return c.intake.Lasts(ctx, c.intake.Name+" takes messages in", c.subscribed)
}

// subscribed says whether messages will be taken in from now on.
func (c *chain) subscribed() bool {
	if c.ours {
		return stand.Listens(c.web)
	}
	return c.intake.Said("Connected [tcp") && c.broker.Said("fleet/+/telemetry")
}

// evaluated is the last record of our log that the rules have seen.
func (c *chain) evaluated(ctx context.Context) int {
	if !c.ours {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.web+"/metrics", nil)
	if err != nil {
		return 0
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "thirdstate_rules_lsn "); ok {
			n, _ := strconv.ParseFloat(rest, 64)
			return int(n)
		}
	}
	return 0
}
