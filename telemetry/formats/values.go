package formats

import (
	"bytes"
	"strconv"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// readValue reads one value of the signal named by out.signal: a number or a
// boolean is stored, a number in a text too (counted), other texts are
// attributes, null is a gap, objects are flattened with '.'. What cannot be a
// value is refused alone.
func (d *Decoded) readValue(s *jsonScanner, first int) {
	switch c := s.peek(); {
	case c == '-' || c >= '0' && c <= '9':
		v, fault := s.number()
		d.keepNumber(s, first, v, fault)
	case c == 't' || c == 'f' || c == 'n':
		d.readLiteral(s, first)
	case c == '"':
		d.readText(s, first)
	case c == '{':
		d.readNested(s, first)
	case c == '[' && d.lists:
		d.readPhases(s, first)
	case c == '[':
		d.refuse(first, s.at(s.pos, JSONType, "an array is not a value"))
		s.skip()
	case c == '+' || c == '.' || s.startsWith("NaN") || s.startsWith("Inf"):
		_, fault := s.number() // never a number: names what stands there
		d.refuse(first, *fault)
	default:
		s.fail(JSONSyntax, "expected a value")
	}
}

func (d *Decoded) keepNumber(s *jsonScanner, first int, v float64, fault *Fault) {
	if fault != nil {
		d.refuse(first, *fault)
		return
	}
	if s.fault == nil {
		d.keep(s, first, v)
	}
}

func (d *Decoded) readLiteral(s *jsonScanner, first int) {
	start := s.pos
	if s.startsWith("nan") {
		s.pastWord()
		d.refuse(first, s.at(start, NumberRange, "not a finite JSON number"))
		return
	}
	word, ok := s.literal()
	if !ok || word == 'n' {
		return
	}
	v := 0.0
	if word == 't' {
		v = 1
	}
	d.keep(s, first, v)
}

func (d *Decoded) readText(s *jsonScanner, first int) {
	start := s.pos
	text, ok := s.text()
	if !ok || !s.count() {
		return
	}
	v, kind := textValue(text)
	switch kind {
	case textNumber:
		d.TextNumbers++
		d.keep(s, first, v)
	case textSwitch:
		d.keep(s, first, v)
	case textBadNumber:
		d.refuse(first, s.at(start, NumberRange, "the text is not a finite number"))
	default:
		d.Attributes++
	}
}

func (d *Decoded) readNested(s *jsonScanner, first int) {
	mark := len(d.signal)
	for o := s.object(); o.next(); {
		d.signal = append(append(d.signal[:mark], '.'), o.key...)
		d.readValue(s, first)
	}
	d.signal = d.signal[:mark]
}

// readPhases reads an array of values as name.1, name.2 and so on.
func (d *Decoded) readPhases(s *jsonScanner, first int) {
	mark, n := len(d.signal), int64(0)
	for a := s.array(); a.next(); {
		n++
		d.signal = strconv.AppendInt(append(d.signal[:mark], '.'), n, 10)
		d.readValue(s, first)
	}
	d.signal = d.signal[:mark]
}

// keep appends a value of the signal named by d.signal.
func (d *Decoded) keep(s *jsonScanner, first int, v float64) {
	if why := badSignal(d.signal); why != "" {
		d.refuse(first, s.at(s.pos, SignalName, why))
		return
	}
	d.keepAs(d.signal, v)
}

// keepAs appends a value of a signal whose name is good.
func (d *Decoded) keepAs(signal []byte, v float64) {
	d.values = append(d.values, observation.Value{Signal: d.name(signal), Value: v})
}

// badSignal says what is wrong with a signal's name, "" when nothing is.
func badSignal(name []byte) string {
	if len(name) == 0 {
		return "the signal has no name"
	}
	if len(name) > MaxName {
		return "the signal's name is longer than 200 bytes"
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f || c == '\\' {
			return "the signal's name has a control character or a backslash"
		}
	}
	return ""
}

type textKind uint8

const (
	textAttribute textKind = iota
	textNumber
	textSwitch
	textBadNumber
)

// textValue says what a text means as a value.
func textValue(text []byte) (float64, textKind) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || len(text) > 64 {
		return 0, textAttribute
	}
	if n := scanNumeral(text); n.size == len(text) {
		v, why := n.value(text)
		if why != "" {
			return 0, textBadNumber
		}
		return v, textNumber
	}
	switch string(bytes.ToLower(text)) {
	case "on", "true":
		return 1, textSwitch
	case "off", "false":
		return 0, textSwitch
	case "nan", "inf", "infinity", "-inf", "-infinity", "+inf", "+infinity", "-nan":
		return 0, textBadNumber
	}
	return 0, textAttribute
}

// take returns the values read since mark, the last of those with the same name,
// as a slice of its own.
func (d *Decoded) take(mark int) []observation.Value {
	return d.values[mark:len(d.values):len(d.values)]
}
