package main

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/accounts"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry/gate"
)

// The whole way in the running program: a draft is refused, judged, published by a
// second person, evaluated by the runner without a restart, and speaks to nobody.
func TestGate_WhatIsPublishedIsWhatRuns(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	s.ClockStart, s.Speed = maintenancetest.Now, 0
	s.Gate = gateSettings{Flags: 50, Days: 1, Trust: 0.2} // nothing is confirmed yet: by its flags alone
	p := serveProduct(t, s)
	author := p.token
	var machine machines.Machine
	p.as(t, func(tx pgx.Tx) error {
		model, err := machines.AddModel(t.Context(), tx, p.clock.Now(), administrator, machines.Model{Manufacturer: "Beichen", Name: "BC56", Kind: "concrete_pump"})
		if err != nil {
			return err
		}
		if machine, err = machines.AddMachine(t.Context(), tx, p.clock.Now(), administrator, machines.Machine{Key: "pump-1", Manufacturer: "Beichen", Serial: "1", Name: "1", ModelID: &model.ID, HasDevice: true}); err != nil {
			return err
		}
		p.token, _, err = accounts.CreateToken(t.Context(), tx, p.clock.Now(), administrator, accounts.NewToken{Name: "second", Role: identity.ServiceManager})
		return err
	})
	second := p.token
	remember(identity.With(t.Context(), maintenancetest.Program), t, p.pool, machine.Key, machine.No, 480)
	var v gate.Version
	var b gate.Backtest
	p.token = author
	p.call(t, http.MethodPost, "/rules/versions", map[string]any{"text": pumpPack}, &v, http.StatusCreated)
	p.call(t, http.MethodPost, "/rules/"+v.Hash+"/backtests", map[string]any{}, &b, http.StatusCreated)
	until(t, "the version is judged", func() bool {
		p.call(t, http.MethodGet, "/backtests/"+b.ID.String(), nil, &b, http.StatusOK)
		return b.State == "done" || b.State == "failed"
	})
	if b.State != "done" || b.Result.Result.All.Flags != 1 {
		t.Fatalf("%+v", b)
	}
	p.call(t, http.MethodPost, "/rules/"+v.Hash+"/publish", map[string]any{}, nil, http.StatusForbidden)
	p.token = second
	p.call(t, http.MethodPost, "/rules/"+v.Hash+"/publish", map[string]any{}, &v, http.StatusOK)
	begun := p.clock.Now().Add(-30 * time.Minute)
	for minute, temp := range []float64{70, 71, 95, 96, 97} {
		p.call(t, http.MethodPost, "/observations", map[string]any{"machine": machine.Key, "observations": []map[string]any{{"at": begun.Add(time.Duration(minute) * time.Minute),
			"values": map[string]float64{"hydraulic_oil_temp": temp, "load": math.Cos(float64(minute))}}}}, nil, http.StatusCreated)
	}
	var shadow struct{ Items []gate.ShadowFinding }
	until(t, "the new rule has found it", func() bool {
		p.call(t, http.MethodGet, "/rules/shadow-findings", nil, &shadow, http.StatusOK)
		return len(shadow.Items) > 0
	})
	if f := shadow.Items[0]; f.Rule != "oil-hot" || f.MachineKey != machine.Key || !f.OpenedAt.Equal(begun.Add(2*time.Minute)) {
		t.Errorf("%+v", f)
	}
	var none struct{ Items []machines.Finding }
	if p.call(t, http.MethodGet, "/findings", nil, &none, http.StatusOK); len(none.Items) != 0 {
		t.Errorf("everybody sees %+v", none.Items)
	}
	var health struct{ Items []gate.RuleHealth }
	p.call(t, http.MethodGet, "/rules/health", nil, &health, http.StatusOK)
	for _, h := range health.Items {
		if h.Rule == "oil-hot" && (h.Stage != machines.Shadow || h.Source != "published" || h.Machines != 1 || h.Stale || h.LastRunAt == nil || h.LastFinding == nil || h.Missing != "") {
			t.Errorf("%+v", h)
		}
	}
	p.call(t, http.MethodPost, "/rules/"+v.Hash+"/withdraw", nil, nil, http.StatusOK)
	until(t, "the rule is out of force, and its finding has ended", func() bool {
		begun = begun.Add(time.Second)
		p.call(t, http.MethodPost, "/observations", map[string]any{"machine": machine.Key, "observations": []map[string]any{{"at": begun.Add(6 * time.Minute),
			"values": map[string]float64{"hydraulic_oil_temp": 70, "load": 1}}}}, nil, http.StatusCreated)
		p.call(t, http.MethodGet, "/rules/shadow-findings", nil, &shadow, http.StatusOK)
		return shadow.Items[0].CloseReason == "rule_changed"
	})
}
