package sparkplug

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// Wire types of protocol buffers.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// scanner goes through the fields of one message, which is the part of b from
// pos to end. After the first fault there is nothing more.
type scanner struct {
	d        *decoder
	pos, end int
	at       int // where the field began
	field    uint64
	wire     int
}

// decoder is one payload while it is taken apart.
type decoder struct {
	b        []byte
	fault    *Fault
	elements int
}

func (d *decoder) fail(reason string, offset int, format string, args ...any) {
	if d.fault == nil {
		d.fault = &Fault{Reason: reason, Detail: fmt.Sprintf(format, args...) + fmt.Sprintf(" at byte %d", offset), Offset: offset}
	}
}

// count bounds what one message may have of anything.
func (d *decoder) count(offset int) bool {
	if d.elements++; d.elements > maxElements {
		d.fail(TooMany, offset, "more than %d metrics, properties and cells", maxElements)
	}
	return d.fault == nil
}

// next goes to the next field.
func (s *scanner) next() bool {
	if s.d.fault != nil || s.pos >= s.end {
		return false
	}
	s.at = s.pos
	tag := s.uvarint()
	s.field, s.wire = tag>>3, int(tag&7) //nolint:gosec // three bits
	switch {
	case s.d.fault != nil:
	case s.field == 0 || s.field > 1<<29-1:
		s.d.fail(Wire, s.at, "field number %d", s.field)
	case s.wire != wireVarint && s.wire != wireFixed64 && s.wire != wireBytes && s.wire != wireFixed32:
		s.d.fail(Wire, s.at, "wire type %d", s.wire)
	}
	return s.d.fault == nil
}

func (s *scanner) uvarint() uint64 {
	v, n := binary.Uvarint(s.d.b[s.pos:s.end])
	switch {
	case n == 0:
		s.d.fail(Truncated, s.pos, "a number is cut off")
	case n < 0:
		s.d.fail(Varint, s.pos, "a number has more than 64 bits")
	default:
		s.pos += n
		return v
	}
	return 0
}

// is checks the wire type of the field.
func (s *scanner) is(wire int, what string) bool {
	if s.wire != wire {
		s.d.fail(Wire, s.at, "%s has wire type %d, expected %d", what, s.wire, wire)
	}
	return s.d.fault == nil
}

func (s *scanner) varint(what string) uint64 {
	if !s.is(wireVarint, what) {
		return 0
	}
	return s.uvarint()
}

func (s *scanner) bool(what string) bool { return s.varint(what) != 0 }

func (s *scanner) fixed(n int, what string) []byte {
	if s.end-s.pos < n {
		s.d.fail(Truncated, s.pos, "%s is cut off", what)
		return nil
	}
	b := s.d.b[s.pos : s.pos+n]
	s.pos += n
	return b
}

func (s *scanner) float32(what string) float64 {
	if !s.is(wireFixed32, what) {
		return 0
	}
	b := s.fixed(4, what)
	if b == nil {
		return 0
	}
	return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
}

func (s *scanner) float64(what string) float64 {
	if !s.is(wireFixed64, what) {
		return 0
	}
	b := s.fixed(8, what)
	if b == nil {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

// span is where the bytes of the field are.
func (s *scanner) span(what string) (from, to int) {
	if !s.is(wireBytes, what) {
		return 0, 0
	}
	n := s.uvarint()
	if s.d.fault == nil && n > uint64(s.end-s.pos) { //nolint:gosec // never negative
		s.d.fail(Truncated, s.at, "%s has %d bytes, of which %d are there", what, n, s.end-s.pos)
	}
	if s.d.fault != nil {
		return 0, 0
	}
	from = s.pos
	s.pos += int(n) //nolint:gosec // within the payload
	return from, s.pos
}

func (s *scanner) bytes(what string) []byte {
	from, to := s.span(what)
	return s.d.b[from:to:to]
}

func (s *scanner) text(what string) string {
	from, to := s.span(what)
	b := s.d.b[from:to]
	if !utf8.Valid(b) {
		s.d.fail(BadText, from, "%s is no valid UTF-8", what)
		return ""
	}
	return string(b)
}

// message is the field as a message of its own.
func (s *scanner) message(what string) *scanner {
	from, to := s.span(what)
	return &scanner{d: s.d, pos: from, end: to}
}

// skip passes over a field that nobody needs.
func (s *scanner) skip() {
	switch s.wire {
	case wireVarint:
		s.uvarint()
	case wireFixed64:
		s.fixed(8, "a field")
	case wireFixed32:
		s.fixed(4, "a field")
	default:
		s.span("a field")
	}
}
