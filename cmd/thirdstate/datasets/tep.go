package datasets

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/thirdstate/thirdstate/telemetry/rules/scoring"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

const (
	tepColumns = 52
	tepFault   = 160 // the fault begins after this row of a test run
	tepHours   = 3.0 / 60
)

// tepUnseen are the faults that no published detector finds; results leave them out.
var tepUnseen = []string{"03", "09", "15"} //nolint:gochecknoglobals // never written

// tepRoots are the signals at which the faults with a known place enter (Downs and Vogel
// 1993, tables 3 to 8): the measurement there and the valve of its loop, as columns: 1 to
// 41 are the measurements XMEAS, 42 to 52 the valves XMV. Faults 8 and 13 have no place.
var tepRoots = map[string][]string{ //nolint:gochecknoglobals // never written
	"01": {"c1", "c44", "c23", "c25"},  // A/C ratio of the feed: A feed and its valve, A and C in the reactor's feed
	"02": {"c10", "c47", "c24", "c30"}, // B in the feed: purge and its valve, B in the reactor's feed and in the purge
	"04": {"c51", "c9", "c21"},         // reactor's cooling water, step: its valve, reactor's temperature, water behind it
	"05": {"c52", "c22", "c11"},        // condenser's cooling water, step: its valve, water behind the separator, separator's temperature
	"06": {"c1", "c44"},                // A feed lost: its flow and valve
	"07": {"c4", "c45"},                // C header's pressure: flow of A and C and its valve
	"10": {"c18", "c19", "c50"},        // C feed's temperature: stripper's temperature, steam and its valve
	"11": {"c51", "c9", "c21"},         // reactor's cooling water, random
	"12": {"c52", "c22", "c11"},        // condenser's cooling water, random
	"14": {"c51", "c9", "c21"},         // valve of the reactor's cooling water sticks
}

var tepName = regexp.MustCompile(`^d(\d\d)_te$`)

// findTEP finds the test runs of the Tennessee Eastman process beside d00, the normal
// run from which the watcher learns before each.
func findTEP(d *folder) ([]set, error) {
	var runs, rooted []run
	for _, f := range d.files {
		match := tepName.FindStringSubmatch(f.name())
		normal := slices.IndexFunc(d.files, func(n file) bool { return n.name() == "d00" && path.Dir(n.path) == path.Dir(f.path) })
		if match == nil || normal < 0 || !numbers(f.head, tepColumns) || slices.Contains(tepUnseen, match[1]) {
			continue
		}
		r, err := tepRun(d, d.files[normal], f, match[1] != "00")
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
		if r.roots = tepRoots[match[1]]; r.roots != nil {
			rooted = append(rooted, r)
		}
	}
	if len(runs) == 0 {
		return nil, nil
	}
	sets := []set{{name: "TEP without faults 3, 9, 15", runs: runs, figures: tepFigures()}}
	if len(rooted) > 0 {
		sets = append(sets, set{name: fmt.Sprintf("TEP, %d faults with a known root", len(rooted)), runs: rooted, figures: []figure{
			{name: "root named first, %", of: percent(func(r []scoring.Record) float64 { return scoring.Named(r, 1) }), goal: 80, aim: atLeast},
			{name: "root among the first three, %", of: percent(func(r []scoring.Record) float64 { return scoring.Named(r, 3) }), goal: 90, aim: atLeast},
		}})
	}
	return sets, nil
}

func tepRun(d *folder, normal, f file, faulty bool) (run, error) {
	text, learn, err := upright(d, normal)
	if err != nil {
		return run{}, err
	}
	rows, err := d.rows(f.path)
	if err != nil {
		return run{}, err
	}
	truth := scoring.Record{First: learn + 1, End: learn + rows + 1, Hours: float64(rows) * tepHours}
	if faulty {
		truth.Events = []scoring.Event{{From: learn + tepFault + 1, To: learn + rows, At: learn + rows}}
	}
	return run{
		name: f.path, open: following(d, in(text), f.path, false), truth: only(truth),
		opts: watchfile.Options{Time: "none", Healthy: learn},
	}, nil
}

// upright gives the normal run with a line a row: it is published with a line a signal.
func upright(d *folder, f file) (text string, rows int, err error) {
	var lines [][]string
	err = d.lines(f.path, func(n int, line string) error {
		if n > maxLine/tepColumns {
			return fmt.Errorf("more than %d lines", n-1)
		}
		lines = append(lines, strings.Fields(line))
		return nil
	})
	if err != nil {
		return "", 0, err
	}
	if len(lines) == tepColumns && len(lines[0]) != tepColumns {
		if lines, err = turned(lines); err != nil {
			return "", 0, fmt.Errorf("%s: %w", f.path, err)
		}
	}
	var b strings.Builder
	for _, fields := range lines {
		b.WriteString(strings.Join(fields, " "))
		b.WriteByte('\n')
	}
	return b.String(), len(lines), nil
}

func turned(lines [][]string) ([][]string, error) {
	out := make([][]string, len(lines[0]))
	for i, line := range lines {
		if len(line) != len(out) {
			return nil, fmt.Errorf("line %d has %d numbers, the first has %d", i+1, len(line), len(out))
		}
		for j, field := range line {
			out[j] = append(out[j], field)
		}
	}
	return out, nil
}

func tepFigures() []figure {
	return []figure{
		{name: "faulty rows in alarm, %", of: percent(func(r []scoring.Record) float64 { return 1 - scoring.Confuse(r).MAR() }), published: "75-85", goal: 96, aim: atLeast},
		{name: "normal rows in alarm, %", of: percent(func(r []scoring.Record) float64 { return scoring.Confuse(r).FAR() }), goal: 1, aim: atMost},
		{name: "median delay, samples", of: counted(func(t scoring.Table) float64 { return scoring.Median(t.Delays) }), goal: 12, aim: atMost},
		{name: "faults found, %", of: percent(counted(scoring.Table.Recall))},
		{name: "precision of episodes, %", of: percent(counted(scoring.Table.Precision))},
		{name: "false episodes a month", of: counted(scoring.Table.FalsePerMonth)},
	}
}
