package telemetry

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// families are the formats that share a grammar; each has at least 40 cases in
// which something is refused.
var families = map[string]string{
	"own_json": "own", "thingsboard_device": "thingsboard", "thingsboard_gateway": "thingsboard", "telegraf_json": "telegraf", "line_protocol": "line protocol",
}

// hostileCase is a folder of formats/testdata in which something is refused.
type hostileCase struct {
	dir     string
	reasons []string // of the letters that it must leave
	whole   bool     // refused whole
}

func hostileCases(t *testing.T) []hostileCase {
	t.Helper()
	topics, err := filepath.Glob("formats/testdata/*/*/topic")
	if err != nil {
		t.Fatal(err)
	}
	var list []hostileCase
	count := map[string]int{}
	for _, topic := range topics {
		c := hostileCase{dir: filepath.Dir(topic)}
		if reason := strings.TrimSpace(caseFile(t, c.dir, "reject")); reason != "" {
			c.reasons, c.whole = []string{reason}, true
		} else {
			var w struct{ Refused []string } // "path: reason"
			if err := json.Unmarshal([]byte(caseFile(t, c.dir, "want.json")), &w); err != nil {
				t.Fatal(err)
			}
			for _, r := range w.Refused {
				c.reasons = append(c.reasons, r[strings.LastIndex(r, ": E_")+2:])
			}
		}
		if len(c.reasons) > 0 {
			list = append(list, c)
			count[families[filepath.Base(filepath.Dir(c.dir))]]++
		}
	}
	for _, family := range families {
		if count[family] < 40 {
			t.Errorf("%s has %d hostile cases, at least 40 are needed", family, count[family])
		}
	}
	if len(list) < 150 {
		t.Errorf("%d hostile cases, at least 150 are needed", len(list))
	}
	return list
}

// TestStage_AHostileMessageCostsNothingElse puts each hostile payload between
// good ones: it leaves its letters with their reasons and its bytes, and the good
// ones are stored.
func TestStage_AHostileMessageCostsNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	for _, key := range []string{"GOOD", "PM62-5", "A", "B"} {
		addMachine(t, w.pool, key)
	}
	received := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) // when the cases say that they were
	w.clock.AdvanceTo(received)
	cases := hostileCases(t)
	at := map[intakelog.LSN]hostileCase{}
	for i, c := range cases {
		r := intakelog.Record{Kind: intakelog.Message, Source: "embedded", Topic: strings.TrimSpace(caseFile(t, c.dir, "topic")),
			Device: strings.TrimSpace(caseFile(t, c.dir, "device")), Payload: []byte(caseFile(t, c.dir, "payload"))}
		at[w.append(t, r)] = c
		w.send(t, "", "fleet/GOOD/telemetry", telemetry(received.Add(time.Duration(i)*time.Second), "b", i, `"a":1`))
	}
	w.run(t, historyRun{})
	if a := w.account(t, w.log.ID()); a.Received != int64(2*len(cases)) || a.Refused != 0 || a.Waiting != 0 {
		t.Errorf("%+v", a)
	}
	want(t, value[int64](t, w.pool, `SELECT count(*) FROM sample s JOIN machine m ON m.no = s.machine_no WHERE m.key = 'GOOD'`), int64(len(cases)))

	got := map[intakelog.LSN][]string{}
	for before := int64(0); ; {
		page := w.letters(t, DeadLetterFilter{Before: before, Limit: maxLetters})
		if len(page) == 0 {
			break
		}
		before = page[len(page)-1].ID
		for _, d := range page {
			c := at[d.LSN]
			payload := caseFile(t, c.dir, "payload")
			if int(d.PayloadBytes) != len(payload) || !strings.HasPrefix(payload, string(d.Payload)) || d.Detail == "" || (d.Part == 0) != c.whole {
				t.Errorf("%s: letter %+v", c.dir, d)
			}
			got[d.LSN] = append([]string{d.Reason}, got[d.LSN]...) // they come newest first
		}
	}
	for lsn, c := range at {
		if fmt.Sprint(got[lsn]) != fmt.Sprint(c.reasons) {
			t.Errorf("%s left the letters %v, want %v", c.dir, got[lsn], c.reasons)
		}
	}
}

// caseFile reads a file of a case, "" when the case has none of that name.
func caseFile(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}
