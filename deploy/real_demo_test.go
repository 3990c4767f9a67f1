package deploy

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/jackc/pgx/v5"
)

// What the probe says when it has used every service that the script gave it.
const probeReady = "probe: all services answer\n"

// TestMain lets the script start this very binary where it would start
// thirdstate: what counts is that the addresses and passwords it hands on work.
func TestMain(m *testing.M) {
	if path := os.Getenv("HOUSE_PROBE"); path != "" {
		if err := probe(path); err != nil {
			fmt.Fprintln(os.Stderr, "probe:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// probe uses each service once, says so in the named file and waits for the end.
func probe(path string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	db, err := pgx.Connect(ctx, os.Getenv("THIRDSTATE_DATABASE_URL"))
	if err != nil {
		return err
	}
	defer db.Close(context.Background())
	if _, err := db.Exec(ctx, "CREATE TABLE IF NOT EXISTS probe (started int)"); err != nil {
		return err
	}
	if _, err := db.Exec(ctx, "INSERT INTO probe VALUES (1)"); err != nil {
		return err
	}
	var starts int
	if err := db.QueryRow(ctx, "SELECT count(*) FROM probe").Scan(&starts); err != nil {
		return err
	}
	if err := probeInflux(ctx); err != nil {
		return err
	}
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(os.Getenv("THIRDSTATE_MQTT_URL")).SetClientID("probe"))
	if token := client.Connect(); token.WaitTimeout(brokerPatience) && token.Error() != nil {
		return token.Error()
	}
	defer client.Disconnect(100)
	said := fmt.Sprintf("%sstarts %d\narguments %s\n", probeReady, starts, strings.Join(os.Args[1:], " "))
	if err := os.WriteFile(path, []byte(said), 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	return os.WriteFile(path, []byte(said+"ended in order\n"), 0o600)
}

func probeInflux(ctx context.Context) error {
	url := os.Getenv("THIRDSTATE_INFLUX_URL") + "/api/v2/write?org=" + os.Getenv("THIRDSTATE_INFLUX_ORG") + "&bucket=" + os.Getenv("THIRDSTATE_INFLUX_BUCKET")
	for token, want := range map[string]int{os.Getenv("THIRDSTATE_INFLUX_TOKEN"): http.StatusNoContent, "thirdstate:": http.StatusUnauthorized} {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("telemetry,machine=m,model=B oil_temp=60.5"))
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Token "+token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != want {
			return fmt.Errorf("InfluxDB answered %s, not %d", response.Status, want)
		}
	}
	return nil
}

func TestDemoReal_StartsRealServicesFindsItsDataAgainAndStopsThemAll(t *testing.T) {
	t.Parallel()
	data, err := os.MkdirTemp("", "demo-real") //nolint:usetesting // not the test's own folder: other users run the services
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	if err := os.Chmod(data, 0o755); err != nil {
		t.Fatal(err)
	}
	said := filepath.Join(t.TempDir(), "said")
	for start := 1; start <= 2; start++ {
		output := startDemoReal(t, data, said, fmt.Sprintf("starts %d\n", start))
		text, err := os.ReadFile(said)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "arguments demo --data "+data+"/thirdstate --machines 80\n") || !strings.Contains(string(text), "ended in order") {
			t.Errorf("the program was started or ended otherwise:\n%s", text)
		}
		for _, name := range []string{"mosquitto.pid", "influxd.pid", "postgres/postmaster.pid"} {
			if _, err := os.Stat(filepath.Join(data, name)); err == nil {
				t.Errorf("%s is still there: its service was not stopped", name)
			}
		}
		if strings.Contains(output, "secret") {
			t.Errorf("a password was printed:\n%s", output)
		}
	}
}

// startDemoReal runs the script until the probe is ready, then interrupts it.
func startDemoReal(t *testing.T, data, said, wanted string) string {
	t.Helper()
	var printed strings.Builder
	command := exec.CommandContext(t.Context(), "bash", filepath.Join(root, "scripts/demo-real.sh"), "--machines", "80")
	command.Env = append(os.Environ(), "DATA="+data, "PROGRAM="+os.Args[0], "HOUSE_PROBE="+said)
	command.Stdout, command.Stderr = &printed, &printed
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	patience := time.After(90 * time.Second)
	for ready, late := false, false; !ready && !late; {
		select {
		case <-tick.C:
			text, err := os.ReadFile(said)
			ready = err == nil && strings.HasPrefix(string(text), probeReady) && strings.Contains(string(text), wanted)
		case err := <-ended:
			t.Fatalf("the script ended before the program was ready: %v\n%s", err, printed.String())
		case <-patience:
			t.Error("the program was not ready after 90 s")
			late = true
		}
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the script did not end in order: %v\n%s", err, printed.String())
	}
	return printed.String()
}

func TestSetup_NamesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "bash", filepath.Join(root, "scripts/setup.sh"), "go", "kubernetes").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "unknown part kubernetes") {
		t.Errorf("%v\n%s", err, out)
	}
}
