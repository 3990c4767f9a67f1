package telemetry

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	runsKept   = 8           // boots of one machine whose count is followed
	openKept   = 4_096       // open gaps that are listed for one machine: a broker whose queue is full throws away single messages
	openFew    = 100         // where openAll are listed in all
	openAll    = 1_000_000   // about 100 MB
	filledKept = 100         // gaps that were filled, listed for one machine
	longestGap = 100_000_000 // numbers; a longer leap is a count begun anew
)

// How a device begins the count of a new boot, as far as its earlier boots have
// shown it.
const (
	beginsUnknown   = 0 // nothing before the first number of a boot can be missed
	beginsAtZero    = 1
	beginsAtOne     = 2
	beginsWhereLeft = 3 // the count goes on over boots
)

// continuing is how far a boot must have counted before going on with the next
// number is taken for a habit and not for a coincidence.
const continuing = 16

// ledger follows the sequence numbers of every device: which were expected and
// have not come. It looks at numbers and at the times that stand in the log, so
// that the same log gives the same ledger, whatever was sent twice or read again.
// What it holds of one machine is bounded. Not safe for concurrent use.
type ledger struct {
	machines map[uuid.UUID]*counted
	dirty    map[uuid.UUID]struct{}
	open     int // gaps of all machines
}

// counted is the account of one machine.
type counted struct {
	begins int
	runs   []seqRun  // the boot heard last first
	open   []seqGap  // by boot and number
	filled []seqGap  // likewise
	totals seqTotals // of all time

	limit   int                 // of open
	touched map[gapKey]struct{} // gaps that are not what was saved
}

// gapKey names a gap: two of one machine share no number.
type gapKey struct {
	boot  string
	first uint64
}

// seqTotals count numbers, not gaps.
type seqTotals struct {
	missed   int64 // did not come when they were expected
	filled   int64 // of these, came after all
	unlisted int64 // of these, belong to gaps beyond openKept; they can no longer be filled
}

// seqRun is one boot: every number from low to high has come, but for the gaps.
type seqRun struct {
	boot      string
	low, high uint64
	heard     time.Time
}

// seqGap is a stretch of numbers, first and last included.
type seqGap struct {
	boot        string
	first, last uint64
	found       time.Time // when a later number had come
	filled      time.Time // when the last of them came; zero while they are missed
}

func newLedger() *ledger {
	return &ledger{machines: map[uuid.UUID]*counted{}, dirty: map[uuid.UUID]struct{}{}}
}

// note takes a number that has come.
func (l *ledger) note(n *LocatedNumber) {
	c := l.machines[n.MachineID]
	if c == nil {
		c = &counted{}
		l.machines[n.MachineID] = c
	}
	l.dirty[n.MachineID] = struct{}{}
	if c.limit = openKept; l.open >= openAll {
		c.limit = openFew
	}
	before := len(c.open)
	c.note(n)
	l.open += len(c.open) - before
}

func (c *counted) note(n *LocatedNumber) {
	r, known := c.run(n)
	switch {
	case !known:
		c.fill(n) // of a boot that was forgotten
	case n.Seq > r.high:
		c.ahead(r, n)
	case n.Seq < r.low:
		if r.low-n.Seq > longestGap {
			break // a leap that was taken for a count begun anew
		}
		c.miss(n.Boot, n.Seq+1, r.low-1, n.At)
		r.low = n.Seq
	default:
		c.fill(n)
	}
}

// ahead goes on to a number beyond all that have come.
func (c *counted) ahead(r *seqRun, n *LocatedNumber) {
	if n.Seq-r.high > longestGap {
		r.low = n.Seq
	} else if n.Seq > r.high+1 {
		c.miss(n.Boot, r.high+1, n.Seq-1, n.At)
	}
	r.high = n.Seq
}

// run returns the boot of a number; known is false for one that begins with it.
func (c *counted) run(n *LocatedNumber) (r *seqRun, known bool) {
	for i := range c.runs {
		if c.runs[i].boot != n.Boot {
			continue
		}
		found := c.runs[i]
		copy(c.runs[1:i+1], c.runs[:i])
		c.runs[0] = found
		c.runs[0].heard = n.At
		return &c.runs[0], true
	}
	low := c.begin(n)
	if len(c.runs) == runsKept {
		c.runs = c.runs[:runsKept-1]
	}
	c.runs = slices.Insert(c.runs, 0, seqRun{boot: n.Boot, low: low, high: n.Seq, heard: n.At})
	return &c.runs[0], false
}

// begin decides where the count of a new boot begins and learns how the device
// does it. What was lost between two boots can be known only by that habit.
func (c *counted) begin(n *LocatedNumber) (low uint64) {
	low = n.Seq
	goesOn := len(c.runs) > 0 && c.runs[0].high >= continuing && n.Seq > c.runs[0].high
	switch {
	case c.begins == beginsWhereLeft && goesOn:
		low = c.runs[0].high + 1
	case c.begins == beginsAtZero && n.Seq > 0:
		low = 0
	case c.begins == beginsAtOne && n.Seq > 1:
		low = 1
	}
	if n.Seq-low > longestGap {
		low = n.Seq
	}
	switch {
	case n.Seq == 0:
		c.begins = beginsAtZero
	case n.Seq == 1 && c.begins != beginsAtZero:
		c.begins = beginsAtOne
	case goesOn && n.Seq == c.runs[0].high+1:
		c.begins, low = beginsWhereLeft, n.Seq
	}
	if low < n.Seq {
		c.miss(n.Boot, low, n.Seq-1, n.At)
	}
	return low
}

// miss opens a gap. One too many takes the place of the oldest, which is counted.
func (c *counted) miss(boot string, first, last uint64, at time.Time) {
	if first > last || overlaps(c.open, boot, first, last) || overlaps(c.filled, boot, first, last) {
		return // a boot that was forgotten and comes again: its gaps have names
	}
	c.totals.missed += int64(last - first + 1) //nolint:gosec // at most longestGap
	c.add(seqGap{boot: boot, first: first, last: last, found: at})
}

func (c *counted) add(g seqGap) {
	c.touch(g)
	c.open = insert(c.open, g)
	for len(c.open) > c.limit {
		i := oldest(c.open)
		c.touch(c.open[i])
		c.totals.unlisted += c.open[i].numbers()
		c.open = slices.Delete(c.open, i, i+1)
	}
}

// oldest is the gap that was found first.
func oldest(list []seqGap) (at int) {
	for i := range list {
		if list[i].found.Before(list[at].found) {
			at = i
		}
	}
	return at
}

// place is where a number of a boot stands in a list, or would: gaps before it
// begin below the number.
func place(list []seqGap, boot string, number uint64) int {
	i, _ := slices.BinarySearchFunc(list, seqGap{boot: boot, first: number}, func(a, b seqGap) int {
		return cmp.Or(strings.Compare(a.boot, b.boot), cmp.Compare(a.first, b.first))
	})
	return i
}

func insert(list []seqGap, g seqGap) []seqGap {
	return slices.Insert(list, place(list, g.boot, g.first), g)
}

// touch notes that a gap is another than the one that was saved, or no more.
func (c *counted) touch(g seqGap) {
	if c.touched == nil {
		c.touched = map[gapKey]struct{}{}
	}
	c.touched[gapKey{g.boot, g.first}] = struct{}{}
}

func (g *seqGap) numbers() int64 { return int64(g.last - g.first + 1) } //nolint:gosec // at most longestGap

// overlaps says whether a list has a gap with a number from first to last.
func overlaps(list []seqGap, boot string, first, last uint64) bool {
	i := place(list, boot, first)
	return i < len(list) && list[i].boot == boot && list[i].first <= last || i > 0 && list[i-1].boot == boot && list[i-1].last >= first
}

// fill takes a number out of the gap that it was missed in, if any: the gap is
// shortened or split.
func (c *counted) fill(n *LocatedNumber) {
	i := place(c.open, n.Boot, n.Seq+1) - 1 // the last gap that begins at the number or below
	if i < 0 || c.open[i].boot != n.Boot || c.open[i].last < n.Seq {
		return // has come before
	}
	g := c.open[i]
	c.touch(g)
	c.totals.filled++
	c.came(g, n)
	left, right := g, g
	left.last, right.first = n.Seq-1, n.Seq+1
	c.open = slices.Delete(c.open, i, i+1)
	if left.first <= left.last && n.Seq > g.first {
		c.add(left)
	}
	if n.Seq < g.last {
		c.add(right)
	}
}

// came lists a number that was filled, together with its neighbours of the same gap.
func (c *counted) came(g seqGap, n *LocatedNumber) {
	same := func(f seqGap) bool { return f.boot == g.boot && f.found.Equal(g.found) }
	below := slices.IndexFunc(c.filled, func(f seqGap) bool { return same(f) && f.last+1 == n.Seq })
	above := slices.IndexFunc(c.filled, func(f seqGap) bool { return same(f) && n.Seq+1 == f.first })
	f := seqGap{boot: g.boot, first: n.Seq, last: n.Seq, found: g.found, filled: n.At}
	if below >= 0 {
		f.first = c.filled[below].first
	}
	if above >= 0 {
		f.last = c.filled[above].last
	}
	c.touch(f)
	c.filled = slices.DeleteFunc(c.filled, func(old seqGap) bool {
		gone := same(old) && (old.first == f.first || old.last == f.last)
		if gone {
			c.touch(old)
		}
		return gone
	})
	if c.filled = insert(c.filled, f); len(c.filled) > filledKept {
		i := oldest(c.filled)
		c.touch(c.filled[i])
		c.filled = slices.Delete(c.filled, i, i+1)
	}
}

// sortedIDs are the machines of a set, so that transactions lock them in one order.
func sortedIDs(set map[uuid.UUID]struct{}) []uuid.UUID {
	return slices.SortedFunc(maps.Keys(set), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
}
