package backtest

import (
	"math"
	"strings"
	"testing"
	"time"
)

var begun = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func day(n float64) time.Time { return begun.Add(time.Duration(n * 24 * float64(time.Hour))) }

var terms = Terms{Longest: 20 * 24 * time.Hour, Shortest: 24 * time.Hour, Visit: 3 * time.Hour, Newer: 0.5}

// Two machines of 100 days each, four faults, five flags; the figures are by hand.
func TestRun_CountsAsByHand(t *testing.T) {
	t.Parallel()
	spans := []Span{{"A", day(0), day(100)}, {"B", day(0), day(100)}}
	faults := []Fault{{"A", day(30)}, {"A", day(90)}, {"B", day(40)}, {"B", day(99)}}
	flags := []Flag{
		{"A", day(20), day(31)},     // ten days ahead
		{"A", day(60), day(61)},     // thirty days ahead: false
		{"A", day(84), time.Time{}}, // six days ahead, open at the end
		{"B", day(39.5), day(41)},   // half a day ahead: too late
		{"B", day(95), day(99)},     // four days ahead
	}
	got, err := Run(spans, flags, faults, terms)
	if err != nil {
		t.Fatal(err)
	}
	all := got.All
	if all.Machines != 2 || all.Faults != 4 || all.Flags != 5 || all.Recall.Part != 3 || all.Precision.Part != 3 || math.Abs(all.Days-200) > 0.01 {
		t.Errorf("%+v", all)
	}
	if all.LeadMedian != 5*24 || all.LeadP10 != 0 || math.Abs(all.Per100Days-2.5) > 0.01 || all.Hours != 15 {
		t.Errorf("%+v", all)
	}
	// Wilson of 3 of 4, by its formula: 0.3006 to 0.9544.
	if s := all.Recall; math.Abs(float64(s.Low)-0.3006) > 0.0002 || math.Abs(float64(s.High)-0.9544) > 0.0002 || s.Value != 0.75 {
		t.Errorf("%+v", s)
	}
	if o := got.Older; o.Faults != 2 || o.Recall.Part != 1 || o.Flags != 2 || o.Precision.Part != 1 {
		t.Errorf("older %+v", o)
	}
	if n := got.Newer; n.Faults != 2 || n.Recall.Part != 2 || n.Flags != 3 || n.Precision.Part != 2 || n.LeadP10 != 4*24 {
		t.Errorf("newer %+v", n)
	}
}

// A flag that was open before a fault's window has not found it: whoever is always
// in alarm finds nothing.
func TestRun_AlwaysInAlarmFindsNothing(t *testing.T) {
	t.Parallel()
	got, err := Run([]Span{{"A", day(0), day(100)}}, []Flag{{"A", day(1), time.Time{}}}, []Fault{{"A", day(90)}}, terms)
	if err != nil || got.All.Recall.Part != 0 || got.All.Precision.Part != 0 || got.All.InAlarm < 0.98 {
		t.Errorf("%+v, %v", got.All, err)
	}
}

func TestRun_SaysWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	spans := []Span{{"A", day(0), day(10)}}
	for want, c := range map[string]struct {
		spans  []Span
		faults []Fault
		terms  Terms
	}{
		"fault of machine B":     {spans, []Fault{{"B", day(1)}}, terms},
		"its history is from":    {spans, []Fault{{"A", day(50)}}, terms},
		"two spans of machine A": {append(spans, spans[0]), nil, terms},
		"shortest < longest":     {spans, nil, Terms{Longest: time.Hour, Shortest: time.Hour}},
	} {
		if _, err := Run(c.spans, nil, c.faults, c.terms); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
