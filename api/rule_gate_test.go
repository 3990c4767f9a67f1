package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry/gate"
)

// draft keeps a text as the manager and gives its hash.
func (h *house) draft(t *testing.T, text string) string {
	t.Helper()
	var v gate.Version
	if w := h.ask(manager, post, "/rules/versions", `{"text":`+quoted(text)+`}`); json.Unmarshal(w.Body.Bytes(), &v) != nil || w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return v.Hash
}

// No version goes live without a passing report of exactly its text and a second
// person; its rules begin in the shadow.
func TestPublish_NeedsAPassingReportAndASecondPerson(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	newGate(t, h, gate.Fault{MachineID: h.a.Machine.ID, FailureMode: "fouled_cooler", At: maintenancetest.Now.Add(-2 * time.Hour)})
	h.s.Gate.Criteria = gate.Criteria{Precision: 0.2, Flags: 15, Days: 5}
	h.heat(t, 50)
	hash := h.draft(t, pumpPack)
	publish := "/rules/" + hash + "/publish"
	h.run(t, []scenario{
		{"no report", admin, false, post, publish, `{}`, nil, 409, []string{"back-test"}, nil, 0},
		{"not for engineers", engineer, false, post, publish, `{}`, nil, 403, nil, nil, 0},
		{"not for owners", owner, false, post, publish, `{}`, nil, 403, nil, nil, 0},
		{"no such version", admin, false, post, "/rules/0123456789abcdef/publish", `{}`, nil, 404, nil, nil, 0},
	})
	if r := h.judge(t, hash, `{"rule":"oil-hot"}`); r.State != "done" || r.Counts {
		t.Fatalf("%+v", r)
	}
	h.run(t, []scenario{{"a report of one rule", admin, false, post, publish, `{}`, nil, 409, []string{"back-test"}, nil, 0}})
	if r := h.judge(t, hash, `{}`); r.State != "done" || !r.Counts {
		t.Fatalf("%+v", r)
	}
	strict := h.s.Gate.Criteria
	h.s.Gate.Criteria = gate.Criteria{Precision: 0.5, Flags: 1, Days: 100}
	h.run(t, []scenario{{"a report that does not pass says by how much", admin, false, post, publish, `{}`, nil, 409,
		[]string{"9.0 machine-days were judged, at least 100", "in 100 machine-days, at most 1", "1 of 1 flags found a confirmed fault: precision is 0.21 at least, 0.5 is needed"}, nil, 0}})
	h.s.Gate.Criteria = strict
	other := h.draft(t, strings.Replace(pumpPack, "above: 90", "above: 91", 1))
	h.run(t, []scenario{
		{"its author", manager, false, post, publish, `{}`, nil, 403, []string{"second person"}, nil, 0},
		{"another version has no report", admin, false, post, "/rules/" + other + "/publish", `{}`, nil, 409, nil, nil, 0},
		{"a stage of nothing", admin, false, post, publish, `{"stages":{"x":"advise"}}`, nil, 400, []string{"/stages/x"}, nil, 0},
		{"a second person", admin, false, post, publish, `{"note":"seen"}`, nil, 200, []string{`"state":"published"`, `"approval":"seen"`}, nil, 2},
		{"is in force", owner, false, get, "/rules", "", nil, 200, []string{`"model":"BC56"`, hash}, nil, 0},
		{"twice", admin, false, post, publish, `{}`, nil, 409, nil, nil, 0},
		{"its rule begins in the shadow and goes up by one", manager, false, post, "/rules/" + hash + "/stages", `{"rule":"oil-hot","stage":"dispatch","reason":"good"}`, nil, 409, []string{"shadow"}, nil, 0},
		{"by a person's word", manager, false, post, "/rules/" + hash + "/stages", `{"rule":"oil-hot","stage":"advise","reason":"three good weeks"}`, nil, 200, []string{`"stage":"advise"`}, nil, 1},
		{"not by an engineer's", engineer, false, post, "/rules/" + hash + "/stages", `{"rule":"oil-hot","stage":"dispatch","reason":"good"}`, nil, 403, nil, nil, 0},
		{"a rule that is not in force", manager, false, post, "/rules/" + other + "/stages", `{"rule":"oil-hot","stage":"advise","reason":"x"}`, nil, 404, nil, nil, 0},
		{"a built-in one can be held too", manager, false, post, "/rules/watcher/stages", `{"rule":"watcher","stage":"shadow","reason":"commissioning"}`, nil, 200, []string{`"stage":"shadow"`}, nil, 1},
		{"how each rule is", manager, false, get, "/rules/health", "", nil, 200, []string{`"rule":"oil-hot"`, `"stage":"advise"`, `"source":"published"`, `"low":0.47`, `"rule":"watcher"`, `"source":"built-in"`, `"muted":true`}, nil, 0},
		{"not for owners to see", owner, false, get, "/rules/health", "", nil, 403, nil, nil, 0},
		{"taken out of force", manager, false, post, "/rules/" + hash + "/withdraw", "", nil, 200, []string{`"state":"retired"`}, nil, 1},
		{"is not in force any more", owner, false, get, "/rules", "", nil, 200, nil, []string{hash}, 0},
		{"a rule keeps its stage when its version comes back, also louder by its own report", admin, false, post, publish, `{"stages":{"oil-hot":"dispatch"}}`, nil, 200, []string{`"state":"published"`}, nil, 2},
	})
}
