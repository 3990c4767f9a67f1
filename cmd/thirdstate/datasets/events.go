package datasets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/scoring"
)

// What counts as an announced failure, in hours, and how signs are learnt, stated beforehand.
const (
	eventWindow = 24
	eventLeast  = 1
	eventRecall = 0.8
	maxEvents   = 5_000_000
)

// findEvents finds logs of codes beside one of failures. The signs are learnt on the older
// half of the time that the log of codes covers; the newer half is judged.
func findEvents(d *folder) ([]set, error) {
	var sets []set
	for _, codes := range d.files {
		if !slices.Equal(codes.columns(","), []string{"datetime", "machineID", "errorID"}) {
			continue
		}
		folder, _, _ := strings.Cut(codes.path, codes.name())
		i := slices.IndexFunc(d.files, func(f file) bool {
			return strings.HasPrefix(f.path, folder) && slices.Equal(f.columns(","), []string{"datetime", "machineID", "failure"})
		})
		if i < 0 {
			return nil, fmt.Errorf("%s: no table with the columns datetime, machineID and failure lies beside it", codes.path)
		}
		for _, plain := range []bool{false, true} {
			name := "event log"
			if plain {
				name += ", without the hour of the day"
			}
			sets = append(sets, set{name: name, figures: eventFigures(), at: codes.path, judge: func(ctx context.Context) ([]scoring.Record, error) {
				return judgeEvents(ctx, d, codes, d.files[i], plain)
			}})
		}
	}
	return sets, nil
}

func eventFigures() []figure {
	return []figure{
		{name: "failures announced 24 h to 1 h ahead, %", of: percent(counted(scoring.Table.Recall)), goal: 70, aim: atLeast},
		{name: "precision of episodes, %", of: percent(counted(scoring.Table.Precision)), goal: 80, aim: atLeast},
		{name: "lead, median, h", of: counted(func(t scoring.Table) float64 { return scoring.Median(t.Leads) })},
		{name: "false episodes a month", of: counted(scoring.Table.FalsePerMonth)},
		{name: "time in alarm outside, %", of: percent(counted(scoring.Table.TimeInAlarm))},
	}
}

// events reads a table of time, machine and word.
func (d *folder) events(name string) ([]rules.CodeSeen, error) {
	var out []rules.CodeSeen
	err := d.lines(name, func(n int, line string) error {
		if n == 1 {
			return nil
		}
		fields := strings.Split(strings.TrimSpace(line), ",")
		if len(fields) != 3 {
			return errors.New("is not a time, a machine and a word")
		}
		at, err := time.Parse(time.DateTime, fields[0])
		switch {
		case err != nil:
			return fmt.Errorf("%q is no time", fields[0])
		case len(out) == maxEvents:
			return fmt.Errorf("more than %d events", maxEvents)
		}
		out = append(out, rules.CodeSeen{Machine: fields[1], At: at, Code: "dtc." + fields[2]})
		return nil
	})
	slices.SortStableFunc(out, func(a, b rules.CodeSeen) int { return a.At.Compare(b.At) })
	return out, err
}

// judgeEvents learns on the older half and judges the rule that came of it on the newer.
func judgeEvents(ctx context.Context, d *folder, codeFile, failureFile file, plain bool) ([]scoring.Record, error) {
	codes, err := d.events(codeFile.path)
	if err != nil {
		return nil, err
	}
	failed, err := d.events(failureFile.path)
	if err != nil {
		return nil, err
	}
	if len(codes) < 2 || len(failed) == 0 {
		return nil, fmt.Errorf("%s: has no events to learn from", codeFile.path)
	}
	first, last := codes[0].At, codes[len(codes)-1].At
	half := first.Add(last.Sub(first) / 2).Truncate(time.Hour)
	pack, err := learnPack(codes, failed, half, plain)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", codeFile.path, err)
	}
	truth := eventTruth(codes, failed, half, last)
	var records []scoring.Record
	for _, machine := range slices.Sorted(maps.Keys(truth)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r := truth[machine]
		r.Episodes = announce(machine, pack, codes, half, last)
		records = append(records, r)
	}
	return records, nil
}

// learnPack is a pack with the one rule that is learnt from what came before an instant.
func learnPack(codes, failed []rules.CodeSeen, until time.Time, plain bool) (*rules.Pack, error) {
	older := func(e rules.CodeSeen) bool { return !e.At.Before(until) }
	codes = slices.DeleteFunc(slices.Clone(codes), older)
	var failures []rules.Failed
	for _, f := range slices.DeleteFunc(slices.Clone(failed), older) {
		failures = append(failures, rules.Failed{Machine: f.Machine, At: f.At})
	}
	how := rules.Learning{
		Window: eventWindow * time.Hour, Horizon: eventWindow * time.Hour, Least: eventLeast * time.Hour, Recall: eventRecall, AnyHour: plain,
	}
	learnt := rules.Learn(codes, failures, how)
	if len(learnt.Signs) == 0 {
		return nil, errors.New("no code announces a failure in the older half")
	}
	text := "model: learnt\nsignals: {}\nrules:\n" + learnt.Rule("announced", how)
	return rules.Parse("learnt", []byte(text))
}

// eventTruth is what happened to each machine in the judged time; rows are its hours.
func eventTruth(codes, failed []rules.CodeSeen, half, last time.Time) map[string]scoring.Record {
	end := hoursSince(half, last) + 1
	truth := map[string]scoring.Record{}
	for _, c := range codes {
		truth[c.Machine] = scoring.Record{First: 1, End: end, Hours: float64(end - 1)}
	}
	for _, f := range failed {
		r, known := truth[f.Machine]
		at := hoursSince(half, f.At)
		if !known || at-eventWindow < 1 || at >= end || slices.ContainsFunc(r.Events, func(v scoring.Event) bool { return v.At == at }) {
			continue
		}
		r.Events = append(r.Events, scoring.Event{From: at - eventWindow, To: at - eventLeast, At: at})
		truth[f.Machine] = r
	}
	return truth
}

func hoursSince(from, at time.Time) int { return int(at.Sub(from)/time.Hour) + 1 }

// announce runs the rules of the product over one machine's codes and gives the rule's
// episodes. A code of a log is an instant: it is gone a minute later.
func announce(machine string, pack *rules.Pack, codes []rules.CodeSeen, half, last time.Time) []scoring.Episode {
	m := rules.New(machine, pack)
	var episodes []scoring.Episode
	note := func(found []rules.Finding) {
		for _, f := range found {
			switch {
			case f.Rule != "announced" || f.At.Before(half):
			case f.Change == rules.Opened:
				episodes = append(episodes, scoring.Episode{Open: hoursSince(half, f.At), Close: hoursSince(half, last) + 1})
			case f.Change == rules.Closed && len(episodes) > 0:
				episodes[len(episodes)-1].Close = hoursSince(half, f.At)
			}
		}
	}
	var now time.Time
	for len(codes) > 0 {
		at := codes[0].At
		on, off := observation.Observation{Machine: machine, At: at}, observation.Observation{Machine: machine, At: at.Add(time.Minute)}
		for ; len(codes) > 0 && codes[0].At.Equal(at); codes = codes[1:] {
			if codes[0].Machine == machine {
				on.Values = append(on.Values, observation.Value{Signal: codes[0].Code, Value: 1})
				off.Values = append(off.Values, observation.Value{Signal: codes[0].Code})
			}
		}
		if len(on.Values) == 0 {
			continue
		}
		for hour := now.Truncate(time.Hour).Add(time.Hour); !now.IsZero() && hour.Before(at); hour = hour.Add(time.Hour) {
			note(m.Tick(hour, false))
		}
		now = at
		note(m.Observe(on))
		note(m.Observe(off))
	}
	note(m.Tick(now.Add(time.Hour), false))
	return scoring.Merge(episodes, 0)
}
