package datasets

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/thirdstate/thirdstate/telemetry/rules/scoring"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

// What counts as an early warning of an engine's failure, in flights, stated beforehand.
const (
	cmapssColumns = 26 // unit, cycle, three settings, 21 sensors
	cmapssLongest = 150
	cmapssLeast   = 20
	cmapssGap     = 10
	maxEngines    = 10_000
)

// findCMAPSS finds fleets of engines that ran to failure; those that end before it
// (test_...) have no event to be early for.
func findCMAPSS(d *folder) ([]set, error) {
	var sets []set
	for _, f := range d.files {
		if !strings.HasPrefix(f.name(), "train") || !numbers(f.head, cmapssColumns) {
			continue
		}
		truth, err := cmapssTruth(d, f)
		if err != nil {
			return nil, err
		}
		fleet := strings.TrimPrefix(f.name(), "train_")
		sets = append(sets, set{name: "C-MAPSS " + fleet, gap: cmapssGap, warns: true, figures: cmapssFigures(fleet), runs: []run{{
			name: f.path, open: func() (io.ReadCloser, error) { return d.open(f.path) }, truth: truth,
			opts: watchfile.Options{Time: "none", Group: "1", Ignore: []string{"2"}, Context: []string{"3", "4", "5"}},
		}}})
	}
	return sets, nil
}

// numbers says whether a line is so many numbers with blanks between them.
func numbers(line string, n int) bool {
	fields := strings.Fields(line)
	for _, text := range fields {
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return false
		}
	}
	return len(fields) == n
}

// cmapssTruth: an engine's last flight is its failure.
func cmapssTruth(d *folder, f file) (map[string]scoring.Record, error) {
	flights := map[string]int{}
	err := d.lines(f.path, func(_ int, line string) error {
		if !numbers(line, cmapssColumns) {
			return fmt.Errorf("is not %d numbers", cmapssColumns)
		}
		flights[strings.Fields(line)[0]]++
		if len(flights) > maxEngines {
			return fmt.Errorf("more than %d engines", maxEngines)
		}
		return nil
	})
	truth := map[string]scoring.Record{}
	for unit, last := range flights {
		truth[unit] = failing(last, cmapssLongest, cmapssLeast)
	}
	return truth, err
}

// failing is the truth of a machine that fails in its last row.
func failing(last, longest, least int) scoring.Record {
	event := scoring.Event{From: max(1, last-longest), To: last - least, At: last}
	return scoring.Record{First: 1, End: last + 1, Events: []scoring.Event{event}}
}

func cmapssFigures(fleet string) []figure {
	early := figure{name: "episodes opened > 150 flights ahead, %", of: percent(counted(early)), aim: noGoal}
	switch fleet {
	case "FD001", "FD002":
		early.goal, early.aim = 2, atMost
	case "FD003", "FD004":
		early.goal, early.aim = 8, atMost
	}
	return []figure{
		{name: "engines warned 150 to 20 flights ahead, %", of: percent(counted(scoring.Table.Recall)), goal: 100, aim: atLeast},
		{name: "lead, median, flights", of: counted(func(t scoring.Table) float64 { return scoring.Median(t.Leads) })},
		{name: "lead, 10th percentile, flights", of: counted(func(t scoring.Table) float64 { return scoring.Quantile(t.Leads, 0.1) }), goal: 50, aim: atLeast},
		early,
		{name: "precision of episodes, %", of: percent(counted(scoring.Table.Precision))},
		{name: "false episodes in 100 flights", of: counted(func(t scoring.Table) float64 { return t.FalsePer(100) })},
		{name: "time in alarm > 150 flights ahead, %", of: percent(counted(scoring.Table.TimeInAlarm))},
	}
}

// early is the share of episodes that opened before anything could be known.
func early(t scoring.Table) float64 {
	if t.Episodes == 0 {
		return 0
	}
	return float64(t.Early) / float64(t.Episodes)
}
