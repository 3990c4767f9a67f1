package rules

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/statistics"
	"github.com/thirdstate/thirdstate/telemetry/rules/watcher"
)

// watching: several signals away from their own normal at once, or one that is unlike
// all its past. It says which signals the watcher sees, when, and what explains them.
type watching struct {
	*watcher.Watcher
	rule     *Rule
	context  []int
	regime   []bound
	byNumber []int16 // number -> channel, or one of the two below
	scratch  [statistics.MaxContext]float64
	found    []int // numbers of signals that are new in this row
}

// troubleCodes are signals that say themselves that something is wrong: there is
// nothing to learn about them.
const troubleCodes = "dtc."

const (
	notSeen    int16 = -1
	notWatched int16 = -2
)

func newWatching(r *Rule, numbers Numbers) Evaluator {
	w := &watching{rule: r, regime: bounds(r, numbers)}
	for _, name := range r.Context[:min(len(r.Context), statistics.MaxContext)] {
		w.context = append(w.context, numbers(name))
	}
	w.Watcher = watcher.New(watcher.Settings{Contexts: len(w.context), Stated: r.Learn, Smooth: r.Smooth.Rows})
	return w
}

func (w *watching) Observe(row *Row) Judgement {
	if !within(row, w.regime) {
		w.Pause()
		return Judgement{State: Outside}
	}
	x := w.scratch[:len(w.context)]
	for i, n := range w.context {
		if x[i] = row.Held(n); x[i] != x[i] {
			return Judgement{}
		}
	}
	w.meet(row)
	w.Begin(row.at, x)
	for _, n := range row.set {
		if i := w.byNumber[n]; i >= 0 && row.now[n] == row.now[n] {
			w.See(int(i), row.now[n], row.Flagged(int(n)))
		}
	}
	switch said := w.End(); {
	case !said.Known:
		return Judgement{}
	case said.Accepted:
		return Judgement{State: Calm, Nearness: said.Nearness, Why: Accepted}
	case said.Trouble:
		return Judgement{State: Trouble, Nearness: said.Nearness, Noted: said.Noted}
	default:
		return Judgement{State: Calm, Nearness: said.Nearness}
	}
}

// meet makes channels for the signals that this row brings first. They are made in
// alphabetical order, so that it does not matter in which order a message has them.
func (w *watching) meet(row *Row) {
	for len(w.byNumber) < len(row.names) {
		w.byNumber = append(w.byNumber, notSeen)
	}
	w.found = w.found[:0]
	for _, n := range row.set {
		if w.byNumber[n] == notSeen {
			w.found = append(w.found, int(n))
		}
	}
	if len(w.found) == 0 {
		return
	}
	slices.SortFunc(w.found, func(a, b int) int { return strings.Compare(row.names[a], row.names[b]) })
	for _, n := range w.found {
		if w.byNumber[n] = notWatched; w.watches(row.names[n], row.roles[n]) && !slices.Contains(w.context, n) {
			w.byNumber[n] = int16(w.Channel(row.names[n])) //nolint:gosec // below maxSignals
		}
	}
}

// watches says whether a signal is looked at.
func (w *watching) watches(name string, role Role) bool {
	switch {
	case w.rule.ID == WatcherID || w.rule.ID == UnmappedID:
		return role == "" && !strings.HasPrefix(name, troubleCodes)
	case len(w.rule.Signals) > 0:
		return slices.Contains(w.rule.Signals, name)
	}
	return role == Condition
}

func (w *watching) Tick(time.Time, bool) Judgement { return Judgement{} }

func (w *watching) forget() { w.Forget() }

func (w *watching) Evidence(e *Evidence) {
	said := w.Watcher.Evidence()
	e.RegimeRows = int(said.Rows)
	if said.Since != 0 {
		e.Since = unix(said.Since)
	}
	for _, c := range said.Causes {
		cause := Cause{Signal: c.Signal, Share: c.Share, Away: c.Away}
		if c.Since != 0 {
			cause.Since = unix(c.Since)
		}
		e.Causes = append(e.Causes, cause)
	}
	if said.Signal == "" {
		return
	}
	e.Signal, e.Observed, e.Normal, e.Deviation = said.Signal, said.Observed, said.Normal, said.Deviation
	e.Limit, e.Sigma, e.Low, e.High = said.Limit, said.Sigma, said.Normal-said.Limit, said.Normal+said.Limit
	if u := said.Unless; u != nil {
		e.Unless = &Unless{said.Signal, u.Below, u.Value}
	}
	if l := said.Line; l != nil {
		e.Model = &Model{Level: l.Level}
		for i, slope := range l.Slope {
			e.Model.Terms = append(e.Model.Terms, Term{Signal: w.rule.Context[i], Mean: l.Mean[i], Slope: slope})
		}
	}
}

// toward is how far the signals have moved the way of a confirmed finding.
func (w *watching) toward(e Evidence) (float64, bool, bool) {
	sum, weight := 0.0, 0.0
	for _, c := range e.Causes {
		away, known := w.Away(c.Signal)
		if !known || c.Share <= 0 {
			continue
		}
		side := c.Away
		if c.Signal == e.Signal {
			side = e.Deviation
		}
		if side == 0 { // evidence of before sides were told
			continue
		}
		sum += c.Share * math.Copysign(1, side) * away
		weight += c.Share
	}
	if weight > 0 {
		return sum / weight, true, true
	}
	away, known := w.Away(e.Signal)
	return math.Copysign(1, e.Deviation) * away, true, known
}

func (w *watching) Restore(version int, b []byte) error {
	w.byNumber = nil
	return w.Watcher.Restore(version, b)
}
