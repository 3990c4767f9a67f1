package main

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry/gate"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/observation"
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

// The faults are those of the records: a case that ends with the verdict "true"
// labels the history, at the start of its work.
func TestBacktest_OfAnInstallationIsLabelledByItsCases(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	pool, err := postgres.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w := maintenancetest.New(t, pool)
	ctx := identity.With(t.Context(), maintenancetest.Program)
	var faults []maintenance.ConfirmedFault
	listed := func(end bool) {
		err := postgres.As(ctx, pool, maintenancetest.Program, func(tx pgx.Tx) (err error) {
			if end {
				if _, err := maintenance.MoveCase(ctx, tx, maintenancetest.Now, w.Principal(w.Staff[identity.ServiceManager]), w.A.Case.ID, maintenance.CaseMove{To: maintenance.Cancelled, Reason: "machine is sold", Verdict: "true"}); err != nil {
					return err
				}
			}
			faults, err = maintenance.ConfirmedFaults(ctx, tx, []uuid.UUID{w.A.Machine.ID, w.B.Machine.ID})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if listed(false); len(faults) != 0 {
		t.Fatalf("faults that nobody has confirmed: %+v", faults)
	}
	if listed(true); len(faults) != 1 || faults[0].MachineID != w.A.Machine.ID || faults[0].FailureMode != "fouled_cooler" || !faults[0].At.Equal(maintenancetest.Now) {
		t.Fatalf("%+v", faults)
	}
	remember(ctx, t, pool, w.A.Machine.Key, w.A.Machine.No, 72)
	remember(ctx, t, pool, w.B.Machine.Key, w.B.Machine.No, 480)
	file := filepath.Join(t.TempDir(), "pump.yaml")
	if err := os.WriteFile(file, []byte(pumpPack), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := backtestOn(t, "--stored", "--database-url", address, "--rule", file, "--against", file, "--format", "json")
	if err != nil {
		t.Fatal(err)
	}
	var all []judged
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	// Two machines of 30 days; of two flags the one on A is 72 h before its fault.
	if len(all) != 2 || all[0].Hash != all[1].Hash || all[0].Rules != "BC56" {
		t.Fatalf("%+v", all)
	}
	r := all[0].Result
	if r.All.Faults != 1 || r.All.Recall.Part != 1 || r.All.Flags != 2 || r.All.Precision.Part != 1 || math.Abs(float64(r.All.LeadMedian)-71) > 0.01 || r.Newer.Flags != 1 {
		t.Errorf("%s", text)
	}
	var kept []gate.Backtest
	if err := postgres.As(ctx, pool, maintenancetest.Program, func(tx pgx.Tx) error {
		page, err := gate.Backtests(ctx, tx, gate.BacktestFilter{Hash: all[0].Hash})
		kept = page.Items
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(kept) != 1 || !kept[0].Counts || kept[0].State != "done" || kept[0].Result.Result.All.Recall.Part != 1 || kept[0].AskedBy != "command line" {
		t.Errorf("kept %+v", kept)
	}
	if _, err := backtestOn(t, "--rule", file); err == nil || !strings.Contains(err.Error(), "--stored") {
		t.Errorf("neither files nor --stored: %v", err)
	}
}

// remember writes 30 days of a machine, a row an hour up to Now, hot for six hours
// that begin so many hours before it. Its last row is an hour before Now.
func remember(ctx context.Context, t *testing.T, pool *postgres.Pool, key string, no, hot int) {
	t.Helper()
	var points []history.Point
	for ago := 720; ago > 0; ago-- {
		temp := 70 + 3*math.Sin(float64(ago))
		if ago <= hot && ago > hot-6 {
			temp += 25
		}
		points = append(points, history.Point{Machine: key, MachineNo: no, At: maintenancetest.Now.Add(-time.Duration(ago) * time.Hour),
			Values: []observation.Value{{Signal: "hydraulic_oil_temp", Value: temp}, {Signal: "load", Value: math.Cos(float64(ago))}}})
	}
	if err := history.NewPostgres(pool).Write(ctx, points); err != nil {
		t.Fatal(err)
	}
}
