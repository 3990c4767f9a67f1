// Package watcher finds that signals of one machine have left their own normal, without
// being told what is normal: each signal learns its run-in, and what all of them are
// surprised by is added up. It sees numbers of signals, values and event time. It is pure:
// it knows no rules, no roles and no words; docs/detection.md says where its figures come from.
package watcher

import (
	"math"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/statistics"
)

// How a watcher decides. The figures are one set for every machine.
const (
	defaultSmooth = 12   // elements
	strainBase    = 11.0 // strain that is trouble, and times the root of the signals:
	strainSpread  = 1.5  // so grows what a sum of them strays by itself
	nearNormal    = 0.1  // of the limit: such rows add to the run-in of a signal that is watched already
	leastEffect   = 1.5  // sigma of one signal: being significant is not being a fault

	troubleRows  = 2   // in a row
	calmRows     = 20  // in a row, below half of the limit
	struckStrain = 6.0 // a channel has departed
	maxCauses    = 8
)

// Settings of a watcher.
type Settings struct {
	Contexts int             // values that explain the signals, at most statistics.MaxContext
	Stated   statistics.Span // rows that are stated to be healthy; zero = nothing is
	Smooth   int             // elements of the control statistic's time constant; 0 = the default
}

// Watcher is the state of one machine.
type Watcher struct {
	channels []channel
	groups   []*group
	contexts int
	lambda   float64
	learn    statistics.Span
	clock    statistics.Smoothing
	passed   float64 // hours in the regime, for a run-in by time
	rows     int64
	learnt   int64 // rows of them that the run-in took

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

	at     int64 // of the present row
	x      [statistics.MaxContext]float64
	stated bool
	moved  bool // a control statistic has moved
}

// New gives a watcher that has seen nothing.
func New(s Settings) *Watcher {
	smooth := defaultSmooth
	if s.Smooth > 0 {
		smooth = s.Smooth
	}
	return &Watcher{contexts: s.Contexts, learn: s.Stated, lambda: 2 / float64(smooth+1), lead: -1}
}

// Judgement is what a watcher makes of one row. Known is false where the row has moved nothing.
type Judgement struct {
	Known    bool
	Trouble  bool
	Noted    bool    // trouble that is only worth a note: something is new, and nothing says that it is a fault
	Nearness float64 // to the limit: 0 at normal, 1 at the limit
	Accepted bool    // a departure has come to rest and is normal now
}

// Channel finds, or makes, the channel of a signal. Those of one row must be asked for in
// one order, whatever the order in which the row has them.
func (w *Watcher) Channel(name string) int {
	for i := range w.channels {
		if w.channels[i].name == name {
			return i
		}
	}
	c := channel{name: name, size: 1}
	c.fit.K = w.contexts
	w.channels = append(w.channels, c)
	return len(w.channels) - 1
}

// Pause says that the machine is outside of the regime: the time until the next row does not count.
func (w *Watcher) Pause() { w.clock.Paused = true }

// Begin begins a row: event time in Unix ns, and the contexts.
func (w *Watcher) Begin(at int64, contexts []float64) {
	w.at = at
	copy(w.x[:w.contexts], contexts)
	if w.rows++; w.rows == w.gathersAt() {
		w.gather()
	}
	w.passed += time.Duration(w.clock.Step(at)).Hours()
	if w.stated = w.learn != (statistics.Span{}) && !w.over(); w.stated {
		w.learnt = w.rows
	}
	w.moved = false
	w.novel.begin()
}

// See shows the row's value of a channel. A flagged one, which is held to be in trouble
// already, teaches nothing.
func (w *Watcher) See(channel int, value float64, flagged bool) {
	w.look(channel, value, flagged)
	w.moved = w.step(&w.channels[channel], value, flagged) || w.moved
}

// End ends the row.
func (w *Watcher) End() Judgement {
	if w.novel.end(len(w.channels), w.stated) {
		w.tell()
	}
	j := Judgement{Known: true}
	switch {
	case w.moved:
		j.Accepted = w.judge()
	case !w.novel.looked:
		return Judgement{}
	}
	w.verdict(&j)
	return j
}

// look shows one value, apart from what the contexts explain, to the channel's past.
func (w *Watcher) look(i int, value float64, flagged bool) {
	c := &w.channels[i]
	if flagged || c.state == counting || w.contexts > 0 && c.state != watching {
		return
	}
	explained, ok := c.explained(w.x[:w.contexts])
	if !ok {
		return
	}
	if c.group != nil {
		c.group.take(c.seat, math.Max(-farthest, math.Min(farthest, (value-explained-c.level)/c.sigma)))
	}
	if c.past == nil {
		c.past = &novelty{}
	}
	if surprise := c.past.step(value-explained, w.at, len(w.channels) > 1); c.past.n > noveltyLeast {
		w.novel.add(i, value, surprise/(1+noveltyYoung/float64(c.past.n)))
	}
}

// tell notes what a signal was when it surprised.
func (w *Watcher) tell() {
	v := &w.novel
	c := &w.channels[v.signal]
	v.lead, v.observed = v.signal, v.value
	explained, _ := c.explained(w.x[:w.contexts])
	v.away, v.sigma = v.observed-explained-c.past.level(), math.Sqrt(c.past.ever)
}

// over says whether a run-in of stated length has passed.
func (w *Watcher) over() bool {
	switch {
	case w.learn.Rows > 0:
		return w.rows >= int64(w.learn.Rows)
	case w.learn.For > 0:
		return w.passed >= w.learn.For.Hours()
	}
	return false
}

// step shows one value to its channel and says whether its statistic has moved.
func (w *Watcher) step(c *channel, value float64, flagged bool) bool {
	if c.state == counting || c.state == learningRunIn && flagged || !c.element(value, w.x[:w.contexts]) {
		return false
	}
	moved := c.state == watching && c.follow(w.lambda, w.lesson(flagged))
	if moved {
		c.date(w.at)
	}
	if c.runsIn() {
		w.runIn(c, flagged)
	}
	return moved
}

// runIn adds the element to the run-in. Once there is a first baseline, only what is near it
// adds to the next: in a life that is short the fault may be near.
func (w *Watcher) runIn(c *channel, flagged bool) {
	c.rows += c.size
	if c.state == learningRunIn || !flagged && w.quiet() && w.strain < w.limit*nearNormal {
		c.keep()
	}
	must := w.over()
	if n := len(c.kept) / (c.fit.K + 1); must || n%4 == 0 {
		if c.settle(w.lambda, must, w.learn == (statistics.Span{})); c.state == watching {
			w.learnt = w.rows
		}
	}
}

// lesson is what a row still teaches the levels.
func (w *Watcher) lesson(flagged bool) lesson {
	switch {
	case flagged:
		return noLesson
	case w.quiet():
		return itsLevel
	case w.stated:
		return itsSpread
	}
	return noLesson
}

// quiet says whether nothing is stated to be healthy and the machine is calm.
func (w *Watcher) quiet() bool {
	return w.learn == (statistics.Span{}) && !w.alarmed && w.strain < w.limit/2
}

// judge adds up what surprises, and follows the episode. Rows that are stated to be
// healthy are not judged.
func (w *Watcher) judge() (accepted bool) {
	w.together()
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
		w.onset = w.at
	}
	if w.stated {
		return false
	}
	w.count()
	return w.settle()
}

// count lengthens the present run of trouble or of calm.
func (w *Watcher) count() {
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
		if w.learn == (statistics.Span{}) { // else it is known what is normal
			d.usual = math.Max(d.usual, d.most)
		}
		w.calmDown()
	}
}

// verdict fills in the row's judgement.
func (w *Watcher) verdict(j *Judgement) {
	if w.limit > 0 {
		j.Nearness = w.strain / w.limit
	}
	j.Trouble = true
	switch {
	case w.alarmed:
		if w.lead < 0 {
			w.lead = w.first()
		}
	case w.novel.open:
		w.lead, j.Noted, j.Nearness = -1, true, math.Max(j.Nearness, 1)
	default:
		w.lead, j.Trouble = -1, false
		if w.effect < leastEffect {
			j.Nearness = math.Min(j.Nearness, 0.9)
		}
	}
}

// Forget drops the smoothed state after a repair; the baselines stay.
func (w *Watcher) Forget() {
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

// Learning says whether no signal has a baseline yet; of none that watches none it is true too.
func (w *Watcher) Learning() bool {
	for i := range w.channels {
		if w.channels[i].state == watching {
			return false
		}
	}
	return true
}

// Channels is how many signals it has met.
func (w *Watcher) Channels() int { return len(w.channels) }
