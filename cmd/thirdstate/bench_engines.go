package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// benchEngines shows the same rules the same rows in our engine and in Prometheus's,
// which promtool runs in one process without a server and without waiting.
type benchEngines struct {
	Machines int    `help:"Machines." default:"20"`
	Rows     int    `help:"Rows that each machine reports, a minute apart." default:"2000"`
	Promtool string `help:"Prometheus's promtool (Debian: package prometheus)." default:"promtool" placeholder:"FILE"`
}

// twin is a rule in both languages, and what its fault adds to a signal, a row long after it began.
type twin struct {
	id, ours, theirs, wait string
	signal                 int
	fault                  func(minutes, value float64) float64
}

var twins = []twin{
	{"hot", "kind: threshold, signal: s2, above: 80, hold: 5m", "s2 > 80", "5m", 2, func(_, v float64) float64 { return v + 40 }},
	{"apart", "kind: threshold, signal: s3, minus: [s4], above: 10, hold: 5m", "s3 - s4 > 10", "5m", 3, func(_, v float64) float64 { return v + 20 }},
	{"steep", "kind: rate, signal: s5, per_hour: {above: 60}, window: 1h, hold: 10m", "deriv(s5[1h]) * 3600 > 60", "10m", 5, func(minutes, v float64) float64 { return v + 2*minutes }},
	{"frozen", "kind: stuck, signal: s6, after: 2h, tolerance: 0", "changes(s6[2h]) == 0", "0m", 6, func(_, _ float64) float64 { return 50 }},
	{"weighed", `kind: expression, expr: "2 * s7 + s8 > 300", hold: 5m`, "2 * s7 + s8 > 300", "5m", 7, func(_, v float64) float64 { return v + 90 }},
}

const (
	engineSignals = 10
	engineFault   = 4 * time.Hour // before the end each fault begins
	maxEngineRows = 1_000_000     // of all machines
)

// Run prints what both find and cost.
func (c *benchEngines) Run(ctx context.Context) error {
	least := int(engineFault/time.Minute) * 2
	if c.Machines < 1 || c.Rows < least || c.Machines > maxEngineRows/c.Rows {
		return problem.New(problem.Invalid, "--machines must be at least 1, --rows at least %d, and both together at most %d rows", least, maxEngineRows)
	}
	promtool, err := exec.LookPath(c.Promtool)
	if err != nil {
		return problem.New(problem.Invalid, "%v: Debian's package prometheus has it", err)
	}
	found, own, err := c.ours()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "thirdstate-engines-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	all, err := c.theirs(ctx, promtool, filepath.Join(dir, "rules"), true)
	if err != nil {
		return err
	}
	rest, err := c.theirs(ctx, promtool, filepath.Join(dir, "none"), false)
	if err != nil {
		return err
	}
	n := float64(c.Machines) * float64(c.Rows) * engineSignals
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / n }
	fmt.Printf("%d machines, %d signals, %d rows each, %d rules; %d faults planted\n", c.Machines, engineSignals, c.Rows, len(twins), len(c.planted()))
	fmt.Printf("                                            ours    promtool\n")
	fmt.Printf("faults open at the end              %12d  %10s\n", found, "the same")
	fmt.Printf("processor time a value, ns          %12.0f  %10.0f\n", each(own), each(all))
	fmt.Printf("the same without reading the rows, ns          -  %10.0f\n", each(all-rest))
	return nil
}

// value is what a machine says: it moves a little, and from the fault on as the fault says.
func (c *benchEngines) value(machine, signal, row int) float64 {
	v := 50 + math.Round(1000*math.Mod(float64(row*7+machine*13+signal*29)*0.61803398875, 1))/1000
	begin := c.Rows - int(engineFault/time.Minute)
	if k := machine % (len(twins) + 1); k > 0 && twins[k-1].signal == signal && row >= begin {
		v = twins[k-1].fault(float64(row-begin), v)
	}
	return v
}

// planted lists which rule finds which machine, "hot m1".
func (c *benchEngines) planted() (list []string) {
	for i := range c.Machines {
		if k := i % (len(twins) + 1); k > 0 {
			list = append(list, fmt.Sprintf("%s m%d", twins[k-1].id, i))
		}
	}
	slices.Sort(list)
	return list
}

// enginePack is the rules in our language.
func enginePack() (*rules.Pack, error) {
	var b strings.Builder
	b.WriteString("model: bench\nsignals:\n")
	for s := range engineSignals {
		fmt.Fprintf(&b, "  s%d: {unit: \"1\"}\n", s)
	}
	b.WriteString("rules:\n")
	for _, t := range twins {
		fmt.Fprintf(&b, "  - {id: %s, title: %s, title_zh: %s, %s}\n", t.id, t.id, t.id, t.ours)
	}
	return rules.Parse("engines.yaml", []byte(b.String()))
}

// ours runs our engine; it is an error if it does not hold open what was planted and nothing else.
func (c *benchEngines) ours() (found int, took time.Duration, err error) {
	pack, err := enginePack()
	if err != nil {
		return 0, 0, err
	}
	rows := make([]observation.Observation, c.Rows)
	var open []string
	for i := range c.Machines {
		for row := range rows {
			o := observation.Observation{Machine: fmt.Sprintf("m%d", i), At: time.Unix(int64(row)*60+1, 0), Values: make([]observation.Value, engineSignals)}
			for s := range o.Values {
				o.Values[s] = observation.Value{Signal: fmt.Sprintf("s%d", s), Value: c.value(i, s, row)}
			}
			rows[row] = o
		}
		m := rules.New(rows[0].Machine, pack)
		began := processorTime()
		for _, o := range rows {
			m.Observe(o)
		}
		m.Flush()
		took += processorTime() - began
		for _, f := range m.Open() {
			open = append(open, f.Rule+" "+f.Machine)
		}
	}
	slices.Sort(open)
	if want := c.planted(); !slices.Equal(open, want) {
		return 0, 0, fmt.Errorf("our engine holds open %v, planted were %v", open, want)
	}
	return len(open), took, nil
}

// theirs runs promtool over the same rows, with the rules or with one that costs
// nothing; promtool itself fails where other alerts are open at the end than were planted.
func (c *benchEngines) theirs(ctx context.Context, promtool, dir string, with bool) (time.Duration, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, fmt.Errorf("make a folder: %w", err)
	}
	test := filepath.Join(dir, "test.yml")
	for file, text := range map[string]string{filepath.Join(dir, "rules.yml"): theirRules(with), test: c.theirTest(with)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return 0, fmt.Errorf("write promtool's files: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, promtool, "test", "rules", test) //nolint:gosec // whoever runs the benchmark names the program
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, errors.Join(fmt.Errorf("promtool test rules: %w: %.2000s", err, out), ctx.Err())
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

func theirRules(with bool) string {
	var b strings.Builder
	b.WriteString("groups:\n- name: bench\n  rules:\n")
	if !with {
		b.WriteString("  - {alert: none, expr: vector(0) > 1}\n")
		return b.String()
	}
	for _, t := range twins {
		fmt.Fprintf(&b, "  - {alert: %s, expr: %q, for: %s}\n", t.id, t.theirs, t.wait)
	}
	return b.String()
}

func (c *benchEngines) theirTest(with bool) string {
	var b strings.Builder
	b.WriteString("rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n")
	for i := range c.Machines {
		for s := range engineSignals {
			fmt.Fprintf(&b, "  - series: 's%d{machine=\"m%d\"}'\n    values: '", s, i)
			for row := range c.Rows {
				fmt.Fprintf(&b, "%g ", c.value(i, s, row))
			}
			b.WriteString("'\n")
		}
	}
	b.WriteString("  alert_rule_test:\n")
	if !with {
		fmt.Fprintf(&b, "  - {eval_time: %dm, alertname: none, exp_alerts: []}\n", c.Rows-1)
		return b.String()
	}
	planted := c.planted()
	for _, t := range twins {
		var expect []string
		for _, p := range planted {
			if rule, machine, _ := strings.Cut(p, " "); rule == t.id {
				expect = append(expect, fmt.Sprintf("{exp_labels: {machine: %s}}", machine))
			}
		}
		fmt.Fprintf(&b, "  - {eval_time: %dm, alertname: %s, exp_alerts: [%s]}\n", c.Rows-1, t.id, strings.Join(expect, ", "))
	}
	return b.String()
}
