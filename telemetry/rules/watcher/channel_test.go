package watcher

import (
	"math"
	"testing"
)

// What few rows have shown surprises less than what many have, and never more than what is known.
func TestChannel_SurprisesLessWhereItHasLearntLittle(t *testing.T) {
	t.Parallel()
	for _, away := range []float64{0.5, 1, 3, 8} {
		last := 0.0
		for _, worth := range []float64{5, 18, 45, 1000, 0} { // 0 = known
			c := channel{spread: 0.1, smooth: away, worth: worth}
			if got := c.surprise(); got <= last {
				t.Errorf("%v sigma by %v elements surprises by %v, by fewer by %v", away, worth, got, last)
			} else {
				last = got
			}
		}
		if known := away * away / 0.1 / 2; math.Abs(last-known) > 1e-9 {
			t.Errorf("%v sigma surprises by %v, want %v", away, last, known)
		}
	}
}

// A machine with few rows that are stated to be healthy has groups too: half of them are
// for the groups to learn.
func TestWatcher_GroupsWithinWhatIsStated(t *testing.T) {
	t.Parallel()
	for rows, want := range map[int]int64{0: 201, 100: 51, 400: 201, 5000: 201} {
		s := Settings{}
		s.Stated.Rows = rows
		if got := New(s).gathersAt(); got != want {
			t.Errorf("of %d stated rows the groups are made at %d, want %d", rows, got, want)
		}
	}
}
