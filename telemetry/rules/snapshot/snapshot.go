// Package snapshot is how evaluators write their state down and take it back: field after
// field, in one order, without names. It knows nothing of what it writes.
package snapshot

import (
	"encoding/binary"
	"errors"
	"math"
)

// Writer appends state to a snapshot, Reader takes it back in the same order.
// Floats are kept bit for bit, so that a restored machine goes on identically.
type Writer struct{ B []byte }

// Uint appends one that is most often small.
func (w *Writer) Uint(v uint64) { w.B = binary.AppendUvarint(w.B, v) }

// Int appends one that is most often small.
func (w *Writer) Int(v int64) { w.B = binary.AppendVarint(w.B, v) }

// Float appends eight bytes.
func (w *Writer) Float(v float64) { w.B = binary.LittleEndian.AppendUint64(w.B, math.Float64bits(v)) }

// Bool appends one byte.
func (w *Writer) Bool(v bool) {
	if v {
		w.B = append(w.B, 1)
		return
	}
	w.B = append(w.B, 0)
}

// Text appends at most maxText bytes, preceded by their number.
func (w *Writer) Text(v string) {
	w.Uint(uint64(len(v)))
	w.B = append(w.B, v...)
}

// Floats appends a list, preceded by its length.
func (w *Writer) Floats(v []float64) {
	w.Uint(uint64(len(v)))
	for _, x := range v {
		w.Float(x)
	}
}

// Block appends what fill writes, preceded by its length.
func (w *Writer) Block(fill func(dst []byte) []byte) {
	at := len(w.B)
	w.B = append(w.B, 0, 0, 0, 0)
	w.B = fill(w.B)
	binary.LittleEndian.PutUint32(w.B[at:], uint32(len(w.B)-at-4)) //nolint:gosec // a snapshot is far below 4 GiB
}

// ErrCut says that a snapshot ends too soon, or holds what no Writer writes.
var ErrCut = errors.New("snapshot is cut or damaged")

// Reader keeps the first error; what it gives after one is zero.
type Reader struct {
	B       []byte
	Err     error
	Version int // of what wrote the snapshot, for who needs to know
}

// Take gives the next n bytes. With what cannot be, as -1, it is an error.
func (r *Reader) Take(n int) []byte {
	if r.Err != nil || n < 0 || n > len(r.B) {
		r.Err, r.B = ErrCut, nil
		return nil
	}
	out := r.B[:n]
	r.B = r.B[n:]
	return out
}

// Uint is what Writer.Uint wrote.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.B)
	if n <= 0 {
		r.Take(-1)
		return 0
	}
	r.Take(n)
	return v
}

// Int is what Writer.Int wrote.
func (r *Reader) Int() int64 {
	v, n := binary.Varint(r.B)
	if n <= 0 {
		r.Take(-1)
		return 0
	}
	r.Take(n)
	return v
}

// Float is what Writer.Float wrote.
func (r *Reader) Float() float64 {
	if b := r.Take(8); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// Bool is what Writer.Bool wrote.
func (r *Reader) Bool() bool {
	b := r.Take(1)
	return len(b) == 1 && b[0] != 0
}

// Count reads a length that must not exceed limit.
func (r *Reader) Count(limit int) int {
	v := r.Uint()
	if v > uint64(limit) { //nolint:gosec // limits are small positive constants
		r.Take(-1)
		return 0
	}
	return int(v) //nolint:gosec // bounded above
}

// Text is what Writer.Text wrote.
func (r *Reader) Text() string { return string(r.Take(r.Count(maxText))) }

// Floats reads a list of at most limit numbers.
func (r *Reader) Floats(limit int) []float64 {
	n := r.Count(limit)
	if n == 0 || r.Err != nil {
		return nil
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = r.Float()
	}
	return out
}

// Block is what fill wrote in Writer.Block.
func (r *Reader) Block() []byte {
	b := r.Take(4)
	if b == nil {
		return nil
	}
	return r.Take(int(binary.LittleEndian.Uint32(b)))
}

const maxText = 1 << 12
