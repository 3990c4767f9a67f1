package rules

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// writer appends state to a snapshot, reader takes it back in the same order.
// Floats are kept bit for bit, so that a restored machine goes on identically.
type writer struct{ b []byte }

func (w *writer) uint(v uint64)   { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)     { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) float(v float64) { w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(v)) }

func (w *writer) bool(v bool) {
	if v {
		w.b = append(w.b, 1)
		return
	}
	w.b = append(w.b, 0)
}

func (w *writer) text(v string) {
	w.uint(uint64(len(v)))
	w.b = append(w.b, v...)
}

func (w *writer) floats(v []float64) {
	w.uint(uint64(len(v)))
	for _, x := range v {
		w.float(x)
	}
}

// block appends what fill writes, preceded by its length.
func (w *writer) block(fill func(dst []byte) []byte) {
	at := len(w.b)
	w.b = append(w.b, 0, 0, 0, 0)
	w.b = fill(w.b)
	binary.LittleEndian.PutUint32(w.b[at:], uint32(len(w.b)-at-4)) //nolint:gosec // a snapshot is far below 4 GiB
}

var errCut = errors.New("snapshot is cut or damaged")

// reader keeps the first error; what it gives after one is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		r.err, r.b = errCut, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.take(-1)
		return 0
	}
	r.take(n)
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.take(-1)
		return 0
	}
	r.take(n)
	return v
}

func (r *reader) float() float64 {
	if b := r.take(8); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (r *reader) bool() bool {
	b := r.take(1)
	return len(b) == 1 && b[0] != 0
}

// count reads a length that must not exceed limit.
func (r *reader) count(limit int) int {
	v := r.uint()
	if v > uint64(limit) { //nolint:gosec // limits are small positive constants
		r.take(-1)
		return 0
	}
	return int(v) //nolint:gosec // bounded above
}

func (r *reader) text() string { return string(r.take(r.count(maxText))) }

func (r *reader) floats(limit int) []float64 {
	n := r.count(limit)
	if n == 0 || r.err != nil {
		return nil
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = r.float()
	}
	return out
}

func (r *reader) block() []byte {
	b := r.take(4)
	if b == nil {
		return nil
	}
	return r.take(int(binary.LittleEndian.Uint32(b)))
}

const maxText = 1 << 12

func unix(ns int64) time.Time { return time.Unix(0, ns).UTC() }
