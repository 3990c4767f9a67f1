package maintenance

import (
	"slices"
	"time"
)

// WaitNames lists the waits of a case in the order of its way.
var WaitNames = []string{"detect", "triage", "customer", "engineer", "parts", "travel", "machine", "wrench", "verify", "callback"}

// course is the way of one case as it was recorded.
type course struct {
	onset, opened, end time.Time
	moves              []step // by time
	visits             []visit
}

// step is a change of a case's state; waitingFor is of a move to waiting.
type step struct {
	at         time.Time
	to         CaseState
	waitingFor string
}

// visit is an engineer's way to the machine and his time there. A zero time has
// not come.
type visit struct {
	enRoute, onSite, end time.Time
	waited               time.Duration // for the machine, from the arrival on
}

// waits gives each second between onset and end to exactly one wait: the time is
// cut at every recorded moment, and each piece is judged by its first instant. So
// the waits add up to the whole, whatever was recorded.
func (c course) waits() (total time.Duration, waits map[string]time.Duration) {
	c = c.inSeconds()
	cuts := c.cuts()
	waits = make(map[string]time.Duration, len(WaitNames))
	for i := 1; i < len(cuts); i++ {
		waits[c.waitAt(cuts[i-1])] += cuts[i].Sub(cuts[i-1])
	}
	return c.end.Sub(c.onset), waits
}

// loop is the way up to a come-back, or from one on.
type loop struct {
	length time.Duration
	waits  map[string]time.Duration
}

// loops cuts the way at each come-back; together they are the whole.
func (c course) loops() []loop {
	c = c.inSeconds()
	backs := map[time.Time]bool{}
	for i, m := range c.moves {
		if i > 0 && comeBack(c.moves[i-1].to, m.to) {
			backs[m.at] = true
		}
	}
	all := []loop{{waits: map[string]time.Duration{}}}
	cuts := c.cuts()
	for i := 1; i < len(cuts); i++ {
		if backs[cuts[i-1]] {
			all = append(all, loop{waits: map[string]time.Duration{}})
		}
		last := &all[len(all)-1]
		length := cuts[i].Sub(cuts[i-1])
		last.length += length
		last.waits[c.waitAt(cuts[i-1])] += length
	}
	return all
}

// inSeconds drops parts of a second and mends an onset after the opening or an
// end before it.
func (c course) inSeconds() course {
	whole := func(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
	s := course{onset: whole(c.onset), opened: whole(c.opened), end: whole(c.end)}
	if s.opened.Before(s.onset) {
		s.onset = s.opened
	}
	if s.end.Before(s.opened) {
		s.end = s.opened
	}
	for _, m := range c.moves {
		s.moves = append(s.moves, step{whole(m.at), m.to, m.waitingFor})
	}
	for _, v := range c.visits {
		if v.end.IsZero() {
			v.end = c.end
		}
		s.visits = append(s.visits, visit{whole(v.enRoute), whole(v.onSite), whole(v.end), v.waited.Truncate(time.Second)})
	}
	return s
}

// cuts are all recorded moments from onset to end, in order, each once.
func (c course) cuts() []time.Time {
	cuts := []time.Time{c.onset, c.opened, c.end}
	for _, m := range c.moves {
		cuts = append(cuts, m.at)
	}
	for _, v := range c.visits {
		cuts = append(cuts, v.enRoute, v.onSite, v.onSite.Add(v.waited), v.end)
	}
	cuts = slices.DeleteFunc(cuts, func(t time.Time) bool { return t.Before(c.onset) || t.After(c.end) })
	slices.SortFunc(cuts, time.Time.Compare)
	return slices.Compact(cuts)
}

// waitAt names what the case waited for at an instant.
func (c course) waitAt(t time.Time) string {
	if t.Before(c.opened) {
		return "detect"
	}
	state, waitingFor := c.stateAt(t)
	switch state {
	case Verifying:
		return "verify"
	case AwaitingCallback, Satisfied, Closed:
		return "callback"
	}
	if w := c.visitAt(t); w != "" {
		return w
	}
	switch state {
	case Informed, Deferred:
		return "customer"
	case Waiting:
		return waitedFor(waitingFor)
	case RemoteGuidance: // the work is done, by phone
		return "wrench"
	case Planned, InWork:
		return "engineer"
	}
	return "triage"
}

func (c course) stateAt(t time.Time) (state CaseState, waitingFor string) {
	state = Open
	for _, m := range c.moves {
		if m.at.After(t) {
			break
		}
		state, waitingFor = m.to, m.waitingFor
	}
	return state, waitingFor
}

// waitedFor names a wait by its reason: a site, a season and a payment are the
// customer's.
func waitedFor(reason string) string {
	if reason == "parts" {
		return "parts"
	}
	return "customer"
}

func (c course) visitAt(t time.Time) string {
	under := ""
	for _, v := range c.visits {
		switch {
		case !t.Before(v.end):
		case !v.onSite.IsZero() && !t.Before(v.onSite):
			if t.Before(v.onSite.Add(v.waited)) {
				return "machine"
			}
			return "wrench"
		case !v.enRoute.IsZero() && !t.Before(v.enRoute):
			under = "travel"
		}
	}
	return under
}

// quantile interpolates between the values around it; the values are sorted.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}
