package datasets

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/thirdstate/thirdstate/telemetry/rules/scoring"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

const (
	batadalLabel = "ATT_FLAG"
	batadalGap   = 6 // hours
)

// findBATADAL finds the hourly tables of the water network: the first one by name is
// the year without attacks from which the competition let everyone learn.
func findBATADAL(d *folder) ([]set, error) {
	var tables []file
	for _, f := range d.files {
		if columns := f.columns(","); slices.Contains(columns, batadalLabel) && slices.Contains(columns, "DATETIME") {
			tables = append(tables, f)
		}
	}
	if len(tables) < 2 {
		return nil, nil
	}
	lines, err := d.rows(tables[0].path)
	if err != nil {
		return nil, err
	}
	var runs []run
	for _, f := range tables[1:] {
		r, err := batadalRun(d, tables[0], lines-1, f)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return []set{{name: "BATADAL", runs: runs, gap: batadalGap, figures: batadalFigures()}}, nil
}

func batadalRun(d *folder, normal file, learn int, f file) (run, error) {
	label := slices.Index(f.columns(","), batadalLabel)
	if !slices.Equal(normal.columns(","), f.columns(",")) {
		return run{}, fmt.Errorf("%s: has other columns than %s", f.path, normal.path)
	}
	var spans spans
	row := learn
	err := d.lines(f.path, func(n int, line string) error {
		fields := strings.Split(line, ",")
		switch {
		case n == 1:
			return nil
		case label >= len(fields):
			return fmt.Errorf("%d fields, the label is number %d", len(fields), label+1)
		}
		row++
		spans.row(row, isOne(fields[label]))
		return nil
	})
	first := func() (io.ReadCloser, error) { return d.open(normal.path) }
	return run{
		name: f.path, open: following(d, first, f.path, true),
		truth: only(scoring.Record{First: learn + 1, End: row + 1, Hours: float64(row - learn), Events: spans.events}),
		opts:  watchfile.Options{Healthy: learn, Ignore: []string{batadalLabel}},
	}, err
}

func batadalFigures() []figure {
	return []figure{
		{name: "attacks found, %", of: percent(counted(scoring.Table.Recall)), goal: 100, aim: atLeast},
		{name: "false episodes a month", of: counted(scoring.Table.FalsePerMonth), goal: 0.2, aim: atMost},
		{name: "S", of: scoring.BATADAL, published: "0.970", goal: 0.9, aim: atLeast},
		{name: "precision of episodes, %", of: percent(counted(scoring.Table.Precision))},
		{name: "median delay, h", of: counted(func(t scoring.Table) float64 { return scoring.Median(t.Delays) })},
		{name: "time in alarm outside, %", of: percent(counted(scoring.Table.TimeInAlarm))},
	}
}
