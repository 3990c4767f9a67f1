package datasets

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/scoring"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

// What counts as an early warning of a FEMTO bearing, in rows of ten seconds.
const (
	femtoLongest = 2 * 360 // two hours
	femtoLeast   = 60      // ten minutes
	femtoGap     = 30
)

// findFEMTO finds bearings that ran to failure; a table's last row is the end of life.
func findFEMTO(d *folder) ([]set, error) {
	var runs []run
	for _, f := range d.files {
		if !strings.HasPrefix(f.head, "idx,hh,mm,ss,h_rms,") {
			continue
		}
		lines, err := d.rows(f.path)
		if err != nil {
			return nil, err
		}
		truth := failing(lines-1, femtoLongest, femtoLeast)
		truth.Hours = float64(lines-1) / 360
		runs = append(runs, run{
			name: f.path, open: func() (io.ReadCloser, error) { return d.open(f.path) }, truth: only(truth),
			opts: watchfile.Options{Time: "none", Every: 10 * time.Second, Ignore: []string{"idx", "hh", "mm", "ss"}},
		})
	}
	if len(runs) == 0 {
		return nil, nil
	}
	return []set{{name: "FEMTO", runs: runs, gap: femtoGap, warns: true, figures: []figure{
		{name: "bearings warned 2 h to 10 min ahead, %", of: percent(counted(scoring.Table.Recall)), goal: 80, aim: atLeast},
		{name: "lead, median, min", of: counted(func(t scoring.Table) float64 { return scoring.Median(t.Leads) / 6 })},
		{name: "precision of episodes, %", of: percent(counted(scoring.Table.Precision))},
		{name: "false episodes a month", of: counted(scoring.Table.FalsePerMonth)},
		{name: "time in alarm > 2 h ahead, %", of: percent(counted(scoring.Table.TimeInAlarm))},
	}}}, nil
}

// What counts as an early warning of an IMS bearing, in rows of ten minutes.
const (
	imsLongest = 120 * 6
	imsLeast   = 32 * 6
	imsGap     = 36
)

// imsFailed are the bearings that had failed when a test was ended (Lee 2007).
var imsFailed = map[string][]string{"test1": {"3", "4"}, "test2": {"1"}, "test3": {"3"}} //nolint:gochecknoglobals // never written

// findIMS finds shafts with four bearings, of which each is a machine of its own.
func findIMS(d *folder) ([]set, error) {
	var sets []set
	for _, f := range d.files {
		columns := f.columns(",")
		if len(columns) != 6 || columns[1] != "Datetime" || columns[2] != "Bearing 1" || imsFailed[f.name()] == nil {
			continue
		}
		lines, err := d.rows(f.path)
		if err != nil {
			return nil, err
		}
		var runs []run
		for _, bearing := range columns[2:] {
			truth := scoring.Record{First: 1, End: lines}
			if slices.Contains(imsFailed[f.name()], strings.TrimPrefix(bearing, "Bearing ")) {
				truth = failing(lines-1, imsLongest, imsLeast)
			}
			truth.Hours = float64(lines-1) / 6
			runs = append(runs, run{
				name: f.path, open: func() (io.ReadCloser, error) { return d.open(f.path) }, truth: only(truth),
				opts: watchfile.Options{Signals: []string{bearing}},
			})
		}
		sets = append(sets, set{name: "IMS " + f.name(), runs: runs, gap: imsGap, warns: true, figures: imsFigures()})
	}
	return sets, nil
}

func imsFigures() []figure {
	return []figure{
		{name: "failed bearings warned 120 to 32 h ahead, %", of: percent(counted(scoring.Table.Recall)), goal: 100, aim: atLeast},
		{name: "a failed bearing opens first, %", of: percent(failedFirst), goal: 100, aim: atLeast},
		{name: "lead, median, h", of: counted(func(t scoring.Table) float64 { return scoring.Median(t.Leads) / 6 }), goal: 32, aim: atLeast},
		{name: "precision of episodes, %", of: percent(counted(scoring.Table.Precision))},
		{name: "false episodes a month", of: counted(scoring.Table.FalsePerMonth)},
		{name: "time in alarm outside, %", of: percent(counted(scoring.Table.TimeInAlarm))},
	}
}

// failedFirst is 1 where no healthy machine's episode opens before that of one that fails.
func failedFirst(records []scoring.Record) float64 {
	failed, healthy := records[0].End, records[0].End
	for _, r := range records {
		for _, e := range r.Episodes {
			if len(r.Events) > 0 {
				failed = min(failed, e.Open)
			} else {
				healthy = min(healthy, e.Open)
			}
		}
	}
	if failed < healthy {
		return 1
	}
	return 0
}
