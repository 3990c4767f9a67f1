package deploy

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const (
	brokerPassword = "program-secret"
	devicePassword = "device-secret"
	brokerPatience = 20 * time.Second
)

// broker is the real Mosquitto with the configuration and the start script that
// docker-compose.yml gives it; only paths and the port are this machine's.
type broker struct{ address string }

func startBroker(t *testing.T) *broker {
	t.Helper()
	folder, address := t.TempDir(), freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	acl, err := filepath.Abs(filepath.Join(root, "deploy/mosquitto/acl"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("listener 1883", "listener "+port+" 127.0.0.1",
		"/mosquitto/data", folder, "/mosquitto/config/acl", acl).Replace(read(t, "deploy/mosquitto/mosquitto.conf"))
	if os.Geteuid() == 0 {
		text += "user root\n" // the test's folder is root's alone
	}
	config, passwords := filepath.Join(folder, "mosquitto.conf"), filepath.Join(folder, "passwords")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program(t, "mosquitto_passwd"), "-c", "-b", passwords, "pump-1", devicePassword).CombinedOutput(); err != nil {
		t.Fatalf("add the device: %v\n%s", err, out)
	}
	command := exec.Command("sh", filepath.Join(root, "deploy/mosquitto/start.sh"))
	command.Env = append(os.Environ(), "CONFIG="+config, "PASSWORDS="+passwords, "MQTT_PASSWORD="+brokerPassword,
		"PATH="+filepath.Dir(program(t, "mosquitto"))+":"+os.Getenv("PATH"))
	run(t, command)
	awaitListener(t, address)
	return &broker{address: address}
}

func (b *broker) options(user, password, client string) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().AddBroker("tcp://" + b.address).SetUsername(user).SetPassword(password).
		SetClientID(client).SetConnectTimeout(5 * time.Second).SetAutoReconnect(false)
}

// join connects and leaves with the test.
func join(t *testing.T, options *mqtt.ClientOptions) mqtt.Client {
	t.Helper()
	client := mqtt.NewClient(options)
	done(t, client.Connect())
	t.Cleanup(func() { client.Disconnect(100) })
	return client
}

func done(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(brokerPatience) {
		t.Fatal("the broker did not answer")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

func TestBroker_LetsNobodyInWithoutHisPassword(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	for name, options := range map[string]*mqtt.ClientOptions{
		"anonymous":      b.options("", "", "a"),
		"wrong password": b.options("thirdstate", devicePassword, "b"),
		"unknown name":   b.options("pump-2", devicePassword, "c"),
	} {
		token := mqtt.NewClient(options).Connect()
		if !token.WaitTimeout(brokerPatience) || token.Error() == nil {
			t.Errorf("%s was let in", name)
		}
	}
	join(t, b.options("thirdstate", brokerPassword, "program"))
}

func TestBroker_HoldsADeviceToItsOwnTopics(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	topics := make(chan string, 10)
	reader := join(t, b.options("thirdstate", brokerPassword, "program"))
	done(t, reader.Subscribe("fleet/#", 1, func(_ mqtt.Client, m mqtt.Message) { topics <- m.Topic() }))

	device := join(t, b.options("pump-1", devicePassword, "device"))
	done(t, device.Publish("fleet/pump-2/telemetry", 1, false, "{}"))
	done(t, device.Publish("fleet/pump-1/telemetry", 1, false, "{}"))
	select {
	case topic := <-topics: // in order: the forged one would have come first
		if topic != "fleet/pump-1/telemetry" {
			t.Errorf("a device spoke for another: %s", topic)
		}
	case <-time.After(brokerPatience):
		t.Error("the device's own message did not arrive")
	}
}

func TestBroker_KeepsMoreThanADefaultQueueForAnAbsentProgram(t *testing.T) {
	t.Parallel()
	const sent = 3000 // Mosquitto's own bound is 1000
	b := startBroker(t)
	persistent := func() *mqtt.ClientOptions {
		return b.options("thirdstate", brokerPassword, "program").SetCleanSession(false)
	}
	absent := mqtt.NewClient(persistent())
	done(t, absent.Connect())
	done(t, absent.Subscribe("fleet/#", 1, nil))
	absent.Disconnect(250)

	device := join(t, b.options("pump-1", devicePassword, "device"))
	for i := range sent {
		done(t, device.Publish("fleet/pump-1/telemetry", 1, false, fmt.Sprint(i)))
	}
	arrived := make(chan struct{}, sent)
	join(t, persistent().SetDefaultPublishHandler(func(mqtt.Client, mqtt.Message) { arrived <- struct{}{} }))
	patience := time.After(brokerPatience)
	for i := range sent {
		select {
		case <-arrived:
		case <-patience:
			t.Fatalf("%d of %d messages arrived", i, sent)
		}
	}
}

func TestBroker_HealthCheckOfComposePasses(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	host, port, err := net.SplitHostPort(b.address)
	if err != nil {
		t.Fatal(err)
	}
	check := readCompose(t).Services["mosquitto"].Healthcheck.Test
	shell := strings.NewReplacer("$$", "$", "mosquitto_rr ", "mosquitto_rr -h "+host+" -p "+port+" ").Replace(check[len(check)-1])
	for password, healthy := range map[string]bool{brokerPassword: true, "wrong": false} {
		command := exec.CommandContext(t.Context(), "sh", "-c", shell)
		command.Env = append(os.Environ(), "MQTT_PASSWORD="+password)
		if out, err := command.CombinedOutput(); (err == nil) != healthy {
			t.Errorf("with password %q: %v\n%s", password, err, out)
		}
	}
}
