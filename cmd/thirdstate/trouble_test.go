package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// A control unit's code is published over MQTT, a maker's comes from his server;
// both stand in the machine's file, and the first one clears. The rules see it.
func TestProgram_TroubleCodesFromTheWireAndFromAMaker(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	sample, err := os.ReadFile("../../telemetry/aemp/testdata/standard.xml")
	if err != nil {
		t.Fatal(err)
	}
	document := strings.NewReplacer("2026-03-01T07:55:00Z", now.Format(time.RFC3339), "2026-03-01T07:54:00Z", now.Add(-time.Minute).Format(time.RFC3339),
		"2026-03-01T08:00:00Z", now.Format(time.RFC3339), "https://oem.example/aemp/Fleet/2", "https://oem.example/aemp/Fleet/1", "SPN110-FMI0", "E360-2").Replace(string(sample))
	maker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, document) }))
	t.Cleanup(maker.Close)
	dir := t.TempDir()
	sources := filepath.Join(dir, "sources.yaml")
	if err := os.WriteFile(sources, fmt.Appendf(nil, "sources: [{name: maker, url: %q, insecure: true, every: 1s}]\n", maker.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	broker := spareAddress(t)
	p := startProgram(t, postgrestest.Folder(t), "--mqtt-listen", broker, "--aemp-sources", sources)
	id := p.addMachine(t, `{"manufacturer":"EXAMPLE","serial":"EX215A0007","name":"挖机","nameEn":"excavator","hasDevice":true}`)
	p.awaitCodes(t, id, "E360-2 critical active x1")
	wire, err := publish.Dial(t.Context(), "mqtt://"+broker, publish.Options{ClientID: "gateway"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = wire.Close() })
	say := func(second int, hex string) {
		payload := fmt.Appendf(nil, `{"ts":%d,"id":"18FECA00","data":%q}`, now.Add(time.Duration(second)*time.Second).UnixMilli(), hex)
		if err := wire.Publish(t.Context(), "fleet/EX215A0007/can", payload); err != nil {
			t.Fatal(err)
		}
	}
	say(0, "10FF64000101FFFF") // oil pressure low, red lamp
	p.awaitCodes(t, id, "SPN100-FMI1 critical red active x1", "E360-2 critical active x1")
	await(t, "the finding of the red stop lamp, and its case", func() bool {
		var file machines.File
		p.get(t, "/api/v1/machines/"+id, &file)
		for _, f := range file.Findings {
			if f.Rule == "red-stop-lamp" && f.State == "open" && f.CaseID != nil {
				return f.Severity == machines.Alarm && f.TitleEN == "Red stop lamp: Engine oil pressure: below normal, most severe" && len(f.Facts.FirstChecks) == 3
			}
		}
		return false
	})
	say(1, "00FF00000000FFFF")
	p.awaitCodes(t, id, "SPN100-FMI1 critical red cleared x1", "E360-2 critical active x1")
	path := "/api/v1/observations?machineId=" + id + "&signals=dtc.spn100.fmi1&from=" + now.Add(-time.Minute).Format(time.RFC3339) + "&to=" + now.Add(time.Minute).Format(time.RFC3339)
	await(t, "the signal of the code", func() bool {
		var series struct{ Items []struct{ Mean []float64 } }
		return p.get(t, path, &series) == http.StatusOK && len(series.Items) == 1 && fmt.Sprint(series.Items[0].Mean) == "[1 0]"
	})
	if got := p.figure(t, "thirdstate_trouble_code_changes_total"); got != 3 {
		t.Errorf("%v changes of codes", got)
	}
}

func (p *program) addMachine(t *testing.T, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/api/v1/machines", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		t.Fatalf("add a machine: %d", answer.StatusCode)
	}
	var list struct{ Items []machines.Row }
	p.get(t, "/api/v1/machines", &list)
	return list.Items[0].ID.String()
}

// awaitCodes waits until the machine's file has these codes and no others.
func (p *program) awaitCodes(t *testing.T, id string, want ...string) {
	t.Helper()
	got := map[string]bool{}
	defer func() {
		if t.Failed() {
			t.Logf("the machine has %v", got)
		}
	}()
	await(t, fmt.Sprint(want), func() bool {
		var file machines.File
		if status := p.get(t, "/api/v1/machines/"+id, &file); status != http.StatusOK {
			t.Fatalf("the machine's file: %d", status)
		}
		clear(got)
		for _, c := range file.TroubleCodes {
			got[asTold(c)] = true
		}
		for _, w := range want {
			if !got[w] {
				return false
			}
		}
		return len(got) == len(want)
	})
}

// asTold is a code in a few words.
func asTold(c machines.TroubleCode) string {
	words := []string{c.Code, c.Severity}
	if c.RedStop {
		words = append(words, "red")
	}
	state := "cleared"
	if c.Active() {
		state = "active"
	}
	return strings.Join(append(words, state, fmt.Sprintf("x%d", c.Occurrences)), " ")
}

// await asks again until it is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		if so() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}
