package watchfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// table reads the rows of a file whose shape it has found out from the first lines.
type table struct {
	name       string
	lines      *bufio.Reader
	line       int
	ahead      int // lines read while looking at the shape
	sep        byte
	pending    []numbered // data rows read while looking at the shape
	comma      bool       // decimal comma
	columns    []column
	fields     []string
	timed      bool
	clock      timeFormat
	values     []observation.Value
	long       bool              // a row holds one signal's value
	roles      map[string]use    // long: of signals, by name
	names      map[string]string // long: signals met
	signals    []string          // the same in the order in which they came
	chosenOnly bool              // long: only signals that have a role are looked at
	skip       bool              // what cannot be read is left out and counted
	comment    string            // last line before the table that begins with #
	notes      []string
	cells      tally // that are no numbers
	left       tally // rows left out
}

// tally counts what is left out and keeps the first of it.
type tally struct {
	n     int
	first error
}

func (t *tally) add(err error) {
	if t.n++; t.n == 1 {
		t.first = err
	}
}

// badRow is an error about one row, behind which the file can be read on.
type badRow struct{ error }

// numbered is a line with its number.
type numbered struct {
	number int
	text   string
}

// use is what a column is for.
type use uint8

const (
	asSignal use = iota
	asContext
	asTime
	asGroup
	asSignalName // long: names the signal
	asValue      // long: its value
	ignored
)

type column struct {
	name string
	use  use
}

// row is one line of a table; values are valid until the next one is read.
type row struct {
	line    int
	machine string
	at      time.Time
	values  []observation.Value
}

// fault is an error about the file in one line.
func (t *table) fault(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", t.name, line, fmt.Sprintf(format, args...))
}

// note keeps what a reader of the result should know of the file.
func (t *table) note(line int, format string, args ...any) {
	if len(t.notes) < maxNotes {
		t.notes = append(t.notes, t.fault(line, format, args...).Error())
	}
}

// bad is a fault of one row.
func (t *table) bad(format string, args ...any) error {
	return badRow{t.fault(t.line, format, args...)}
}

func openTable(r io.Reader, name string, opts Options) (*table, error) {
	lines := bufio.NewReaderSize(r, 64<<10)
	if head, err := lines.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		unzipped, err := gzip.NewReader(lines)
		if err != nil {
			return nil, fmt.Errorf("%s: is not a whole gzip file: %w", name, err)
		}
		lines = bufio.NewReaderSize(unzipped, 64<<10)
	}
	t := &table{name: name, lines: lines, skip: opts.SkipBad, roles: map[string]use{}, names: map[string]string{}}
	if head, err := lines.Peek(3); err == nil {
		switch {
		case bytes.Equal(head, []byte("\xef\xbb\xbf")):
			_, _ = lines.Discard(3)
		case head[0] == 0xff && head[1] == 0xfe, head[0] == 0xfe && head[1] == 0xff:
			return nil, t.fault(1, "is UTF-16: save it as UTF-8")
		}
	}
	return t, t.shape(opts)
}

// readLine gives the next line that is not blank, without its end.
func (t *table) readLine() (string, error) {
	for {
		text, err := t.rawLine()
		if err != nil {
			return "", err
		}
		switch trimmed := strings.TrimSpace(text); {
		case trimmed == "":
		case trimmed[0] == '#' && t.columns == nil:
			t.comment = strings.TrimSpace(trimmed[1:])
		default:
			return text, nil
		}
	}
}

func (t *table) rawLine() (string, error) {
	var line []byte
	t.line++
	for {
		part, err := t.lines.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return "", t.fault(t.line, "line is longer than %d bytes: not a table", maxLine)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(line) == 0):
			if errors.Is(err, io.EOF) {
				return "", io.EOF
			}
			return "", t.fault(t.line, "cannot be read on: %v", err)
		}
		if bytes.IndexByte(line, 0) >= 0 {
			return "", t.fault(t.line, "holds a zero byte: not a text file")
		}
		return strings.TrimRight(string(line), "\r\n"), nil
	}
}

// split cuts a line into fields, into the same slice each time.
func (t *table) split(line string) ([]string, error) {
	t.fields = t.fields[:0]
	if t.sep == ' ' {
		t.fields = append(t.fields, strings.Fields(line)...)
		return t.fields, nil
	}
	for {
		var field string
		if trimmed := strings.TrimLeft(line, " "); strings.HasPrefix(trimmed, `"`) {
			end := closing(trimmed)
			if end < 0 {
				return nil, t.bad("a quote is opened and not closed on this line")
			}
			field, line = strings.ReplaceAll(trimmed[1:end], `""`, `"`), strings.TrimLeft(trimmed[end+1:], " ")
			if line != "" && line[0] != t.sep {
				return nil, t.bad("text follows a closed quote, where a separator was expected")
			}
			t.fields = append(t.fields, field)
			if line == "" {
				return t.fields, nil
			}
			line = line[1:]
			continue
		}
		at := strings.IndexByte(line, t.sep)
		if at < 0 {
			return append(t.fields, strings.TrimSpace(line)), nil
		}
		t.fields = append(t.fields, strings.TrimSpace(line[:at]))
		line = line[at+1:]
	}
}

// closing is where a quoted field ends, -1 = not on this line.
func closing(s string) int {
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			i++
			continue
		}
		return i
	}
	return -1
}

// next reads one row.
func (t *table) next() (row, error) {
	var line string
	var err error
	if len(t.pending) > 0 {
		line, t.line, t.pending = t.pending[0].text, t.pending[0].number, t.pending[1:]
		if len(t.pending) == 0 {
			defer func() { t.line = t.ahead }()
		}
	} else if line, err = t.readLine(); err != nil {
		return row{}, err
	}
	fields, err := t.split(line)
	if err != nil {
		return row{}, err
	}
	if n := len(t.columns); len(fields) == n+1 && fields[n] == "" {
		fields = fields[:n] // a separator at the end of the line
	}
	if len(fields) != len(t.columns) {
		return row{}, t.bad("%d fields, the first row has %d", len(fields), len(t.columns))
	}
	return t.read(fields)
}

// read makes a row of its fields.
func (t *table) read(fields []string) (row, error) {
	out := row{line: t.line, machine: "1"}
	t.values = t.values[:0]
	for i, text := range fields {
		c := &t.columns[i]
		switch c.use {
		case ignored, asSignalName, asValue:
		case asGroup:
			if out.machine = text; text == "" || !utf8.ValidString(text) {
				return row{}, t.bad("column %s: %q does not name a machine (in UTF-8)", c.name, short(text))
			}
		case asTime:
			at, ok := t.clock.parse(text)
			if !ok {
				return row{}, t.bad("column %s: %q is not a time like the ones before", c.name, short(text))
			}
			out.at = at
		case asSignal, asContext:
			if err := t.value(c.name, text); err != nil {
				return row{}, err
			}
		}
	}
	if t.long {
		if err := t.one(fields); err != nil {
			return row{}, err
		}
	}
	out.values = t.values
	return out, nil
}

// value adds one signal's value to the row.
func (t *table) value(signal, text string) error {
	if missing(text) {
		return nil
	}
	v, ok := t.number(text)
	if !ok {
		err := t.bad("column %s: %q is not a number; ignore the column if it is none, or skip what is bad", signal, short(text))
		if !t.skip {
			return err
		}
		t.cells.add(err)
		return nil
	}
	t.values = append(t.values, observation.Value{Signal: signal, Value: v})
	return nil
}

// missing says whether a field stands for no value.
func missing(text string) bool {
	switch text {
	case "", "-", "--", "?", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "Null", "nil", "None", "#N/A",
		"#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "#NAME?", "#NULL!", "Bad", "Bad Input", "No Data", "I/O Timeout", "Inf", "inf", "-Inf", "-inf":
		return true
	}
	return false
}

func (t *table) number(text string) (float64, bool) {
	if t.comma {
		text = strings.Replace(text, ",", ".", 1)
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && v-v == 0 // finite
}

func short(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// chosen lists the columns by use.
func (t *table) chosen() (signals, context, left []string) {
	for _, name := range t.signals {
		if t.roles[name] == asContext {
			context = append(context, name)
		} else {
			signals = append(signals, name)
		}
	}
	for _, c := range t.columns {
		switch c.use {
		case asSignal:
			signals = append(signals, c.name)
		case asContext:
			context = append(context, c.name)
		case ignored:
			left = append(left, c.name)
		case asTime, asGroup, asSignalName, asValue:
		}
	}
	return signals, context, left
}
