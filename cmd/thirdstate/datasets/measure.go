package datasets

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/scoring"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

// Line is one figure of the table.
type Line struct {
	Set, Figure string
	Watcher     float64
	Clock       float64 // of the alarm clock
	Always      float64 // of what is always in alarm
	Published   string  // "" = none of the same kind
	Goal        float64
	aim         aim
}

// Short is how far the watcher falls short of the goal, 0 where it reaches it.
func (l Line) Short() float64 {
	switch l.aim {
	case atLeast:
		return max(0, l.Goal-l.Watcher)
	case atMost:
		return max(0, l.Watcher-l.Goal)
	case noGoal:
	}
	return 0
}

// Result is the table, which families were not in the folder, and which folders in
// it hold tables of which none was measured.
type Result struct {
	Lines   []Line
	Lives   []Line // of remaining life: Clock is the mean life less the age, Always a constant
	Missing []string
	Unknown []string
}

// Measure runs the default watcher over what it knows in a folder. An error is one
// line with the name of the file.
func Measure(ctx context.Context, fsys fs.FS) (Result, error) {
	d, err := look(fsys)
	if err != nil {
		return Result{}, err
	}
	var result Result
	known := map[string]bool{}
	for _, f := range families() {
		sets, err := f.find(d)
		if err != nil {
			return Result{}, fmt.Errorf("%s: %w", f.name, err)
		}
		if len(sets) == 0 {
			result.Missing = append(result.Missing, f.name+" ("+f.layout+")")
		}
		for _, s := range sets {
			known[path.Dir(s.at)] = known[path.Dir(s.at)] || s.at != ""
			for _, r := range s.runs {
				known[path.Dir(r.name)] = true
			}
			lines, err := s.measure(ctx)
			if err != nil {
				return Result{}, fmt.Errorf("%s: %w", s.name, err)
			}
			result.Lines = append(result.Lines, lines...)
		}
	}
	lives, small, err := measureLives(ctx, d)
	if err != nil {
		return Result{}, err
	}
	result.Lives, result.Missing = lives, append(result.Missing, small...)
	for _, f := range d.files {
		if dir := path.Dir(f.path); !known[dir] {
			known[dir] = true
			result.Unknown = append(result.Unknown, dir)
		}
	}
	return result, nil
}

func (s set) measure(ctx context.Context) ([]Line, error) {
	var records []scoring.Record
	if s.judge != nil {
		judged, err := s.judge(ctx)
		if err != nil {
			return nil, err
		}
		records = judged
	}
	for _, r := range s.runs {
		watched, err := r.watch(ctx, s.gap, s.warns)
		if err != nil {
			return nil, err
		}
		records = append(records, watched...)
	}
	clocks, always := scoring.Clocks(records), scoring.Always(records)
	var lines []Line
	for _, f := range s.figures {
		clock := 0.0
		for _, c := range clocks {
			clock += f.of(c) / float64(len(clocks))
		}
		lines = append(lines, Line{
			Set: s.name, Figure: f.name, Watcher: f.of(records), Clock: clock, Always: f.of(always),
			Published: f.published, Goal: f.goal, aim: f.aim,
		})
	}
	return lines, nil
}

// watch gives a run's machines, in the order of their names, with what the watcher
// said of them.
func (r run) watch(ctx context.Context, gap int, warns bool) ([]scoring.Record, error) {
	text, err := r.open()
	if err != nil {
		return nil, err
	}
	defer text.Close()
	opts := r.opts
	opts.Format = watchfile.Table // rows are not written, and the table of episodes goes nowhere
	summary, err := watchfile.Run(ctx, text, r.name, opts, io.Discard)
	if err != nil {
		return nil, err
	}
	said := map[string][]scoring.Episode{}
	for _, e := range summary.Episodes {
		opened := e.Opened
		if warns {
			opened = e.Warned
		}
		if opened == 0 {
			continue
		}
		end := r.truth[e.Machine].End
		if e.Closed != 0 {
			end = r.back(e.Machine, e.Closed)
		}
		said[e.Machine] = append(said[e.Machine], scoring.Episode{Open: r.back(e.Machine, opened), Close: end})
	}
	var records []scoring.Record
	for _, machine := range slices.Sorted(maps.Keys(r.truth)) {
		record := r.truth[machine]
		record.Episodes = scoring.Merge(said[machine], gap)
		record.Named = r.named(record, summary.Episodes)
		records = append(records, record)
	}
	return records, nil
}

// named is at which place the first episode that finds the event names its root.
func (r run) named(record scoring.Record, said []watchfile.Episode) int {
	if r.roots == nil {
		return 0
	}
	for _, e := range said {
		if row := r.back(e.Machine, e.Opened); row < record.Events[0].From || row > record.Events[0].To {
			continue
		}
		return 1 + slices.IndexFunc(e.Evidence.Causes, func(c rules.Cause) bool { return slices.Contains(r.roots, c.Signal) })
	}
	return 0
}
