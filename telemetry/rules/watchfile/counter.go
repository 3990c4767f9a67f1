package watchfile

import "github.com/thirdstate/thirdstate/telemetry/observation"

// counter follows a column that counts up evenly and may begin again: the mark of
// several machines one below the other in one file.
type counter struct {
	first, last, step float64
	rows, again       int
	none              bool
}

func (c *counter) add(v float64) {
	switch {
	case c.none:
		return
	case c.rows == 0:
		c.first = v
	case c.rows == 1:
		c.step = v - c.last
		c.none = !(c.step > 0)
	case v == c.last+c.step:
	case v == c.first && c.last >= c.first+leastRuns*c.step:
		c.again++
	default:
		c.none = true
	}
	c.last = v
	c.rows++
}

// leastRuns is how far a counter must have come before it begins again.
const leastRuns = 10

// keyColumns is how many columns are looked at: what numbers rows stands in front.
const keyColumns = 8

// count follows the first columns of a table that is taken for one machine's.
func (r *run) count(values []observation.Value) {
	if r.opts.Group != "" || r.table.timed || len(r.machines) > 1 {
		return
	}
	if r.counters == nil {
		r.counters = make([]counter, min(len(values), keyColumns))
	}
	for i := range r.counters {
		if i >= len(values) {
			r.counters[i].none = true
			continue
		}
		r.counters[i].add(values[i].Value)
	}
}

// several says that a file may hold several machines, where it looks so.
func (r *run) several() (notes []string) {
	for i, c := range r.counters {
		if !c.none && c.again > 0 && len(r.summary.Signals) > i {
			notes = append(notes, r.table.fault(1, "column %s counts up and begins again %d times: are these %d machines one below the other? --group names their column",
				r.summary.Signals[i], c.again, c.again+1).Error())
			break
		}
	}
	return notes
}
