package formats

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// csvRows are rows of values under a template of columns. The template is the
// topic's, fleet/{machine}/csv/ts,oil_temp,main_pressure (or the same behind any
// other …/csv/), else the first line: ts,machine,oil_temp. A column is a time, the
// machine or a signal; "-" or no name leaves one out. Columns are parted by comma,
// semicolon or tab; with the latter two a decimal comma is understood.
type csvRows struct{}

func (csvRows) Name() string { return "csv" }

func (csvRows) Match(topic string, payload []byte) bool {
	if _, _, ok := csvTopic(topic); ok {
		return !startsJSON(payload)
	}
	return !ourTopic(topic) && looksLikeRows(payload)
}

// csvTopic takes the machine and the template out of …/{machine}/csv and
// …/{machine}/csv/{columns}.
func csvTopic(topic string) (machine, columns string, ok bool) {
	before, last := cutLevel(topic)
	if last != "csv" {
		columns = last
		before, last = cutLevel(before)
	}
	if _, machine = cutLevel(before); last != "csv" || machine == "" {
		return "", "", false
	}
	return machine, columns, true
}

// cutLevel cuts a topic before its last level.
func cutLevel(topic string) (before, last string) {
	at := strings.LastIndexByte(topic, '/')
	return topic[:max(at, 0)], topic[at+1:]
}

// looksLikeRows wants a first line of names that begins with a time or a machine,
// and something below it.
func looksLikeRows(payload []byte) bool {
	payload = bytes.TrimPrefix(payload, []byte(byteOrderMark))
	header, below, ok := bytes.Cut(payload, []byte{'\n'})
	if !ok || len(below) == 0 || len(header) > 10_000 || bytes.IndexByte(header, '=') >= 0 {
		return false
	}
	at := bytes.IndexByte(header, byte(delimiterOf(header)))
	if at <= 0 {
		return false
	}
	first := bytes.Trim(header[:at], `" `)
	return rankOf(first, timeMembers) > 0 || rankOf(first, machineMembers) > 0
}

// delimiterOf is what parts the columns of a line.
func delimiterOf(line []byte) rune {
	for _, d := range []byte{'\t', ';'} {
		if bytes.IndexByte(line, d) >= 0 {
			return rune(d)
		}
	}
	return ','
}

// rows is a table while it is read.
type rows struct {
	m       Message
	out     *Decoded
	first   int
	r       *csv.Reader
	skipped int // bytes of the payload before the table
	time    int // columns; -1 where there is none
	machine int
	names   []string // of the signals, "" for what is none
	topic   string   // the machine that the topic names
	count   int      // values so far
	line    int      // of the row that is read
	start   int      // where it starts
}

func (csvRows) Decode(m Message, out *Decoded) error {
	topic, columns, _ := csvTopic(m.Topic)
	content := m.content()
	table := bytes.TrimPrefix(content, []byte(byteOrderMark))
	line, _, _ := bytes.Cut(table, []byte{'\n'})
	t := rows{m: m, out: out, first: len(out.Faults), topic: topic, r: csv.NewReader(bytes.NewReader(table)), skipped: len(m.Payload) - len(table)}
	t.r.Comma, t.r.FieldsPerRecord, t.r.ReuseRecord = delimiterOf(line), -1, true
	if columns != "" {
		if f := t.template(strings.Split(columns, ","), "topic"); f != nil {
			return f
		}
	}
	return t.read()
}

func (t *rows) read() error {
	for {
		t.start = t.skipped + int(t.r.InputOffset())
		record, err := t.r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		t.line++
		if err != nil {
			t.refuseLine(err)
			continue
		}
		t.line, _ = t.r.FieldPos(0)
		switch {
		case t.names == nil:
			if f := t.template(record, "line 1"); f != nil {
				return f
			}
		case len(record) != len(t.names):
			t.refuse("", CSVColumns, fmt.Sprintf("%d columns, the template has %d", len(record), len(t.names)), 0)
		default:
			t.row(record)
		}
		if t.count > maxValues {
			return &Fault{Reason: TooManyValues, Detail: fmt.Sprintf("more than %d values", maxValues), Path: t.path(""), Offset: t.start}
		}
	}
	if t.names == nil {
		return &Fault{Reason: NothingToUse, Detail: "no line with columns"}
	}
	return nil
}

// template reads the columns' names.
func (t *rows) template(columns []string, where string) *Fault {
	t.time, t.machine = -1, -1
	names, signals, seen := make([]string, len(columns)), 0, map[string]struct{}{}
	for i, c := range columns {
		c = strings.TrimSpace(c)
		_, twice := seen[c]
		switch key := []byte(c); {
		case c == "" || c == "-":
			continue
		case twice:
			return &Fault{Reason: CSVColumns, Path: where, Detail: fmt.Sprintf("two columns %q", truncate(c, 40)), Offset: t.skipped}
		case rankOf(key, timeMembers) > 0 && t.time < 0:
			t.time = i
		case rankOf(key, machineMembers) > 0 && t.machine < 0:
			t.machine = i
		default:
			if why := badSignal(key); why != "" {
				return &Fault{Reason: SignalName, Path: where, Detail: why, Offset: t.skipped}
			}
			names[i], signals = t.out.name(key), signals+1
		}
		seen[c] = struct{}{}
	}
	if signals == 0 {
		return &Fault{Reason: CSVColumns, Path: where, Detail: "no column is a signal", Offset: t.skipped}
	}
	t.names = names
	return nil
}

func (t *rows) row(record []string) {
	it := t.m.item(t.out, "")
	it.first = t.first
	mark := len(t.out.values)
	for i, cell := range record {
		switch {
		case i == t.time:
			if !t.readTime(&it, cell) {
				t.out.values = t.out.values[:mark]
				return
			}
		case t.names[i] != "":
			t.cell(i, cell)
		}
	}
	name := t.topic
	if t.machine >= 0 && strings.TrimSpace(record[t.machine]) != "" {
		name = t.out.name([]byte(strings.TrimSpace(record[t.machine])))
	}
	t.out.settle(t.m, it, name, mark, Fault{Path: t.path(""), Offset: t.start})
}

// readTime reads a row's time; false when the row is refused for it.
func (t *rows) readTime(it *item, cell string) bool {
	text := []byte(strings.TrimSpace(cell))
	if len(text) == 0 {
		return true
	}
	var fault *Fault
	if scanNumeral(text).size == len(text) {
		it.at, it.timed, fault = timeOf(text)
	} else if it.at, it.timed = textTime(text, true); !it.timed {
		fault = &Fault{Reason: TimeFormat, Detail: "expected the time as a number or as RFC 3339"}
	}
	if fault != nil {
		t.refuse("time", fault.Reason, fault.Detail, t.time)
	}
	return fault == nil
}

func (t *rows) cell(i int, cell string) {
	text := strings.TrimSpace(cell)
	if text == "" {
		return // a gap
	}
	if t.r.Comma != ',' && strings.Count(text, ",") == 1 {
		text = strings.Replace(text, ",", ".", 1)
	}
	t.count++
	switch v, kind := textValue([]byte(text)); kind {
	case textAttribute:
		t.out.Attributes++
	case textBadNumber:
		t.refuse(t.names[i], NumberRange, fmt.Sprintf("%q is not a finite number that can be kept exactly", truncate(text, 40)), i)
	default:
		t.out.keepAs([]byte(t.names[i]), v)
	}
}

func (t *rows) path(column string) string {
	return strings.TrimSpace(fmt.Sprintf("line %d %s", t.line, column))
}

// refuse notes a fault of a cell of the current row.
func (t *rows) refuse(column, reason, detail string, cell int) {
	offset := t.start
	if line, at := t.r.FieldPos(cell); line == t.line {
		offset += at - 1
	}
	t.out.refuse(t.first, Fault{Reason: reason, Detail: detail, Path: t.path(column), Offset: offset})
}

// refuseLine notes a row that is no CSV.
func (t *rows) refuseLine(err error) {
	detail, offset := err.Error(), t.start
	if bad, ok := errors.AsType[*csv.ParseError](err); ok {
		t.line = bad.StartLine
		detail = fmt.Sprintf("%v at line %d, column %d", bad.Err, bad.Line, bad.Column)
		if bad.Line == bad.StartLine {
			offset += max(bad.Column-1, 0)
		}
	}
	t.out.refuse(t.first, Fault{Reason: CSVSyntax, Detail: detail, Path: t.path(""), Offset: offset})
}
