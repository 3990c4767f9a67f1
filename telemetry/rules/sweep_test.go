package rules

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// fleet is 200 machines, in the long form 400, the first 40 of one batch. The affected ones of them begin to run
// hot because the fan slows, each from another row on; number 0 goes fastest.
type fleet struct {
	rng      *rand.Rand
	affected int
	row      int
	list     []*Machine
	level    []float64
	wander   []float64
	flagged  map[int]int // the row at which a machine had a finding of its own
}

func newFleet(seed uint64, affected int) *fleet {
	f := &fleet{rng: rand.New(rand.NewPCG(seed, 4)), affected: affected, flagged: map[int]int{}}
	for i := range longform.Choose(200, 400) {
		f.list = append(f.list, New(fmt.Sprintf("m%d", i), nil))
		f.level = append(f.level, 50+10*f.rng.Float64())
		f.wander = append(f.wander, 0)
	}
	return f
}

// until lets the machines say all rows up to one.
func (f *fleet) until(row int) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for ; f.row < row; f.row++ {
		for i, m := range f.list {
			f.wander[i] = 0.9*f.wander[i] + 0.1*f.rng.NormFloat64()
			heat, begins, perRow := 0.0, 330+3*i, 0.005
			if i == 0 {
				begins, perRow = 250, 0.02
			}
			if i < f.affected && f.row >= begins {
				heat = perRow * float64(f.row-begins)
			}
			found := m.Observe(observation.Observation{Machine: m.name, At: start.Add(time.Duration(f.row) * 10 * time.Minute), Values: []observation.Value{
				{Signal: "oil_temp", Value: f.level[i] + heat + f.wander[i] + f.rng.NormFloat64()},
				{Signal: "pressure", Value: 200 + 5*f.rng.NormFloat64()},
				{Signal: "fan_speed", Value: 1500 - 20*heat + 20*f.rng.NormFloat64()},
			}})
			for _, one := range found {
				if _, before := f.flagged[i]; !before && one.Severity != Info {
					f.flagged[i] = f.row
				}
			}
		}
	}
}

// sweep gives the numbers of the machines that are listed, by what the first one was found with.
func (f *fleet) sweep(t *testing.T) []int {
	t.Helper()
	var e Evidence
	for _, found := range f.list[0].Open() {
		if found.Severity != Info {
			e = found.Evidence
		}
	}
	if e.Signal == "" {
		t.Fatal("the first machine is not flagged")
	}
	var all []Suspect
	for i, m := range f.list[1:] {
		score, inSigma, ok := m.Toward(WatcherID, e)
		if !ok || !inSigma {
			t.Fatalf("machine %s is not scored", m.name)
		}
		all = append(all, Suspect{Score: score, InSigma: inSigma, Alike: i+1 < 40})
	}
	if basis := Sweep(all, SweepLevel); basis != ByOthers {
		t.Fatalf("by %s", basis)
	}
	var listed []int
	for i, s := range all {
		if s.Act {
			listed = append(listed, i+1)
		}
	}
	return listed
}

// A batch defect in 12 of the machines, beside the one on which it was confirmed: the
// list, made anew each day, names them before their own flags, and hardly a well one.
func TestSweep_FindsABatchDefectBeforeTheMachinesOwnFlags(t *testing.T) {
	t.Parallel()
	acted, wrong := 0, 0
	for seed := range longform.Choose[uint64](1, 5) {
		f := newFleet(seed, 13)
		listed := map[int]int{}
		for day := 3; day <= 6; day++ {
			f.until(144 * day)
			for _, i := range f.sweep(t) {
				if _, before := listed[i]; !before {
					listed[i] = f.row
				}
			}
		}
		early := 0
		for i, row := range listed {
			at, flagged := f.flagged[i]
			switch {
			case i > 12:
				wrong++
			case !flagged || row < at:
				early++
			}
		}
		if early < 10 {
			t.Errorf("fleet %d: %d of 12 found before their own flag, want 10", seed, early)
		}
		acted += len(listed)
		t.Logf("fleet %d: %d of 12 found before their own flag, %d listed", seed, early, len(listed))
	}
	if float64(wrong) > 0.05*float64(acted) {
		t.Errorf("%d of %d on the lists are well, more than 5 %%", wrong, acted)
	}
}

// Where nothing but the confirmed machine is affected, the lists are empty but seldom.
func TestSweep_OfAWellBatchListsNobody(t *testing.T) {
	t.Parallel()
	listed, lists := 0, 0
	for seed := range longform.Choose[uint64](1, 2) {
		f := newFleet(seed, 1)
		for day := 3; day <= 4; day++ {
			f.until(144 * day)
			listed += len(f.sweep(t))
			lists++
		}
	}
	if 4*listed > lists {
		t.Errorf("%d well machines are on %d lists", listed, lists)
	}
}

func TestSweep_ControlsFalseDiscoveries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		others, alike int
		want          string
	}{
		{"ranks", 300, 40, ByOthers}, {"few differ", 5, 60, ByCohort}, {"a handful", 3, 5, ByItself},
	} {
		rng := rand.New(rand.NewPCG(9, 9))
		share, power, lists := 0.0, 0, 2000
		for range lists {
			var all []Suspect
			for i := range c.others + c.alike {
				s := Suspect{Score: rng.NormFloat64(), InSigma: true, Alike: i < c.alike}
				if i < c.alike/5 {
					s.Score += 5
				}
				all = append(all, s)
			}
			if basis := Sweep(all, 0.05); basis != c.want {
				t.Fatalf("%s: by %s", c.name, basis)
			}
			acted, wrong := 0, 0
			for i, s := range all {
				if s.Act {
					acted++
					if i >= c.alike/5 {
						wrong++
					} else {
						power++
					}
				}
			}
			if acted > 0 {
				share += float64(wrong) / float64(acted) / float64(lists)
			}
		}
		if share > 0.055 || float64(power) < 0.8*float64(lists*(c.alike/5)) {
			t.Errorf("%s: %.3f of those listed are well, %.2f of the affected are listed", c.name, share, float64(power)/float64(lists*(c.alike/5)))
		}
	}
}

// By hand: p 0.01, 0.02, 0.04, 0.5 of four; q = p x 4 / rank, from the largest down.
func TestSweep_StepsUpAsPublished(t *testing.T) {
	t.Parallel()
	all := []Suspect{{P: 0.5, Alike: true}, {P: 0.01, Alike: true}, {P: 0.04, Alike: true}, {P: 0, Q: 1}, {P: 0.02, Alike: true}}
	discover(all, 0.05)
	for i, want := range []struct {
		q   float64
		act bool
	}{{0.5, false}, {0.04, true}, {0.04 * 4 / 3, false}, {1, false}, {0.04, true}} {
		if s := all[i]; s.Q-want.q > 1e-12 || want.q-s.Q > 1e-12 || s.Act != want.act {
			t.Errorf("%d: q %v, act %v; want %+v", i, s.Q, s.Act, want)
		}
	}
}
