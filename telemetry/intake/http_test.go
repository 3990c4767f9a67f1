package intake

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// httpDoor is the intake over HTTP on a real log and a real database.
func httpDoor(t *testing.T, w *works) (post func(path, body string) (int, http.Header)) {
	t.Helper()
	server := httptest.NewServer(NewHTTP(HTTPConfig{Log: w.log, Pool: w.pool, Now: w.clock.Now, Logger: quiet()}))
	t.Cleanup(server.Close)
	return func(path, body string) (int, http.Header) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/v1/"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if b, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK && !bytes.Contains(b, []byte(`"status":`)) {
			t.Errorf("%s: %s, %v", path, b, err)
		}
		return answer.StatusCode, answer.Header
	}
}

func newToken(t *testing.T, w *works, key string, machine *uuid.UUID, gateway bool) (token string) {
	t.Helper()
	do(t, w.pool, func(tx pgx.Tx) (err error) {
		token, err = AddDevice(t.Context(), tx, start, key, machine, gateway)
		return err
	})
	return token
}

func TestHTTP_AcknowledgesWhatIsDurable(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, _ := addMachine(t, w.pool, "PM1")
	addMachine(t, w.pool, "PM2")
	own, gateway := newToken(t, w, "D1", &machine, false), newToken(t, w, "G1", nil, true)
	post := httpDoor(t, w)
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{own + "/telemetry", `{"temperature":22.5}`, 200},
		{own + "/telemetry", `{"ts":1772431140000,"values":{"temperature":23}}`, 200},
		{own + "/attributes", `{"firmware":"1.2"}`, 200},
		{own + "/telemetry", `{"temperature":`, 200}, // kept as a dead letter, as over MQTT
		{own + "/publish/fleet/PM1/telemetry", `{"boot":"a","seq":1,"values":{"oil_temp":62.5}}`, 200},
		{own + "/publish/fleet/PM1/csv/ts,level", "1772431200,3\n1772431260,4\n", 200},
		{own + "/publish/fleet/PM2/telemetry", `{"a":1}`, 403},
		{own + "/publish/fleet/PM1/down/x", `{"a":1}`, 403},
		{own + "/publish/$SYS/x", `{"a":1}`, 403},
		{own + "/publish/", `{"a":1}`, 400},
		{gateway + "/publish/fleet/PM2/telemetry", `{"a":1}`, 200},
		{gateway + "/publish/v1/gateway/telemetry", `{"PM2":[{"b":1}]}`, 200},
		{"3sd_nobody/telemetry", `{"a":1}`, 401},
		{own + "/telemetry", strings.Repeat(" ", formats.MaxPayload) + "{}", 413},
		{own + "/telemetry", strings.Repeat(" ", formats.MaxPayload-2) + "{}", 200},
	} {
		_, before := w.log.Bounds()
		status, _ := post(c.path, c.body)
		if _, after := w.log.Bounds(); status != c.status || (after > before) != (c.status == 200) {
			t.Errorf("POST %s: %d, want %d; log at %d, was %d", c.path, status, c.status, after, before)
		}
	}
	want(t, w.run(t), telemetry.Account{Received: 9, Stored: 8, Dead: 1, Readings: 7})
	want(t, value[int64](t, w.pool, `SELECT sum(cardinality(vals)) FROM sample`), int64(7))
	var letters []telemetry.DeadLetter
	do(t, w.pool, func(tx pgx.Tx) (err error) {
		letters, err = telemetry.DeadLetters(t.Context(), tx, telemetry.DeadLetterFilter{})
		return err
	})
	letter := letters[0]
	want(t, []string{letter.Source, letter.Device, letter.Reason}, []string{"http", "D1", formats.JSONSyntax})
}

func TestHTTP_SaysWhenToTryAgain(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, _ := addMachine(t, w.pool, "PM1")
	token := newToken(t, w, "D1", &machine, false)
	post := httpDoor(t, w)
	for n := 0; ; n++ {
		status, header := post(token+"/telemetry", `{"a":1}`)
		if status == http.StatusTooManyRequests && header.Get("Retry-After") == "1" && n >= httpBurst {
			break
		}
		if status != http.StatusOK || n > 10*httpBurst {
			t.Fatalf("message %d of a fast device: %d", n, status)
		}
	}
	other := newToken(t, w, "D2", nil, false)
	if status, _ := post(other+"/telemetry", `{"a":1}`); status != http.StatusOK {
		t.Errorf("another device waits for the fast one: %d", status)
	}
	noise := rand.NewChaCha8([32]byte{})
	filler := intakelog.Record{Kind: intakelog.Message, Source: "test", Topic: "x"}
	for err := error(nil); err == nil; err = w.log.Append(filler, nil) {
		filler.Payload = make([]byte, 512<<10)
		_, _ = noise.Read(filler.Payload) // what can be packed would make room again
	}
	status, header := post(other+"/telemetry", `{"a":1}`)
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("with a full log: %d %v", status, header)
	}
}
