package telemetry

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// aheadInARow is how many observations with a clock ahead of ours make a fault of
// the machine's clock; one that is not ahead ends it.
const aheadInARow = 5

// maxCompared bounds the values of one instant that are remembered.
const maxCompared = 256

// qualityWatch follows what is wrong with what machines send, in the order of the
// log: clocks that are ahead, and two values for one signal and instant. Its size
// is that of the fleet. Not safe for concurrent use.
type qualityWatch struct {
	ahead     map[uuid.UUID]aheadRun
	instants  map[uuid.UUID]*newestInstant
	conflicts uint64
	changed   bool // who is ahead has changed
}

type aheadRun struct {
	count int
	since time.Time
}

// newestInstant is the last instant of a machine with its values.
type newestInstant struct {
	at     int64 // Unix us
	values []comparedValue
}

type comparedValue struct {
	signal hash
	bits   uint64
}

func newQualityWatch() *qualityWatch {
	return &qualityWatch{ahead: map[uuid.UUID]aheadRun{}, instants: map[uuid.UUID]*newestInstant{}}
}

func (q *qualityWatch) note(o *Located) {
	q.clock(o)
	q.compare(o)
}

// clock counts what says when it was measured; the rest says nothing of a clock.
func (q *qualityWatch) clock(o *Located) {
	run, known := q.ahead[o.MachineID]
	switch {
	case o.Flags&observation.ClockAhead != 0:
		if run.count == 0 {
			run.since = o.Received
		}
		run.count = min(run.count+1, aheadInARow)
		q.changed = q.changed || run.count == aheadInARow
		q.ahead[o.MachineID] = run
	case known && o.Flags&observation.NoTime == 0:
		delete(q.ahead, o.MachineID)
		q.changed = true
	}
}

// compare counts values that differ from one of the same signal in the newest
// instant of their machine. What is older than that is not looked at.
func (q *qualityWatch) compare(o *Located) {
	if o.Flags&(observation.NoTime|observation.ClockAhead) != 0 {
		return // the instant is ours
	}
	at := o.At.UnixMicro()
	last := q.instants[o.MachineID]
	switch {
	case last == nil:
		last = &newestInstant{at: at}
		q.instants[o.MachineID] = last
	case at < last.at:
		return
	case at > last.at:
		last.at, last.values = at, last.values[:0]
	}
	before := last.values
	for i := range o.Values {
		v := comparedValue{signal: hash(14695981039346656037).text(o.Values[i].Signal), bits: math.Float64bits(o.Values[i].Value)}
		if q.collides(before, v) {
			continue
		}
		if len(last.values) < maxCompared {
			last.values = append(last.values, v)
		}
	}
}

// collides looks for a value among those of the instant and takes it in its place.
func (q *qualityWatch) collides(before []comparedValue, v comparedValue) bool {
	for k := range before {
		if before[k].signal == v.signal {
			if before[k].bits != v.bits {
				q.conflicts++
				before[k].bits = v.bits
			}
			return true
		}
	}
	return false
}

// qualityFigures is what others may know of it. Safe for concurrent use.
type qualityFigures struct {
	conflicts, unread, readAhead atomic.Uint64

	mu    sync.RWMutex
	ahead map[uuid.UUID]time.Time // since when the clocks of machines are ahead
}

func (f *qualityFigures) add(q *qualityWatch, c Counts) {
	f.conflicts.Add(q.conflicts)
	q.conflicts = 0
	f.unread.Add(uint64(c.Unread))   //nolint:gosec // a count
	f.readAhead.Add(uint64(c.Ahead)) //nolint:gosec // a count
	if !q.changed {
		return
	}
	q.changed = false
	ahead := map[uuid.UUID]time.Time{}
	for machine, run := range q.ahead {
		if run.count == aheadInARow {
			ahead[machine] = run.since
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ahead = ahead
}

// Conflicts counts the values that differ from another one of the same machine,
// signal and instant, since the start; the one that came last is kept.
func (s *HistoryStatus) Conflicts() uint64 { return s.quality.conflicts.Load() }

// Unread counts the values that their senders said they could not read, since the start.
func (s *HistoryStatus) Unread() uint64 { return s.quality.unread.Load() }

// ReadAhead counts the observations whose device's clock was ahead, since the start.
func (s *HistoryStatus) ReadAhead() uint64 { return s.quality.readAhead.Load() }

// ClocksAhead counts the machines whose clocks are ahead now.
func (s *HistoryStatus) ClocksAhead() int {
	s.quality.mu.RLock()
	defer s.quality.mu.RUnlock()
	return len(s.quality.ahead)
}

// ClockAhead says since when the clock of a machine is more than two minutes ahead,
// zero while it is not: five observations in a row have said so.
func (s *HistoryStatus) ClockAhead(machine uuid.UUID) time.Time {
	s.quality.mu.RLock()
	defer s.quality.mu.RUnlock()
	return s.quality.ahead[machine]
}
