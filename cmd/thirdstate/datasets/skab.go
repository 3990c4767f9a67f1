package datasets

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/thirdstate/thirdstate/telemetry/rules/scoring"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

// skabLearn is how many rows of a run the set states to be healthy; all published
// results learn from them and are judged on the rest.
const skabLearn = 400

// skabThermal are the channels that follow the room and not the pump.
var skabThermal = []string{"Temperature", "Thermocouple"} //nolint:gochecknoglobals // never written

// findSKAB finds the runs of the water loop and, by the same signals without labels,
// its healthy run, in which every episode is a false one.
func findSKAB(d *folder) ([]set, error) {
	var runs, healthy []run
	var signals []string
	for _, f := range d.files {
		columns := f.columns(";")
		if !slices.Contains(columns, "anomaly") || !slices.Contains(columns, "changepoint") {
			continue
		}
		truth, err := skabTruth(d, f, slices.Index(columns, "anomaly"))
		if err != nil {
			return nil, err
		}
		runs = append(runs, skabRun(d, f, truth))
		signals = slices.DeleteFunc(columns, func(c string) bool { return c == "anomaly" || c == "changepoint" })
	}
	for _, f := range d.files {
		if len(runs) > 0 && slices.Equal(f.columns(";"), signals) {
			truth, err := skabTruth(d, f, -1)
			if err != nil {
				return nil, err
			}
			healthy = append(healthy, skabRun(d, f, truth))
		}
	}
	if len(runs) == 0 {
		return nil, nil
	}
	sets := []set{{name: fmt.Sprintf("SKAB, %d channels", len(signals)-1), runs: runs, figures: skabFigures(0.82)}}
	if slices.Contains(signals, skabThermal[0]) && slices.Contains(signals, skabThermal[1]) {
		sets = append(sets, set{name: "SKAB, thermal channels explain", runs: explained(runs), figures: skabFigures(0.87)})
	}
	if len(healthy) > 0 {
		sets = append(sets, set{name: "SKAB, healthy run", runs: healthy, figures: []figure{
			{name: "false episodes an hour", of: counted(func(t scoring.Table) float64 { return t.FalsePer(3600) })},
			{name: "time in alarm, %", of: percent(counted(scoring.Table.TimeInAlarm))},
		}})
	}
	return sets, nil
}

func skabRun(d *folder, f file, truth scoring.Record) run {
	return run{
		name: f.path, open: func() (io.ReadCloser, error) { return d.open(f.path) }, truth: only(truth),
		opts: watchfile.Options{Healthy: skabLearn, Ignore: labelsIn(f.columns(";"))},
	}
}

// labelsIn are the label columns that are there; the watcher gets none of them.
func labelsIn(columns []string) []string {
	return slices.DeleteFunc(columns, func(c string) bool { return c != "anomaly" && c != "changepoint" })
}

// explained are the runs with the two thermal channels as context.
func explained(runs []run) []run {
	with := slices.Clone(runs)
	for i := range with {
		with[i].opts.Context = skabThermal
	}
	return with
}

// skabTruth reads the labelled spans; label -1 = there are none.
func skabTruth(d *folder, f file, label int) (scoring.Record, error) {
	var spans spans
	rows := 0
	err := d.lines(f.path, func(n int, line string) error {
		if n == 1 {
			return nil
		}
		rows++
		if label < 0 {
			return nil
		}
		fields := strings.Split(line, ";")
		if label >= len(fields) {
			return fmt.Errorf("%d fields, the label is number %d", len(fields), label+1)
		}
		spans.row(rows, isOne(fields[label]))
		return nil
	})
	return scoring.Record{First: skabLearn + 1, End: rows + 1, Events: spans.events}, err
}

// skabFigures are the set's own: rows in alarm against rows labelled.
func skabFigures(goal float64) []figure {
	of := func(f func(scoring.Confusion) float64) func([]scoring.Record) float64 {
		return func(r []scoring.Record) float64 { return f(scoring.Confuse(r)) }
	}
	return []figure{
		{name: "F1", of: of(scoring.Confusion.F1), published: "0.78", goal: goal, aim: atLeast},
		{name: "FAR, %", of: percent(of(scoring.Confusion.FAR)), published: "13.6", goal: 12, aim: atMost},
		{name: "MAR, %", of: percent(of(scoring.Confusion.MAR)), published: "28.0", goal: 15, aim: atMost},
		{name: "events found, %", of: percent(counted(scoring.Table.Recall))},
		{name: "precision of episodes, %", of: percent(counted(scoring.Table.Precision))},
		{name: "false episodes an hour", of: counted(func(t scoring.Table) float64 { return t.FalsePer(3600) })},
		{name: "median delay, s", of: counted(func(t scoring.Table) float64 { return scoring.Median(t.Delays) })},
	}
}
