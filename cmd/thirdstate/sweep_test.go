package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// batches are what a fleet says, in order.
type batches []*telemetry.Batch

// Next gives the batch after a record, and waits for ever after the last one.
func (b batches) Next(ctx context.Context, after intakelog.LSN) (*telemetry.Batch, error) {
	for _, one := range b {
		if one.To > after {
			return one, nil
		}
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

const fleetSize = 200

// fanBatch is a fleet of 200 trucks, 40 with fan motors of one batch. In 13 of them the fan
// slows and the oil warms; the first one goes fastest and is flagged.
func fanBatch(fleet []machines.Machine) batches {
	rng := rand.New(rand.NewPCG(1, 4))
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	level, wander := make([]float64, len(fleet)), make([]float64, len(fleet))
	for i := range level {
		level[i] = 50 + 10*rng.Float64()
	}
	var out batches
	lsn := intakelog.LSN(0)
	for row := range 520 {
		b := &telemetry.Batch{From: lsn}
		for i, m := range fleet {
			wander[i] = 0.9*wander[i] + 0.1*rng.NormFloat64()
			heat, begins, perRow := 0.0, 330+3*i, 0.009
			if i == 0 {
				begins, perRow = 250, 0.02
			}
			if i < 13 && row >= begins {
				heat = perRow * float64(row-begins)
			}
			lsn++
			b.Observations = append(b.Observations, telemetry.Located{LSN: lsn, MachineID: m.ID, Observation: observation.Observation{
				Machine: m.Key, At: start.Add(time.Duration(row) * 10 * time.Minute), Values: []observation.Value{
					{Signal: "oil_temp", Value: level[i] + heat + wander[i] + rng.NormFloat64()},
					{Signal: "pressure", Value: 200 + 5*rng.NormFloat64()},
					{Signal: "fan_speed", Value: 1500 - 20*heat + 20*rng.NormFloat64()},
				},
			}})
		}
		b.To = lsn
		out = append(out, b)
	}
	return out
}

// First 11, as a whole and of one day: a batch defect in 12 of 200 machines, beside the one on
// which it is confirmed. How it goes from day to day is a test of the rules.
func TestSweep_ListsTheMachinesOfABadBatch(t *testing.T) {
	t.Parallel()
	pool, who := postgrestest.New(t), identity.Program("test")
	now := time.Date(2026, 3, 6, 0, 0, 0, 0, time.UTC)
	do := func(fn func(tx pgx.Tx) error) {
		t.Helper()
		if err := postgres.As(t.Context(), pool, who, fn); err != nil {
			t.Fatal(err)
		}
	}
	var fleet []machines.Machine
	do(func(tx pgx.Tx) error {
		model, err := machines.AddModel(t.Context(), tx, now, who, machines.Model{Manufacturer: "Beichen", Name: "BC56", Kind: "concrete_pump"})
		if err != nil {
			return err
		}
		for i := range fleetSize {
			m, err := machines.AddMachine(t.Context(), tx, now.AddDate(-1, 0, 0), who, machines.Machine{Manufacturer: "Beichen", Serial: fmt.Sprintf("F%03d", i), ModelID: &model.ID, HasDevice: true})
			if err != nil {
				return err
			}
			batch := "2025-W07"
			if i >= 40 {
				batch = "2025-W09"
			}
			if _, err := machines.AddComponent(t.Context(), tx, now.AddDate(-1, 0, 0), who, machines.Component{MachineID: m.ID, Code: "fan_motor", Name: "风扇马达", Batch: batch}); err != nil {
				return err
			}
			fleet = append(fleet, m)
		}
		return nil
	})
	said := fanBatch(fleet)
	end := said[len(said)-1].To
	var changes []machines.FindingChange
	done := make(chan struct{})
	runner, err := detection.NewRunner(detection.Config{
		Fleet: detection.NewFleet(nil), Source: said, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Position: detection.Position{Log: uuid.New()},
		Commit: func(_ context.Context, o detection.Outcome) error {
			changes = append(changes, o.Changes...)
			if o.Position.LSN >= end {
				select {
				case <-done:
				default:
					close(done)
				}
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- runner.Run(ctx) }()
	<-done
	stop()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	flagged, component := map[uuid.UUID]bool{}, "fan_motor"
	do(func(tx pgx.Tx) error {
		for _, c := range changes {
			if c.Finding.Severity != machines.Info {
				flagged[c.Finding.MachineID] = true
			}
			if c.Finding.MachineID != fleet[0].ID {
				continue
			}
			c.Finding.Component = &component // as its pack's rule would say
			if err := maintenance.Accept(t.Context(), tx, now, []machines.FindingChange{c}); err != nil {
				return err
			}
		}
		return nil
	})
	do(func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE service_case SET state = 'closed', verdict = 'true', closed_at = @at, state_at = @at`, pgx.NamedArgs{"at": now.Add(time.Hour)})
		return err
	})
	y := &system{pool: pool, runner: runner}
	if err := y.sweeps(t.Context(), now.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	var file maintenance.SweepFile
	do(func(tx pgx.Tx) error {
		list, err := maintenance.Sweeps(t.Context(), tx)
		if err != nil || len(list) != 1 {
			t.Fatalf("sweeps %+v, %v", list, err)
		}
		file, err = maintenance.GetSweep(t.Context(), tx, list[0].ID)
		return err
	})
	affected := map[uuid.UUID]bool{}
	for _, m := range fleet[1:13] {
		affected[m.ID] = true
	}
	found, early, falsely := 0, 0, 0
	for _, m := range file.Machines {
		switch {
		case m.Listed && !affected[m.MachineID]:
			falsely++
		case m.Listed:
			found++
			if !flagged[m.MachineID] {
				early++
			}
		}
	}
	if file.Batch != "2025-W07" || file.Basis != rules.ByOthers || file.Alike != 39 || file.Others != fleetSize-40 {
		t.Errorf("%+v", file.Sweep)
	}
	if found < 10 || early < 8 || falsely > 1 { // the share of many lists is a test of the rules
		t.Errorf("%d of 12 found, %d of them before their own flag, %d well ones listed", found, early, falsely)
	}
	if err := y.sweeps(t.Context(), now.Add(3*time.Hour)); err != nil {
		t.Fatal(err)
	}
}

// Who is on the way to a limit is told by the distance from his own normal, not by the limit that was met.
func TestSweep_GoesByTheFindingThatMeasuresADrift(t *testing.T) {
	t.Parallel()
	of := func(rule, state, evidence string) machines.Finding {
		return machines.Finding{Rule: rule, Source: "rule", State: state, Evidence: []byte(evidence)}
	}
	drift, limit := of("runs-hot", "closed", `{"kind":"deviation","signal":"oil"}`), of("stop", "open", `{"kind":"threshold","signal":"oil"}`)
	for name, try := range map[string]struct {
		findings []machines.Finding
		want     string
	}{
		"the drift":          {[]machines.Finding{limit, drift}, "runs-hot"},
		"the newest":         {[]machines.Finding{limit, of("other", "open", `{"kind":"threshold","signal":"oil"}`)}, "stop"},
		"not what was wrong": {[]machines.Finding{of("wrong", "dismissed", `{"kind":"deviation","signal":"oil"}`), limit}, "stop"},
		"nothing":            {[]machines.Finding{of("silence", "open", `{"kind":"silence"}`)}, ""},
	} {
		if got, _ := telling(try.findings); got.Rule != try.want {
			t.Errorf("%s: %q, want %q", name, got.Rule, try.want)
		}
	}
}
