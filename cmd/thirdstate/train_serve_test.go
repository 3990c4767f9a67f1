package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/lifespan"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// wearing is what a machine says each hour until it fails: heat and flow.
func wearing(seed uint64) (rows [][2]float64) {
	n := rand.New(rand.NewPCG(seed, 3))
	from, rate := 40+60*n.Float64(), 0.01+0.008*n.Float64()
	for hour, wear := 0.0, 0.0; wear < 1; hour++ {
		wear = math.Max(0, (hour-from)*rate)
		rows = append(rows, [2]float64{60 + 3*wear*wear + 0.3*n.NormFloat64(), 50 - 2*wear + 0.2*n.NormFloat64()})
	}
	return rows
}

// What the server says of a machine that sends every ten minutes is what watch says of the
// means of each hour, with the model that train has put into the data folder.
func TestTrain_ServeSaysWhatWatchSays(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	var lives strings.Builder
	lives.WriteString("time,machine,heat,flow\n")
	for machine := range 15 {
		for hour, r := range wearing(uint64(machine)) {
			fmt.Fprintf(&lives, "%s,m%d,%g,%g\n", start.Add(time.Duration(hour)*time.Hour).Format(time.RFC3339), machine, r[0], r[1])
		}
	}
	file := filepath.Join(dir, "lives.csv")
	if err := os.WriteFile(file, []byte(lives.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, notes bytes.Buffer
	train := trainCommand{Files: []string{file}, Name: "BC56", Data: dir, Units: map[string]string{"heat": "Cel"}}
	if err := train.train(t.Context(), &out, &notes); err != nil || strings.Contains(out.String(), "cannot") {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if _, err := (&trainCommand{Units: map[string]string{"heat": "warm"}}).units([]string{"heat"}); err == nil || !strings.Contains(err.Error(), "no unit of UCUM") {
		t.Errorf("%v", err)
	}

	pool, who := postgrestest.New(t), identity.Program("test")
	stored := history.NewPostgres(pool)
	var m machines.Machine
	if err := postgres.As(t.Context(), pool, who, func(tx pgx.Tx) error {
		model, err := machines.AddModel(t.Context(), tx, start, who, machines.Model{Manufacturer: "Beichen", Name: "BC56", Kind: "concrete_pump"})
		if err != nil {
			return err
		}
		m, err = machines.AddMachine(t.Context(), tx, start, who, machines.Machine{Manufacturer: "Beichen", Serial: "M1", ModelID: &model.ID, BuiltOn: &start, HasDevice: true})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var points []history.Point
	var means strings.Builder
	means.WriteString("time,heat,flow\n")
	n, last := rand.New(rand.NewPCG(9, 9)), start
	rows := wearing(99)
	for hour, r := range rows {
		var heat, flow float64
		for k := range 6 {
			last = start.Add(time.Duration(hour)*time.Hour + time.Duration(10*k)*time.Minute)
			h, f := r[0]+n.NormFloat64(), r[1]+n.NormFloat64()
			heat, flow = heat+h/6, flow+f/6
			points = append(points, history.Point{Machine: m.Key, MachineNo: m.No, Model: "BC56", At: last, Values: []observation.Value{{Signal: "heat", Value: h}, {Signal: "flow", Value: f}}})
		}
		fmt.Fprintf(&means, "%s,%g,%g\n", start.Add(time.Duration(hour)*time.Hour).Format(time.RFC3339), heat, flow)
	}
	if err := stored.Write(identity.With(t.Context(), who), points); err != nil {
		t.Fatal(err)
	}
	var said []lifespan.MachineLifespan
	keeper := lifespan.Keeper{Pool: pool, Clock: clock.New(start, 0, nil), Log: slog.New(slog.DiscardHandler), History: stored, Shelf: &lifespan.Shelf{Dir: modelFolder(dir), Log: slog.New(slog.DiscardHandler)}}
	if err := postgres.As(t.Context(), pool, who, func(tx pgx.Tx) error {
		return machines.SetSeen(t.Context(), tx, []machines.Seen{{MachineID: m.ID, At: last}})
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := keeper.Round(t.Context(), last.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := postgres.As(t.Context(), pool, who, func(tx pgx.Tx) (err error) {
		said, err = lifespan.Of(t.Context(), tx, m.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}

	csv := filepath.Join(dir, "means.csv")
	if err := os.WriteFile(csv, []byte(means.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	watch := watchCommand{File: csv, Every: time.Minute, Format: "ndjson", Model: modelFile(dir, "BC56")}
	if err := watch.watch(t.Context(), strings.NewReader(""), &out, &notes); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var row struct {
		Remaining *struct {
			Value, Low float64
		} `json:"remaining"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &row); err != nil || row.Remaining == nil {
		t.Fatalf("%v: %s", err, lines[len(lines)-1])
	}
	if len(said) != 1 || said[0].Rows != len(rows) || said[0].Remaining == nil || math.Abs(*said[0].Remaining-row.Remaining.Value) > 0.006 || math.Abs(*said[0].Low-row.Remaining.Low) > 0.006 {
		t.Errorf("of %d rows watch says %+v, the server %+v", len(rows), row.Remaining, said)
	}
}
