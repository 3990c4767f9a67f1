package faults

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/stand"
	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
)

// programs are what is broken here, found or built once.
var programs struct { //nolint:gochecknoglobals // TestMain has nobody else to give them to
	dir                            string
	thirdstate, mosquitto, influxd string
	ports                          stand.Ports

	mu      sync.Mutex
	records map[int]records // by number of machines
	shared  *postgres.Cluster
	clones  int
}

// records are a stopped cluster with machines in its database, to be copied.
type records struct{ dir, token string }

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "thirdstate-faults")
	if err == nil {
		err = find(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	flag.Parse()
	_ = flag.Set("test.parallel", longform.Choose("4", "1")) // in the short form most of the time they wait
	code := m.Run()
	if programs.shared != nil {
		_ = programs.shared.Stop(context.Background()) // nobody reads it again
	}
	_ = os.RemoveAll(dir) // of the system's temporary folder
	os.Exit(code)
}

func find(dir string) error {
	goBin, err := exec.Command("go", "env", "GOPATH").Output()
	if err != nil {
		return err
	}
	places := []string{"/usr/sbin", "/usr/local/sbin", filepath.Join(strings.TrimSpace(string(goBin)), "bin")}
	if programs.mosquitto, err = stand.Find("mosquitto", places...); err != nil {
		return err
	}
	if programs.influxd, err = stand.Find("influxd", places...); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o711); err != nil { // the database's user must pass through
		return err
	}
	programs.dir, programs.records = dir, map[int]records{}
	programs.thirdstate = filepath.Join(dir, "thirdstate")
	// Without the race detector: races are looked for where the program's parts are tested.
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", programs.thirdstate, "github.com/thirdstate/thirdstate/cmd/thirdstate").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the program: %w: %s", err, out)
	}
	return nil
}

// patience is how long a test waits for what comes by itself.
func patience() time.Duration { return longform.Choose(3*time.Minute, 20*time.Minute) }

// registered is how many machines are in the records: in the short form as many as the
// largest test has, so that they are made once.
func registered(machines int) int { return longform.Choose(max(machines, 32), machines) }

// begun is the program time at which every plant starts.
var begun = time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)

// plan is what a plant is made of; its zero value is the program with its own broker
// and the history in PostgreSQL.
type plan struct {
	influx   bool // the history is in InfluxDB
	forgets  bool // which may lose what it has acknowledged
	external bool // devices speak to Mosquitto
	lines    bool // to Mosquitto, InfluxDB and PostgreSQL there are lines that can be made bad
	alone    bool // the server of PostgreSQL is this plant's own, to be broken
	speed    int  // program seconds a real second; 0 = 60
	machines int
	prefix   []string                       // before the program's own command
	env      []string                       // beside ours
	args     []string                       // more flags
	folder   func(t *testing.T, dir string) // called with each part's folder before it is used
}

// plant is one running program with all that stands beside it.
type plant struct {
	plan
	*testing.T
	dir     string
	program *stand.Process
	cluster *postgres.Cluster // ours, so that the program and it are killed one by one; nil: one that plants share
	records string            // the URL of the database
	influx  *stand.Influx     // nil: the history is in PostgreSQL
	broker  *stand.Process    // nil: the program's own
	web     string
	mqtt    string // where devices connect to
	token   string

	toBroker, toInflux, toPostgres *stand.Line     // nil without lines
	starts                         []time.Duration // how long each took until it was ready
}

// build makes a plant; it ends with the test, in good order.
func build(t *testing.T, c plan) *plant {
	t.Helper()
	p := &plant{plan: c, T: t, dir: postgrestest.Folder(t)}
	for _, part := range []string{"postgres", "influx", "mosquitto", "data", "data/intake"} {
		dir := filepath.Join(p.dir, part)
		p.must(os.MkdirAll(dir, 0o711))
		if c.folder != nil {
			c.folder(t, dir)
		}
	}
	p.buildDatabases()
	p.buildBroker()
	p.buildProgram()
	p.begin()
	return p
}

func (p *plant) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *plant) spare() string {
	p.Helper()
	address, err := programs.ports.Spare(p.Context())
	p.must(err)
	return address
}

func (p *plant) line(network, to string) *stand.Line {
	p.Helper()
	l, err := stand.LayLine(network, to)
	p.must(err)
	p.Cleanup(l.Close)
	return l
}

// ends has a process end with the test.
func (p *plant) ends(of *stand.Process) {
	p.Cleanup(func() {
		if of.Runs() {
			_ = of.Thaw() // it may be frozen where the test has failed
		}
		if err := of.End(syscall.SIGTERM); err != nil {
			p.Error(err)
		}
	})
}

func (p *plant) buildDatabases() {
	p.Helper()
	if p.alone || longform.Asked() {
		p.ownServer()
	} else {
		p.sharedServer()
	}
	if !p.plan.influx {
		return
	}
	var err error
	p.influx, err = stand.StartInflux(p.Context(), programs.influxd, filepath.Join(p.dir, "influx"), p.spare(), longform.Asked())
	if p.influx != nil {
		p.ends(p.influx.Process)
	}
	p.must(err)
}

// ownServer copies the records with their server.
func (p *plant) ownServer() {
	p.Helper()
	known := p.known()
	dir := filepath.Join(p.dir, "postgres", "pg")
	p.must(exec.CommandContext(p.Context(), "cp", "-a", known.dir, dir).Run())
	cluster, err := postgres.StartCluster(p.Context(), dir, slog.New(slog.DiscardHandler))
	p.must(err)
	p.cluster, p.records, p.token = cluster, cluster.URL(), known.token
	p.Cleanup(func() {
		if err := cluster.Stop(context.Background()); err != nil {
			p.Error(err)
		}
	})
}

// sharedServer copies the database alone, in a server that other plants use too: that
// spares the server's start and end, and to copy the databases that nobody uses.
func (p *plant) sharedServer() {
	p.Helper()
	programs.mu.Lock()
	defer programs.mu.Unlock()
	known := p.made()
	if programs.shared == nil {
		dir := filepath.Join(programs.dir, "shared")
		p.must(exec.CommandContext(p.Context(), "cp", "-a", known.dir, dir).Run())
		cluster, err := postgres.StartCluster(context.WithoutCancel(p.Context()), dir, slog.New(slog.DiscardHandler), postgres.Throwaway())
		p.must(err)
		programs.shared = cluster
	}
	url := strings.Replace(programs.shared.URL(), ":///thirdstate?", ":///postgres?", 1)
	conn, err := pgx.Connect(p.Context(), url)
	p.must(err)
	defer conn.Close(p.Context())
	programs.clones++
	name := fmt.Sprintf("plant_%d", programs.clones)
	_, err = conn.Exec(p.Context(), fmt.Sprintf(`CREATE DATABASE %s TEMPLATE thirdstate STRATEGY file_copy`, name))
	p.must(err)
	p.records, p.token = strings.Replace(url, "/postgres?", "/"+name+"?", 1), known.token
}

func (p *plant) known() records {
	p.Helper()
	programs.mu.Lock()
	defer programs.mu.Unlock()
	return p.made()
}

// made makes the records with the plant's machines, or returns what was made before.
// Its caller holds the lock.
func (p *plant) made() records {
	p.Helper()
	machines := registered(p.machines)
	if known, ok := programs.records[machines]; ok {
		return known
	}
	dir := filepath.Join(programs.dir, fmt.Sprintf("records-%d", machines))
	cluster, err := postgres.StartCluster(p.Context(), dir, slog.New(slog.DiscardHandler), postgres.Throwaway())
	p.must(err)
	args := []string{"--database-url", cluster.URL(), "--data", filepath.Join(p.dir, "data")}
	text := strings.Builder{}
	text.WriteString("manufacturer,serial,model,name,customer,site\n")
	for i := range machines {
		fmt.Fprintf(&text, "Acme,%s,GS500,Genset %d,Tongda,\n", key(i), i)
	}
	file := filepath.Join(p.dir, "machines.csv")
	p.must(os.WriteFile(file, []byte(text.String()), 0o600))
	p.said(append(append([]string{"import", "machines"}, args...), file)...)
	made := records{dir: dir, token: p.said(append([]string{"token", "create", "--role", "admin"}, args...)...)}
	p.must(cluster.Stop(p.Context()))
	programs.records[machines] = made
	return made
}

func (p *plant) buildBroker() {
	p.Helper()
	p.mqtt = p.spare()
	if !p.external {
		return
	}
	var err error
	p.broker, err = stand.Mosquitto(programs.mosquitto, filepath.Join(p.dir, "mosquitto"), p.mqtt, "max_queued_messages 0\n")
	p.must(err)
	p.ends(p.broker)
	p.must(p.broker.BeginAt(p.Context(), p.mqtt))
}

// buildProgram makes the command, not started yet.
func (p *plant) buildProgram() {
	p.Helper()
	p.web = p.spare()
	args := []string{"--database-url", p.databaseURL(), "--data", filepath.Join(p.dir, "data")}
	if p.speed == 0 {
		p.speed = 60
	}
	serve := append([]string{"serve", "--log-level", "warn", "--http", p.web, "--clock-start", begun.Format(time.RFC3339), "--speed", fmt.Sprint(p.speed)}, args...)
	if p.external {
		broker := p.mqtt
		if p.lines {
			p.toBroker = p.line("tcp", broker)
			broker = p.toBroker.Address()
		}
		serve = append(serve, "--mqtt-listen", "", "--mqtt-url", "tcp://"+broker)
	} else {
		serve = append(serve, "--mqtt-listen", p.mqtt)
	}
	if p.plan.influx {
		url := p.influx.URL
		if p.lines {
			p.toInflux = p.line("tcp", strings.TrimPrefix(url, "http://"))
			url = "http://" + p.toInflux.Address()
		}
		serve = append(serve, "--influx-url", url, "--influx-bucket", stand.Database)
	}
	command := append(append(append([]string{}, p.prefix...), programs.thirdstate), append(serve, p.args...)...)
	p.program = &stand.Process{Name: "thirdstate", Command: command, Env: p.env, Log: filepath.Join(p.dir, "thirdstate.log")}
	p.ends(p.program)
	p.Cleanup(func() {
		if text, err := os.ReadFile(p.program.Log); p.Failed() && err == nil {
			p.Logf("the program said:\n%s", text[max(0, len(text)-8_000):])
		}
	})
}

// databaseURL is how the program reaches PostgreSQL.
func (p *plant) databaseURL() string {
	p.Helper()
	if !p.lines {
		return p.records
	}
	url, err := url.Parse(p.records)
	p.must(err)
	p.toPostgres = p.line("unix", filepath.Join(url.Query().Get("host"), ".s.PGSQL.5432"))
	return fmt.Sprintf("postgres://thirdstate_owner@%s%s?sslmode=disable", p.toPostgres.Address(), url.Path)
}

// said runs the program to its end and returns what it printed.
func (p *plant) said(args ...string) string {
	p.Helper()
	c := exec.CommandContext(p.Context(), programs.thirdstate, args...)
	c.Stderr = p.Output()
	out, err := c.Output()
	if err != nil {
		p.Fatalf("thirdstate %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

// begin starts the program, again too, and waits until it is ready.
func (p *plant) begin() {
	p.Helper()
	from := time.Now()
	p.must(p.program.Start())
	p.must(p.program.Lasts(p.Context(), "the program is ready", p.ready))
	p.starts = append(p.starts, time.Since(from))
}

func (p *plant) ready() bool {
	status, _ := p.get("/readyz", nil)
	return status == http.StatusOK
}

// kill is kill -9 of the program, and its next start.
func (p *plant) kill() {
	p.Helper()
	p.must(p.program.End(syscall.SIGKILL))
	p.begin()
}

// get asks the program; 0 means that nobody answers.
func (p *plant) get(path string, out any) (status int, header http.Header) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.web+path, nil)
	p.must(err)
	req.Header.Set("Authorization", "Bearer "+p.token)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, nil
	}
	if out != nil && answer.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, out); err != nil {
			p.Fatalf("GET %s answered no JSON: %v\n%s", path, err, body)
		}
	}
	return answer.StatusCode, answer.Header
}

// figures reads the program's metrics without labels, and the intake's account.
func (p *plant) figures() map[string]float64 {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.web+"/metrics", nil)
	p.must(err)
	found := map[string]float64{}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return found
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body) // what there is of it
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var n float64
		if _, err := fmt.Sscan(value, &n); err == nil {
			found[name] = n
		}
	}
	return found
}

// clock is the program's own.
func (p *plant) clock() time.Time {
	p.Helper()
	ms := p.figures()["thirdstate_clock_seconds"] * 1_000
	if ms < float64(begun.UnixMilli()) {
		p.Fatal("the program does not tell the time")
	}
	return time.UnixMilli(int64(ms))
}

// until waits for a condition that comes by itself.
func (p *plant) until(what string, done func() bool) {
	p.Helper()
	tick := time.NewTicker(longform.Choose(60*time.Millisecond, 20*time.Millisecond)) // asking is work too
	defer tick.Stop()
	late := time.After(patience())
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			p.Fatalf("after %v not yet: %s", patience(), what)
		}
	}
}

// lasts is how long an outage is; the load goes on all the while.
func (p *plant) lasts(d time.Duration) {
	p.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.Context().Done():
		p.Fatal("the test was ended")
	}
}
