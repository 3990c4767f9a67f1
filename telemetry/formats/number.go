package formats

import (
	"math"
	"strconv"
	"unsafe"
)

// exactPowers are the powers of ten that a float64 holds exactly.
//
//nolint:gochecknoglobals // a table, never written
var exactPowers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// numeral is a number as it is written: RFC 8259 grammar and nothing more.
type numeral struct {
	negative bool
	integer  bool   // neither fraction nor exponent
	digits   uint64 // up to 19 of them
	cut      bool   // more than 19 digits
	scale    int    // power of ten
	size     int    // bytes
}

// scanNumeral reads the longest numeral at the start of b; size is 0 where there is none.
func scanNumeral(b []byte) numeral {
	n := numeral{integer: true}
	i := 0
	if i < len(b) && b[i] == '-' {
		n.negative = true
		i++
	}
	whole := i
	i = n.run(b, i)
	if i == whole || b[whole] == '0' && i > whole+1 {
		return numeral{}
	}
	if i < len(b) && b[i] == '.' {
		n.integer = false
		point := i + 1
		if i = n.run(b, point); i == point {
			return numeral{}
		}
		n.scale -= i - point
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		n.integer = false
		exponent, end := scanExponent(b, i+1)
		if end == 0 {
			return numeral{}
		}
		n.scale += exponent
		i = end
	}
	n.size = i
	return n
}

// run takes digits from i on and returns where they end.
func (n *numeral) run(b []byte, i int) int {
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		if n.digits > (math.MaxUint64-9)/10 {
			n.cut = true
			continue
		}
		n.digits = n.digits*10 + uint64(b[i]-'0')
	}
	return i
}

func scanExponent(b []byte, i int) (exponent, end int) {
	negative := false
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		negative = b[i] == '-'
		i++
	}
	start := i
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		if exponent < 10_000 {
			exponent = exponent*10 + int(b[i]-'0')
		}
	}
	if i == start {
		return 0, 0
	}
	if negative {
		exponent = -exponent
	}
	return exponent, i
}

// value converts the numeral whose text is b. Why is "" for a finite float64
// that keeps the number; an integer beyond 2^53 would be changed and is refused.
func (n numeral) value(b []byte) (v float64, why string) {
	if n.integer && (n.cut || n.digits > 1<<53) {
		return 0, "is an integer beyond 2^53, which would not be kept exactly"
	}
	if !n.cut && n.digits <= 1<<53 && n.scale >= -22 && n.scale <= 22 {
		v = float64(n.digits)
		if n.scale < 0 {
			v /= exactPowers[-n.scale]
		} else {
			v *= exactPowers[n.scale]
		}
	} else {
		text := b[:n.size]
		if n.negative {
			text = text[1:]
		}
		var err error
		v, err = strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64)
		if err != nil {
			return 0, "is beyond the range of a 64-bit number"
		}
	}
	if n.negative && v != 0 { // -0 is 0
		v = -v
	}
	return v, ""
}

// number reads a number. A malformed or unusable one is a fault of the value
// alone as long as it is clear where it ends.
func (s *jsonScanner) number() (float64, *Fault) {
	start := s.pos
	n := scanNumeral(s.b[s.pos:])
	if n.size == 0 || !s.ends(s.pos+n.size) {
		s.pastWord()
		s.count()
		f := s.at(start, NumberRange, strconv.Quote(truncate(string(s.b[start:s.pos]), 40))+" is not a finite JSON number")
		return 0, &f
	}
	s.pos += n.size
	s.count()
	v, why := n.value(s.b[start:])
	if why != "" {
		f := s.at(start, NumberRange, truncate(string(s.b[start:s.pos]), 40)+" "+why)
		return 0, &f
	}
	return v, nil
}

// pastWord moves to where the broken token ends.
func (s *jsonScanner) pastWord() {
	s.pos++
	for s.pos < len(s.b) && !s.ends(s.pos) && s.b[s.pos] != '"' && s.b[s.pos] != '{' && s.b[s.pos] != '[' {
		s.pos++
	}
}
