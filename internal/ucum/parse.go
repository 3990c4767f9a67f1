package ucum

import (
	"math"
	"strings"
)

// maxDepth bounds brackets within brackets, maxPower the exponents.
const (
	maxDepth = 4
	maxPower = 9
)

// parser reads one unit after the grammar of UCUM: components joined by "." and
// "/", each with an exponent, and words in braces that mean nothing.
type parser struct {
	text  string
	at    int
	depth int
	parts int // components read
}

// parse reads a unit. A temperature keeps its zero when it stands alone; in a
// term such as Cel/min it means a difference.
func parse(text string) (unit, error) {
	unknown := &UnknownError{Unit: text}
	if len(text) > MaxUnit {
		unknown.Unit = strings.ToValidUTF8(text[:MaxUnit], "") + "..."
		return unit{}, unknown
	}
	if text == "" {
		return one, nil
	}
	p := parser{text: text}
	u, ok := p.term()
	if !ok || p.at != len(text) || !(u.size > 0) || math.IsInf(u.size, 0) {
		return unit{}, unknown
	}
	if p.parts > 1 {
		u.zero = 0
	}
	return u, nil
}

var one = unit{size: 1}

func (p *parser) term() (unit, bool) {
	u := one
	divide := p.take('/')
	for {
		c, ok := p.component()
		if !ok {
			return u, false
		}
		p.parts++
		power := 1
		if divide {
			power = -1
			p.parts++ // 1/Cel is no temperature
		}
		zero := c.zero
		if u, ok = u.times(c, power); !ok {
			return u, false
		}
		u.zero = zero
		switch {
		case p.take('.'):
			divide = false
		case p.take('/'):
			divide = true
		default:
			return u, true
		}
	}
}

func (p *parser) component() (unit, bool) {
	if p.take('(') {
		if p.depth++; p.depth > maxDepth {
			return one, false
		}
		u, ok := p.term()
		p.depth--
		return u, ok && p.take(')')
	}
	if p.annotation() {
		return one, true
	}
	word := p.word()
	if n, rest := digits(word); rest == "" && word != "" { // a number
		return unit{size: float64(n)}, n > 0
	}
	symbol, power := exponent(word)
	a, ok := lookup(symbol)
	if !ok || power == 0 || power > maxPower || power < -maxPower {
		return one, false
	}
	p.annotation()
	if power == 1 {
		return a, true
	}
	p.parts++
	return one.times(a, power)
}

// annotation skips words in braces.
func (p *parser) annotation() bool {
	if !p.take('{') {
		return false
	}
	end := strings.IndexByte(p.text[p.at:], '}')
	if end < 0 {
		return false
	}
	p.at += end + 1
	return true
}

// word takes what stands before the next operator outside of square brackets.
func (p *parser) word() string {
	start, square := p.at, false
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '[':
			square = true
		case c == ']':
			square = false
		case !square && strings.IndexByte("./(){}", c) >= 0:
			return p.text[start:p.at]
		}
	}
	return p.text[start:p.at]
}

func (p *parser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// digits reads a leading whole number of at most nine digits.
func digits(word string) (n int, rest string) {
	for i := range len(word) {
		if word[i] < '0' || word[i] > '9' || i == 9 {
			return n, word[i:]
		}
		n = n*10 + int(word[i]-'0')
	}
	return n, ""
}

// exponent splits a word such as m3 or s-1 into its symbol and power.
func exponent(word string) (symbol string, power int) {
	end := len(word)
	for end > 0 && word[end-1] >= '0' && word[end-1] <= '9' {
		end--
	}
	if end == len(word) {
		return word, 1
	}
	power, _ = digits(word[end:])
	if end > 0 && (word[end-1] == '-' || word[end-1] == '+') {
		end--
		if word[end] == '-' {
			power = -power
		}
	}
	return word[:end], power
}

func lookup(symbol string) (unit, bool) {
	if a, ok := atoms[symbol]; ok {
		return a.unit, true
	}
	for _, n := range []int{1, 2} {
		if len(symbol) <= n {
			continue
		}
		factor, ok := prefixes[symbol[:n]]
		a, known := atoms[symbol[n:]]
		if ok && known && a.metric {
			return unit{size: a.size * factor, zero: a.zero, of: a.of}, true
		}
	}
	return unit{}, false
}

// times multiplies by a power of another unit.
func (u unit) times(v unit, power int) (unit, bool) {
	product := unit{size: u.size * math.Pow(v.size, float64(power))}
	pairs := []struct {
		to   *int8
		a, b int8
	}{
		{&product.of.length, u.of.length, v.of.length}, {&product.of.time, u.of.time, v.of.time}, {&product.of.mass, u.of.mass, v.of.mass},
		{&product.of.temperature, u.of.temperature, v.of.temperature}, {&product.of.current, u.of.current, v.of.current},
		{&product.of.angle, u.of.angle, v.of.angle}, {&product.of.amount, u.of.amount, v.of.amount}, {&product.of.light, u.of.light, v.of.light},
	}
	for _, p := range pairs {
		sum := int(p.a) + int(p.b)*power
		if sum > math.MaxInt8 || sum < math.MinInt8 {
			return product, false
		}
		*p.to = int8(sum) //nolint:gosec // within int8, see above
	}
	return product, true
}
