package formats

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonScanner reads JSON strictly and in one pass: no duplicate keys, bounded
// depth and number of values, RFC 8259 throughout. The first fault of the
// document stays in fault and ends every loop; the bytes must have passed
// checkText.
type jsonScanner struct {
	b       []byte
	pos     int
	values  int
	depth   int
	frames  [maxDepth + 1]jsonFrame
	keys    [][]byte // keys of the open objects, innermost last
	scratch []byte   // unescaped strings
	prefix  string   // path of the document when an envelope is around it
	fault   *Fault
}

type jsonFrame struct {
	key   []byte
	index int // of an array, -1 for an object
}

// byteOrderMark is what some Windows programs write before JSON, which has none.
const byteOrderMark = "\xef\xbb\xbf"

func (s *jsonScanner) reset(b []byte) *jsonScanner {
	s.b, s.pos, s.values, s.depth, s.fault = b, 0, 0, 0, nil
	s.keys, s.scratch, s.prefix = s.keys[:0], s.scratch[:0], ""
	if bytes.HasPrefix(b, []byte(byteOrderMark)) {
		s.fault = &Fault{Reason: JSONBOM, Detail: "a byte order mark is before the document"}
	}
	return s
}

// open starts at the content of a message.
func (s *jsonScanner) open(m Message) *jsonScanner {
	s.reset(m.Payload)
	if m.envelope != nil {
		s.pos, s.prefix = m.envelope.start, m.envelope.path
	}
	return s
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *jsonScanner) peek() byte {
	for s.pos < len(s.b) {
		switch c := s.b[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// end checks that nothing follows the document and returns its first fault.
func (s *jsonScanner) end() error {
	if s.fault == nil && s.peek() != 0 {
		s.fail(JSONTrailing, "something follows the document")
	}
	if s.fault != nil {
		return s.fault
	}
	return nil
}

// fail notes the document's first fault at the current place.
func (s *jsonScanner) fail(reason, detail string) {
	if s.fault == nil {
		f := s.at(s.pos, reason, detail)
		s.fault = &f
	}
}

// at makes a fault that names line, column and key path of a place.
func (s *jsonScanner) at(pos int, reason, detail string) Fault {
	pos = min(pos, len(s.b))
	line := 1 + bytes.Count(s.b[:pos], []byte{'\n'})
	column := pos - bytes.LastIndexByte(s.b[:pos], '\n')
	return Fault{Reason: reason, Detail: fmt.Sprintf("%s at line %d, column %d", detail, line, column), Path: s.path(), Offset: pos}
}

func (s *jsonScanner) path() string {
	var p strings.Builder
	p.WriteString(s.prefix)
	for i := range s.depth {
		f := &s.frames[i]
		if f.index >= 0 {
			fmt.Fprintf(&p, "[%d]", f.index)
			continue
		}
		if p.Len() > 0 {
			p.WriteByte('.')
		}
		p.Write(f.key)
	}
	return strings.ToValidUTF8(truncate(p.String(), 400), "")
}

func truncate(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// jsonObject walks over the members of an object; each value must be consumed.
type jsonObject struct {
	s    *jsonScanner
	base int
	seen map[string]struct{}
	some bool
	key  []byte
}

func (s *jsonScanner) object() jsonObject {
	if s.peek() != '{' {
		s.fail(JSONType, "expected an object")
		return jsonObject{s: s}
	}
	s.enter(-1)
	return jsonObject{s: s, base: len(s.keys)}
}

func (s *jsonScanner) enter(index int) {
	if s.depth >= maxDepth {
		s.fail(JSONDepth, fmt.Sprintf("nested deeper than %d", maxDepth))
		return
	}
	s.pos++
	s.frames[s.depth] = jsonFrame{index: index}
	s.depth++
}

func (o *jsonObject) next() bool {
	s := o.s
	if s.fault != nil {
		return false
	}
	c := s.peek()
	switch {
	case c == '}':
		s.pos++
		s.depth--
		s.keys = s.keys[:o.base]
		return false
	case !o.some:
	case c == ',':
		s.pos++
		c = s.peek()
	default:
		s.fail(JSONSyntax, "expected ',' or '}'")
		return false
	}
	o.some = true
	if c != '"' {
		s.fail(JSONSyntax, "expected a key in double quotes")
		return false
	}
	return o.readKey()
}

func (o *jsonObject) readKey() bool {
	s := o.s
	start := s.pos
	key, ok := s.text()
	if !ok {
		return false
	}
	s.frames[s.depth-1].key = key
	if o.duplicate(key) {
		s.pos = start
		s.fail(JSONDuplicate, "the key appears twice")
		return false
	}
	s.keys = append(s.keys, key)
	if s.peek() != ':' {
		s.fail(JSONSyntax, "expected ':'")
		return false
	}
	s.pos++
	o.key = key
	return true
}

// duplicate compares with the object's earlier keys: one by one while they are
// few, by a set when they are many.
func (o *jsonObject) duplicate(key []byte) bool {
	earlier := o.s.keys[o.base:]
	if len(earlier) < 24 {
		for _, k := range earlier {
			if bytes.Equal(k, key) {
				return true
			}
		}
		return false
	}
	if o.seen == nil {
		o.seen = make(map[string]struct{}, 64)
		for _, k := range earlier {
			o.seen[string(k)] = struct{}{}
		}
	}
	_, dup := o.seen[string(key)]
	o.seen[string(key)] = struct{}{}
	return dup
}

// jsonArray walks over the elements of an array; each must be consumed.
type jsonArray struct {
	s    *jsonScanner
	some bool
}

func (s *jsonScanner) array() jsonArray {
	if s.peek() != '[' {
		s.fail(JSONType, "expected an array")
		return jsonArray{s: s}
	}
	s.enter(0)
	return jsonArray{s: s}
}

func (a *jsonArray) next() bool {
	s := a.s
	if s.fault != nil {
		return false
	}
	c := s.peek()
	switch {
	case c == ']':
		s.pos++
		s.depth--
		return false
	case !a.some:
		a.some = true
		return true
	case c == ',':
		s.pos++
		s.frames[s.depth-1].index++
		return true
	}
	s.fail(JSONSyntax, "expected ',' or ']'")
	return false
}

// text reads a string. The bytes are good until the scanner is reset.
func (s *jsonScanner) text() ([]byte, bool) {
	if s.peek() != '"' {
		s.fail(JSONType, "expected a string")
		return nil, false
	}
	start := s.pos + 1
	for i := start; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			s.pos = i + 1
			return s.b[start:i], true
		case c == '\\':
			return s.escaped(start, i)
		case c < ' ':
			s.pos = i
			s.fail(JSONSyntax, "control character in a string")
			return nil, false
		}
	}
	s.pos = len(s.b)
	s.fail(JSONSyntax, "the string does not end")
	return nil, false
}

// escaped reads on from the first backslash of a string.
func (s *jsonScanner) escaped(start, i int) ([]byte, bool) {
	mark := len(s.scratch)
	s.scratch = append(s.scratch, s.b[start:i]...)
	for i < len(s.b) {
		c := s.b[i]
		switch {
		case c == '"':
			s.pos = i + 1
			return s.scratch[mark:len(s.scratch):len(s.scratch)], true
		case c < ' ':
			s.pos = i
			s.fail(JSONSyntax, "control character in a string")
			return nil, false
		case c != '\\':
			s.scratch = append(s.scratch, c)
			i++
		default:
			n := s.escape(i)
			if n == 0 {
				return nil, false
			}
			i += n
		}
	}
	s.pos = len(s.b)
	s.fail(JSONSyntax, "the string does not end")
	return nil, false
}

const escapes = "\"\\/bfnrt"
const escapeMeans = "\"\\/\b\f\n\r\t"

// escape appends what the escape at i means and returns its length, 0 on a fault.
func (s *jsonScanner) escape(i int) int {
	s.pos = i
	if i+1 >= len(s.b) {
		s.fail(JSONSyntax, "the string does not end")
		return 0
	}
	if at := strings.IndexByte(escapes, s.b[i+1]); at >= 0 {
		s.scratch = append(s.scratch, escapeMeans[at])
		return 2
	}
	r, ok := s.hex(i)
	if !ok {
		s.fail(JSONSyntax, "unknown escape")
		return 0
	}
	n := 6
	if utf16.IsSurrogate(r) {
		low, ok := s.hex(i + 6)
		r = utf16.DecodeRune(r, low)
		if !ok || r == utf8.RuneError {
			s.fail(BadUTF8, "half of a surrogate pair")
			return 0
		}
		n = 12
	}
	if r == 0 {
		s.fail(NulByte, "escaped NUL")
		return 0
	}
	s.scratch = utf8.AppendRune(s.scratch, r)
	return n
}

// hex reads the \uXXXX at i.
func (s *jsonScanner) hex(i int) (rune, bool) {
	if i+6 > len(s.b) || s.b[i] != '\\' || s.b[i+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s.b[i+2 : i+6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// literal reads true, false or null.
func (s *jsonScanner) literal() (byte, bool) {
	for _, word := range [...]string{"true", "false", "null"} {
		if end := s.pos + len(word); end <= len(s.b) && string(s.b[s.pos:end]) == word && s.ends(end) {
			s.pos = end
			return word[0], s.count()
		}
	}
	s.fail(JSONSyntax, "expected a value")
	return 0, false
}

// ends says whether a token may end at i.
func (s *jsonScanner) ends(i int) bool {
	if i >= len(s.b) {
		return true
	}
	switch s.b[i] {
	case ',', '}', ']', ' ', '\t', '\n', '\r', ':':
		return true
	}
	return false
}

func (s *jsonScanner) startsWith(word string) bool {
	return bytes.HasPrefix(s.b[s.pos:], []byte(word))
}

// numeric says whether what begins with c is a number, or was meant as one.
func (s *jsonScanner) numeric(c byte) bool {
	return c == '-' || c >= '0' && c <= '9' || c == '+' || c == '.' || s.startsWith("NaN") || s.startsWith("Inf")
}

// count counts one value against the limit.
func (s *jsonScanner) count() bool {
	if s.values++; s.values > maxValues {
		s.fail(TooManyValues, fmt.Sprintf("more than %d values", maxValues))
		return false
	}
	return true
}

// skip reads over any value, checking it as strictly as the rest.
func (s *jsonScanner) skip() {
	if s.fault != nil {
		return
	}
	switch c := s.peek(); {
	case c == '{':
		for o := s.object(); o.next(); {
			s.skip()
		}
	case c == '[':
		for a := s.array(); a.next(); {
			s.skip()
		}
	case c == '"':
		if _, ok := s.text(); ok {
			s.count()
		}
	case s.numeric(c):
		_, _ = s.number() // what is skipped need not be in range
	default:
		s.literal()
	}
}
