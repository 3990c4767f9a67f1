package prognosis

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// writer appends values to bytes, reader takes them back in the same order. After
// something bad a reader gives what does no harm.
type writer struct{ b []byte }

func (w *writer) count(n int) { w.b = binary.AppendUvarint(w.b, uint64(n)) } //nolint:gosec // a length

func (w *writer) floats(list ...float64) {
	for _, v := range list {
		w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(v))
	}
}

func (w *writer) list(list []float64) {
	w.count(len(list))
	w.floats(list...)
}

func (w *writer) names(list []string) {
	w.count(len(list))
	w.texts(list...)
}

// texts may be empty.
func (w *writer) texts(list ...string) {
	for _, name := range list {
		w.count(len(name))
		w.b = append(w.b, name...)
	}
}

type reader struct {
	b   []byte
	bad bool
}

// need says what must hold of what was read.
func (r *reader) need(ok bool) {
	if !ok {
		r.bad, r.b = true, nil
	}
}

func (r *reader) take(n int) []byte {
	if r.need(n <= len(r.b)); r.bad {
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) count(least, most int) int {
	v, n := binary.Uvarint(r.b)
	if r.need(n > 0 && v >= uint64(least) && v <= uint64(most)); r.bad { //nolint:gosec // bounds are small
		return 0
	}
	r.b = r.b[n:]
	return int(v) //nolint:gosec // bounded
}

// within reads a number, which must lie between two.
func (r *reader) within(low, high float64) float64 {
	b := r.take(8)
	if b == nil {
		return low
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(b))
	if r.need(v >= low && v <= high); r.bad {
		return low
	}
	return v
}

func (r *reader) finite() float64 { return r.within(-math.MaxFloat64, math.MaxFloat64) }

// above reads a number greater than another.
func (r *reader) above(low float64) float64 {
	v := r.within(low, math.MaxFloat32)
	r.need(v > low)
	return v
}

func (r *reader) list(least, most int) []float64 {
	n := r.count(least, most)
	if n == 0 || 8*n > len(r.b) {
		r.need(n == 0)
		return nil
	}
	list := make([]float64, n)
	for i := range list {
		list[i] = r.finite()
	}
	return list
}

func (r *reader) names(least, most int) []string {
	list := r.texts(r.count(least, most))
	for _, name := range list {
		r.need(name != "")
	}
	return list
}

func (r *reader) texts(n int) []string {
	list := make([]string, 0, 8)
	for range n {
		name := string(r.take(r.count(0, maxName)))
		r.need(utf8.ValidString(name))
		list = append(list, name)
	}
	return list
}
