package sparkplug

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Signal is the signal that a metric's name means: Hydraulic/OilTemp is
// hydraulic.oil_temp.
func Signal(metric string) string {
	var b strings.Builder
	b.Grow(len(metric) + 8)
	before := rune(0)
	for i, r := range metric {
		switch {
		case r == '/':
			b.WriteByte('.')
		case r == ' ':
			b.WriteByte('_')
		case unicode.IsUpper(r):
			after, _ := utf8.DecodeRuneInString(metric[i+utf8.RuneLen(r):])
			if unicode.IsLower(before) || unicode.IsDigit(before) || unicode.IsUpper(before) && unicode.IsLower(after) {
				b.WriteByte('_')
			}
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(r)
		}
		before = r
	}
	return b.String()
}

// badSignal says what is wrong with a metric's name, "" when nothing is.
func badSignal(name string) string {
	switch {
	case name == "":
		return "the metric has no name"
	case len(name) > 200:
		return "the metric's name is longer than 200 bytes"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return "the metric's name has a control character or a backslash"
	}
	return ""
}

// ofTheNode says whether a metric belongs to the protocol and not to the machine.
func ofTheNode(name string) bool {
	return name == bdSeqName || strings.HasPrefix(name, "Node Control/") || strings.HasPrefix(name, "Device Control/")
}
