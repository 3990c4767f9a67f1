package rules

import (
	"slices"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// What the logbook calls the lamps and codes of a machine, see telemetry/logbook.
const (
	redStop     = "dtc.red_stop"
	redStopOf   = "dtc.red_stop."
	warningLamp = "dtc.warning_lamp"
)

// lamp: a trouble code has a lamp on. It goes by what stands until something else is
// said: codes are told when they change. The red lamp means stop, and its trouble ends
// only when the lamp is out and the codes that had lit it are gone. What comes too
// late for its place counts as well where it is the newest word: it holds now.
type lamp struct {
	rule   *Rule
	signal int // -1 = not met yet
	names  []string
	lit    float64
	known  bool
	codes  []lampCode
	since  int64
	heard  int64 // event time of the newest word
}

// lampCode is a code that had the lamp on.
type lampCode struct {
	name   string // of the signal of the code, such as dtc.spn100.fmi1
	active bool
}

func newLamp(r *Rule, _ Numbers) Evaluator { return &lamp{rule: r, signal: -1} }

func (l *lamp) Observe(row *Row) Judgement {
	l.learn(row.names)
	if l.signal < 0 {
		return Judgement{}
	}
	if lit := row.now[l.signal]; lit == lit {
		l.hear(row.at, lit)
		for _, n := range row.set {
			l.hearCode(row.names[n], row.now[n] > 0)
		}
	}
	return l.judge()
}

// learn finds the lamp among the names of the machine's signals.
func (l *lamp) learn(names []string) {
	for n := len(l.names); n < len(names); n++ {
		if names[n] == l.rule.Signal {
			l.signal = n
		}
	}
	l.names = names
}

// late takes what came after its place in time, and says whether it was news.
func (l *lamp) late(at int64, names []string, cells []cell) bool {
	l.learn(names)
	i := slices.IndexFunc(cells, func(c cell) bool { return int(c.number) == l.signal && c.plausible })
	if i < 0 || at <= l.heard {
		return false
	}
	l.hear(at, cells[i].value)
	for _, c := range cells {
		l.hearCode(names[c.number], c.plausible && c.value > 0)
	}
	return true
}

func (l *lamp) judge() Judgement {
	switch {
	case !l.known:
		return Judgement{}
	case l.lit > 0:
		return Judgement{State: Trouble, Nearness: 1}
	case l.waits():
		return Judgement{State: Doubt, Nearness: 1}
	}
	return Judgement{State: Calm}
}

// hear takes what was said of the lamp.
func (l *lamp) hear(at int64, lit float64) {
	if lit > 0 && l.lit == 0 && !l.waits() {
		l.since, l.codes = at, nil
	}
	l.lit, l.known, l.heard = lit, true, at
}

// hearCode takes what was said of a code beside the lamp.
func (l *lamp) hearCode(name string, on bool) {
	if code, ok := l.code(name); ok && on {
		l.light(code)
		return
	}
	for i := range l.codes {
		if l.codes[i].name == name {
			l.codes[i].active = on
		}
	}
}

// code is the signal of the code that has the lamp on, where a signal says so: of the
// red lamp by name, of the others every active code may have lit it.
func (l *lamp) code(signal string) (string, bool) {
	if l.rule.Signal == redStop {
		code, ok := strings.CutPrefix(signal, redStopOf)
		return troubleCodes + code, ok
	}
	return signal, l.lit > 0 && isCode(signal)
}

// isCode says whether a signal is a code and none of the counts beside the codes.
func isCode(signal string) bool {
	if !strings.HasPrefix(signal, troubleCodes) || strings.HasPrefix(signal, redStopOf) {
		return false
	}
	switch signal {
	case redStop, warningLamp, "dtc.active", "dtc.critical":
		return false
	}
	return true
}

// light keeps a code, in the order of names: it must not matter in which order a
// message has them.
func (l *lamp) light(code string) {
	i, there := slices.BinarySearchFunc(l.codes, code, func(c lampCode, name string) int { return strings.Compare(c.name, name) })
	if there {
		l.codes[i].active = true
		return
	}
	l.codes = slices.Insert(l.codes, i, lampCode{code, true})
	l.codes = l.codes[:min(len(l.codes), maxCauses)]
}

// waits says whether the red lamp is out and a code that had lit it is still there.
func (l *lamp) waits() bool {
	if l.rule.Signal != redStop {
		return false
	}
	for _, c := range l.codes {
		if c.active {
			return true
		}
	}
	return false
}

func (l *lamp) Tick(time.Time, bool) Judgement { return Judgement{} }

func (l *lamp) Evidence(e *Evidence) {
	e.Observed, e.Limit = l.lit, 1
	if l.since != 0 {
		e.Since = unix(l.since)
	}
	for _, c := range l.codes {
		e.Causes = append(e.Causes, Cause{Signal: c.name, Share: 1 / float64(len(l.codes))})
	}
	if len(l.codes) > 0 {
		e.Signal = l.codes[0].name
	}
}

func (l *lamp) Snapshot(dst []byte) []byte {
	w := snapshot.Writer{B: dst}
	w.Float(l.lit)
	w.Bool(l.known)
	w.Int(l.since)
	w.Int(l.heard)
	w.Uint(uint64(len(l.codes)))
	for _, c := range l.codes {
		w.Text(c.name)
		w.Bool(c.active)
	}
	return w.B
}

func (l *lamp) Restore(_ int, b []byte) error {
	r := snapshot.Reader{B: b}
	l.lit, l.known, l.since, l.heard = r.Float(), r.Bool(), r.Int(), r.Int()
	l.codes = nil
	for range r.Count(maxCauses) {
		l.codes = append(l.codes, lampCode{r.Text(), r.Bool()})
	}
	return r.Err
}
