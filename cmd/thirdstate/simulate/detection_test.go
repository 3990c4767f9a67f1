package simulate

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/packs"
)

// healthy is the demo's fleet without its faults, and with a device on every machine.
func healthy() []Machine {
	list := DemoFleet(fleetStart)
	for i := range list {
		list[i].Faults, list[i].HasDevice = nil, true
	}
	return list
}

func TestFleet_HealthyMachinesAreLeftAlone(t *testing.T) {
	t.Parallel()
	days := longform.Choose(30, 60)
	machines := healthy()
	found := 0
	for _, s := range watch(t, NewFleet(fleetStart, machines, 2), days, false) {
		for _, f := range s.opened() {
			found++
			t.Logf("%s of %s, %s, on %s", f.Rule, f.Machine, f.Severity, day(f.At))
			if f.Severity == rules.Warning || f.Severity == rules.Alarm {
				t.Errorf("a healthy machine: %s of %s on %s: %+v", f.Rule, f.Machine, day(f.At), f.Evidence)
			}
		}
	}
	if machineDays := len(machines) * days; found*100 > machineDays {
		t.Errorf("%d false findings in %d machine-days, at most one in a hundred", found, machineDays)
	}
}

// leadShare is how much of a fault's life must be left when it is found.
const leadShare = 0.4

// broken are the demo's machines that have a fault.
func broken() *Fleet {
	return NewFleet(fleetStart, slices.DeleteFunc(DemoFleet(fleetStart), func(m Machine) bool { return len(m.Faults) == 0 }), 1)
}

// watchedBroken is what is found on them in 42 days: two of the faults are found after the
// story has begun.
var watchedBroken = sync.OnceValues(func() (map[string]*seen, error) { return watchAll(broken(), 42, false) })

func TestFleet_LabelledFaultsAreFoundInTime(t *testing.T) {
	t.Parallel()
	out, err := watchedBroken()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range broken().Labels() {
		checkFound(t, out[l.Machine], &l.Fault)
	}
}

// checkFound checks that a fault is found under its mode, after its onset and while
// there is time, and that nothing else is found on the machine before it stops.
func checkFound(t *testing.T, s *seen, fault *Fault) {
	t.Helper()
	latest := fault.Failure.Add(-time.Duration(leadShare * float64(fault.Failure.Sub(fault.Onset))))
	if !fault.Passes.IsZero() {
		latest = fault.Passes
	}
	for _, f := range s.opened() {
		if f.FailureMode == "oil_overheated" && f.At.After(fault.Onset) {
			continue // what comes of a cooler that nobody cleans
		}
		where := f.Rule + " of " + f.Machine + " on " + day(f.At)
		switch {
		case f.At.Before(fault.Onset):
			t.Errorf("%s: before its onset on %s", where, day(fault.Onset))
		case f.FailureMode != fault.Mode && f.At.Before(fault.Failure) && f.Severity != rules.Info:
			t.Errorf("%s: the machine has another fault, %s", where, fault.Mode)
		case f.FailureMode != fault.Mode:
		case f.Component != fault.Component:
			t.Errorf("%s: component %q, the fault is in %q", where, f.Component, fault.Component)
		case f.At.After(latest):
			t.Errorf("%s: too late, %s was the time", where, day(latest))
			return
		default:
			return
		}
	}
	t.Errorf("%s of %s (%s to %s) was not found", fault.Mode, s.machine.Key, day(fault.Onset), day(fault.Failure))
}

func TestFleet_EveryFailureModeCanBeFound(t *testing.T) {
	t.Parallel()
	at := func(days float64) time.Time { return fleetStart.Add(time.Duration(days * 24 * float64(time.Hour))) }
	long := func(machine, mode, component string, reach, days float64) Machine {
		return faulty(t, machine, Fault{Mode: mode, Component: component, Onset: at(12), Failure: at(12 + days), Reach: reach})
	}
	machines := []Machine{
		long("BC56T2206117", FouledCooler, "hydraulic_cooler", 18, 14),
		long("BC37T2008331", WornWearPlate, "wear_plate", 20, 18),
		long("BC37T2302076", BlockedFilter, "return_filter", 2.4, 12),
		long("BC56T2304190", HydraulicLeak, "hydraulic_system", 60, 3),
		long("BC56T2203408", SensorFailure, "oil_temperature_sensor", 0, 10),
		long("BE21N2004517", FouledCooler, "hydraulic_cooler", 18, 14),
		long("BE36N2107133", WornMainPump, "main_pump", 14, 20),
		long("BE21N2208641", BlockedAirFilter, "air_filter", 4, 10),
		long("BE36N2206081", HydraulicLeak, "pilot_circuit", 11, 9),
		long("BE21N2206734", SensorFailure, "oil_temperature_sensor", 0, 10),
		long("KF13A2100134", FouledCooler, "oil_cooler", 22, 20),
		long("KF13A2300417", AirLeak, "air_net", 26, 20),
		long("KF13A1900377", Bearing, "air_end", 7, 22),
		long("KF13A2200351", BlockedSeparator, "oil_separator", 0.7, 14),
		long("KF13A1900266", SensorFailure, "discharge_temperature_sensor", 0, 10),
		long("GS50D2300131", BlockedVent, "alternator", 45, 15),
		long("GS50D2000163", Injector, "injectors", 90, 14),
		long("GS50D2200216", Imbalance, "coupling", 12, 20),
		long("GS50D2200095", CoolantLeak, "cooling_system", 56, 4),
		long("GS50D2100307", SensorFailure, "coolant_temperature_sensor", 0, 10),
	}
	for i := range machines {
		machines[i].Gaps = nil
	}
	f := NewFleet(fleetStart, machines, 4)
	for _, s := range watch(t, f, 34, false) {
		checkFound(t, s, &s.machine.Faults[0])
	}
}

// faulty is a machine of the demo with another fault.
func faulty(t *testing.T, key string, fault Fault) Machine {
	t.Helper()
	for _, m := range DemoFleet(fleetStart) {
		if m.Key == key {
			m.Faults = []Fault{fault}
			return m
		}
	}
	t.Fatalf("the demo has no machine %s", key)
	return Machine{}
}

func TestFleet_HeroIsFoundShortlyBeforeTheStory(t *testing.T) {
	t.Parallel()
	f := NewFleet(fleetStart, DemoFleet(fleetStart)[:1], 1)
	s := watch(t, f, Days, true)[Hero]
	if len(s.opened()) != 1 {
		t.Fatalf("%d findings, want one: %+v", len(s.opened()), s.opened())
	}
	opened, last := s.opened()[0], s.rules.Open()[0]
	before := fleetStart.AddDate(0, 0, Days).Sub(opened.At)
	if before < 30*time.Minute || before > 4*time.Hour {
		t.Errorf("found %s before the story begins, want half an hour to four hours", before)
	}
	if opened.Evidence.Limit != 4.1 || opened.Evidence.Deviation < 4.1 || last.Evidence.Deviation > 7.5 {
		t.Errorf("deviation %.1f, then %.1f, limit %.1f; the story says 6.8 and 4.1", opened.Evidence.Deviation, last.Evidence.Deviation, opened.Evidence.Limit)
	}
	if opened.Evidence.DaysToLimit == nil {
		t.Error("no estimate of when it stops")
	}
	if shifts := opened.At.Sub(opened.Evidence.Since); shifts < 24*time.Hour || shifts > 72*time.Hour {
		t.Errorf("it has deviated for %s, the story says three shifts", shifts)
	}
}

func TestFleet_VerificationTellsBadRepairsFromGoodOnes(t *testing.T) {
	t.Parallel()
	all, err := packs.All()
	if err != nil {
		t.Fatal(err)
	}
	out, err := watchedBroken()
	if err != nil {
		t.Fatal(err)
	}
	for quality, good := range map[float64]bool{0.24: false, 0.95: true} {
		f := broken()
		for _, l := range f.Labels() {
			if !l.Passes.IsZero() {
				continue
			}
			found := first(out[l.Machine], l.Mode)
			rule, _ := all[l.Model].Rule(found.Rule)
			at := found.At.Add(3 * time.Hour)
			f.Repair(l.Machine, l.Mode, at, quality)
			v := verdict(rule, found.Evidence, f, l.Machine, at)
			t.Logf("%s of %s, quality %.2f: %+v", found.Rule, l.Machine, quality, v)
			if !v.Enough || v.Passed != good {
				t.Errorf("%s of %s, quality %.2f: %+v", found.Rule, l.Machine, quality, v)
			}
		}
	}
}

// first is the first finding of a mode.
func first(s *seen, mode string) rules.Finding {
	for _, f := range s.opened() {
		if f.FailureMode == mode {
			return f
		}
	}
	return rules.Finding{}
}

// verdict asks each hour until there is enough to tell.
func verdict(rule *rules.Rule, e rules.Evidence, f *Fleet, machine string, from time.Time) rules.Verdict {
	var v rules.Verdict
	for to := from.Add(time.Hour); to.Before(from.AddDate(0, 0, 6)) && !v.Enough; to = to.Add(time.Hour) {
		v = rules.Verify(rule, e, rowsOf(f, machine, from, to))
	}
	return v
}

func TestFleet_SilenceIsNotAFault(t *testing.T) {
	t.Parallel()
	at := func(days float64) time.Time { return fleetStart.Add(time.Duration(days * 24 * float64(time.Hour))) }
	var machines []Machine
	for _, gap := range []struct {
		machine string
		Gap
	}{
		{"GS50D2000163", Gap{Kind: NoCoverage, From: at(3), To: at(3.4)}},
		{"BE36N2107133", Gap{Kind: Locked, From: at(3.1), To: at(5)}},
		{"BC56T2206117", Gap{Kind: SiteShut, From: at(3.1), To: at(6)}},
	} {
		m := faulty(t, gap.machine, Fault{})
		m.Faults, m.Gaps = nil, []Gap{gap.Gap}
		machines = append(machines, m)
	}
	for key, s := range watch(t, NewFleet(fleetStart, machines, 1), 8, false) {
		switch opened := s.opened(); {
		case key != "GS50D2000163" && len(opened) > 0:
			t.Errorf("%s is locked or its site is shut: %+v", key, opened)
		case key == "GS50D2000163" && (len(opened) != 1 || opened[0].Rule != "no-data" || opened[0].Severity != rules.Info || len(s.rules.Open()) > 0):
			t.Errorf("%s was out of coverage while it ran: %+v", key, opened)
		}
	}
}
