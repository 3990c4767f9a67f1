package deploy

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// root is the module's folder, seen from this one.
const root = ".."

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// board is what of a Grafana board is asked of InfluxDB.
type board struct {
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Definition string `json:"definition"`
			Datasource uid    `json:"datasource"`
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		Title   string `json:"title"`
		Targets []struct {
			Query      string `json:"query"`
			Datasource uid    `json:"datasource"`
		} `json:"targets"`
	} `json:"panels"`
}

type uid struct {
	UID string `json:"uid"`
}

func readBoard(t *testing.T) board {
	t.Helper()
	var b board
	if err := json.Unmarshal([]byte(read(t, "dashboards/grafana/boards/fleet.json")), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBoard_AsksTheProvisionedSource(t *testing.T) {
	t.Parallel()
	var provisioned struct {
		Datasources []struct {
			UID string `yaml:"uid"`
		} `yaml:"datasources"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "dashboards/grafana/provisioning/datasources/influxdb.yml")), &provisioned); err != nil {
		t.Fatal(err)
	}
	want := provisioned.Datasources[0].UID
	b := readBoard(t)
	for _, panel := range b.Panels {
		for _, target := range panel.Targets {
			if target.Datasource.UID != want {
				t.Errorf("%s asks %q, provisioned is %q", panel.Title, target.Datasource.UID, want)
			}
		}
	}
	for _, variable := range b.Templating.List {
		if variable.Datasource.UID != want {
			t.Errorf("variable %s asks %q, provisioned is %q", variable.Name, variable.Datasource.UID, want)
		}
	}
}

// Grafana itself does not run in tests; what it would send does, on a real InfluxDB.
func TestBoard_EveryQueryAnswersOnInfluxDB(t *testing.T) {
	t.Parallel()
	server := startInflux(t)
	at := time.Now().UTC().Add(-10 * time.Minute)
	var lines strings.Builder
	for i := range 20 {
		fmt.Fprintf(&lines, "telemetry,machine=m%d,model=B oil_temp=%d.5,rpm=1500 %d\n", i%3, 60+i, at.Add(time.Duration(i)*time.Second).UnixNano())
	}
	server.post(t, "/api/v2/write?org=thirdstate&bucket=telemetry", "text/plain", lines.String(), http.StatusNoContent)

	fill := strings.NewReplacer("${model:regex}", ".*", "${machine:regex}", "(m0|m1)", "${signal}", "oil_temp",
		"v.timeRangeStart", "-1h", "v.timeRangeStop", at.Add(time.Hour).Format(time.RFC3339), "v.windowPeriod", "1m")
	b := readBoard(t)
	asked := map[string]string{}
	for _, variable := range b.Templating.List {
		asked["variable "+variable.Name] = variable.Definition
	}
	for _, panel := range b.Panels {
		asked[panel.Title] = panel.Targets[0].Query
	}
	for title, query := range asked {
		answer := server.post(t, "/api/v2/query?org=thirdstate", "application/vnd.flux", fill.Replace(query), http.StatusOK)
		if rows := strings.Count(answer, "\r\n,"); rows < 2 || strings.Contains(answer, "error") { // one row is the header
			t.Errorf("%s: no rows for\n%s\n%s", title, fill.Replace(query), answer)
		}
	}
}

type influx struct{ url string }

// startInflux runs the real influxd (1.8, Flux enabled) on a free port.
func startInflux(t *testing.T) *influx {
	t.Helper()
	folder, address := t.TempDir(), freeAddress(t)
	config := filepath.Join(folder, "influxdb.toml")
	text := fmt.Sprintf(`reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = "%[1]s/meta"
[data]
dir = "%[1]s/data"
wal-dir = "%[1]s/wal"
[monitor]
store-enabled = false
[http]
bind-address = "%[2]s"
flux-enabled = true
log-enabled = false
`, folder, address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, exec.Command(program(t, "influxd"), "-config", config))
	server := &influx{url: "http://" + address}
	awaitListener(t, address)
	server.post(t, "/query?q=CREATE+DATABASE+telemetry", "text/plain", "", http.StatusOK)
	return server
}

func (s *influx) post(t *testing.T, path, kind, body string, want int) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", kind)
	request.Header.Set("Accept", "application/csv")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != want {
		t.Fatalf("%s: %s: %s\n%s", path, response.Status, answer, body)
	}
	return string(answer)
}

// program finds a service's program; make test installs it.
func program(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	places := []string{"/usr/sbin"}
	if out, err := exec.CommandContext(t.Context(), "go", "env", "GOPATH").Output(); err == nil {
		places = append(places, filepath.Join(strings.TrimSpace(string(out)), "bin"))
	}
	for _, place := range places {
		if path, err := exec.LookPath(filepath.Join(place, name)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: scripts/setup.sh mosquitto influxd brings it", name)
	return ""
}

// run starts a program and ends it with the test, its output shown on failure.
func run(t *testing.T, command *exec.Cmd) {
	t.Helper()
	var output strings.Builder
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := command.Process.Signal(os.Interrupt); err != nil {
			t.Logf("%s ended before the test: %v", command.Path, err)
		}
		_ = command.Wait() // ended by our signal
		if t.Failed() {
			t.Logf("%s:\n%s", command.Path, output.String())
		}
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// awaitListener returns when the address accepts connections.
func awaitListener(t *testing.T, address string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-tick.C {
		if connection, err := net.Dial("tcp", address); err == nil {
			connection.Close()
			return
		}
	}
	t.Fatalf("nothing listens on %s after 30 s", address)
}
