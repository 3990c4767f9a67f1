package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/api"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// The fleet that talks while an edge and its centre are killed: four connections speak for
// four machines each, together 1,000 messages a second. The program clock runs 60
// times as fast as the wall, so that what lasts minutes is found in seconds.
const (
	killFleet   = 16
	killSenders = 4
	killRate    = 1_000
	killSpeed   = 60
	killTalk    = 550 // observations of each machine at least: enough for every fault
)

var killStart = time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)

// killStep is between two observations of a machine, in event time.
const killStep = time.Second * killFleet * killSpeed / killRate

func killKey(i int) string { return fmt.Sprintf("KILL%02d", i) }

// faultAt is the observation from which on a machine's oil pressure is low; 0 = it is well.
func faultAt(machine int) int {
	if machine%3 == 0 {
		return 50 + 20*machine
	}
	return 0
}

// talkers publish at their rate, whatever becomes of the program, and keep a
// ledger of what was acknowledged.
type talkers struct {
	publishers []*publish.Publisher
	running    sync.WaitGroup
	stop       chan struct{}
	mu         sync.Mutex
	acked      map[string][]int // sequence numbers by topic
}

func startTalkers(t *testing.T, address string) *talkers {
	t.Helper()
	k := &talkers{stop: make(chan struct{}), acked: map[string][]int{}}
	for n := range killSenders {
		p, err := publish.Dial(t.Context(), "mqtt://"+address, publish.Options{ClientID: fmt.Sprintf("talker-%d", n), OnAck: func(topic string, payload []byte) {
			var m struct{ Seq int }
			if err := json.Unmarshal(payload, &m); err != nil {
				t.Error(err)
			}
			k.mu.Lock()
			k.acked[topic] = append(k.acked[topic], m.Seq)
			k.mu.Unlock()
		}})
		if err != nil {
			t.Fatal(err)
		}
		k.publishers = append(k.publishers, p)
		k.running.Go(func() { k.talk(t, p, n) })
	}
	return k
}

func (k *talkers) talk(t *testing.T, p *publish.Publisher, n int) {
	every := time.Second * killFleet / killRate // each of its machines says something
	tick := time.NewTicker(every)
	defer tick.Stop()
	for seq := 1; ; seq++ {
		<-tick.C
		select {
		case <-k.stop:
			if seq > killTalk {
				return
			}
		default:
		}
		for machine := n; machine < killFleet; machine += killSenders {
			pressure := 4.2
			if from := faultAt(machine); from > 0 && seq >= from {
				pressure = 1.4
			}
			payload := fmt.Appendf(nil, `{"ts":%d,"boot":"b","seq":%d,"values":{"seq":%[2]d,"running":1,"power":210.5,"oil_pressure":%g}}`,
				killStart.Add(time.Duration(seq)*killStep).UnixMilli(), seq, pressure)
			if err := p.Publish(t.Context(), "fleet/"+killKey(machine)+"/telemetry", payload); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// finish lets everybody finish speaking and waits until everything is acknowledged.
func (k *talkers) finish(t *testing.T) (acked int, resent uint64) {
	t.Helper()
	close(k.stop)
	k.running.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, p := range k.publishers {
		if err := errors.Join(p.Flush(ctx), p.Close()); err != nil {
			t.Fatal(err)
		}
		acked += int(p.Acked())
		resent += p.Resent()
	}
	return acked, resent
}

// enterKillFleet imports the machines with the program's own command.
func enterKillFleet(t *testing.T, p *program, data string) map[string]machines.Row {
	t.Helper()
	text := "manufacturer,serial,model,name,customer,site\n"
	for i := range killFleet {
		text += fmt.Sprintf("Acme,%s,GS500,Genset %d,Tongda,\n", killKey(i), i)
	}
	file := filepath.Join(t.TempDir(), "machines.csv")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	said(t, "import", "machines", "--data", data, file)
	var list machines.Page[machines.Row]
	p.get(t, "/api/v1/machines?limit=500", &list)
	fleet := map[string]machines.Row{}
	for _, m := range list.Items {
		fleet[m.Key] = m
	}
	if len(fleet) != killFleet {
		t.Fatalf("%d machines", len(fleet))
	}
	return fleet
}

// settle waits until the history and the rules have all that is in the log by now, and
// returns where that ends.
func (p *program) settle(t *testing.T) (end int64) {
	t.Helper()
	until(t, "everything is stored and evaluated", func() bool {
		var a api.Intake
		if p.get(t, "/api/v1/intake", &a) != http.StatusOK {
			return false
		}
		if end == 0 {
			end = int64(a.Last)
		}
		return int64(a.Last)-a.Waiting >= end && p.figure(t, "thirdstate_rules_lsn") >= float64(end)
	})
	return end
}

// figure reads one metric without labels.
func (p *program) figure(t *testing.T, name string) (value float64) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(body(t, answer)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			_, err = fmt.Sscan(rest, &value)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// compare counts the acknowledged observations that the history does not have.
func (p *program) compare(t *testing.T, fleet map[string]machines.Row, acked map[string][]int) (lost int) {
	t.Helper()
	for topic, numbers := range acked {
		key := strings.Split(topic, "/")[1]
		most := 0
		for _, n := range numbers {
			most = max(most, n)
		}
		found := map[int]bool{}
		for from := 0; from <= most; from += 4_000 { // few enough to be given one by one
			query := url.Values{"machineId": {fleet[key].ID.String()}, "signals": {"seq"}, "points": {"5000"},
				"from": {killStart.Add(time.Duration(from) * killStep).Format(time.RFC3339Nano)},
				"to":   {killStart.Add(time.Duration(from+4_000) * killStep).Format(time.RFC3339Nano)}}
			var series api.Items[api.Series]
			if status := p.get(t, "/api/v1/observations?"+query.Encode(), &series); status != http.StatusOK {
				t.Fatalf("observations of %s: %d", key, status)
			}
			for _, s := range series.Items {
				for _, value := range s.Mean {
					found[int(value)] = true
				}
			}
		}
		for _, n := range numbers {
			if !found[n] {
				lost++
			}
		}
	}
	return lost
}

// findings must be one for each machine whose oil pressure fell, with one case.
func (p *program) findings(t *testing.T, fleet map[string]machines.Row) {
	t.Helper()
	var found machines.Page[machines.Finding]
	p.get(t, "/api/v1/findings?limit=500", &found)
	counts := map[string]int{}
	for _, f := range found.Items {
		counts[f.MachineID.String()+" "+f.Rule]++
	}
	var cases machines.Page[maintenance.CaseRow]
	p.get(t, "/api/v1/cases?limit=500", &cases)
	for _, c := range cases.Items {
		counts[c.MachineID.String()+" case "+c.FailureMode]++
	}
	for i := range killFleet {
		id, want := fleet[killKey(i)].ID.String(), 0
		if faultAt(i) > 0 {
			want = 1
		}
		if f, c := counts[id+" oil-pressure-low"], counts[id+" case low_oil_pressure"]; f != want || c != want {
			t.Errorf("%s has %d findings and %d cases of low oil pressure, not %d", killKey(i), f, c, want)
		}
	}
	for what, n := range counts {
		if n > 1 {
			t.Errorf("%d times: %s", n, what)
		}
	}
}
