package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/api"
	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/maintenance/dispatch"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/history"
)

// drift is a machine whose oil runs slowly hotter, heard by a real broker and kept
// in a real InfluxDB, and the people who look after it, who use the API alone.
type drift struct {
	*product
	port    int
	fleet   *simulate.Fleet
	machine simulate.Machine
	id      uuid.UUID
	at      time.Time // heard up to here
}

const addTestTechnicianSQL = `INSERT INTO technician (id, name, name_en, latitude, longitude) VALUES (@id, '陈海波', 'Chen Haibo', 26.9, 112.6)`

const addTestSkillSQL = `INSERT INTO technician_skill (technician_id, skill, level) VALUES (@id, @skill, 3)`

func TestDrift_OverMosquittoAndInfluxEndsWithASatisfiedCustomer(t *testing.T) {
	t.Parallel()
	d := newDrift(t)
	opened := d.untilCase(t)
	if opened.FailureMode != "fouled_cooler" || opened.Origin != "finding" || opened.State != maintenance.Open {
		t.Fatalf("the drift opened another case: %+v", opened.Case)
	}
	onset := d.machine.Faults[0].Onset
	if early := d.machine.Faults[0].Failure.Sub(opened.OpenedAt); opened.OpenedAt.Before(onset) || early < 24*time.Hour {
		t.Errorf("found at %v, which is not between the onset %v and a day before the failure %v", opened.OpenedAt, onset, d.machine.Faults[0].Failure)
	}
	d.repair(t, opened)
	d.prove(t, opened)
	d.satisfy(t, opened)
	d.nothingLost(t)
}

func newDrift(t *testing.T) *drift {
	t.Helper()
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	m := simulate.DemoFleet(start)[0]
	day := func(n float64) time.Time { return start.Add(time.Duration(n * 24 * float64(time.Hour))) }
	m.Faults = []simulate.Fault{{ID: "drift", Mode: "fouled_cooler", Component: "hydraulic_cooler", Onset: day(6), Failure: day(14), Reach: 22.5}}
	s := testSettings(t)
	d := &drift{port: startMosquitto(t), machine: m, at: start, fleet: simulate.NewFleet(start, []simulate.Machine{m}, 7)}
	s.MQTTListen, s.MQTTURL = "", fmt.Sprintf("tcp://127.0.0.1:%d", d.port)
	s.InfluxURL, s.InfluxBucket, s.InfluxOrg = startInfluxd(t), "telemetry/autogen", "thirdstate"
	s.ClockStart, s.Speed = start, 0
	d.product = serveProduct(t, s)
	until(t, "the broker is connected", d.external.Connected)
	d.register(t)
	return d
}

// register enters customer, model and machine over the API.
func (d *drift) register(t *testing.T) {
	t.Helper()
	var customer machines.Customer
	d.call(t, http.MethodPost, "/customers", map[string]any{"name": "砼达泵送", "nameEn": "Tongda Pumping", "tier": "A"}, &customer, http.StatusCreated)
	d.call(t, http.MethodPost, "/contacts", map[string]any{"customerId": customer.ID, "name": "刘建国", "capacity": "owner", "phone": "+8613807340417"}, nil, http.StatusCreated)
	var site machines.Site
	d.call(t, http.MethodPost, "/sites", map[string]any{"customerId": customer.ID, "name": "衡阳停车场", "latitude": 26.86, "longitude": 112.6}, &site, http.StatusCreated)
	var model machines.Model
	d.call(t, http.MethodPost, "/models", map[string]any{"manufacturer": "Beichen", "name": d.machine.Model, "kind": "concrete_pump", "pack": d.machine.Model}, &model, http.StatusCreated)
	var machine machines.Machine
	d.call(t, http.MethodPost, "/machines", map[string]any{"manufacturer": "Beichen", "serial": d.machine.Key, "name": "56 米泵车", "modelId": model.ID,
		"customerId": customer.ID, "siteId": site.ID, "hasDevice": true}, &machine, http.StatusCreated)
	d.id = machine.ID
	technician := postgres.NewID()
	d.as(t, func(tx pgx.Tx) error {
		if _, err := postgres.Run(t.Context(), tx, addTestTechnicianSQL, pgx.NamedArgs{"id": technician}); err != nil {
			return err
		}
		for _, skill := range []string{"concrete_pump", "hydraulics"} {
			if _, err := postgres.Run(t.Context(), tx, addTestSkillSQL, pgx.NamedArgs{"id": technician, "skill": skill}); err != nil {
				return err
			}
		}
		return nil
	})
}

// hear lets the machine say for a while what it has to say, and waits until the
// rules and the history have it.
func (d *drift) hear(t *testing.T, span time.Duration) {
	t.Helper()
	to := d.at.Add(span)
	d.clock.AdvanceTo(to)
	before := d.intake.Stats().Appended
	var lines [][]byte
	topic := ""
	for at := d.at.Truncate(10 * time.Minute).Add(10 * time.Minute); !at.After(to); at = at.Add(10 * time.Minute) {
		said, payload, ok := d.fleet.Message(d.machine.Key, at)
		if ok {
			topic, lines = said, append(lines, payload)
		}
	}
	if len(lines) > 0 {
		mosquittoPub(t, d.port, topic, lines)
	}
	until(t, "the messages are in the intake log", func() bool { return d.intake.Stats().Appended >= before+uint64(len(lines)) })
	if err := d.ticker().Write(t.Context(), d.clock.Now(), d.at, to); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.settled(ctx); err != nil {
		t.Fatalf("the messages are not evaluated and stored: %v", err)
	}
	if err := d.housekeeping(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	d.at = to
}

func (d *drift) untilCase(t *testing.T) maintenance.CaseRow {
	t.Helper()
	for range 13 {
		d.hear(t, 24*time.Hour)
		var open api.Items[maintenance.CaseRow]
		d.call(t, http.MethodGet, "/cases", nil, &open, http.StatusOK)
		if len(open.Items) > 0 {
			return open.Items[0]
		}
	}
	t.Fatal("nothing was found before the failure")
	return maintenance.CaseRow{}
}

func (d *drift) state(t *testing.T, id uuid.UUID) (c maintenance.CaseFile) {
	t.Helper()
	d.call(t, http.MethodGet, "/cases/"+id.String(), nil, &c, http.StatusOK)
	return c
}

// move asks for a transition of what is at path, as it is now.
func (d *drift) move(t *testing.T, path string, body map[string]any, want int) {
	t.Helper()
	var now struct {
		Version int `json:"version"`
	}
	d.call(t, http.MethodGet, path, nil, &now, http.StatusOK)
	body["version"] = now.Version
	d.call(t, http.MethodPost, path+"/transitions", body, nil, want)
}

// repair tells the owner, plans, dispatches and does the work.
func (d *drift) repair(t *testing.T, c maintenance.CaseRow) {
	t.Helper()
	this := "/cases/" + c.ID.String()
	d.move(t, this, map[string]any{"to": "closed"}, http.StatusConflict)
	d.move(t, this, map[string]any{"to": "triaged"}, http.StatusOK)
	d.call(t, http.MethodPost, this+"/inform", map[string]any{"channel": "sms", "text": "尾号1418泵车油温偏高,拟明早上门"}, nil, http.StatusOK)
	var order maintenance.WorkOrder
	d.call(t, http.MethodPost, "/work-orders", map[string]any{"machineId": c.MachineID, "caseId": c.ID, "kind": "repair", "plannedAt": d.at.Add(2 * time.Hour)}, &order, http.StatusCreated)
	if got := d.state(t, c.ID).State; got != maintenance.Planned {
		t.Fatalf("with a visit planned the case is %s", got)
	}
	that := "/work-orders/" + order.ID.String()
	var ranked api.Items[dispatch.Candidate]
	d.call(t, http.MethodGet, that+"/candidates", nil, &ranked, http.StatusOK)
	if len(ranked.Items) != 1 || ranked.Items[0].Excluded != nil {
		t.Fatalf("the only engineer may not go: %+v", ranked.Items)
	}
	d.move(t, that, map[string]any{"to": "dispatched", "technicianId": ranked.Items[0].TechnicianID}, http.StatusOK)
	for _, to := range []string{"accepted", "en_route", "on_site"} {
		d.move(t, that, map[string]any{"to": to}, http.StatusOK)
	}
	var file maintenance.OrderFile
	d.call(t, http.MethodGet, that, nil, &file, http.StatusOK)
	for _, item := range file.Checklist {
		d.call(t, http.MethodPost, "/checklist-items/"+item.ID.String()+"/answers", answerBody(item), nil, http.StatusOK)
	}
	d.move(t, that, map[string]any{"to": "completed", "result": "清洗散热器,换风扇马达", "activity": "repair"}, http.StatusOK)
	d.fleet.Repair(d.machine.Key, "fouled_cooler", d.clock.Now(), 0.97)
}

func answerBody(item maintenance.ChecklistItem) map[string]any {
	switch item.Kind {
	case "number", "meter":
	case "photo":
		return map[string]any{"result": "na", "note": "无相机"}
	default:
		return map[string]any{"result": "pass", "note": "ok"}
	}
	n := 50.0
	switch {
	case item.Low != nil && item.High != nil:
		n = (*item.Low + *item.High) / 2
	case item.High != nil:
		n = *item.High
	case item.Low != nil:
		n = *item.Low
	}
	return map[string]any{"number": n, "result": "pass"}
}

// prove lets the machine work until the telemetry shows that the repair holds.
func (d *drift) prove(t *testing.T, c maintenance.CaseRow) {
	t.Helper()
	if got := d.state(t, c.ID).State; got != maintenance.Verifying {
		t.Fatalf("after the work the case is %s", got)
	}
	d.move(t, "/cases/"+c.ID.String(), map[string]any{"to": "awaiting_callback"}, http.StatusConflict)
	for range 4 {
		d.hear(t, 12*time.Hour)
		if got := d.state(t, c.ID); got.State == maintenance.AwaitingCallback {
			if v := got.Verification; v == nil || !v.Passed || v.RegimeHours < v.NeededHours || got.WaivedBy != "" {
				t.Errorf("verified without a proof: %+v, waived by %q", v, got.WaivedBy)
			}
			return
		}
	}
	t.Fatalf("the repair is not proved after two days: %+v", d.state(t, c.ID).Verification)
}

func (d *drift) satisfy(t *testing.T, c maintenance.CaseRow) {
	t.Helper()
	var due api.Items[maintenance.CallbackRow]
	d.call(t, http.MethodGet, "/callbacks?state=due&caseId="+c.ID.String(), nil, &due, http.StatusOK)
	for _, k := range due.Items {
		if k.Kind != "satisfaction" {
			continue
		}
		d.call(t, http.MethodPost, "/callbacks/"+k.ID.String()+"/attempts", map[string]any{"outcome": "satisfied", "note": "满意", "version": k.Version}, nil, http.StatusOK)
	}
	got := d.state(t, c.ID)
	if got.State != maintenance.Closed || got.SatisfiedAt == nil {
		t.Fatalf("after the satisfied call the case is %s; calls due were %+v", got.State, due.Items)
	}
}

// nothingLost holds the identity of the intake and looks for the data in InfluxDB.
func (d *drift) nothingLost(t *testing.T) {
	t.Helper()
	_, last := d.intake.Bounds()
	d.as(t, func(tx pgx.Tx) error {
		account, err := telemetry.ReadAccount(t.Context(), tx, d.intake.ID(), uint64(last))
		if err == nil && (!account.Holds() || account.Stored == 0 || account.Dead+account.Unclaimed+account.Refused > 0) {
			t.Errorf("messages are missing: %+v", account)
		}
		return err
	})
	ref := history.Ref{Key: d.machine.Key}
	rows, err := d.history.Rows(identity.With(t.Context(), identity.Program("test")), ref, d.at.Add(-24*time.Hour), d.at.Add(time.Second), 1_000)
	if err != nil || len(rows) == 0 {
		t.Errorf("InfluxDB has %d rows of the last day: %v", len(rows), err)
	}
}
