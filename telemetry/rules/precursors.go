package rules

import (
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// maxSigns bounds the signs of one rule, and how many codes they may name.
const maxSigns = 64

// Sign is a trouble code, two of them within the rule's window, or a code at an hour of
// the day, after which machines of the fleet have failed: Failed of the Of times that
// it was seen, a failure came within the horizon for which it was learnt.
type Sign struct {
	Codes  []string
	Hour   *int `json:",omitempty"` // UTC hour at which the newest of the codes came, nil = any
	Failed int
	Of     int
}

// The Beta prior of how often a failure follows a sign: seldom, until much is seen.
const (
	priorFailed = 1
	priorNot    = 20
)

// Share is how often a failure is expected to follow, 0 to 1: the mean of the Beta
// distribution that is left of the prior Beta(1, 20) by what was seen.
func (s Sign) Share() float64 { return shareOf(s.Failed, s.Of) }

func shareOf(failed, of int) float64 {
	return float64(failed+priorFailed) / float64(of+priorFailed+priorNot)
}

// precursors: trouble codes after which machines have failed. It keeps of each code only
// when it came last, so that its state does not grow with what a machine says.
type precursors struct {
	rule   *Rule
	codes  []string // that its signs name, in order
	signs  [][]int  // of each sign its codes, by their place in codes
	number []int8   // by signal number the place in codes, -1 = none of them
	names  []string

	last   []int64 // when it came, by place; 0 = never
	heard  []int64
	active []bool
	now    int64
}

func newPrecursors(r *Rule, _ Numbers) Evaluator {
	p := &precursors{rule: r, codes: signCodes(r.Signs)}
	for _, s := range r.Signs {
		var at []int
		for _, c := range s.Codes {
			i, _ := slices.BinarySearch(p.codes, c)
			at = append(at, i)
		}
		p.signs = append(p.signs, at)
	}
	n := len(p.codes)
	p.last, p.heard, p.active = make([]int64, n), make([]int64, n), make([]bool, n)
	return p
}

// signCodes lists the codes that signs name, each once and in order.
func signCodes(signs []Sign) []string {
	var codes []string
	for _, s := range signs {
		codes = append(codes, s.Codes...)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

func (p *precursors) Observe(row *Row) Judgement {
	p.learn(row.names)
	for _, n := range row.set {
		if i := p.number[n]; i >= 0 && row.now[n] == row.now[n] {
			p.hear(int(i), row.at, row.now[n] > 0)
		}
	}
	p.now = max(p.now, row.at)
	return p.judge()
}

// learn finds the rule's codes among the names of the machine's signals.
func (p *precursors) learn(names []string) {
	for n := len(p.names); n < len(names); n++ {
		i, there := slices.BinarySearch(p.codes, names[n])
		if !there {
			i = -1
		}
		p.number = append(p.number, int8(i)) //nolint:gosec // below maxSigns
	}
	p.names = names
}

// hear takes what was said of a code. One that stays has come once.
func (p *precursors) hear(i int, at int64, active bool) bool {
	if at <= p.heard[i] && p.heard[i] != 0 {
		return false
	}
	if active && !p.active[i] {
		p.last[i] = at
	}
	p.active[i], p.heard[i] = active, at
	return true
}

func (p *precursors) late(at int64, names []string, cells []cell) bool {
	p.learn(names)
	news := false
	for _, x := range cells {
		if i := p.number[x.number]; i >= 0 && x.plausible {
			news = p.hear(int(i), at, x.value > 0) || news
		}
	}
	return news
}

// present says whether all codes of a sign came within the window, and when the first
// of them did.
func (p *precursors) present(sign int) (first int64, ok bool) {
	last := int64(0)
	for k, i := range p.signs[sign] {
		at := p.last[i]
		if at == 0 || at <= p.now-int64(p.rule.Window) {
			return 0, false
		}
		if k == 0 || at < first {
			first = at
		}
		last = max(last, at)
	}
	hour := p.rule.Signs[sign].Hour
	return first, hour == nil || unix(last).Hour() == *hour
}

// strongest is the present sign after which failures came most often, -1 = none.
func (p *precursors) strongest() int {
	best := -1
	for i := range p.signs {
		if _, ok := p.present(i); ok && (best < 0 || p.rule.Signs[i].Share() > p.rule.Signs[best].Share()) {
			best = i
		}
	}
	return best
}

func (p *precursors) judge() Judgement {
	i := p.strongest()
	if i < 0 {
		return Judgement{State: Calm}
	}
	return Judgement{State: Trouble, Nearness: p.rule.Signs[i].Share() / p.weakest()}
}

// weakest is the least share that is flagged.
func (p *precursors) weakest() float64 {
	least := 1.0
	for _, s := range p.rule.Signs {
		least = min(least, s.Share())
	}
	return least
}

// Tick ends what is older than the window.
func (p *precursors) Tick(at time.Time, _ bool) Judgement {
	if p.now == 0 {
		return Judgement{}
	}
	p.now = max(p.now, at.UnixNano())
	return p.judge()
}

func (p *precursors) Evidence(e *Evidence) {
	e.Unit, e.Limit = "1", p.weakest()
	i := p.strongest()
	if i < 0 {
		return
	}
	sign := p.rule.Signs[i]
	first, _ := p.present(i)
	e.Since, e.Observed = unix(first), sign.Share()
	newest := int64(0)
	for k, c := range p.signs[i] {
		at := p.last[c]
		e.Causes = append(e.Causes, Cause{Signal: sign.Codes[k], Since: unix(at), Share: 1 / float64(len(sign.Codes))})
		if at > newest {
			newest, e.Signal = at, sign.Codes[k]
		}
	}
	slices.SortStableFunc(e.Causes, func(a, b Cause) int { return a.Since.Compare(b.Since) })
}

func (p *precursors) Snapshot(dst []byte) []byte {
	w := snapshot.Writer{B: dst}
	w.Uint(uint64(len(p.codes)))
	for i := range p.codes {
		w.Int(p.last[i])
		w.Int(p.heard[i])
		w.Bool(p.active[i])
	}
	w.Int(p.now)
	return w.B
}

func (p *precursors) Restore(_ int, b []byte) error {
	r := snapshot.Reader{B: b}
	if n := r.Uint(); r.Err == nil && n != uint64(len(p.codes)) {
		return snapshot.ErrCut
	}
	for i := range p.codes {
		p.last[i], p.heard[i], p.active[i] = r.Int(), r.Int(), r.Bool()
	}
	p.now = r.Int()
	return r.Err
}
