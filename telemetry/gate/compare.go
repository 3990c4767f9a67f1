package gate

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
)

// comparedFor is how far back machines are compared with one another: what is kept of
// them for that is bounded by it (35 days of 200 machines with 20 signals each: 54 MB).
const comparedFor = 35 * 24 * time.Hour

// comparison is how machines stood to one another while their histories passed. No
// distance from a machine's own normal depends on it, so that one pass over all of them
// before the one that judges gives what the live engine would have said.
type comparison struct {
	from    time.Time
	census  map[int64]*sisters.Census // of one kind, by point of the grid, Unix ns
	stands  []sisters.Standing
	cohorts map[string][]*sisters.Cohort // by kind
}

// compares says whether what machines have in common can move a flag of the subject.
func (s Subject) compares() bool {
	return slices.ContainsFunc(s.rules(), func(r *rules.Rule) bool { return r.Kind == "sisters" || r.Kind == "watcher" })
}

// compare works out how machines stood to one another at each point of the grid.
func (r *replay) compare(ctx context.Context, list []Machine, until time.Time) error {
	if len(list) < sisters.Least || !r.subject.compares() {
		return nil
	}
	c := &r.sisters
	c.from, c.cohorts = until.Add(-comparedFor), map[string][]*sisters.Cohort{}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Machine) int {
		return cmp.Or(cmp.Compare(r.subject.kind(a), r.subject.kind(b)), cmp.Compare(a.Key, b.Key))
	})
	for len(list) > 0 {
		kind := r.subject.kind(list[0])
		n := slices.IndexFunc(list, func(m Machine) bool { return r.subject.kind(m) != kind })
		if n < 0 {
			n = len(list)
		}
		if kind != "" && n >= sisters.Least {
			if err := r.gather(ctx, kind, list[:n], until); err != nil {
				return err
			}
		}
		list = list[n:]
	}
	c.census, r.seen, r.took = nil, 0, 0
	return nil
}

// gather works it out for the machines of one kind.
func (r *replay) gather(ctx context.Context, kind string, list []Machine, until time.Time) error {
	c := &r.sisters
	c.census = map[int64]*sisters.Census{}
	for _, m := range list {
		if err := r.muster(ctx, m, until); err != nil {
			return err
		}
	}
	for _, point := range slices.Sorted(maps.Keys(c.census)) {
		if cohort := c.census[point].Cohort(kind, time.Unix(0, point).UTC()); cohort != nil {
			c.cohorts[kind] = append(c.cohorts[kind], cohort)
		}
	}
	return nil
}

// muster notes where one machine stood.
func (r *replay) muster(ctx context.Context, m Machine, until time.Time) error {
	one, point := rules.New(m.Key, r.subject.Pack), time.Time{}
	err := r.read(ctx, m, until, func(list []observation.Observation) error {
		for _, o := range list {
			o.Machine = m.Key
			if first := o.At.Truncate(sisters.Step); point.IsZero() {
				point = later(first, r.sisters.from.Truncate(sisters.Step)).Add(sisters.Step)
			}
			for ; point.Before(o.At); point = point.Add(sisters.Step) {
				r.sisters.note(one, point)
			}
			one.Observe(o)
		}
		return nil
	})
	for err == nil && !point.IsZero() && !point.After(until) && r.sisters.note(one, point) {
		point = point.Add(sisters.Step)
	}
	return err
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// note says whether the machine still stands anywhere.
func (c *comparison) note(m *rules.Machine, point time.Time) bool {
	m.Beside(&sisters.Cohort{At: point}, point) // nothing, at that time
	if c.stands = m.Standings(point, c.stands[:0]); len(c.stands) == 0 {
		return false
	}
	at := point.UnixNano()
	if c.census[at] == nil {
		c.census[at] = &sisters.Census{}
	}
	c.census[at].Add(c.stands)
	return true
}

// beside tells a machine what it would have been told before an instant: with the tick
// after the point.
func (c *course) beside(before time.Time) error {
	for ; c.told < len(c.cohorts); c.told++ {
		cohort := c.cohorts[c.told]
		at := cohort.At.Add(detection.TickEvery)
		if !at.Before(before) {
			return nil
		}
		if err := c.take(c.rules.Beside(cohort, at)); err != nil {
			return err
		}
	}
	return nil
}
