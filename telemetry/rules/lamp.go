package rules

import (
	"slices"
	"strings"
	"time"
)

// What the logbook calls the lamps and codes of a machine, see telemetry/logbook.
const (
	redStop     = "dtc.red_stop"
	redStopOf   = "dtc.red_stop."
	warningLamp = "dtc.warning_lamp"
)

// lamp: a trouble code has a lamp on. It goes by what stands until something else is
// said: codes are told when they change. The red lamp means stop, and its trouble ends
// only when the lamp is out and the codes that had lit it are gone.
type lamp struct {
	rule   *Rule
	signal int // -1 = not met yet
	names  []string
	lit    float64
	known  bool
	codes  []lampCode
	since  int64
}

// lampCode is a code that had the lamp on.
type lampCode struct {
	name   string // of the signal of the code, such as dtc.spn100.fmi1
	active bool
}

func newLamp(r *Rule, _ Numbers) Evaluator { return &lamp{rule: r, signal: -1} }

func (l *lamp) Observe(row *Row) Judgement {
	for n := len(l.names); n < len(row.names); n++ {
		if row.names[n] == l.rule.Signal {
			l.signal = n
		}
	}
	l.names = row.names
	if l.signal < 0 {
		return Judgement{}
	}
	if lit := row.now[l.signal]; lit == lit {
		l.hear(row, lit)
	}
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

// hear takes what a row says of the lamp and of the codes.
func (l *lamp) hear(row *Row, lit float64) {
	if lit > 0 && l.lit == 0 && !l.waits() {
		l.since, l.codes = row.at, nil
	}
	l.lit, l.known = lit, true
	for _, n := range row.set {
		name, on := row.names[n], row.now[n] > 0
		if code, ok := l.code(name); ok && on {
			l.light(code)
			continue
		}
		for i := range l.codes {
			if l.codes[i].name == name {
				l.codes[i].active = on
			}
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
	w := writer{dst}
	w.float(l.lit)
	w.bool(l.known)
	w.int(l.since)
	w.uint(uint64(len(l.codes)))
	for _, c := range l.codes {
		w.text(c.name)
		w.bool(c.active)
	}
	return w.b
}

func (l *lamp) Restore(_ int, b []byte) error {
	r := reader{b: b}
	l.lit, l.known, l.since = r.float(), r.bool(), r.int()
	l.codes = nil
	for range r.count(maxCauses) {
		l.codes = append(l.codes, lampCode{r.text(), r.bool()})
	}
	return r.err
}
