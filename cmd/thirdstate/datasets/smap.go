package datasets

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/thirdstate/thirdstate/telemetry/rules/scoring"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

const smapGap = 50 // rows

// findSMAP finds channels of telemetry that labeled_anomalies.csv names, each with a
// part to learn from and a part to be judged on. The commands beside the value are
// left out: they are more than a rule can take as context.
func findSMAP(d *folder) ([]set, error) {
	var runs []run
	for _, f := range d.files {
		if f.name() != "labeled_anomalies" || !strings.HasPrefix(f.head, "chan_id,spacecraft,anomaly_sequences") {
			continue
		}
		ranges, err := smapRanges(d, f)
		if err != nil {
			return nil, err
		}
		for _, test := range d.files {
			channel, tested := strings.CutSuffix(test.name(), "_test")
			train := slices.IndexFunc(d.files, func(t file) bool {
				return t.name() == channel+"_train" && path.Dir(t.path) == path.Dir(f.path)
			})
			if !tested || train < 0 || path.Dir(test.path) != path.Dir(f.path) || ranges[channel] == nil || test.columns(",")[0] != "value" {
				continue
			}
			r, err := smapRun(d, d.files[train], test, ranges[channel])
			if err != nil {
				return nil, err
			}
			runs = append(runs, r)
		}
	}
	if len(runs) == 0 {
		return nil, nil
	}
	return []set{{name: fmt.Sprintf("SMAP-like, %d channels", len(runs)), runs: runs, gap: smapGap, figures: []figure{
		{name: "event F1", of: counted(scoring.Table.F1), published: "0.84", goal: 0.75, aim: atLeast},
		{name: "events found, %", of: percent(counted(scoring.Table.Recall))},
		{name: "precision of episodes, %", of: percent(counted(scoring.Table.Precision))},
		{name: "false episodes in 10,000 rows", of: counted(func(t scoring.Table) float64 { return t.FalsePer(10_000) })},
		{name: "time in alarm outside, %", of: percent(counted(scoring.Table.TimeInAlarm))},
	}}}, nil
}

// smapRanges are the labelled ranges of each channel, in order; rows from 0, ends included.
func smapRanges(d *folder, f file) (map[string][][2]int, error) {
	r, err := d.open(f.path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	table := csv.NewReader(io.LimitReader(r, maxLabel))
	ranges := map[string][][2]int{}
	for n := 0; ; n++ {
		fields, err := table.Read()
		switch {
		case errors.Is(err, io.EOF):
			return ranges, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", f.path, err)
		case n == 0 || len(fields) < 3:
			continue
		}
		var spans [][2]int
		if err := json.Unmarshal([]byte(fields[2]), &spans); err != nil {
			return nil, fmt.Errorf("%s: ranges of %s: %w", f.path, fields[0], err)
		}
		ranges[fields[0]] = append(ranges[fields[0]], spans...)
		slices.SortFunc(ranges[fields[0]], func(a, b [2]int) int { return a[0] - b[0] })
	}
}

func smapRun(d *folder, train, test file, ranges [][2]int) (run, error) {
	learn, err := d.rows(train.path)
	if err != nil {
		return run{}, err
	}
	rows, err := d.rows(test.path)
	if err != nil {
		return run{}, err
	}
	learn, rows = learn-1, rows-1
	truth := scoring.Record{First: learn + 1, End: learn + rows + 1}
	for _, span := range ranges {
		from, to := learn+1+max(0, span[0]), learn+1+min(span[1], rows-1)
		if n := len(truth.Events); n > 0 && from <= truth.Events[n-1].To {
			truth.Events[n-1].To, truth.Events[n-1].At = max(to, truth.Events[n-1].To), max(to, truth.Events[n-1].To)
			continue
		}
		truth.Events = append(truth.Events, scoring.Event{From: from, To: to, At: to})
	}
	first := func() (io.ReadCloser, error) { return d.open(train.path) }
	return run{
		name: test.path, open: following(d, first, test.path, true), truth: only(truth),
		opts: watchfile.Options{Time: "none", Healthy: learn, Signals: []string{"value"}},
	}, nil
}
