package watchfile

import (
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
)

// compare tells the machines of the file how they stood to one another at the last point
// of the grid, when a row is the first behind it. Machines whose rows follow one another
// in the file, each with all of its life, were never there at the same time: one that
// rests has been to its end, and is not what others are ranked with.
func (r *run) compare(at time.Time) error {
	before := r.clock
	if r.clock = max(before, at.UnixNano()); len(r.order) < sisters.Least || !sisters.Due(before, r.clock) {
		return nil
	}
	point := at.Truncate(sisters.Step)
	var census sisters.Census
	for _, m := range r.order {
		r.stands = slices.DeleteFunc(m.rules.Standings(point, r.stands[:0]), func(s sisters.Standing) bool { return s.Rests })
		if census.Add(r.stands); census.Full() {
			break
		}
	}
	cohort := census.Cohort("file", point)
	if cohort == nil {
		return nil
	}
	for _, m := range r.order {
		if m.recorder != nil {
			m.recorder.Beside(m.rules, cohort, point)
		}
		if err := r.take(m, m.rules.Beside(cohort, point), false); err != nil {
			return err
		}
	}
	return nil
}
