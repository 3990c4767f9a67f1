package formats

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// Major types of CBOR (RFC 8949).
const (
	cborUnsigned = iota
	cborNegative
	cborBytes
	cborText
	cborArray
	cborMap
	cborTag
	cborSimple
)

// selfDescribed is the tag that says "this is CBOR".
const selfDescribed = "\xd9\xd9\xf7"

// cborReader reads CBOR strictly and in one pass. Like jsonScanner it bounds
// depth and values, and keeps the first fault, which ends every loop.
type cborReader struct {
	b      []byte
	pos    int
	depth  int
	values int
	fault  *Fault
}

func (c *cborReader) fail(reason, detail string) {
	if c.fault == nil {
		c.fault = &Fault{Reason: reason, Detail: fmt.Sprintf("%s at byte %d", detail, c.pos), Offset: c.pos}
	}
}

// ended says whether nothing can be read any more, which is a fault.
func (c *cborReader) ended() bool {
	if c.fault == nil && c.pos >= len(c.b) {
		c.fail(CBORCut, "the document ends early")
	}
	return c.fault != nil
}

// major is the type of what comes next; cborSimple at the end.
func (c *cborReader) major() byte {
	if c.pos >= len(c.b) {
		return cborSimple
	}
	return c.b[c.pos] >> 5
}

// head reads the head of an item of a type. indefinite is true where the length
// is not given.
func (c *cborReader) head(major byte) (n uint64, indefinite, ok bool) {
	if c.ended() {
		return 0, false, false
	}
	if c.b[c.pos]>>5 != major {
		c.fail(CBORSyntax, fmt.Sprintf("expected major type %d, got %d", major, c.b[c.pos]>>5))
		return 0, false, false
	}
	return c.argument()
}

// argument reads what stands behind the type.
func (c *cborReader) argument() (n uint64, indefinite, ok bool) {
	info := c.b[c.pos] & 31
	switch {
	case info < 24:
		c.pos++
		return uint64(info), false, true
	case info == 31:
		c.pos++
		return 0, true, true
	case info > 27:
		c.fail(CBORSyntax, "a reserved length")
		return 0, false, false
	}
	size := 1 << (info - 24)
	if c.pos+1+size > len(c.b) {
		c.fail(CBORCut, "the document ends early")
		return 0, false, false
	}
	for _, b := range c.b[c.pos+1 : c.pos+1+size] {
		n = n<<8 | uint64(b)
	}
	c.pos += 1 + size
	return n, false, true
}

// cborItems walks over an array, or over the keys of a map; each item, and each
// key with its value, must be consumed.
type cborItems struct {
	c          *cborReader
	left       uint64
	index      int
	indefinite bool
	shut       bool
}

func (c *cborReader) open(major byte) cborItems {
	n, indefinite, ok := c.head(major)
	if ok && c.depth >= maxDepth {
		c.fail(JSONDepth, fmt.Sprintf("nested deeper than %d", maxDepth))
	}
	c.depth++
	return cborItems{c: c, left: n, index: -1, indefinite: indefinite}
}

func (i *cborItems) next() bool {
	c := i.c
	if c.fault != nil {
		return false
	}
	switch {
	case i.indefinite && c.pos < len(c.b) && c.b[c.pos] == 0xff:
		c.pos++
		i.shut = true
	case !i.indefinite && i.left == 0:
		i.shut = true
	}
	if i.shut {
		c.depth--
		return false
	}
	i.left--
	i.index++
	return c.count()
}

func (c *cborReader) count() bool {
	if c.values++; c.values > 4*maxValues { // keys and records count too
		c.fail(TooManyValues, fmt.Sprintf("more than %d items", 4*maxValues))
		return false
	}
	return true
}

// text reads a text of known length.
func (c *cborReader) text() ([]byte, bool) {
	n, indefinite, ok := c.head(cborText)
	switch {
	case !ok:
		return nil, false
	case indefinite:
		c.fail(CBORSyntax, "a text in pieces")
		return nil, false
	case n > uint64(len(c.b)-c.pos): //nolint:gosec // pos is within b
		c.fail(CBORCut, "the text is cut")
		return nil, false
	}
	text := c.b[c.pos : c.pos+int(n)] //nolint:gosec // bounded above
	for i, b := range text {
		if b == 0 {
			c.pos += i
			c.fail(NulByte, "NUL in a text")
			return nil, false
		}
	}
	if !utf8.Valid(text) {
		c.pos += badUTF8(text)
		c.fail(BadUTF8, "invalid UTF-8")
		return nil, false
	}
	c.pos += len(text)
	return text, true
}

func (c *cborReader) integer() (int64, bool) {
	major := c.major()
	if c.ended() {
		return 0, false
	}
	if major != cborUnsigned && major != cborNegative {
		c.fail(CBORSyntax, "expected an integer")
		return 0, false
	}
	n, indefinite, ok := c.head(major)
	if !ok || indefinite || n > math.MaxInt64 {
		c.fail(CBORSyntax, "expected an integer of 63 bits")
		return 0, false
	}
	if major == cborNegative {
		return -1 - int64(n), true
	}
	return int64(n), true
}

func (c *cborReader) boolean() bool {
	if c.ended() {
		return false
	}
	if c.pos < len(c.b) && (c.b[c.pos] == 0xf4 || c.b[c.pos] == 0xf5) {
		c.pos++
		return c.b[c.pos-1] == 0xf5
	}
	c.fail(CBORSyntax, "expected true or false")
	return false
}

// number reads an integer, a float or a decimal fraction; finite is false for one
// that is none or that a float64 does not keep.
func (c *cborReader) number() (v float64, finite bool) {
	switch c.major() {
	case cborTag:
		return c.decimal()
	case cborSimple:
		return c.float()
	}
	n, ok := c.integer()
	const exact = 1 << 53
	return float64(n), ok && n <= exact && n >= -exact
}

// float reads a half, single or double.
func (c *cborReader) float() (v float64, finite bool) {
	if c.ended() {
		return 0, false
	}
	info := c.b[c.pos] & 31
	if info < 25 || info > 27 {
		c.fail(CBORSyntax, "expected a number")
		return 0, false
	}
	bits, _, ok := c.argument()
	if !ok {
		return 0, false
	}
	switch info {
	case 25:
		v = half(uint16(bits)) //nolint:gosec // two bytes were read
	case 26:
		v = float64(math.Float32frombits(uint32(bits))) //nolint:gosec // four bytes were read
	default:
		v = math.Float64frombits(bits)
	}
	if v == 0 {
		v = 0 // -0 is 0
	}
	return v, !math.IsNaN(v) && !math.IsInf(v, 0)
}

// half is a 16-bit float, RFC 8949 appendix D.
func half(bits uint16) float64 {
	exponent, mantissa := int(bits>>10&31), float64(bits&1023)
	var v float64
	switch exponent {
	case 0:
		v = math.Ldexp(mantissa, -24)
	case 31:
		v = math.Inf(1)
		if mantissa != 0 {
			v = math.NaN()
		}
	default:
		v = math.Ldexp(mantissa+1024, exponent-25)
	}
	if bits>>15 != 0 {
		v = -v
	}
	return v
}

// decimal reads tag 4: [exponent, mantissa].
func (c *cborReader) decimal() (v float64, finite bool) {
	if tag, _, ok := c.head(cborTag); !ok || tag != 4 {
		c.fail(CBORSyntax, "expected a number")
		return 0, false
	}
	if n, indefinite, ok := c.head(cborArray); !ok || indefinite || n != 2 {
		c.fail(CBORSyntax, "expected a decimal fraction of two integers")
		return 0, false
	}
	exponent, _ := c.integer()
	mantissa, ok := c.integer()
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseFloat(strconv.FormatInt(mantissa, 10)+"e"+strconv.FormatInt(exponent, 10), 64)
	return v, err == nil
}

// skip reads over any item.
func (c *cborReader) skip() {
	if c.ended() {
		return
	}
	switch major := c.major(); major {
	case cborArray:
		for a := c.open(cborArray); a.next(); {
			c.skip()
		}
	case cborMap:
		for o := c.open(cborMap); o.next(); {
			c.skip()
			c.skip()
		}
	case cborText:
		c.text()
	case cborTag:
		if _, _, ok := c.argument(); ok && c.count() {
			c.skip()
		}
	case cborBytes:
		n, indefinite, ok := c.argument()
		if ok && (indefinite || n > uint64(len(c.b)-c.pos)) { //nolint:gosec // pos is within b
			c.fail(CBORCut, "the bytes are cut")
			return
		}
		c.pos += int(n) //nolint:gosec // bounded above
	default:
		c.argument()
	}
}

func pathOf(index int) string { return "[" + strconv.Itoa(index) + "]" }
