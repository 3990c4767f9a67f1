package rules

import (
	"cmp"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"
)

// An open finding is told again when its deviation has moved by this share, at
// most once in tellEvery; and in any case once in tellAlways.
const (
	tellShare  = 0.2
	tellEvery  = int64(time.Hour)
	tellAlways = int64(24 * time.Hour)
)

// slot is one rule on one machine: its evaluator, its dwell and its episode.
type slot struct {
	rule     *Rule
	hash     string
	kind     *Kind
	eval     Evaluator
	dwell    Dwell
	uses     []int // signals without which it can say nothing
	openedAt int64
	since    int64 // first row of the trouble that opened it
	closedAt int64 // of the episode before
	toldAt   int64
	told     float64 // deviation as told last
	nearness float64
	noted    bool // the episode is only worth a note
	kin      *kin // nil = nothing was ever said of sisters
}

// severity is the episode's.
func (s *slot) severity() Severity {
	if s.noted {
		return Info
	}
	return s.rule.Severity
}

func (m *Machine) add(r *Rule, hash string) {
	kind := kindOf(r.Kind)
	s := slot{
		rule: r, hash: hash, kind: kind,
		dwell: Dwell{Hold: r.Hold, Clear: r.Clear, Patient: kind.patient},
	}
	numbers := func(name string) int {
		n := m.number(name)
		if n >= 0 && !kind.lenient {
			s.uses = append(s.uses, n)
		}
		return max(n, 0) // Parse refuses packs with more signals than there are numbers
	}
	s.eval = kind.New(r, numbers)
	if d, ok := s.eval.(*deviation); ok {
		s.kin = d.kin
	}
	m.slots = append(m.slots, s)
}

// observe shows the present row to one rule.
func (m *Machine) observe(found []Finding, s *slot) []Finding {
	j := Judgement{State: Outside}
	if s.kind.sensor || !m.doubts(s) {
		j = s.eval.Observe(&m.row)
	}
	if s.kin != nil {
		j = s.beside(m.row.at, j)
	}
	if j.State == Trouble && !s.kind.patient && s.rule.Signal != "" {
		m.row.flagged[m.numbers[s.rule.Signal]] = true
	}
	return m.judged(found, s, j)
}

// judged follows a rule's judgement at the present row.
func (m *Machine) judged(found []Finding, s *slot, j Judgement) []Finding {
	if j.State >= Calm {
		s.nearness = j.Nearness
	}
	opened, closed := s.dwell.step(m.row.at, j.State)
	switch {
	case opened:
		s.noted = j.Noted
		return m.open(found, s, m.row.at)
	case closed:
		return m.close(found, s, max(m.row.at, s.openedAt), j.Why)
	case s.dwell.open && s.noted && j.State == Trouble && !j.Noted:
		s.noted = false
		if s.rule.Severity != Info {
			return m.news(found, s)
		}
	case s.dwell.open && s.kind.sensor:
		m.mark(s)
	}
	if s.dwell.open && !opened && j.State > Calm && m.row.at-s.toldAt >= tellEvery { // evidence stays that of the fault
		return m.tell(found, s)
	}
	return found
}

// doubts says whether one of the rule's sensors is held to be at fault.
func (m *Machine) doubts(s *slot) bool {
	for _, n := range s.uses {
		if m.suspect[n] || m.row.bad[n] {
			return true
		}
	}
	return false
}

// mark says of which signals a sensor rule no longer believes the values.
func (m *Machine) mark(s *slot) {
	if e, ok := s.eval.(*sensors); ok {
		e.suspect(m.suspect, s.dwell.open)
	} else if s.kind.sensor {
		m.suspect[m.numbers[s.rule.Signal]] = s.dwell.open
	}
}

func (m *Machine) open(found []Finding, s *slot, at int64) []Finding {
	s.openedAt, s.toldAt, s.since = at, at, s.dwell.since
	m.mark(s)
	f := m.finding(s, Opened, at, "")
	s.told = f.Evidence.Deviation
	return append(found, f)
}

func (m *Machine) close(found []Finding, s *slot, at int64, why string) []Finding {
	s.closedAt = at
	m.mark(s)
	return append(found, m.finding(s, Closed, at, cmp.Or(why, Cleared)))
}

// tell reports an open finding again when there is news.
func (m *Machine) tell(found []Finding, s *slot) []Finding {
	var e Evidence
	s.eval.Evidence(&e)
	moved := math.Abs(e.Deviation-s.told) >= tellShare*math.Abs(s.told) && e.Deviation != s.told
	if !moved && m.row.at-s.toldAt < tellAlways {
		return found
	}
	return m.news(found, s)
}

func (m *Machine) news(found []Finding, s *slot) []Finding {
	f := m.finding(s, Updated, m.row.at, "")
	s.toldAt, s.told = m.row.at, f.Evidence.Deviation
	return append(found, f)
}

// tick asks one rule that waits for nothing to happen.
func (m *Machine) tick(found []Finding, s *slot, at time.Time, excused bool) []Finding {
	j := s.eval.Tick(at, excused)
	if j.State == Nothing {
		return found
	}
	now := at.UnixNano()
	opened, closed := s.dwell.step(now, j.State)
	if closed {
		return m.close(found, s, max(now, s.openedAt), j.Why)
	}
	if opened {
		found = m.open(found, s, now)
		if !j.Until.IsZero() {
			s.dwell.reset()
			found = m.close(found, s, j.Until.UnixNano(), j.Why)
		}
	}
	return found
}

func (m *Machine) finding(s *slot, change Change, at int64, reason string) Finding {
	return Finding{
		Change: change, Machine: m.name, Rule: s.rule.ID, RuleHash: s.hash,
		Component: s.rule.Component, FailureMode: s.rule.FailureMode, Severity: s.severity(),
		OpenedAt: unix(s.openedAt), At: unix(at),
		CloseReason: reason, Evidence: m.evidence(s),
	}
}

func (m *Machine) evidence(s *slot) Evidence {
	e := Evidence{Kind: s.rule.Kind, StopAt: s.rule.StopAt, Regime: regimeText(s.rule)}
	e.about(s.rule)
	if s.since != 0 {
		e.Since = unix(s.since)
	}
	s.eval.Evidence(&e)
	if m.pack != nil && e.Unit == "" {
		if spec, ok := m.pack.Signal(e.Signal); ok {
			e.Unit = spec.Unit
		}
	}
	if n, known := m.numbers[e.Signal]; known && s.kind.sensor {
		e.Low, e.High = m.ranges[n].Low, m.ranges[n].High
	}
	if m.done != 0 {
		e.Until = unix(m.done)
	}
	m.among(&e, s)
	e.bound()
	e.unless()
	return e
}

// regimeSignals lists the signals of a rule's regime in alphabetical order.
func regimeSignals(r *Rule) []string {
	names := make([]string, 0, len(r.Regime))
	for name := range r.Regime {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func regimeText(r *Rule) string {
	var b strings.Builder
	for i, name := range regimeSignals(r) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name + " " + number(r.Regime[name].Low) + ".." + number(r.Regime[name].High))
	}
	return b.String()
}

func number(v float64) string {
	if math.Abs(v) == math.MaxFloat64 {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
