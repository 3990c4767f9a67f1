// Package backtest says what rules would have found on a history with known faults,
// how early, and what that would have cost. It knows machines, spans of time, faults
// and flags; where they came from it must not know. It is the judge of the gate
// before a rule goes live.
package backtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/scoring"
)

// Span is the history of one machine, from its first observation to its last.
type Span struct {
	Machine  string
	From, To time.Time
}

// Fault is one that people have confirmed, or a failure. At is when it was found or
// when the machine failed.
type Fault struct {
	Machine string
	At      time.Time
}

// Flag is one finding of the rules. Closed is zero where it was still open at the end.
type Flag struct {
	Machine        string
	Opened, Closed time.Time
}

// Terms say what counts; all of them are stated before one looks.
type Terms struct {
	Longest  time.Duration // a flag that opens earlier than this before a fault is none of it
	Shortest time.Duration // nor is one that opens later than this before it
	Merge    time.Duration // flags of a machine that are less apart are one visit
	Visit    time.Duration // of a technician, for one flag
	Newer    float64       // share of each machine's span, at its end, that is judged apart: rules are tuned on what is older
}

// Ratio is a number of which there may be none: NaN, null in JSON.
type Ratio float64

// MarshalJSON writes the number, or null.
func (r Ratio) MarshalJSON() ([]byte, error) {
	if v := float64(r); !math.IsNaN(v) {
		return json.Marshal(v)
	}
	return []byte("null"), nil
}

// UnmarshalJSON reads the number, or null.
func (r *Ratio) UnmarshalJSON(b []byte) error {
	v := math.NaN()
	if string(b) != "null" {
		if err := json.Unmarshal(b, &v); err != nil {
			return fmt.Errorf("read a number: %w", err)
		}
	}
	*r = Ratio(v)
	return nil
}

// Share is a part of a whole with its 95 % interval (Wilson 1927); NaN of nothing.
type Share struct {
	Part  int   `json:"part"`
	Whole int   `json:"whole"`
	Value Ratio `json:"value"`
	Low   Ratio `json:"low"`
	High  Ratio `json:"high"`
}

// Report is what rules would have done in some spans. Faults count where they
// happened, flags where they opened.
type Report struct {
	Machines   int      `json:"machines"`
	Days       float64  `json:"machineDays"`
	Faults     int      `json:"faults"`
	Flags      int      `json:"flags"`
	Recall     Share    `json:"recall"`          // faults that were found
	Precision  Share    `json:"precision"`       // flags that found one
	LeadMedian Ratio    `json:"leadMedianHours"` // of all faults, missed ones as 0
	LeadP10    Ratio    `json:"leadP10Hours"`    // nine of ten faults were found earlier
	Per100Days float64  `json:"flagsPer100MachineDays"`
	Hours      float64  `json:"technicianHours"`
	InAlarm    Ratio    `json:"inAlarm"` // share of the time without a fault near
	Clock      Baseline `json:"alarmClock"`
}

// Baseline is what as many flags at equal distances find, by a clock that looks at
// nothing; the mean over where they may begin.
type Baseline struct {
	Recall    Ratio `json:"recall"`
	Precision Ratio `json:"precision"`
}

// Result is a report of the whole history, and of its older and newer part.
type Result struct {
	All   Report `json:"all"`
	Older Report `json:"older"`
	Newer Report `json:"newer"`
}

// Run judges flags against faults. An error names the fault or flag that lies in no
// span, or the terms that cannot be.
func Run(spans []Span, flags []Flag, faults []Fault, terms Terms) (Result, error) {
	if terms.Longest <= terms.Shortest || terms.Shortest < 0 || terms.Newer < 0 || terms.Newer >= 1 {
		return Result{}, fmt.Errorf("a lead counts from %v to %v and the newer part is %v: want 0 <= shortest < longest and a part of 0 to 1", terms.Shortest, terms.Longest, terms.Newer)
	}
	records, err := recordsOf(spans, flags, faults, terms)
	if err != nil {
		return Result{}, err
	}
	var all, older, newer judging
	for _, r := range records {
		cut := r.End - int(terms.Newer*float64(r.End-r.First))
		all.add(r, r.First, r.End)
		older.add(r, r.First, cut)
		newer.add(r, cut, r.End)
	}
	return Result{All: all.report(terms), Older: older.report(terms), Newer: newer.report(terms)}, nil
}

// recordsOf puts each machine's history on a line of seconds.
func recordsOf(spans []Span, flags []Flag, faults []Fault, terms Terms) ([]scoring.Record, error) {
	records, index := make([]scoring.Record, len(spans)), map[string]int{}
	for i, s := range spans {
		if _, twice := index[s.Machine]; twice {
			return nil, fmt.Errorf("two spans of machine %s", s.Machine)
		}
		index[s.Machine] = i
		records[i] = scoring.Record{First: int(s.From.Unix()), End: int(s.To.Unix()) + 1}
		records[i].Hours = float64(records[i].End-records[i].First) / 3_600
	}
	for _, f := range faults {
		i, known := index[f.Machine]
		if !known {
			return nil, fmt.Errorf("fault of machine %s at %s: the history has no such machine", f.Machine, f.At.Format(time.RFC3339))
		}
		at := int(f.At.Unix())
		if at < records[i].First || at-int(terms.Shortest.Seconds()) >= records[i].End {
			return nil, fmt.Errorf("fault of machine %s at %s: its history is from %s to %s", f.Machine, f.At.Format(time.RFC3339), spans[i].From.Format(time.RFC3339), spans[i].To.Format(time.RFC3339))
		}
		records[i].Events = append(records[i].Events, scoring.Event{From: at - int(terms.Longest.Seconds()), To: at - int(terms.Shortest.Seconds()), At: at})
	}
	for _, f := range flags {
		i, known := index[f.Machine]
		if !known {
			return nil, fmt.Errorf("flag of machine %s at %s: the history has no such machine", f.Machine, f.Opened.Format(time.RFC3339))
		}
		e := scoring.Episode{Open: int(f.Opened.Unix()), Close: records[i].End}
		if !f.Closed.IsZero() {
			e.Close = max(int(f.Closed.Unix()), e.Open+1)
		}
		records[i].Episodes = append(records[i].Episodes, e)
	}
	for i := range records {
		r := &records[i]
		slices.SortFunc(r.Events, func(a, b scoring.Event) int { return cmp.Compare(a.At, b.At) })
		slices.SortFunc(r.Episodes, func(a, b scoring.Episode) int { return cmp.Compare(a.Open, b.Open) })
		for k := 1; k < len(r.Events); k++ { // a flag before an earlier fault is of that one
			r.Events[k].From = max(r.Events[k].From, r.Events[k-1].At+1)
		}
		r.Episodes = scoring.Merge(r.Episodes, max(1, int(terms.Merge.Seconds())))
	}
	return records, nil
}

// judging is a part of the history: its faults, with the flags of all of it, and its
// flags, with the faults of all of it. A flag before the cut may find a fault after it.
type judging struct{ faults, flags []scoring.Record }

func (j *judging) add(r scoring.Record, from, to int) {
	own := r
	own.Events = slices.DeleteFunc(slices.Clone(r.Events), func(v scoring.Event) bool { return v.At < from || v.At >= to && to < r.End })
	j.faults = append(j.faults, own)
	r.First, r.End, r.Hours = from, to, float64(to-from)/3_600
	j.flags = append(j.flags, r)
}

func (j *judging) report(terms Terms) Report {
	found, said := scoring.Tabulate(j.faults), scoring.Tabulate(j.flags)
	return Report{
		Machines: len(j.flags), Days: said.Hours / 24, Faults: found.Events, Flags: said.Episodes,
		Recall: shareOf(found.Found, found.Events), Precision: shareOf(said.Episodes-said.False, said.Episodes),
		LeadMedian: Ratio(scoring.Median(found.Leads) / 3_600), LeadP10: Ratio(scoring.Quantile(found.Leads, 0.1) / 3_600),
		Per100Days: float64(said.Episodes) * 100 * 24 / said.Hours, Hours: float64(said.Episodes) * terms.Visit.Hours(), InAlarm: Ratio(said.TimeInAlarm()),
		Clock: Baseline{Recall: mean(scoring.Clocks(j.faults), scoring.Table.Recall), Precision: mean(scoring.Clocks(j.flags), scoring.Table.Precision)},
	}
}

// mean is that of a figure over clocks.
func mean(clocks [][]scoring.Record, figure func(scoring.Table) float64) Ratio {
	sum := 0.0
	for _, c := range clocks {
		sum += figure(scoring.Tabulate(c))
	}
	return Ratio(sum / float64(len(clocks)))
}

// shareOf is a share with its Wilson interval.
func shareOf(part, whole int) Share {
	if whole == 0 {
		none := Ratio(math.NaN())
		return Share{Value: none, Low: none, High: none}
	}
	const z = 1.959964
	n, p := float64(whole), float64(part)/float64(whole)
	middle := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return Share{part, whole, Ratio(p), Ratio(math.Max(0, middle-half)), Ratio(math.Min(1, middle+half))}
}
