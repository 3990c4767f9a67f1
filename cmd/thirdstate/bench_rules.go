package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/versus"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/packs"
)

// benchRules measures what the rules of a whole fleet hold in memory and cost,
// without log and database.
type benchRules struct {
	Machines int  `help:"Machines." default:"100000"`
	Signals  int  `help:"Signals of each machine." default:"10"`
	Rows     int  `help:"Rows that each machine reports, ten minutes apart." default:"300"`
	Watcher  bool `help:"The default watcher in place of a rule pack."`
}

const maxBenchRows = 1_000_000_000 // of all machines together

// Run prints memory and speed.
func (c *benchRules) Run(ctx context.Context) error {
	all, err := packs.All()
	if err != nil {
		return fmt.Errorf("read the rule packs: %w", err)
	}
	pack, name := all[versus.Model], "rule pack "+versus.Model
	if c.Machines < 1 || c.Rows < 1 || c.Machines > maxBenchRows/c.Rows || c.Signals < 1 || c.Signals > len(pack.Signals) {
		return problem.New(problem.Invalid, "--machines and --rows must be at least 1 and together at most %d rows, --signals between 1 and %d", maxBenchRows, len(pack.Signals))
	}
	signals := pack.Signals[:c.Signals]
	if c.Watcher {
		pack, name = nil, "default watcher"
	}
	before := heap()
	fleet := make([]*rules.Machine, c.Machines)
	for i := range fleet {
		fleet[i] = rules.New(versus.Key(i), pack)
	}
	values := make([]observation.Value, len(signals))
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	began, found := time.Now(), 0
	for row := range c.Rows {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for i, m := range fleet {
			for k, s := range signals {
				values[k] = observation.Value{Signal: s.Name, Value: usual(s, row*7+i*13+k*29)}
			}
			found += len(m.Observe(observation.Observation{Machine: versus.Key(i), At: at, Values: values}))
		}
		at = at.Add(10 * time.Minute)
	}
	took := time.Since(began)
	used := heap() - before
	runtime.KeepAlive(fleet)
	n := float64(c.Machines) * float64(c.Rows) * float64(c.Signals)
	fmt.Printf("%d machines, %d signals, %d rows each, %s; %d findings\n", c.Machines, c.Signals, c.Rows, name, found)
	fmt.Printf("memory   %8.0f MB, %.1f kB a machine\n", used/1e6, used/1e3/float64(c.Machines))
	fmt.Printf("speed    %8.0f ns a value, %.0f rows/s on one core\n", float64(took.Nanoseconds())/n, n/float64(c.Signals)/took.Seconds())
	return nil
}

// usual is a plausible value that moves a little, so that nothing is stuck and
// nothing is wrong.
func usual(s rules.SignalSpec, n int) float64 {
	low, high := 0.0, 100.0
	if s.Low != nil {
		low = *s.Low
	}
	if s.High != nil {
		high = *s.High
	}
	return low + (high-low)*(0.4+0.02*math.Mod(float64(n)*0.61803398875, 1))
}

// heap is what is alive on the heap, in bytes.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
