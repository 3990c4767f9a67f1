package rules

import (
	"maps"
	"math"
)

// layout is what all machines of a pack share: it is made once and only read, so
// that a hundred thousand machines do not each keep a copy.
type layout struct {
	numbers map[string]int
	names   []string
	roles   []Role
	ranges  []Range // plausible
	hashes  []string
	stuck   []bool // signals that have a rule of kind stuck of their own
	sensors bool   // the pack has a rule of kind sensors
}

func newLayout(p *Pack) *layout {
	l := &layout{numbers: make(map[string]int, len(p.Signals))}
	for i := range p.Signals {
		s := &p.Signals[i]
		l.numbers[s.Name] = i
		l.names, l.roles = append(l.names, s.Name), append(l.roles, s.Role)
		l.ranges = append(l.ranges, Range{or(s.Low, math.Inf(-1)), or(s.High, math.Inf(1))})
	}
	l.stuck = make([]bool, len(p.Signals))
	for i := range p.Rules {
		l.hashes = append(l.hashes, p.Rules[i].Hash())
		l.sensors = l.sensors || p.Rules[i].Kind == "sensors"
		if n, known := l.numbers[p.Rules[i].Signal]; known && p.Rules[i].Kind == "stuck" {
			l.stuck[n] = true
		}
	}
	return l
}

// share starts a machine with the layout of its pack. A signal that the pack does
// not know makes the machine copy what it then changes.
func (m *Machine) share(l *layout) {
	n := len(l.names)
	m.numbers, m.shared = l.numbers, true
	m.ranges = l.ranges[:n:n]
	m.suspect = make([]bool, n)
	m.row.names, m.row.roles = l.names[:n:n], l.roles[:n:n]
	m.row.now, m.row.held = unknown(n), unknown(n)
	m.row.heldAt, m.row.bad, m.row.flagged = make([]int64, n), make([]bool, n), make([]bool, n)
}

// own makes the numbers the machine's, before one is added.
func (m *Machine) own() {
	if m.shared {
		m.numbers, m.shared = maps.Clone(m.numbers), false
	}
}

func unknown(n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = math.NaN()
	}
	return list
}
