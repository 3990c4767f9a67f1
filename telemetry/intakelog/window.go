package intakelog

import "bytes"

const chunkBytes = 256 << 10

// unit is what a file is a row of: frames or blocks. check says what b starts
// with, and how long that is.
type unit struct {
	marker [4]byte
	head   int // bytes of the unit that say how long it is
	check  func(b []byte, seed uint32, from, below LSN) (lsn LSN, size int, v verdict)
}

// window reads one segment from front to back through a chunk of memory. The
// chunk is fresh whenever it is filled, so that records may share it.
type window struct {
	surface
	unit  unit
	seed  uint32
	end   int64 // nothing behind this is read
	at    int64 // of chunk[0]
	chunk []byte
}

// bytesAt returns at least n bytes from offset on, fewer only at the end.
func (w *window) bytesAt(offset int64, n int) []byte {
	have := w.at + int64(len(w.chunk)) - offset
	if offset >= w.at && (have >= int64(n) || have >= w.end-offset) && have >= 0 {
		return w.chunk[offset-w.at:]
	}
	size := min(max(int64(n), chunkBytes), w.end-offset)
	if size <= 0 {
		return nil
	}
	fresh := make([]byte, size)
	got := w.readAt(fresh, offset)
	w.at, w.chunk = offset, fresh[:got]
	if int64(got) < size {
		w.end = offset + int64(got) // the file is shorter than it was said to be
	}
	return w.chunk
}

// unitAt returns the unit at offset when it is whole.
func (w *window) unitAt(offset int64, from, below LSN) (unit []byte, lsn LSN, v verdict) {
	b := w.bytesAt(offset, w.unit.head)
	lsn, size, v := w.unit.check(b, w.seed, from, below)
	if v == short && len(b) >= w.unit.head {
		b = w.bytesAt(offset, size)
		lsn, size, v = w.unit.check(b, w.seed, from, below)
	}
	if v == whole {
		unit = b[:size:size]
	}
	return unit, lsn, v
}

// follow returns the first whole unit at or behind offset, and where it is; nil
// where there is none.
func (w *window) follow(offset int64, from, below LSN) (unit []byte, lsn LSN, at int64) {
	unit, lsn, v := w.unitAt(offset, from, below)
	for ; v != whole; unit, lsn, v = w.unitAt(offset, from, below) {
		offset = w.nextMarker(offset + 1)
		if offset >= w.end {
			return nil, 0, w.end
		}
	}
	return unit, lsn, offset
}

// nextMarker finds where the next unit may begin, or the end.
func (w *window) nextMarker(offset int64) int64 {
	for offset < w.end {
		b := w.bytesAt(offset, w.unit.head)
		if len(b) < w.unit.head {
			return w.end
		}
		if skip := bytes.Index(b, w.unit.marker[:]); skip >= 0 {
			return offset + int64(skip)
		}
		offset += int64(len(b) - len(w.unit.marker) + 1) // a marker may lie across the edge
	}
	return w.end
}
