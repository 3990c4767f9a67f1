package simulate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Modes lists the failure modes that can be simulated.
var Modes = []string{
	FouledCooler, WornWearPlate, HydraulicLeak, BlockedFilter, BlockedAirFilter, WornMainPump, Bearing, BlockedSeparator,
	AirLeak, Injector, Imbalance, CoolantLeak, BlockedVent, SensorFailure,
}

// toldFault is one fault of a file; times count from the start of the fleet.
type toldFault struct {
	Machine   string  `yaml:"machine"`
	Mode      string  `yaml:"mode"`
	Component string  `yaml:"component"`
	Onset     string  `yaml:"onset"`
	Failure   string  `yaml:"failure"`
	Reach     float64 `yaml:"reach"`
	Shape     float64 `yaml:"shape"`
}

// ReadFaults gives machines the faults of a file, in place of their own. The file is
// a YAML list of {machine, mode, onset: 2d, failure: 16d, reach: 18}, the times
// counted from start. An error is one line.
func ReadFaults(name string, start time.Time, machines []Machine) ([]Machine, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the faults: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxMapping+1))
	if err != nil {
		return nil, fmt.Errorf("read the faults: %w", err)
	}
	if len(text) > maxMapping {
		return nil, fmt.Errorf("%s: is larger than %d bytes: not a list of faults", name, maxMapping)
	}
	told, err := parseFaults(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	out := slices.Clone(machines)
	for i := range out {
		out[i].Faults = nil
	}
	for i, f := range told {
		fault, err := f.fault(start)
		if err != nil {
			return nil, fmt.Errorf("%s: fault %d: %w", name, i+1, err)
		}
		at := slices.IndexFunc(out, func(m Machine) bool { return m.Key == f.Machine })
		if at < 0 {
			return nil, fmt.Errorf("%s: fault %d: the fleet has no machine %q", name, i+1, f.Machine)
		}
		out[at].Faults = append(out[at].Faults, fault)
	}
	return out, nil
}

func parseFaults(text []byte) (list []toldFault, err error) {
	defer func() {
		if r := recover(); r != nil { // the YAML library is not ours
			list, err = nil, errors.New("is not YAML that can be read")
		}
	}()
	if err := yaml.UnmarshalWithOptions(text, &list, yaml.Strict()); err != nil {
		line, _, _ := strings.Cut(err.Error(), "\n")
		return nil, errors.New(line)
	}
	return list, nil
}

func (f *toldFault) fault(start time.Time) (Fault, error) {
	if !slices.Contains(Modes, f.Mode) {
		return Fault{}, fmt.Errorf("mode %q is not known; known: %s", f.Mode, strings.Join(Modes, ", "))
	}
	onset, err := afterStart(f.Onset)
	if err != nil {
		return Fault{}, fmt.Errorf("onset %w", err)
	}
	failure, err := afterStart(f.Failure)
	if err != nil {
		return Fault{}, fmt.Errorf("failure %w", err)
	}
	if failure <= onset {
		return Fault{}, errors.New("failure must be later than onset")
	}
	return Fault{
		ID: f.Machine + "-" + f.Mode, Mode: f.Mode, Component: f.Component,
		Onset: start.Add(onset), Failure: start.Add(failure), Reach: f.Reach, Shape: f.Shape,
	}, nil
}

// afterStart reads 90m, 36h or 2.5d.
func afterStart(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if v, err := strconv.ParseFloat(days, 64); err == nil && v >= 0 && v < 10_000 {
			return time.Duration(v * 24 * float64(time.Hour)), nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%q must be a time after the start such as 36h or 2.5d", text)
}

// Some gives the first n machines with a device; beyond the demo's they are copies
// without faults.
func Some(machines []Machine, n int) []Machine {
	var some []Machine
	for _, m := range machines {
		if m.HasDevice {
			some = append(some, m)
		}
	}
	own := len(some)
	for i := own; i < n; i++ {
		m := some[i%own]
		m.Faults, m.Gaps = nil, nil
		m.Key += "-" + strconv.Itoa(i/own+1)
		some = append(some, m)
	}
	return some[:min(n, len(some))]
}
