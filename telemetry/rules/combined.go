package rules

import (
	"math"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// Clause is a part of a combined rule: a rule of another kind, or all, any or the
// opposite of other clauses. Exactly one of Rule, All, Any and Not is set. Hold and
// Clear say how long it must be so, or not be so any more, before it counts.
type Clause struct {
	Rule  *Rule         `json:",omitempty"`
	All   []*Clause     `json:",omitempty"`
	Any   []*Clause     `json:",omitempty"`
	Not   *Clause       `json:",omitempty"`
	Hold  time.Duration `json:",omitempty"`
	Clear time.Duration `json:",omitempty"`

	kind *Kind // of Rule
}

// maxClauses bounds the clauses of one rule, named conditions put in their places.
const maxClauses = 64

// combined: several conditions at once. A clause that a row says nothing of keeps
// what it was for a while, as the last value of a signal does; one of which nothing
// is known decides nothing (Kleene 1952). Outside its own regime a clause is not so.
type combined struct {
	rule   *Rule
	regime []bound
	root   part
	leaves []*part
	at     int64 // last row
}

// part is a clause with its state.
type part struct {
	clause *Clause
	parts  []part
	eval   Evaluator // of a leaf
	uses   []int     // signals without which it can say nothing
	always bool      // the leaf judges by what it remembers, in each row
	negate bool      // below an odd number of nots
	dwell  *Dwell
	judged Judgement // of a leaf: its last one
	at     int64     // when
	state  State
}

func newCombined(r *Rule, numbers Numbers) Evaluator {
	c := &combined{rule: r, regime: bounds(r, numbers), root: newPart(r.When, numbers, false)}
	c.leaves = c.root.leaves(nil)
	for _, l := range c.leaves {
		if _, learns := l.eval.(interface{ forget() }); learns {
			return combinedLearning{c}
		}
	}
	return c
}

func newPart(clause *Clause, numbers Numbers, negate bool) part {
	p := part{clause: clause, negate: negate}
	switch {
	case clause.Rule != nil:
		p.always = clause.kind.remembers
		p.eval = clause.kind.New(clause.Rule, func(signal string) int {
			n := numbers(signal)
			p.uses = append(p.uses, n)
			return n
		})
	case clause.Not != nil:
		p.parts = []part{newPart(clause.Not, numbers, !negate)}
	default:
		for _, k := range append(clause.All, clause.Any...) {
			p.parts = append(p.parts, newPart(k, numbers, negate))
		}
	}
	if clause.Hold > 0 || clause.Clear > 0 {
		p.dwell = &Dwell{Hold: clause.Hold, Clear: clause.Clear}
	}
	return p
}

func (p *part) leaves(list []*part) []*part {
	if p.eval != nil {
		return append(list, p)
	}
	for i := range p.parts {
		list = p.parts[i].leaves(list)
	}
	return list
}

func (c *combined) Observe(row *Row) Judgement {
	c.at = row.at
	for i := range c.regime {
		if row.doubted(c.regime[i].number) {
			return Judgement{State: Outside}
		}
	}
	if !within(row, c.regime) {
		return Judgement{State: Outside}
	}
	concerned := false
	for _, l := range c.leaves {
		concerned = l.look(row) || concerned
	}
	if !concerned {
		return Judgement{}
	}
	return c.judge()
}

func (c *combined) judge() Judgement {
	state, near := c.root.judge(c.at)
	return Judgement{State: state, Nearness: near}
}

// late shows what came after its place in time to the clauses on trouble codes.
func (c *combined) late(at int64, names []string, cells []cell) bool {
	news := false
	for _, l := range c.leaves {
		if e, ok := l.eval.(latecomer); ok && e.late(at, names, cells) {
			l.judged, l.at = e.judge(), c.at
			news = true
		}
	}
	return news
}

// look shows a row to a leaf and says whether it is concerned. A signal whose sensor
// is at fault makes the leaf unknown, and leaves the others as they are.
func (p *part) look(row *Row) bool {
	for _, n := range p.uses {
		if row.doubted(n) {
			known := p.at != 0
			p.at = 0
			return known
		}
	}
	j := p.eval.Observe(row)
	if j.State == Nothing {
		return false
	}
	p.judged, p.at = j, row.at
	return true
}

// judge combines what the leaves say.
func (p *part) judge(at int64) (State, float64) {
	near := 0.0
	switch {
	case p.eval != nil:
		p.state, near = p.leaf(at)
	case p.clause.Not != nil:
		p.state, _ = p.parts[0].judge(at)
		p.state = opposite(p.state)
		near = truth(p.state == Trouble)
	case p.clause.All != nil:
		p.state, near = p.every(at, Calm, Trouble), 1
		for i := range p.parts {
			near = math.Min(near, p.parts[i].judged.Nearness)
		}
	default:
		p.state = p.every(at, Trouble, Calm)
		for i := range p.parts {
			near = math.Max(near, p.parts[i].judged.Nearness)
		}
	}
	if p.state == Trouble {
		near = 1
	}
	p.state = p.lasting(at, p.state)
	p.judged.Nearness = near
	return p.state, near
}

// every is decisive when one of the parts is, otherwise when all are.
func (p *part) every(at int64, decisive, otherwise State) State {
	out := otherwise
	for i := range p.parts {
		s, _ := p.parts[i].judge(at)
		switch {
		case s == decisive || out == decisive:
			out = decisive
		case s == Nothing || out == Nothing:
			out = Nothing
		case s == Doubt:
			out = Doubt
		}
	}
	return out
}

// leaf is a leaf's last judgement while it can stand for the present one.
func (p *part) leaf(at int64) (State, float64) {
	switch {
	case p.at == 0 && p.always: // a lamp or a code of which nothing was said is out
		return Calm, 0
	case p.at == 0 || at-p.at > heldFor && !p.always:
		return Nothing, 0
	case p.judged.State == Outside:
		return Calm, 0
	}
	return p.judged.State, p.judged.Nearness
}

// lasting waits until a clause has been so, or not so, for long enough.
func (p *part) lasting(at int64, s State) State {
	if p.dwell == nil || s == Nothing {
		return s
	}
	p.dwell.step(at, s)
	if p.dwell.open {
		return Trouble
	}
	return Calm
}

func opposite(s State) State {
	switch s {
	case Trouble:
		return Calm
	case Calm:
		return Trouble
	case Nothing, Outside, Doubt:
	}
	return s
}

func (c *combined) Tick(time.Time, bool) Judgement { return Judgement{} }

// Evidence is that of the first leaf that is in trouble, or stands first; all that
// are in trouble are causes.
func (c *combined) Evidence(e *Evidence) {
	shown := c.leaves[0]
	var causes []*part
	for _, l := range c.leaves {
		if l.state == Trouble && !l.negate && len(causes) < maxCauses {
			causes = append(causes, l)
		}
	}
	if len(causes) > 0 {
		shown = causes[0]
	}
	e.about(shown.clause.Rule)
	shown.eval.Evidence(e)
	e.Causes = nil // the leaf's own
	for _, l := range causes {
		e.Causes = append(e.Causes, Cause{Signal: l.signal(), Share: 1 / float64(len(causes))})
	}
}

// signal is the one that a leaf names.
func (p *part) signal() string {
	if s := p.clause.Rule.Signal; s != "" {
		return s
	}
	var e Evidence
	p.eval.Evidence(&e)
	return e.Signal
}

func (c *combined) Snapshot(dst []byte) []byte {
	w := snapshot.Writer{B: dst}
	w.Int(c.at)
	c.root.snapshot(&w)
	return w.B
}

func (p *part) snapshot(w *snapshot.Writer) {
	if p.dwell != nil {
		p.dwell.snapshot(w)
	}
	w.Uint(uint64(p.state))
	if p.eval == nil {
		for i := range p.parts {
			p.parts[i].snapshot(w)
		}
		return
	}
	w.Uint(uint64(p.judged.State))
	w.Float(p.judged.Nearness)
	w.Int(p.at)
	w.Block(p.eval.Snapshot)
}

func (c *combined) Restore(version int, b []byte) error {
	r := snapshot.Reader{B: b}
	c.at = r.Int()
	c.root.restore(version, &r)
	return r.Err
}

func (p *part) restore(version int, r *snapshot.Reader) {
	if p.dwell != nil {
		p.dwell.restore(r)
	}
	p.state = State(r.Count(int(Trouble)))
	if p.eval == nil {
		for i := range p.parts {
			p.parts[i].restore(version, r)
		}
		return
	}
	p.judged = Judgement{State: State(r.Count(int(Trouble))), Nearness: r.Float()}
	p.at = r.Int()
	if state := r.Block(); r.Err == nil {
		if err := p.eval.Restore(version, state); err != nil {
			r.Err = err
		}
	}
}

// combinedLearning is a combined rule with a clause that learns.
type combinedLearning struct{ *combined }

// forget makes the clauses that learn forget what they have smoothed.
func (c combinedLearning) forget() {
	for _, l := range c.leaves {
		if f, ok := l.eval.(interface{ forget() }); ok {
			f.forget()
			l.at = 0
		}
	}
}
