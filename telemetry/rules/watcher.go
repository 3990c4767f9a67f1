package rules

import (
	"math"
	"slices"
	"strings"
	"time"
)

// How a watcher decides; see README.md for where the figures come from. They are
// one set for every machine.
const (
	watcherSmooth   = 12   // elements, when the rule does not say
	strainAlone     = 13.0 // strain that is trouble with no signal at all
	strainPerSignal = 0.35 // and more for each one watched
	leastEffect     = 1.5  // sigma of one signal: being significant is not being a fault
	troubleRows     = 3    // in a row
	calmRows        = 20   // in a row, below half of the limit
	struckStrain    = 6.0  // a channel has departed
	maxCauses       = 8
)

// watcher: several signals away from their own normal at once. It needs no
// settings: each signal learns its own run-in, and what the channels' control
// statistics are surprised by is added up.
type watcher struct {
	rule     *Rule
	context  []int
	channels []channel
	byNumber []int16 // number -> channel, or one of the two below
	lambda   float64
	learn    Span
	clock    smoothing
	passed   float64 // hours in the regime, for a run-in by time
	rows     int64
	regime   []bound

	strain  float64
	limit   float64
	effect  float64
	trouble int
	calm    int
	alarmed bool
	lead    int // channel that departed first, while alarmed
	onset   int64
	scratch [maxContext]float64
	found   []int // numbers of channels that are new in this row
}

// troubleCodes are signals that say themselves that something is wrong: there is
// nothing to learn about them.
const troubleCodes = "dtc."

const (
	notSeen    int16 = -1
	notWatched int16 = -2
)

func newWatcher(r *Rule, numbers Numbers) Evaluator {
	w := &watcher{rule: r, learn: r.Learn, lambda: 2.0 / (watcherSmooth + 1), regime: bounds(r, numbers), lead: -1}
	for _, name := range r.Context[:min(len(r.Context), maxContext)] {
		w.context = append(w.context, numbers(name))
	}
	if r.Smooth.Rows > 0 {
		w.lambda = 2 / float64(r.Smooth.Rows+1)
	}
	return w
}

func (w *watcher) Observe(row *Row) Judgement {
	if !within(row, w.regime) {
		w.clock.paused = true
		return Judgement{State: Outside}
	}
	x := w.scratch[:len(w.context)]
	for i, n := range w.context {
		if x[i] = row.Held(n); x[i] != x[i] {
			return Judgement{}
		}
	}
	w.meet(row)
	w.rows++
	w.passed += time.Duration(w.clock.step(row.at)).Hours()
	must := w.over()
	moved := false
	for _, n := range row.set {
		if i := w.byNumber[n]; i >= 0 && row.now[n] == row.now[n] {
			moved = w.step(&w.channels[i], row, int(n), x, must) || moved
		}
	}
	if !moved {
		return Judgement{}
	}
	return w.judge(row.at)
}

// over says whether a run-in of stated length has passed.
func (w *watcher) over() bool {
	switch {
	case w.learn.Rows > 0:
		return w.rows >= int64(w.learn.Rows)
	case w.learn.For > 0:
		return w.passed >= w.learn.For.Hours()
	}
	return false
}

// meet makes channels for the signals that this row brings first. They are made in
// alphabetical order, so that it does not matter in which order a message has them.
func (w *watcher) meet(row *Row) {
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
		w.byNumber[n] = w.channel(row.names[n], row.roles[n], n)
	}
}

// channel finds (after a restore) or makes the channel of a signal.
func (w *watcher) channel(name string, role Role, number int) int16 {
	for i := range w.channels {
		if w.channels[i].name == name {
			return int16(i) //nolint:gosec // below maxSignals
		}
	}
	watched := role == Condition
	switch {
	case w.rule.ID == WatcherID || w.rule.ID == UnmappedID:
		watched = role == "" && !strings.HasPrefix(name, troubleCodes)
	case len(w.rule.Signals) > 0:
		watched = slices.Contains(w.rule.Signals, name)
	}
	if !watched || slices.Contains(w.context, number) {
		return notWatched
	}
	c := channel{name: name, size: 1}
	c.fit.k = len(w.context)
	w.channels = append(w.channels, c)
	return int16(len(w.channels) - 1) //nolint:gosec // below maxSignals
}

// step shows one value to its channel and says whether its statistic has moved.
func (w *watcher) step(c *channel, row *Row, number int, x []float64, must bool) bool {
	if c.state == counting || c.state == learningRunIn && row.Flagged(number) || !c.element(row.now[number], x) {
		return false
	}
	if c.state == learningRunIn {
		c.keep()
		if n := len(c.kept) / (c.fit.k + 1); must || w.learn == (Span{}) && n%4 == 0 {
			c.settle(w.lambda, must)
		}
		return false
	}
	if !c.fit.knows(c.sum[1 : c.fit.k+1]) {
		return false
	}
	c.follow(w.lambda)
	switch {
	case c.strain < 1:
		c.onset, c.struck = row.at, 0
	case c.strain >= struckStrain && c.struck == 0:
		c.struck = row.at
	}
	return true
}

// judge adds up what surprises.
func (w *watcher) judge(at int64) Judgement {
	w.strain, w.limit, w.effect = 0, strainAlone, 0
	for i := range w.channels {
		c := &w.channels[i]
		if c.state != watching {
			continue
		}
		w.strain += c.strain
		w.limit += strainPerSignal
		if c.strain > 0.5 {
			w.effect = math.Max(w.effect, math.Abs(c.smooth))
		}
	}
	if w.strain < w.limit/4 {
		w.onset = at
	}
	w.count()
	near := w.strain / w.limit
	if w.effect < leastEffect {
		near = math.Min(near, 0.9)
	}
	switch {
	case w.trouble >= troubleRows:
		if !w.alarmed {
			w.alarmed, w.lead = true, w.first()
		}
		return Judgement{State: Trouble, Nearness: near}
	case w.calm >= calmRows:
		w.alarmed, w.lead = false, -1
		return Judgement{State: Calm, Nearness: near}
	}
	return Judgement{State: Doubt, Nearness: near}
}

// count lengthens the present run of trouble or of calm.
func (w *watcher) count() {
	w.trouble, w.calm = min(w.trouble+1, troubleRows), min(w.calm+1, calmRows)
	if w.strain <= w.limit || w.effect < leastEffect {
		w.trouble = 0
	}
	if w.strain >= w.limit/2 {
		w.calm = 0
	}
}

func (w *watcher) Tick(time.Time, bool) Judgement { return Judgement{} }

// forget drops the smoothed state after a repair; the baselines stay.
func (w *watcher) forget() {
	for i := range w.channels {
		c := &w.channels[i]
		c.smooth, c.away, c.strain, c.struck, c.filled = 0, 0, 0, 0, 0
	}
	w.trouble, w.calm, w.alarmed, w.lead, w.strain = 0, 0, false, -1, 0
}

// learning says whether no signal has a baseline yet.
func (w *watcher) learning() bool {
	for i := range w.channels {
		if w.channels[i].state == watching {
			return false
		}
	}
	return true
}
