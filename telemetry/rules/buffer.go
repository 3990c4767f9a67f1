package rules

import (
	"github.com/thirdstate/thirdstate/telemetry/rules/snapshot"
)

// maxWaiting bounds the rows that wait for the watermark; the oldest of more are
// evaluated before their time.
const maxWaiting = 4_096

// cell is one value of a waiting row.
type cell struct {
	number    uint16
	plausible bool
	value     float64
}

// entry is a waiting row.
type entry struct {
	at    int64
	cells []cell
}

// buffer holds waiting rows by event time. What is said of one instant in several
// observations is one row. Rows mostly come in order, so it is a sorted list that
// is filled from its end.
type buffer struct {
	entries []entry
	head    int
	free    [][]cell
}

func (b *buffer) len() int      { return len(b.entries) - b.head }
func (b *buffer) first() *entry { return &b.entries[b.head] }

func (b *buffer) insert(at int64, cells []cell) {
	i := len(b.entries)
	for i > b.head && b.entries[i-1].at > at {
		i--
	}
	if i > b.head && b.entries[i-1].at == at {
		e := &b.entries[i-1]
		for _, c := range cells {
			e.cells = merge(e.cells, c)
		}
		b.recycle(cells)
		return
	}
	b.entries = append(b.entries, entry{})
	copy(b.entries[i+1:], b.entries[i:])
	b.entries[i] = entry{at, cells}
}

// merge adds a value to a row. Of two values of one signal the plausible and then
// the greater one stays, whichever came first.
func merge(cells []cell, c cell) []cell {
	for i := range cells {
		have := &cells[i]
		if have.number != c.number {
			continue
		}
		if c.plausible == have.plausible && c.value > have.value || c.plausible && !have.plausible {
			*have = c
		}
		return cells
	}
	return append(cells, c)
}

func (b *buffer) pop() entry {
	e := b.entries[b.head]
	b.entries[b.head] = entry{}
	b.head++
	if b.head == len(b.entries) {
		b.entries, b.head = b.entries[:0], 0
	} else if b.head >= 8 && b.head*2 >= len(b.entries) {
		n := copy(b.entries, b.entries[b.head:])
		clear(b.entries[n:])
		b.entries, b.head = b.entries[:n], 0
	}
	return e
}

// spare gives an empty list of cells, a used one where there is one.
func (b *buffer) spare() []cell {
	if n := len(b.free); n > 0 {
		c := b.free[n-1]
		b.free = b.free[:n-1]
		return c
	}
	return nil
}

func (b *buffer) recycle(c []cell) {
	if cap(c) > 0 && len(b.free) < 4 {
		b.free = append(b.free, c[:0])
	}
}

func (b *buffer) snapshot(w *snapshot.Writer) {
	w.Uint(uint64(b.len())) //nolint:gosec // a length
	for _, e := range b.entries[b.head:] {
		w.Int(e.at)
		w.Uint(uint64(len(e.cells)))
		for _, c := range e.cells {
			w.Uint(uint64(c.number))
			w.Bool(c.plausible)
			w.Float(c.value)
		}
	}
}

// restore reads the rows; renumber gives a signal's present number, -1 = unknown now.
func (b *buffer) restore(r *snapshot.Reader, renumber func(uint64) int) {
	n := r.Count(maxWaiting + 1)
	*b = buffer{}
	for range n {
		at := r.Int()
		var cells []cell
		for range r.Count(maxSignals) {
			number, plausible, value := renumber(r.Uint()), r.Bool(), r.Float()
			if number >= 0 {
				cells = append(cells, cell{uint16(number), plausible, value}) //nolint:gosec // below maxSignals
			}
		}
		if r.Err != nil {
			return
		}
		b.insert(at, cells)
	}
}
