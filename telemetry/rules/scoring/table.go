package scoring

import (
	"math"
	"slices"
)

// Table is the event table of some machines.
type Table struct {
	Events   int
	Found    int     // events in whose window an episode opened
	Leads    []int   // of each event, rows from the first such opening; missed = 0
	Delays   []int   // of each event, rows from its begin to the first row in alarm; missed = its length
	Episodes int     // that opened in the judged rows
	False    int     // of them, in no event's window
	Early    int     // of the false ones, before the window of the next event
	Rows     int     // judged
	Hours    float64 // observed
	Outside  int     // of them, in no event and not between a window and its failure
	Alarmed  int     // of those outside, in alarm
}

// Tabulate counts events and episodes over all records.
func Tabulate(records []Record) Table {
	var t Table
	for _, r := range records {
		t.add(r)
	}
	return t
}

func (t *Table) add(r Record) {
	t.Rows += r.End - r.First
	t.Hours += r.Hours
	t.Outside += r.End - r.First
	for _, v := range r.Events {
		t.Outside -= overlap(r.First, r.End, v.From, v.At+1)
		t.event(r, v)
	}
	for _, e := range r.Episodes {
		t.Alarmed += overlap(r.First, r.End, e.Open, e.Close)
		for _, v := range r.Events {
			t.Alarmed -= overlap(max(r.First, v.From), min(r.End, v.At+1), e.Open, e.Close)
		}
		if e.Open < r.First || e.Open >= r.End {
			continue
		}
		t.Episodes++
		if !slices.ContainsFunc(r.Events, func(v Event) bool { return v.finds(e) }) {
			t.False++
			if slices.ContainsFunc(r.Events, func(v Event) bool { return e.Open < v.From }) {
				t.Early++
			}
		}
	}
}

func (v Event) finds(e Episode) bool { return e.Open >= v.From && e.Open <= v.To }

func (t *Table) event(r Record, v Event) {
	t.Events++
	lead, delay := 0, v.At-v.From+1
	for _, e := range slices.Backward(r.Episodes) {
		if v.finds(e) && e.Open >= r.First {
			lead = v.At - e.Open
		}
		if overlap(v.From, v.At+1, e.Open, e.Close) > 0 {
			delay = max(0, e.Open-v.From)
		}
	}
	if slices.ContainsFunc(r.Episodes, func(e Episode) bool { return v.finds(e) && e.Open >= r.First }) {
		t.Found++
	}
	t.Leads = append(t.Leads, lead)
	t.Delays = append(t.Delays, delay)
}

// Recall is the share of events that were found.
func (t Table) Recall() float64 { return share(t.Found, t.Events) }

// Precision is the share of episodes that found an event; of none it is 0.
func (t Table) Precision() float64 {
	if t.Episodes == 0 {
		return 0
	}
	return share(t.Episodes-t.False, t.Episodes)
}

// FalsePer is the number of false episodes in so many rows.
func (t Table) FalsePer(rows float64) float64 { return float64(t.False) * rows / float64(t.Rows) }

// F1 is the harmonic mean of recall and precision, of events and episodes.
func (t Table) F1() float64 {
	r, p := t.Recall(), t.Precision()
	if r+p == 0 {
		return 0
	}
	return 2 * r * p / (r + p)
}

// hoursPerMonth is those of a year, by twelve.
const hoursPerMonth = 730.5

// FalsePerMonth is the number of false episodes in a machine-month of observation.
func (t Table) FalsePerMonth() float64 { return float64(t.False) * hoursPerMonth / t.Hours }

// TimeInAlarm is the share of the rows outside all events that were in alarm.
func (t Table) TimeInAlarm() float64 { return share(t.Alarmed, t.Outside) }

// Quantile is the nearest-rank q-quantile, NaN of nothing.
func Quantile(values []int, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return float64(sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)])
}

// Median is the mean of the two in the middle where their number is even, NaN of nothing.
func Median(values []int) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return float64(sorted[(n-1)/2]+sorted[n/2]) / 2
}

func share(part, whole int) float64 { return float64(part) / float64(whole) }
