package scoring

import (
	"math"
	"slices"
	"testing"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-5 {
		t.Errorf("%s = %.6f, want %.6f", what, got, want)
	}
}

func TestMerge_AnAlarmThatComesBackIsTheSame(t *testing.T) {
	t.Parallel()
	got := Merge([]Episode{{1, 5}, {8, 9}, {13, 20}}, 4)
	if want := []Episode{{1, 9}, {13, 20}}; !slices.Equal(got, want) {
		t.Errorf("merged %v, want %v", got, want)
	}
}

// Two engines: A fails at row 99 and is warned of 39 rows before; B fails at row 59
// and its only alarm, at row 57, comes too late for any use. A has a false alarm too.
func engines() []Record {
	return []Record{
		{First: 0, End: 100, Hours: 1000, Events: []Event{{49, 89, 99}}, Episodes: []Episode{{10, 14}, {60, 100}}},
		{First: 0, End: 60, Hours: 461, Events: []Event{{9, 49, 59}}, Episodes: []Episode{{57, 60}}},
	}
}

func TestTabulate_ByHand(t *testing.T) {
	t.Parallel()
	table := Tabulate(engines())
	near(t, "recall", table.Recall(), 0.5)
	near(t, "precision", table.Precision(), 1.0/3)
	near(t, "false per 80 rows", table.FalsePer(80), 1)  // two in 160
	near(t, "false per month", table.FalsePerMonth(), 1) // two in two months
	near(t, "time in alarm", table.TimeInAlarm(), 4.0/58)
	near(t, "F1", table.F1(), 2*0.5/3/(0.5+1.0/3))
	near(t, "early", float64(table.Early), 1)
	if want := []int{39, 0}; !slices.Equal(table.Leads, want) {
		t.Errorf("leads %v, want %v", table.Leads, want)
	}
	if want := []int{11, 48}; !slices.Equal(table.Delays, want) {
		t.Errorf("delays %v, want %v", table.Delays, want)
	}
}

func TestTabulate_AnAlarmFromBeforeFindsNothing(t *testing.T) {
	t.Parallel()
	table := Tabulate([]Record{{First: 0, End: 100, Events: []Event{{50, 89, 99}}, Episodes: []Episode{{49, 100}}}})
	near(t, "recall", table.Recall(), 0)
	near(t, "precision", table.Precision(), 0)
	near(t, "delay", float64(table.Delays[0]), 0)
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	values := []int{50, 10, 40, 20, 30, 60}
	near(t, "p10", Quantile(values, 0.1), 10)
	near(t, "p50", Quantile(values, 0.5), 30)
	near(t, "median", Median(values), 35)
}

// Ten judged rows, 4 to 7 faulty, alarm in 6 to 8; the alarm in the learnt rows does not count.
func TestConfuse_ByHand(t *testing.T) {
	t.Parallel()
	c := Confuse([]Record{{First: 2, End: 12, Events: []Event{{4, 7, 7}}, Episodes: []Episode{{0, 2}, {6, 9}}}})
	if want := (Confusion{TP: 2, FP: 1, FN: 2, TN: 5}); c != want {
		t.Fatalf("counted %+v, want %+v", c, want)
	}
	near(t, "F1", c.F1(), 4.0/7)
	near(t, "FAR", c.FAR(), 1.0/6)
	near(t, "MAR", c.MAR(), 0.5)
}

func TestConfuse_AlwaysInAlarm(t *testing.T) {
	t.Parallel()
	c := Confuse(Always([]Record{{First: 0, End: 10, Events: []Event{{4, 7, 7}}}}))
	near(t, "F1", c.F1(), 8.0/14)
	near(t, "FAR", c.FAR(), 1)
	near(t, "MAR", c.MAR(), 0)
}

func TestClocks_RingAsOftenAsTheDetector(t *testing.T) {
	t.Parallel()
	for _, clock := range Clocks(engines()) {
		n := 0
		for i, r := range clock {
			for _, e := range r.Episodes {
				if e.Open < r.First || e.Close > r.End {
					t.Errorf("episode %v is outside of machine %d", e, i)
				}
			}
			n += len(r.Episodes)
		}
		if n != 3 {
			t.Errorf("rings %d times, the detector 3 times", n)
		}
	}
	first := clock(engines(), 0.5) // every 160/3 rows from 26.7, 15 rows long
	if want := []Episode{{26, 41}, {80, 95}}; !slices.Equal(first[0].Episodes, want) {
		t.Errorf("rings at %v, want %v", first[0].Episodes, want)
	}
	if want := []Episode{{33, 48}}; !slices.Equal(first[1].Episodes, want) {
		t.Errorf("rings at %v, want %v", first[1].Episodes, want)
	}
}

func file(detections ...int) []Record {
	r := Record{First: 15, End: 100, Events: []Event{{50, 59, 59}}}
	for _, d := range detections {
		r.Episodes = append(r.Episodes, Episode{d, d + 1})
	}
	return []Record{r}
}

func TestNAB_NullAndPerfectDetector(t *testing.T) {
	t.Parallel()
	for _, p := range []Profile{Standard, LowFP, LowFN} {
		near(t, "null", NAB(file(), p), 0)
		near(t, "perfect", NAB(file(50), p), 100)
		near(t, "in probation", NAB(file(3), p), 0)
		near(t, "second detection in a window", NAB(file(50, 55), p), 100)
	}
}

// The sigmoid at -0.5 is 2/(1+e^-2.5)-1 = 0.8482836, at -1 it is 0.9866143; one window
// wide apart (9 rows) it is -0.986614, three and more -1.
func TestNAB_SigmoidByHand(t *testing.T) {
	t.Parallel()
	near(t, "middle of the window", NAB(file(55), Standard), 100*(0.8482836/0.9866143+1)/2)
	near(t, "false before any window", NAB(file(20), Standard), 100*-0.11/2)
	near(t, "false just behind", NAB(file(68), Standard), 100*0.11*-0.986614/2)
	near(t, "false far behind", NAB(file(90), LowFP), 100*-0.22/2)
	near(t, "missed counts double", NAB(append(file(50), file()...), LowFN), 50)
	near(t, "found and false", NAB(file(20, 50), LowFN), 100*(1-0.11+2)/3)
}

func TestProbation(t *testing.T) {
	t.Parallel()
	if Probation(4032) != 604 || Probation(22695) != 750 {
		t.Errorf("probation %d and %d, want 604 and 750", Probation(4032), Probation(22695))
	}
}

// Of two attacks of four rows one is seen after a row and to its end, one not at all;
// two of the 12 other rows are in alarm: (3/4+0)/2/2 + (3/8 + 10/12)/2/2.
func TestBATADAL_ByHand(t *testing.T) {
	t.Parallel()
	r := []Record{{First: 0, End: 20, Events: []Event{{4, 7, 7}, {12, 15, 15}}, Episodes: []Episode{{0, 1}, {5, 9}}}}
	near(t, "S", BATADAL(r), 0.75/4+(0.375+10.0/12)/4)
	near(t, "S of always", BATADAL(Always(r)), 0.75)
}

func TestNamed_CountsRootsAmongTheFirstCauses(t *testing.T) {
	t.Parallel()
	records := []Record{{Named: 1}, {Named: 3}, {Named: 4}, {}}
	if first, three := Named(records, 1), Named(records, 3); first != 0.25 || three != 0.5 {
		t.Errorf("%v first and %v in three, want 1 and 2 of 4", first, three)
	}
	if clock := Named(Always(records), 3); clock != 0 {
		t.Errorf("what sees no signal names %v", clock)
	}
}
