package rules

import (
	"math"
	"slices"
	"strings"
	"time"
)

// How a watcher decides; see docs/detection.md for where the figures come from. They are
// one set for every machine.
const (
	watcherSmooth = 12   // elements, when the rule does not say
	strainBase    = 11.0 // strain that is trouble, and times the root of the signals:
	strainSpread  = 1.5  // so grows what a sum of them strays by itself
	leastEffect   = 1.5  // sigma of one signal: being significant is not being a fault

	troubleRows  = 3   // in a row
	calmRows     = 20  // in a row, below half of the limit
	struckStrain = 6.0 // a channel has departed
	maxCauses    = 8
)

// watcher: several signals away from their own normal at once, or one that is unlike
// all its past. It needs no settings: each signal learns its own run-in, and what the
// channels' control statistics are surprised by is added up.
type watcher struct {
	rule     *Rule
	context  []int
	channels []channel
	groups   []*group
	byNumber []int16 // number -> channel, or one of the two below
	lambda   float64
	learn    Span
	clock    smoothing
	passed   float64 // hours in the regime, for a run-in by time
	rows     int64
	learnt   int64 // rows of them that the run-in took
	regime   []bound

	strain    float64
	limit     float64
	effect    float64
	trouble   int
	calm      int
	alarmed   bool
	lead      int // channel that departed first, while alarmed
	onset     int64
	departure departure
	novel     novel
	scratch   [maxContext]float64
	found     []int // numbers of channels that are new in this row
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
	if w.rows++; w.rows == longestRunIn+1 {
		w.gather()
	}
	w.passed += time.Duration(w.clock.step(row.at)).Hours()
	stated := w.learn != (Span{}) && !w.over()
	if stated {
		w.learnt = w.rows
	}
	moved := false
	w.novel.begin()
	for _, n := range row.set {
		if i := w.byNumber[n]; i >= 0 && row.now[n] == row.now[n] {
			w.look(int(i), row, int(n), x)
			moved = w.step(&w.channels[i], row, int(n), x) || moved
		}
	}
	if w.novel.end(len(w.channels), stated) {
		w.tell(row, x)
	}
	j := Judgement{}
	switch {
	case moved:
		j.Why = w.judge(row.at, stated)
	case !w.novel.looked:
		return j
	}
	w.verdict(&j)
	return j
}

// look shows one value, apart from what the contexts explain, to the channel's past.
func (w *watcher) look(i int, row *Row, number int, x []float64) {
	c := &w.channels[i]
	if row.Flagged(number) || c.state == counting || len(x) > 0 && c.state != watching {
		return
	}
	explained, ok := c.explained(x)
	if !ok {
		return
	}
	if c.group != nil {
		c.group.take(c.seat, math.Max(-farthest, math.Min(farthest, (row.now[number]-explained-c.level)/c.sigma)))
	}
	if c.past == nil {
		c.past = &novelty{}
	}
	if surprise := c.past.step(row.now[number]-explained, row.at, len(w.channels) > 1); c.past.n > noveltyLeast {
		w.novel.add(i, surprise/(1+noveltyYoung/float64(c.past.n)))
	}
}

// tell notes what a signal was when it surprised.
func (w *watcher) tell(row *Row, x []float64) {
	v := &w.novel
	c := &w.channels[v.signal]
	for _, n := range row.set {
		if int(w.byNumber[n]) == v.signal {
			v.lead, v.observed = v.signal, row.now[n]
		}
	}
	explained, _ := c.explained(x)
	v.away, v.sigma = v.observed-explained-c.past.level(), math.Sqrt(c.past.ever)
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
func (w *watcher) step(c *channel, row *Row, number int, x []float64) bool {
	if c.state == counting || c.state == learningRunIn && row.Flagged(number) || !c.element(row.now[number], x) {
		return false
	}
	if c.state == learningRunIn {
		c.rows += c.size
		c.keep()
		must := w.over()
		if n := len(c.kept) / (c.fit.k + 1); must || n%4 == 0 {
			if c.settle(w.lambda, must); c.state == watching {
				w.learnt = w.rows
			}
		}
		return false
	}
	if !c.follow(w.lambda, w.lesson(row, number)) {
		return false
	}
	c.date(row.at)
	return true
}

// lesson is what a row still teaches the levels.
func (w *watcher) lesson(row *Row, number int) lesson {
	switch {
	case row.Flagged(number):
		return noLesson
	case w.learn == (Span{}) && !w.alarmed && w.strain < w.limit/2:
		return itsLevel
	case w.learn != (Span{}) && !w.over():
		return itsSpread
	}
	return noLesson
}

// judge adds up what surprises, and follows the episode. Rows that are stated to be
// healthy are not judged.
func (w *watcher) judge(at int64, stated bool) (why string) {
	w.together(at, stated)
	w.strain, w.effect, w.departure.reach = 0, 0, 0
	signals := 0.0
	for i := range w.channels {
		c := &w.channels[i]
		if c.state != watching {
			continue
		}
		w.strain += c.stress()
		signals++
		if c.strain > 0.5 {
			w.effect = math.Max(w.effect, math.Abs(c.smooth))
			w.departure.reach += c.smooth * c.smooth
		}
	}
	for _, g := range w.groups {
		if g.strain > 0.5 {
			w.effect = math.Max(w.effect, math.Sqrt(g.ratio))
			w.departure.reach += g.ratio * float64(len(g.members))
		}
	}
	w.limit = strainBase + strainSpread*math.Sqrt(signals)
	if w.strain < w.limit/4 {
		w.onset = at
	}
	if stated {
		return ""
	}
	w.count()
	return w.settle()
}

// count lengthens the present run of trouble or of calm.
func (w *watcher) count() {
	d := &w.departure
	w.trouble, w.calm = min(w.trouble+1, troubleRows), min(w.calm+1, calmRows)
	if w.strain <= w.limit || w.effect < leastEffect || d.reach < growth*d.usual {
		w.trouble = 0
	}
	if w.strain >= w.limit/2 {
		w.calm = 0
	}
	switch {
	case w.trouble == troubleRows:
		w.alarmed = true
	case w.calm == calmRows && w.alarmed:
		if w.learn == (Span{}) { // else it is known what is normal
			d.usual = math.Max(d.usual, d.most)
		}
		w.calmDown()
	}
}

// verdict fills in the row's judgement.
func (w *watcher) verdict(j *Judgement) {
	if w.limit > 0 {
		j.Nearness = w.strain / w.limit
	}
	j.State = Trouble
	switch {
	case w.alarmed:
		if w.lead < 0 {
			w.lead = w.first()
		}
	case w.novel.open:
		w.lead, j.Noted, j.Nearness = -1, true, math.Max(j.Nearness, 1)
	default:
		w.lead, j.State = -1, Calm
		if w.effect < leastEffect {
			j.Nearness = math.Min(j.Nearness, 0.9)
		}
	}
}

func (w *watcher) Tick(time.Time, bool) Judgement { return Judgement{} }

// forget drops the smoothed state after a repair; the baselines stay.
func (w *watcher) forget() {
	for i := range w.channels {
		w.channels[i].rest()
		w.channels[i].filled = 0
	}
	for _, g := range w.groups {
		g.rest()
	}
	w.calmDown()
	w.calm, w.lead, w.strain, w.novel.open, w.departure.usual = 0, -1, 0, false, 0
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
