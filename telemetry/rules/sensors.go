package rules

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// How a dead sensor is told from one that has nothing to say, when the rule does not
// say otherwise. A signal is judged only after it has been known for a while.
const (
	deadAfter   = 4 * time.Hour      // out, or still, while the others go on
	deadLearn   = 7 * 24 * time.Hour // before anything is said of a signal
	deadRows    = 240                // in which the others went on
	deadTimes   = 4                  // as long as it ever was out or still before
	regularRows = 100                // a signal that came in fewer is none to miss
	lively      = 0.5                // share of rows in which a signal moves that can be found still
	lifeRows    = 64                 // over which that share is taken
	restRows    = 32                 // a longer stillness no longer counts for it
)

// sensors: the machine goes on talking and one signal is out, or stands still, while
// the others come and move. It looks at every signal and learns of each how long it
// is out or still by itself. A value that stands at the end of its range is at rest:
// what works only now and then is still there for hours.
type sensors struct {
	rule     *Rule
	after    int64
	learn    int64
	own      []bool // signals, by number, that have a rule of kind stuck of their own
	list     []sensor
	names    []string // of the row: a snapshot keeps signals by name
	restored []kept   // not met again yet
	rows     int64
	dead     []int // numbers, the one that failed first ahead
}

// sensor is what is known of one signal.
type sensor struct {
	prev      float64
	low, high float64 // of all its values
	life      float64 // share of rows in which it moves
	first     int64   // its first row
	moved     int64   // its last move
	heard     int64   // its last value
	seen      uint32
	still     uint32 // rows in which the others moved and it did not
	mostStill uint32
	out       uint32 // rows in which the others came and it did not
	mostOut   uint32
	judged    bool // it is neither a trouble code nor to be ignored
	isOut     bool
	fixed     bool
}

// kept is a signal by its name, as a snapshot has it.
type kept struct {
	name string
	sensor
}

func newSensors(r *Rule, _ Numbers) Evaluator {
	s := &sensors{rule: r, after: int64(deadAfter), learn: int64(deadLearn)}
	if r.After > 0 {
		s.after = int64(r.After)
	}
	if r.Learn.For > 0 {
		s.learn = int64(r.Learn.For)
	}
	return s
}

func (s *sensors) Observe(row *Row) Judgement {
	s.meet(row)
	came, moving, lively := 0, 0, 0
	for i := range s.list {
		c := &s.list[i]
		if !c.judged {
			continue
		}
		if x := row.now[i]; x == x {
			came++
			if c.livelyNow() {
				lively++
				if x != c.prev {
					moving++
				}
			}
		}
	}
	if came == 0 {
		return Judgement{}
	}
	s.rows++
	regular, fresh := s.fresh(row.at, row)
	s.dead = s.dead[:0]
	for i := range s.list {
		c := &s.list[i]
		if !c.judged {
			continue
		}
		if x := row.now[i]; x == x {
			c.take(row.at, x, moving, lively)
			c.fixed = !(i < len(s.own) && s.own[i]) && s.isFixed(c, row.at)
			c.isOut = false
		} else {
			c.miss(row.at, regular, fresh)
			c.isOut = s.isMissing(c, row.at)
		}
		if c.isOut || c.fixed {
			s.dead = append(s.dead, i)
		}
	}
	if len(s.dead) == 0 {
		return Judgement{State: Calm}
	}
	slices.SortFunc(s.dead, func(a, b int) int {
		if x, y := s.list[a].since(), s.list[b].since(); x != y {
			return int(max(min(x-y, 1), -1))
		}
		return strings.Compare(s.names[a], s.names[b])
	})
	return Judgement{State: Trouble, Nearness: 1}
}

// meet makes room for the signals that this row brings first.
func (s *sensors) meet(row *Row) {
	s.names = row.names
	if len(s.list) == 0 {
		s.list = make([]sensor, 0, len(row.names)) // a hundred thousand machines have no room to spare
	}
	for n := len(s.list); n < len(row.names); n++ {
		c := sensor{prev: math.NaN(), low: math.Inf(1), high: math.Inf(-1)}
		if i := slices.IndexFunc(s.restored, func(k kept) bool { return k.name == row.names[n] }); i >= 0 {
			c = s.restored[i].sensor
			s.restored = slices.Delete(s.restored, i, i+1)
		}
		c.judged = row.roles[n] != Ignore && !strings.HasPrefix(row.names[n], troubleCodes)
		s.list = append(s.list, c)
	}
}

// fresh counts the signals that one can miss, and those of them that have come of late.
func (s *sensors) fresh(at int64, row *Row) (regular, fresh int) {
	for i := range s.list {
		if c := &s.list[i]; c.judged && c.seen >= regularRows {
			regular++
			if row.now[i] == row.now[i] || at-c.heard <= heldFor {
				fresh++
			}
		}
	}
	return regular, fresh
}

func (c *sensor) livelyNow() bool { return c.seen > 0 && (c.life >= lively || c.still > restRows) }

// take learns from a value. The others move when most of those that can, do.
func (c *sensor) take(at int64, x float64, moving, livelies int) {
	if c.seen == 0 {
		c.first = at
	}
	moves := c.seen > 0 && x != c.prev
	if c.livelyNow() {
		livelies--
		if moves {
			moving--
		}
	}
	others := livelies >= 2 && 2*moving >= livelies
	if moves || c.seen == 0 {
		if c.still > restRows && !c.fixed {
			c.mostStill = max(c.mostStill, c.still)
		}
		c.still, c.moved = 0, at
	} else if others {
		c.still++
	}
	if others && c.still <= restRows {
		step := 0.0
		if moves {
			step = 1
		}
		c.life += (step - c.life) / lifeRows
	} else if c.seen < lifeRows && moves { // alone it can be lively, too
		c.life += (1 - c.life) / lifeRows
	}
	if !c.isOut {
		c.mostOut = max(c.mostOut, c.out)
	}
	c.prev, c.heard, c.out = x, at, 0
	c.seen = min(c.seen+1, math.MaxUint32-1)
	if c.still <= restRows {
		c.low, c.high = min(c.low, x), max(c.high, x)
	}
}

// miss counts a row without the signal in which most of the others have come.
func (c *sensor) miss(at int64, regular, fresh int) {
	if c.seen < regularRows || at-c.heard <= heldFor || 2*fresh <= regular-1 || fresh < 2 {
		return
	}
	c.out++
}

func (s *sensors) isMissing(c *sensor, at int64) bool {
	return c.seen >= regularRows && c.heard-c.first >= s.learn && at-c.heard >= s.after && c.out >= deadRows && c.out >= deadTimes*c.mostOut && s.alone(c)
}

// alone says whether a signal went by itself, or with few: a quarter of all at once is
// a control unit that was switched off, or a bus that was cut.
func (s *sensors) alone(c *sensor) bool {
	regular, with := 0, 0
	for i := range s.list {
		o := &s.list[i]
		if !o.judged || o.seen < regularRows {
			continue
		}
		regular++
		if o.out > 0 && max(o.heard-c.heard, c.heard-o.heard) <= heldFor {
			with++
		}
	}
	return with <= max(1, regular/4)
}

func (s *sensors) isFixed(c *sensor, at int64) bool {
	return c.moved-c.first >= s.learn && at-c.moved >= s.after && c.life >= lively && c.still >= deadRows && c.still >= deadTimes*c.mostStill &&
		c.low < c.prev && c.prev < c.high
}

// since is when a signal failed.
func (c *sensor) since() int64 {
	if c.isOut {
		return c.heard
	}
	return c.moved
}

// suspect marks the signals whose values are not to be believed.
func (s *sensors) suspect(marks []bool, open bool) {
	for i := range min(len(s.list), len(marks)) {
		if i >= len(s.own) || !s.own[i] {
			marks[i] = open && s.list[i].fixed
		}
	}
}

func (s *sensors) Tick(time.Time, bool) Judgement { return Judgement{} }

func (s *sensors) Evidence(e *Evidence) {
	e.RegimeRows = int(s.rows)
	for _, n := range s.dead[:min(len(s.dead), maxCauses)] {
		e.Causes = append(e.Causes, Cause{Signal: s.names[n], Share: 1 / float64(len(s.dead))})
	}
	if len(s.dead) == 0 {
		return
	}
	c := &s.list[s.dead[0]]
	e.Signal, e.Observed, e.Since, e.Sign = s.names[s.dead[0]], c.prev, unix(c.since()), "frozen"
	if c.isOut {
		e.Sign = "absent"
	}
}

func (s *sensors) Snapshot(dst []byte) []byte {
	w := snapshot.Writer{B: dst}
	w.Int(s.rows)
	w.Uint(uint64(len(s.list) + len(s.restored)))
	all := make([]kept, 0, len(s.list)+len(s.restored))
	for i := range s.list {
		all = append(all, kept{s.names[i], s.list[i]})
	}
	for _, c := range append(all, s.restored...) {
		w.Text(c.name)
		w.Floats([]float64{c.prev, c.low, c.high, c.life})
		for _, v := range []uint32{c.seen, c.still, c.mostStill, c.out, c.mostOut} {
			w.Uint(uint64(v))
		}
		w.Int(c.first)
		w.Int(c.moved)
		w.Int(c.heard)
		w.Bool(c.isOut)
		w.Bool(c.fixed)
	}
	return w.B
}

func (s *sensors) Restore(_ int, b []byte) error {
	r := snapshot.Reader{B: b}
	s.rows = r.Int()
	s.list, s.dead, s.restored = nil, nil, nil
	for range r.Count(maxSignals) {
		name, v := r.Text(), r.Floats(4)
		if len(v) != 4 {
			r.Take(-1)
			break
		}
		c := kept{name, sensor{prev: v[0], low: v[1], high: v[2], life: v[3]}}
		for _, p := range []*uint32{&c.seen, &c.still, &c.mostStill, &c.out, &c.mostOut} {
			*p = uint32(r.Uint()) //nolint:gosec // written from one
		}
		c.first, c.moved, c.heard, c.isOut, c.fixed = r.Int(), r.Int(), r.Int(), r.Bool(), r.Bool()
		s.restored = append(s.restored, c)
	}
	return r.Err
}
