package formats

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// lineProtocol is InfluxDB's line protocol, Telegraf's default output. A line
// is kept or refused on its own; a value that is out of range alone.
type lineProtocol struct{}

func (lineProtocol) Name() string { return "line-protocol" }

func (lineProtocol) Match(topic string, payload []byte) bool {
	payload = bytes.TrimLeft(bytes.TrimPrefix(payload, []byte(byteOrderMark)), " \t\r\n")
	if len(payload) == 0 || bytes.IndexByte([]byte(`{["`), payload[0]) >= 0 {
		return false
	}
	return strings.HasPrefix(topic, "telegraf/") || looksLikeLine(payload)
}

// looksLikeLine wants a name, a space and a field, or a comment.
func looksLikeLine(b []byte) bool {
	if b[0] == '#' {
		return true
	}
	if b[0] < ' ' || b[0] >= '0' && b[0] <= '9' || bytes.IndexByte([]byte("=,-<"), b[0]) >= 0 {
		return false
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '\n':
			return false
		case ' ':
			return bytes.IndexByte(b[i:], '=') > 0
		}
	}
	return false
}

func (lineProtocol) Decode(m Message, out *Decoded) error {
	d := lineprotocol.NewDecoderWithBytes(m.content())
	first := len(out.Faults)
	l := lineReader{d: d, m: m, out: out, first: first}
	some := len(out.Readings)
	for d.Next() {
		mark := len(out.values)
		if err := l.read(); err != nil {
			out.values = out.values[:mark]
			out.refuse(first, l.fault(err))
		}
		if l.count > maxValues {
			return &Fault{Reason: TooManyValues, Detail: fmt.Sprintf("more than %d values", maxValues)}
		}
	}
	if len(out.Readings) == some && len(out.Faults) == first {
		return &Fault{Reason: NothingToUse, Detail: "no line with a field"}
	}
	return nil
}

type lineReader struct {
	d     *lineprotocol.Decoder
	m     Message
	out   *Decoded
	first int
	count int // values of the message so far
	line  int // number of the entry, which comments and empty lines are none of
}

func (l *lineReader) read() error {
	l.line++
	if _, err := l.d.Measurement(); err != nil {
		return fmt.Errorf("read the measurement: %w", err)
	}
	var tagged taggedMachine
	for {
		key, value, err := l.d.NextTag()
		if err != nil {
			return fmt.Errorf("read a tag: %w", err)
		}
		if key == nil {
			break
		}
		tagged.note(l.out, key, value)
	}
	mark := len(l.out.values)
	if err := l.fields(); err != nil {
		return err
	}
	text, err := l.d.TimeBytes()
	if err != nil {
		return fmt.Errorf("read the time: %w", err)
	}
	return l.finish(&tagged, mark, text)
}

func (l *lineReader) finish(tagged *taggedMachine, mark int, text []byte) error {
	it := l.m.item(l.out, tagged.name(l.m))
	it.first = l.first
	if it.machine == "" {
		return &Fault{Reason: MachineUnknown, Detail: "neither the topic nor a tag machine, device or host names the machine"}
	}
	var fault *Fault
	if len(text) > 0 {
		if it.at, it.timed, fault = timeOf(text); fault != nil {
			return fault
		}
	}
	if len(l.out.values) > mark {
		faults := len(l.out.Faults)
		l.out.place(&it, l.out.take(mark), Fault{})
		if len(l.out.Faults) > faults {
			l.out.Faults[faults] = l.placed(l.out.Faults[faults], "")
		}
	}
	return nil
}

// placed says where in the message a fault of the current entry is.
func (l *lineReader) placed(f Fault, field string) Fault {
	if l.out.more > 0 {
		return f // it will not be listed
	}
	content := l.m.content()
	line, at := 0, 0
	for n := 0; ; line++ {
		rest := bytes.TrimLeft(content[at:], " \t\r")
		if len(rest) > 0 && rest[0] != '#' && rest[0] != '\n' {
			n++
		}
		next := bytes.IndexByte(content[at:], '\n')
		if n == l.line || next < 0 {
			break
		}
		at += next + 1
	}
	f.Path, f.Offset = fmt.Sprintf("line %d", line+1), at+len(l.m.Payload)-len(content)
	if field != "" {
		f.Path += " " + strings.ToValidUTF8(truncate(field, MaxName), "")
		f.Offset += max(strings.Index(string(bytes.SplitN(content[at:], []byte{'\n'}, 2)[0]), field+"="), 0)
	}
	return f
}

func (l *lineReader) fields() error {
	for {
		key, kind, text, err := l.d.NextFieldBytes()
		if err != nil {
			return fmt.Errorf("read a field: %w", err)
		}
		if key == nil {
			return nil
		}
		if l.count++; l.count > maxValues {
			return nil
		}
		if f := l.field(key, kind, text); f != nil {
			l.out.refuse(l.first, l.placed(*f, string(key)))
		}
	}
}

// field keeps one field's value; a fault is the field's alone.
func (l *lineReader) field(key []byte, kind lineprotocol.ValueKind, text []byte) *Fault {
	if kind == lineprotocol.String {
		l.out.Attributes++
		return nil
	}
	value, err := lineprotocol.NewValueFromBytes(kind, text)
	if err != nil || kind == lineprotocol.Float && bytes.IndexByte(text, '_') >= 0 { // which Go allows, and nobody else
		return &Fault{Reason: NumberRange, Detail: fmt.Sprintf("%q is not a finite number", truncate(string(text), 40))}
	}
	if why := badSignal(key); why != "" {
		return &Fault{Reason: SignalName, Detail: why}
	}
	v, ok := lineNumber(value)
	if !ok {
		return &Fault{Reason: NumberRange, Detail: fmt.Sprintf("%q is an integer beyond 2^53, which would not be kept exactly", truncate(string(text), 40))}
	}
	l.out.values = append(l.out.values, observation.Value{Signal: l.out.name(key), Value: v})
	return nil
}

func lineNumber(v lineprotocol.Value) (float64, bool) {
	const exact = 1 << 53
	switch v.Kind() {
	case lineprotocol.Int:
		return float64(v.IntV()), v.IntV() <= exact && v.IntV() >= -exact
	case lineprotocol.Uint:
		return float64(v.UintV()), v.UintV() <= exact
	case lineprotocol.Bool:
		if v.BoolV() {
			return 1, true
		}
		return 0, true
	}
	f := v.FloatV()
	if f == 0 {
		f = 0 // -0 is 0
	}
	return f, true
}

// fault names what is wrong with a line.
func (l *lineReader) fault(err error) Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return l.placed(*f, "")
	}
	bad, ok := errors.AsType[*lineprotocol.DecodeError](err)
	if !ok {
		return l.placed(Fault{Reason: LineSyntax, Detail: err.Error()}, "")
	}
	line, offset := nthLine(l.m.content(), int(bad.Line))
	offset += len(l.m.Payload) - len(l.m.content())
	return Fault{
		Reason: lineReason(line, bad.Column),
		Detail: truncate(fmt.Sprintf("%v at line %d, column %d", bad.Err, bad.Line, bad.Column), 300),
		Path:   fmt.Sprintf("line %d", bad.Line), Offset: offset + max(bad.Column-1, 0),
	}
}

// lineReason tells the kinds of broken lines apart by what stands in the line.
func lineReason(line []byte, column int) string {
	if bytes.HasSuffix(line, []byte{'\\'}) {
		return LineEscape
	}
	if at := max(column-1, 0); at < len(line) && at > 0 && line[at-1] == '=' {
		switch word := strings.ToLower(string(line[at:])); {
		case strings.HasPrefix(word, "nan"), strings.HasPrefix(word, "inf"), strings.HasPrefix(word, "+"), strings.HasPrefix(word, "-inf"):
			return NumberRange
		}
	}
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case ' ':
			return LineSyntax
		}
	}
	return LineNoField
}

// nthLine returns line n (from 1) and where it starts.
func nthLine(b []byte, n int) (line []byte, offset int) {
	for ; n > 1; n-- {
		i := bytes.IndexByte(b[offset:], '\n')
		if i < 0 {
			break
		}
		offset += i + 1
	}
	line, _, _ = bytes.Cut(b[offset:], []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), offset
}
