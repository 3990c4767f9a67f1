package rules

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// Machine is the state of one machine under its pack. It is not safe for
// concurrent use. Its memory is bounded: 256 signals, 4,096 waiting rows.
type Machine struct {
	name     string
	pack     *Pack
	lateness int64

	numbers map[string]int
	shared  bool     // numbers are the pack's: see own
	ranges  []Range  // plausible, by number
	guess   []uint16 // numbers of the last observation's signals, in its order
	suspect []bool   // by number: a sensor rule is open on it
	ignored uint64   // values of signals beyond maxSignals
	lamps   bool     // it has trouble codes, and the rules on their lamps

	waiting   buffer
	watermark int64 // greatest event time seen
	done      int64 // event time of the last row evaluated
	row       Row
	slots     []slot
	pending   []Finding // found while restoring
	lane      *lane
}

// greatest is beyond anything physical; what is greater is an error code, and its
// powers would not be numbers any more.
const greatest = 1e30

// New returns a machine that has seen nothing. Without a pack the default watcher
// looks at every signal that comes.
func New(machine string, pack *Pack) *Machine {
	m := &Machine{name: machine, pack: pack, lateness: int64(DefaultLateness)}
	if pack == nil {
		m.numbers = map[string]int{}
		m.add(sensorsRule.rule, sensorsRule.hash)
		m.add(watcherRule.rule, watcherRule.hash)
		return m
	}
	m.lateness = int64(pack.Lateness)
	common := pack.layout
	if common == nil { // not made by Parse
		common = newLayout(pack)
	}
	m.share(common)
	m.slots = make([]slot, 0, len(pack.Rules)+2)
	if !common.sensors && !pack.lane {
		m.add(sensorsRule.rule, sensorsRule.hash)
	}
	// Sensor rules go first, then limits: what they say counts in the same row.
	for _, wanted := range []func(*Kind) bool{
		func(k *Kind) bool { return k.sensor },
		func(k *Kind) bool { return !k.sensor && !k.patient },
		func(k *Kind) bool { return k.patient },
	} {
		for i := range pack.Rules {
			if k := kindOf(pack.Rules[i].Kind); k != nil && wanted(k) {
				m.add(&pack.Rules[i], common.hashes[i])
			}
		}
	}
	m.add(unmappedRule.rule, unmappedRule.hash)
	for i := range m.slots {
		if s, ok := m.slots[i].eval.(*sensors); ok {
			s.own = common.stuck
		}
	}
	if slices.ContainsFunc(common.names, isTrouble) {
		m.addLamps()
	}
	return m
}

func or(v *float64, without float64) float64 {
	if v == nil {
		return without
	}
	return *v
}

// number gives a signal's number, a new one if need be; -1 when there are too many.
func (m *Machine) number(name string) int {
	if n, ok := m.numbers[name]; ok {
		return n
	}
	n := len(m.ranges)
	if n == maxSignals {
		return -1
	}
	m.own()
	m.numbers[name] = n
	m.ranges = append(m.ranges, Range{math.Inf(-1), math.Inf(1)})
	m.suspect = append(m.suspect, false)
	m.row.grow(name)
	if isTrouble(name) {
		m.addLamps()
	}
	return n
}

func isTrouble(signal string) bool { return strings.HasPrefix(signal, troubleCodes) }

// addLamps adds the rules on lamps when a machine has its first trouble code: most
// have none, and a hundred thousand of them need no rules on it.
func (m *Machine) addLamps() {
	if m.lamps || m.pack != nil && m.pack.lane {
		return
	}
	m.lamps = true
	for _, b := range []builtin{redStopRule, warningLampRule} {
		if m.pack == nil || !slices.ContainsFunc(m.pack.Rules, func(r Rule) bool { return r.Signal == b.rule.Signal }) {
			m.add(b.rule, b.hash)
		}
	}
}

// latecomer is an evaluator for which what comes too late for its place may be news.
type latecomer interface {
	late(at int64, names []string, cells []cell) bool
	judge() Judgement
}

// codesLate shows the rules on trouble codes what came too late for its place: the
// codes of a machine are written down apart from its values, and may be behind them.
func (m *Machine) codesLate(found []Finding, at int64, cells []cell) []Finding {
	if !m.lamps {
		return found
	}
	for i := range m.slots {
		s := &m.slots[i]
		if l, ok := s.eval.(latecomer); ok && l.late(at, m.row.names, cells) {
			found = m.judged(found, s, l.judge())
		}
	}
	return found
}

// Observe takes one observation and returns what changed. An observation is
// evaluated in its place when the watermark (greatest event time seen, less the
// pack's lateness) has passed it; one that comes later than that, or that its
// source calls historical, may propose findings and changes nothing else, except
// that the newest word on a lamp or a trouble code counts whenever it comes.
func (m *Machine) Observe(o observation.Observation) []Finding {
	found := m.take()
	at := o.At.UnixNano()
	if at <= 0 {
		return found // before 1970: nothing that a machine of ours can have said
	}
	if o.Flags&observation.Historical != 0 {
		return append(found, m.late(&o)...)
	}
	cells := m.cells(&o)
	if m.done != 0 && at <= m.done {
		if !m.repeats(at, cells) {
			found = m.codesLate(found, at, cells)
			found = append(found, m.late(&o)...)
		}
		m.waiting.recycle(cells)
		return found
	}
	m.waiting.insert(at, cells)
	m.watermark = max(m.watermark, at)
	return m.advance(found, m.watermark-m.lateness)
}

// advance evaluates the rows up to an event time.
func (m *Machine) advance(found []Finding, upTo int64) []Finding {
	for m.waiting.len() > 0 && (m.waiting.first().at <= upTo || m.waiting.len() > maxWaiting) {
		w := m.waiting.pop()
		found = m.evaluate(found, w)
		m.waiting.recycle(w.cells)
	}
	return found
}

// Newest is the greatest event time that the machine has named, the zero time
// before it has named one.
func (m *Machine) Newest() time.Time {
	if m.watermark == 0 {
		return time.Time{}
	}
	return unix(m.watermark)
}

// Flush evaluates what still waits for the watermark, as at the end of a file.
func (m *Machine) Flush() []Finding { return m.advance(m.take(), math.MaxInt64) }

func (m *Machine) take() []Finding {
	found := m.pending
	m.pending = nil
	return found
}

// cells turns an observation's values into numbered ones.
func (m *Machine) cells(o *observation.Observation) []cell {
	cells := m.waiting.spare()
	for i := range o.Values {
		v := &o.Values[i]
		var n int
		if i < len(m.guess) && m.row.names[m.guess[i]] == v.Signal {
			n = int(m.guess[i]) // machines say the same things in the same order
		} else if n = m.number(v.Signal); n >= 0 {
			if i < len(m.guess) {
				m.guess[i] = uint16(n) //nolint:gosec // below maxSignals
			} else if i == len(m.guess) {
				m.guess = append(m.guess, uint16(n)) //nolint:gosec // below maxSignals
			}
		}
		if n < 0 {
			m.ignored++
			continue
		}
		if v.Quality == observation.Stale {
			continue
		}
		possible := &m.ranges[n]
		plausible := v.Quality != observation.Implausible && v.Value >= possible.Low && v.Value <= possible.High && math.Abs(v.Value) <= greatest
		cells = append(cells, cell{uint16(n), plausible, v.Value}) //nolint:gosec // n < maxSignals
	}
	return cells
}

// repeats says whether these values are those of the row evaluated last.
func (m *Machine) repeats(at int64, cells []cell) bool {
	if at != m.done || m.row.at != at {
		return false
	}
	for _, c := range cells {
		if c.plausible && m.row.now[c.number] != c.value || !c.plausible && !m.row.bad[c.number] {
			return false
		}
	}
	return true
}

// evaluate shows one row to every rule.
func (m *Machine) evaluate(found []Finding, w entry) []Finding {
	m.row.clear(w.at)
	m.row.suspect = m.suspect
	for _, c := range w.cells {
		m.row.put(c.number, c.value, c.plausible)
	}
	m.done = w.at
	for i := range m.slots {
		found = m.observe(found, &m.slots[i])
	}
	return m.retire(found)
}

// Tick tells that the event time has come to at: what waits for the watermark
// longer than the lateness is evaluated, and the rules that wait for nothing to
// happen are asked. excused says that the time since the tick before was our own or
// a source's downtime.
func (m *Machine) Tick(at time.Time, excused bool) []Finding {
	now := at.UnixNano() - m.lateness
	found := m.advance(m.take(), now)
	at = unix(now)
	for i := range m.slots {
		found = m.tick(found, &m.slots[i], at, excused)
	}
	return found
}

// Repaired tells that a completed repair has touched a component ("" = the whole
// machine): its deviation rules forget what they have smoothed, not what they
// have learnt, and their open findings close.
func (m *Machine) Repaired(component string, at time.Time) []Finding {
	found := m.take()
	for i := range m.slots {
		s := &m.slots[i]
		f, ok := s.eval.(interface{ forget() })
		if !ok || component != "" && s.rule.Component != component {
			continue
		}
		if s.dwell.open {
			found = append(found, m.finding(s, Closed, max(at.UnixNano(), s.openedAt), RestartedAfterRepair))
		}
		f.forget()
		if s.kin != nil {
			*s.kin = kin{} // they were compared with what was broken
		}
		s.dwell.reset()
		s.nearness = 0
	}
	return found
}

// Open lists the findings that are open now, with their evidence as it stands.
func (m *Machine) Open() []Finding {
	var open []Finding
	for i := range m.slots {
		if s := &m.slots[i]; s.dwell.open {
			open = append(open, m.finding(s, Updated, max(m.done, s.openedAt), ""))
		}
	}
	return open
}

// Bands gives the learnt normal band of a signal, in its unit, at typical values of
// what explains it; ok is false while nothing is learnt.
func (m *Machine) Bands(signal string) (low, normal, high float64, ok bool) {
	for i := range m.slots {
		switch e := m.slots[i].eval.(type) {
		case *deviation:
			if e.rule.Signal == signal && e.rule.Expr == "" && e.baseline.ready {
				return e.band()
			}
		case *watching:
			if low, normal, high, ok = e.Band(signal); ok {
				return low, normal, high, ok
			}
		}
	}
	return 0, 0, 0, false
}

// Away is how far a signal is from the machine's own normal, smoothed, in standard
// deviations of a single value; ok is false where no watcher knows its normal.
func (m *Machine) Away(signal string) (sigma float64, ok bool) {
	for i := range m.slots {
		if w, isWatching := m.slots[i].eval.(*watching); isWatching {
			if sigma, ok = w.Away(signal); ok {
				return sigma, true
			}
		}
	}
	return 0, false
}

// Learning says whether the machine's rules have no baseline of anything yet.
func (m *Machine) Learning() bool {
	learning := false
	for i := range m.slots {
		switch e := m.slots[i].eval.(type) {
		case *deviation:
			if e.baseline.ready {
				return false
			}
			learning = true
		case *watching:
			if !e.Learning() {
				return false
			}
			learning = learning || e.Channels() > 0 || m.pack == nil
		}
	}
	return learning
}
