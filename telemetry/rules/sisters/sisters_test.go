package sisters

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// of is the point of machines at work that are so far from their normal.
func of(away ...float32) *Point { return lately(nil, away...) }

// lately is the same with machines that rest.
func lately(rest []float32, away ...float32) *Point {
	var c Census
	for _, a := range away {
		c.Add([]Standing{{Subject{"rule", "temp"}, a, false}})
	}
	for _, a := range rest {
		c.Add([]Standing{{Subject{"rule", "temp"}, a, true}})
	}
	cohort := c.Cohort("M", noon)
	if cohort == nil {
		return nil
	}
	return cohort.Find(Subject{"rule", "temp"})
}

func TestCohort_IsTheMiddleAndTheSpreadOfFiveOrMore(t *testing.T) {
	t.Parallel()
	if c := of(1, 2, 3, 4); c != nil {
		t.Errorf("three sisters each: %+v", c)
	}
	for _, order := range [][]float32{{1, 2, 3, 4, 100}, {100, 4, 3, 2, 1}, {3, 100, 1, 4, 2}} {
		if c := of(order...); c.Middle != 3 || math.Abs(c.Spread-1.206*1.4826) > 1e-12 || c.Machines != 5 || c.Ranks.Machines != 5 || c.Ranks.Marks[0] != 1 || c.Ranks.Marks[marks-1] != 100 {
			t.Errorf("%v: %+v", order, c)
		}
	}
	for away, want := range map[float64]float64{0: 0, 1: 0, -2: 25, 3.5: 75, 50: 100, -1000: 100} {
		if got := of(1, 2, 3, 4, 100).Ranks.Percentile(away); got != want {
			t.Errorf("%g away is farther than %g %% of the others, not %g", away, got, want)
		}
	}
}

// One that works by night is ranked with those that worked by day; what machines have in
// common is known of those alone that work at once.
func TestCohort_RanksThoseThatRest(t *testing.T) {
	t.Parallel()
	p := lately([]float32{1, 2, 3, 4}, -100)
	if p.Machines != 0 || p.Ranks.Machines != 5 || p.Ranks.Percentile(-100) != 100 || p.Ranks.Percentile(2.5) != 50 {
		t.Errorf("one at work: %+v", p)
	}
	var place Place
	if place.Take(&p.Crowd, 1, 0); place.At != 0 {
		t.Errorf("nothing is known of those at work: %+v", place)
	}
	if p := lately([]float32{50, 60}, 1, 2, 3, 4, 5); p.Machines != 5 || p.Middle != 3 || p.Ranks.Machines != 7 || p.Ranks.Percentile(5) >= 100 {
		t.Errorf("two rest: %+v", p)
	}
	if p := lately([]float32{1, 2}, 1, 2); p != nil {
		t.Errorf("four in all: %+v", p)
	}
}

func TestCensus_IsBounded(t *testing.T) {
	t.Parallel()
	var c Census
	for m := range 5 * Most {
		var list []Standing
		for s := range 2 * MaxPoints {
			list = append(list, Standing{Subject{strings.Repeat("r", 16), fmt.Sprintf("%0190d", s)}, float32(m), m%2 == 0})
		}
		c.Add(list)
	}
	c.Add(nil)
	cohort := c.Cohort("M", noon)
	b, err := cohort.Encode()
	if len(cohort.Points) != MaxPoints || cohort.Points[0].Machines != Most || cohort.Points[0].Ranks.Machines != 2*Most || !c.Full() || err != nil || len(b) >= MaxBytes {
		t.Errorf("%d points of %d machines, %d bytes: %v", len(cohort.Points), cohort.Points[0].Machines, len(b), err)
	}
}

func TestCohort_IsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	var c Census
	for i := range 9 {
		c.Add([]Standing{{Subject{"b", "温度"}, float32(i) / 3, i > 6}, {Subject{"a", "x"}, float32(math.Pi) * float32(i), i > 3}})
	}
	cohort := c.Cohort("M", noon)
	b, err := cohort.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(b)
	if err != nil || !reflect.DeepEqual(again, cohort) {
		t.Errorf("%+v\nnot\n%+v: %v", again, cohort, err)
	}
	for _, p := range cohort.Points {
		place := Place{At: noon.UnixNano(), Away: -7.25, Crowd: p.Crowd}
		if got, err := ReadPlace(place.Append(nil)); err != nil || got != place {
			t.Errorf("%+v, not %+v: %v", got, place, err)
		}
	}
	if _, err := ReadPlace(nil); err == nil {
		t.Error("nothing is a place")
	}
	for _, p := range cohort.Points {
		rank := Rank{At: noon.UnixNano(), Away: 7.25, Ranks: p.Ranks}
		if got, err := ReadRank(rank.Append(nil)); err != nil || got != rank {
			t.Errorf("%+v, not %+v: %v", got, rank, err)
		}
	}
	if _, err := ReadRank(nil); err == nil {
		t.Error("nothing is a rank")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"of":"M","at":"2026-06-01T12:00:00Z","points":[{"rule":"a","signal":"b","machines":5,"middle":1,"spread":2,"ranks":{"machines":6,"marks":[0,1,2,3,4,5,6,7,8]}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b)
		if err != nil {
			return
		}
		if !slices.IsSortedFunc(c.Points, func(a, b Point) int { return a.Compare(b.Subject) }) {
			t.Error("not in order")
		}
		text, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Decode(text); err != nil || !bytes.Equal(text, func() []byte { b, _ := again.Encode(); return b }()) {
			t.Errorf("%s: %v", text, err)
		}
	})
}
