package api

import (
	"encoding/json"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/gate"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"

	"context"
)

const pumpPack = `model: BC56
name: Pump truck
name_zh: 泵车
signals:
  hydraulic_oil_temp: {unit: Cel, plausible: [-45, 150], label: Oil temperature, label_zh: 油温}
  load: {unit: "%", role: context, label: Load, label_zh: 负荷}
rules:
  - id: oil-hot
    kind: threshold
    component: hydraulic_cooler
    failure_mode: fouled_cooler
    title: Oil too hot
    title_zh: 油温过高
    severity: warning
    signal: hydraulic_oil_temp
    above: 90
`

// newGate gives the house a gate whose faults are these.
func newGate(t *testing.T, h *house, faults ...gate.Fault) {
	t.Helper()
	h.s.Fleet = detection.NewFleet(nil)
	h.s.Gate = gate.New(gate.Config{Pool: h.w.Pool, Clock: h.clock, Log: slog.New(slog.DiscardHandler), Fleet: h.s.Fleet, Rows: h.s.History.Rows,
		Faults: func(context.Context, postgres.DB, []uuid.UUID) ([]gate.Fault, error) { return faults, nil }})
	telemetrytest.Run(t, h.s.Gate.Run)
}

func quoted(text string) string {
	b, _ := json.Marshal(text) // a text always can be written
	return string(b)
}

// heat writes 30 days of customer A's machine, a row an hour, hot for six hours that
// begin so many hours ago.
func (h *house) heat(t *testing.T, hot int) {
	t.Helper()
	var points []history.Point
	for ago := 720; ago > 0; ago-- {
		temp := 70 + 3*math.Sin(float64(ago))
		if ago <= hot && ago > hot-6 {
			temp += 25
		}
		points = append(points, history.Point{Machine: h.a.Machine.Key, MachineNo: h.a.Machine.No, At: maintenancetest.Now.Add(-time.Duration(ago) * time.Hour),
			Values: []observation.Value{{Signal: "hydraulic_oil_temp", Value: temp}, {Signal: "load", Value: math.Cos(float64(ago))}}})
	}
	if err := h.s.History.Write(identity.With(t.Context(), maintenancetest.Program), points); err != nil {
		t.Fatal(err)
	}
}

// judge starts a back-test and waits for its report.
func (h *house) judge(t *testing.T, hash, body string) (r gate.Backtest) {
	t.Helper()
	w := h.ask(manager, post, "/rules/"+hash+"/backtests", body)
	if w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	telemetrytest.Eventually(t, func() bool {
		if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		w = h.ask(manager, get, "/backtests/"+r.ID.String(), "")
		return r.State == "done" || r.State == "failed"
	})
	return r
}

func TestRuleVersions_AreKeptByTheHashOfTheirText(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	newGate(t, h)
	good, bad := `{"text":`+quoted(pumpPack)+`,"note":"first"}`, `{"text":`+quoted("model: X\nrules:\n  - id: a\n    kind: thresholds\n")+`}`
	w := h.ask(manager, post, "/rules/versions", good)
	var v gate.Version
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != 201 || len(v.Hash) != 16 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	h.run(t, []scenario{
		{"all faults at once, with their places", manager, false, post, "/rules/versions", bad, nil, 400, []string{`4:11: `, `threshold`, `"pointer":"/text"`}, nil, 0},
		{"the same text is the same version", admin, false, post, "/rules/versions", good, nil, 201, []string{v.Hash, `"author":"` + v.Author + `"`}, nil, 0},
		{"listed without its text", manager, false, get, "/rules/versions?model=BC56&state=draft", "", nil, 200, []string{v.Hash, `"note":"first"`}, []string{"oil-hot"}, 0},
		{"read with it", manager, false, get, "/rules/" + v.Hash, "", nil, 200, []string{"oil-hot"}, nil, 0},
		{"exported", manager, false, get, "/rules/" + v.Hash + "/text", "", nil, 200, []string{"model: BC56\nname: Pump truck"}, nil, 0},
		{"an unknown one", manager, false, get, "/rules/0123456789abcdef", "", nil, 404, nil, nil, 0},
		{"not for engineers", engineer, false, get, "/rules/" + v.Hash, "", nil, 403, nil, nil, 0},
		{"not for owners", owner, false, get, "/rules/versions", "", nil, 403, nil, nil, 0},
		{"a rule that it has not", manager, false, post, "/rules/" + v.Hash + "/backtests", `{"rule":"x"}`, nil, 400, []string{"/rule"}, nil, 0},
		{"against nothing", manager, false, post, "/rules/" + v.Hash + "/backtests", `{"against":"x"}`, nil, 400, []string{"/against"}, nil, 0},
		{"terms that cannot be", manager, false, post, "/rules/" + v.Hash + "/backtests", `{"terms":{"longestHours":1,"shortestHours":2,"mergeHours":0,"visitHours":3,"newer":0.3}}`, nil, 400, []string{"longestHours"}, nil, 0},
		{"an unknown machine", manager, false, post, "/rules/" + v.Hash + "/backtests", `{"machines":["nobody"]}`, nil, 409, nil, nil, 0},
		{"no such back-test", manager, false, get, "/backtests/" + nil128, "", nil, 404, nil, nil, 0},
	})
}

func TestBacktests_JudgeTwoVersionsSideBySide(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	newGate(t, h, gate.Fault{MachineID: h.a.Machine.ID, FailureMode: "fouled_cooler", At: maintenancetest.Now.Add(-2 * time.Hour)})
	h.heat(t, 50)
	var v gate.Version
	if w := h.ask(manager, post, "/rules/versions", `{"text":`+quoted(pumpPack)+`}`); json.Unmarshal(w.Body.Bytes(), &v) != nil || w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	r := h.judge(t, v.Hash, `{"against":"watcher"}`)
	if r.State != "done" || !r.Counts || r.Result == nil || r.Other == nil || r.Other.Hash != "watcher" || r.Result.Machines != 1 {
		t.Fatalf("%+v", r)
	}
	if n := r.Result.Result.Newer; n.Faults != 1 || n.Recall.Part != 1 || n.Precision.Part != 1 || n.LeadMedian != 48 {
		t.Errorf("%+v", n)
	}
	if r := h.judge(t, v.Hash, `{"machines":["`+h.a.Machine.Key+`"]}`); r.State != "done" || r.Counts {
		t.Errorf("a choice of machines counts at the gate: %+v", r)
	}
	if r := h.judge(t, v.Hash, `{"machines":["`+h.b.Machine.Key+`"]}`); r.State != "failed" || r.Reason == "" {
		t.Errorf("nothing is stored of that machine: %+v", r)
	}
	h.run(t, []scenario{
		{"listed", manager, false, get, "/backtests?hash=watcher&limit=1", "", nil, 200, []string{r.ID.String(), `"value":null`}, nil, 0},
		{"not for owners", owner, false, get, "/backtests/" + r.ID.String(), "", nil, 403, nil, nil, 0},
	})
}
