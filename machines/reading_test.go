package machines_test

import (
	"context"
	"encoding/json"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

func (f *fleet) read(value float64, at time.Time) (finding *machines.Finding) {
	f.Helper()
	f.do(func(ctx context.Context, db postgres.DB) error {
		r, found, err := machines.AddReading(ctx, db, at, admin, machines.Reading{MachineID: f.machine.ID, At: at, Signal: "oil_temp", Value: value, Source: "daily_check"})
		if r.Unit != "Cel" || r.Actor != admin.Name || r.Value != value {
			f.Errorf("noted %+v", r)
		}
		finding = found
		return err
	})
	return finding
}

func TestReading_BeyondItsLimitOpensAFinding(t *testing.T) {
	f := newFleet(t)
	at := func(hours int) time.Time { return start.Add(time.Duration(hours) * time.Hour) }
	if found := f.read(80, at(0)); found != nil {
		t.Errorf("80 of 85 degrees: %+v", found)
	}
	if m := f.get(f.machine.ID); m.Health != machines.Well {
		t.Errorf("after a good reading the machine is %s", m.Health)
	}
	first := f.read(92, at(1))
	if first == nil || first.Source != "daily_check" || first.FailureMode != "oil_temp_high" || first.Severity != machines.Warning ||
		first.Title != "液压油温高于上限" || first.TitleEN != "Hydraulic oil temperature above its limit" || !first.OpenedAt.Equal(at(1)) {
		t.Fatalf("92 of 85 degrees: %+v", first)
	}
	var evidence struct {
		Signal             string
		Observed, Limit    float64
		Deviation          float64
		Since              time.Time
		RegimeRows, PerDay float64
	}
	if err := json.Unmarshal(first.Evidence, &evidence); err != nil || evidence.Observed != 92 || evidence.Limit != 85 || evidence.Deviation != 7 || !evidence.Since.Equal(at(1)) {
		t.Errorf("evidence %+v, %v", evidence, err)
	}
	if m := f.get(f.machine.ID); m.Health != machines.ThirdState {
		t.Errorf("the machine is %s", m.Health)
	}
	again := f.read(95, at(3))
	if again == nil || again.ID != first.ID || !again.UpdatedAt.Equal(at(3)) {
		t.Errorf("a second bad reading: %+v", again)
	}
	f.do(func(ctx context.Context, db postgres.DB) error {
		waiting, err := machines.WaitingFindings(ctx, db, 10)
		if len(waiting) != 1 || waiting[0].ID != first.ID {
			t.Errorf("waiting for a case: %+v", waiting)
		}
		return err
	})
	if f.read(70, at(2)) != nil || f.get(f.machine.ID).Health != machines.ThirdState {
		t.Error("an older good reading, noted late, ended the finding")
	}
	if low := f.read(2, at(4)); low == nil || low.FailureMode != "oil_temp_low" {
		t.Errorf("2 degrees: %+v", low)
	}
	if f.read(60, at(5)) != nil || f.get(f.machine.ID).Health != machines.Well {
		t.Error("a good reading did not end the findings")
	}
	f.do(func(ctx context.Context, db postgres.DB) error {
		open, err := machines.OpenFindings(ctx, db, f.machine.ID)
		if len(open) != 0 {
			t.Errorf("still open: %+v", open)
		}
		return err
	})
}

func TestReading_WithoutLimitsIsNotedOnly(t *testing.T) {
	f := newFleet(t)
	bare := f.add(machines.Machine{Manufacturer: "Kefeng", Serial: "K1"})
	for _, r := range []machines.Reading{
		{MachineID: bare.ID, Signal: "iron_ppm", Value: 400, Unit: "[ppm]", Source: "oil_sample"},
		{MachineID: f.machine.ID, Signal: "iron_ppm", Value: 400, Unit: "[ppm]", Source: "oil_sample"},
		{MachineID: f.machine.ID, Signal: "load", Value: 4000, Source: "patrol"},
	} {
		f.do(func(ctx context.Context, db postgres.DB) error {
			noted, found, err := machines.AddReading(ctx, db, start, admin, r)
			if found != nil || noted.Unit != r.Unit || !noted.At.Equal(start) {
				t.Errorf("%s: %+v, %+v", r.Signal, noted, found)
			}
			return err
		})
	}
	if bare = f.get(bare.ID); bare.Health != machines.Well || bare.Connectivity != "none" {
		t.Errorf("a machine without a device is %s, %s", bare.Health, bare.Connectivity)
	}
}

func TestReading_OfNonsenseIsRefused(t *testing.T) {
	f := newFleet(t)
	before := f.writes()
	for name, r := range map[string]machines.Reading{
		"no number": {MachineID: f.machine.ID, Signal: "oil_temp", Value: math.NaN(), Source: "visit"},
		"infinite":  {MachineID: f.machine.ID, Signal: "oil_temp", Value: math.Inf(1), Source: "visit"},
		"unit":      {MachineID: f.machine.ID, Signal: "oil_temp", Value: 170, Unit: "[degF]", Source: "visit"},
		"source":    {MachineID: f.machine.ID, Signal: "oil_temp", Value: 80, Source: "hearsay"},
		"signal":    {MachineID: f.machine.ID, Value: 80, Source: "visit"},
	} {
		err := f.as(admin, func(ctx context.Context, db postgres.DB) error {
			_, _, err := machines.AddReading(ctx, db, start, admin, r)
			return err
		})
		if problem.Of(err) != problem.Invalid || len(problem.As(err).Fields) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if f.writes() != before {
		t.Error("something was written")
	}
}

func TestReading_OfManyAtOnceIsOneFinding(t *testing.T) {
	f := newFleet(t)
	ids := make(chan uuid.UUID, 40)
	var people sync.WaitGroup
	for i := range 40 {
		people.Go(func() {
			err := f.as(admin, func(ctx context.Context, db postgres.DB) error {
				_, found, err := machines.AddReading(ctx, db, start, admin, machines.Reading{MachineID: f.machine.ID, At: start.Add(time.Duration(i) * time.Second),
					Signal: "oil_temp", Value: 90, Source: "visit"})
				if err == nil {
					ids <- found.ID
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	people.Wait()
	close(ids)
	one := map[uuid.UUID]bool{}
	for id := range ids {
		one[id] = true
	}
	if n := f.count(`SELECT count(*) FROM health_change`, nil); len(one) != 1 || n != 1 {
		t.Errorf("%d findings, %d changes of health", len(one), n)
	}
}
