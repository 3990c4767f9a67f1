package intake

import (
	"fmt"
	"testing"

	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// A fleet in stretches of 250 ms: rules that evaluate 7,500 records in each, machines
// that say something now and then, and others that bring all they have.
func TestShare_LiveMachinesStayLive(t *testing.T) {
	t.Parallel()
	const capacity, live, late, hoard = 7_500, 200, 200, 1_440
	var s share
	var at, last intakelog.LSN
	left := map[string]int{}
	for i := range late {
		left[fmt.Sprint("late", i)] = hoard
	}
	worst, stretches := 0, 0
	for len(left) > 0 && stretches < 1_000 {
		stretches++
		s.look(at, last)
		for i := range live {
			for range 2 {
				if s.held.Load() && !s.takes(fmt.Sprint("live", i)) {
					t.Fatalf("a live machine is held in stretch %d", stretches)
				}
				last++
			}
		}
		for topic, n := range left {
			for n > 0 && left[topic]-n < 75 && (!s.held.Load() || s.takes(topic)) { // as fast as its line is
				n--
				last++
			}
			if left[topic] = n; n == 0 {
				delete(left, topic)
			}
		}
		at = min(at+capacity, last)
		worst = max(worst, int(last-at))
	}
	if seconds := float64(worst) / capacity / 4; seconds > 5 {
		t.Errorf("the rules are %.1f s behind", seconds)
	}
	if least := (late*hoard + stretches*2*live) / capacity; stretches > least*5/4 {
		t.Errorf("%d stretches for what takes %d at least", stretches, least)
	}
}

// Rules that wait for a database hold nobody: the log is there to take it all.
func TestShare_StillRulesHoldNobody(t *testing.T) {
	t.Parallel()
	var s share
	s.look(0, 0)
	s.look(1_000, 1_000)
	s.look(2_000, 2_000)
	if s.held.Load() {
		t.Fatal("held though nothing waits")
	}
	s.look(3_000, 100_000)
	if !s.held.Load() {
		t.Fatal("not held though the rules are far behind")
	}
	for range shareStill + 1 {
		s.look(3_000, 200_000)
	}
	if s.held.Load() {
		t.Error("held though the rules do not move")
	}
}
