package machines

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// Bounds of a file.
const (
	maxImportRows   = 100_000
	maxImportBytes  = 64 << 20
	maxImportFaults = 1_000
)

// line is one machine of a file, named by the line that it stands on.
type line struct {
	number                                                                      int
	manufacturer, serial, model, name, nameEN, plate, key, customer, site, duty string
	device                                                                      bool
}

type importColumn struct {
	name     string
	required bool // the column, not its content
	longest  int  // in characters
	field    func(*line) *string
}

// importColumns lists what is read of a file.
var importColumns = []importColumn{
	{"manufacturer", true, 100, func(l *line) *string { return &l.manufacturer }},
	{"serial", true, 100, func(l *line) *string { return &l.serial }},
	{"model", true, 100, func(l *line) *string { return &l.model }},
	{"name", true, 200, func(l *line) *string { return &l.name }},
	{"customer", true, 200, func(l *line) *string { return &l.customer }},
	{"site", true, 200, func(l *line) *string { return &l.site }},
	{"name_en", false, 200, func(l *line) *string { return &l.nameEN }},
	{"plate", false, 32, func(l *line) *string { return &l.plate }},
	{"key", false, longestKey, func(l *line) *string { return &l.key }},
	{"duty", false, 100, func(l *line) *string { return &l.duty }},
	{"device", false, 5, nil},
}

// table is a file that was read: its lines, and every fault found so far.
type table struct {
	lines   []*line
	ignored []string
	faults  []LineFault
	more    int         // faults beyond those that are kept
	at      map[int]int // by index in importColumns: the field's index in a record
	serials map[pair]int
	keys    map[string]int
}

func (t *table) fault(number int, column, detail string) {
	if len(t.faults) == maxImportFaults {
		t.more++
		return
	}
	t.faults = append(t.faults, LineFault{Line: number, Column: column, Detail: detail})
}

func (t *table) sortedFaults() []LineFault {
	slices.SortStableFunc(t.faults, func(a, b LineFault) int { return a.Line - b.Line })
	return t.faults
}

// readTable reads a whole file, so that all of its faults are told at once.
func readTable(r io.Reader) (*table, error) {
	limited := &io.LimitedReader{R: r, N: maxImportBytes + 1}
	in := bufio.NewReader(limited)
	if mark, err := in.Peek(3); err == nil && bytes.Equal(mark, []byte("\xEF\xBB\xBF")) { // Excel writes one
		_, _ = in.Discard(3)
	}
	reader := csv.NewReader(in)
	reader.Comma = separator(in)
	reader.FieldsPerRecord = -1
	reader.TrimLeadingSpace = reader.Comma != '\t' // else empty fields would vanish
	t := &table{at: map[int]int{}, serials: map[pair]int{}, keys: map[string]int{}}
	header, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, problem.New(problem.Invalid, "the file is empty")
	}
	if err != nil {
		return nil, problem.New(problem.Invalid, "the first line cannot be read as CSV: %s", csvFault(err))
	}
	if err := t.readHeader(header); err != nil {
		return nil, err
	}
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if limited.N <= 0 {
			return nil, problem.New(problem.TooLarge, "the file has more than %d MiB; split it", maxImportBytes>>20)
		}
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			t.fault(parse.StartLine, "", csvFault(err))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the file: %w", err)
		}
		number, _ := reader.FieldPos(0)
		t.readRecord(number, len(header), record)
		if len(t.lines) > maxImportRows {
			return nil, problem.New(problem.TooLarge, "the file has more than %d machines; split it", maxImportRows)
		}
	}
	return t, nil
}

// separator is the semicolon or tab of a header that has no comma: what Excel
// writes depends on the country.
func separator(in *bufio.Reader) rune {
	start, _ := in.Peek(in.Size()) // less is no fault
	header, _, _ := bytes.Cut(start, []byte("\n"))
	for _, sign := range []rune{',', ';', '\t'} {
		if bytes.ContainsRune(header, sign) {
			return sign
		}
	}
	return ','
}

func csvFault(err error) string {
	switch {
	case errors.Is(err, csv.ErrQuote), errors.Is(err, csv.ErrBareQuote):
		return `a quotation mark " is open or misplaced; inside a quoted field it is doubled`
	default:
		return "is no CSV"
	}
}

func (t *table) readHeader(header []string) error {
	if !utf8.ValidString(strings.Join(header, "")) {
		return problem.New(problem.Invalid, "the file is not UTF-8; save it as CSV UTF-8")
	}
	taken := map[string]bool{}
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		at := slices.IndexFunc(importColumns, func(c importColumn) bool { return c.name == name })
		switch {
		case at < 0 && name != "":
			t.ignored = append(t.ignored, name)
		case at >= 0 && taken[name]:
			return problem.New(problem.Invalid, "the file has two columns %s", name)
		case at >= 0:
			t.at[at], taken[name] = i, true
		}
	}
	var missing []string
	for _, c := range importColumns {
		if c.required && !taken[c.name] {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return problem.New(problem.Invalid, "the first line must name the columns; missing: %s", strings.Join(missing, ", "))
	}
	return nil
}

// readRecord reads one machine, or says all that is wrong with it.
func (t *table) readRecord(number, width int, record []string) {
	if strings.TrimSpace(strings.Join(record, "")) == "" {
		return // what a spreadsheet leaves below its rows
	}
	if len(record) != width {
		t.fault(number, "", fmt.Sprintf("has %d fields, the first line has %d", len(record), width))
		return
	}
	before := len(t.faults) + t.more
	l := &line{number: number, device: true}
	for i, c := range importColumns {
		at, given := t.at[i]
		if !given {
			continue
		}
		value := strings.TrimSpace(record[at])
		if detail := badField(value, c.longest); detail != "" {
			t.fault(number, c.name, detail)
		} else if c.field != nil {
			*c.field(l) = value
		} else if l.device, given = yes(value); !given {
			t.fault(number, c.name, "is yes or no")
		}
	}
	if len(t.faults)+t.more == before {
		t.check(l)
	}
	if len(t.faults)+t.more == before {
		t.lines = append(t.lines, l)
	}
}

func badField(value string, longest int) string {
	switch {
	case !utf8.ValidString(value):
		return "is not UTF-8; save the file as CSV UTF-8"
	case utf8.RuneCountInString(value) > longest:
		return fmt.Sprintf("has more than %d characters", longest)
	case strings.ContainsFunc(value, unicode.IsControl):
		return "holds a control character"
	}
	return ""
}

func yes(value string) (is, ok bool) {
	switch strings.ToLower(value) {
	case "", "yes", "true", "1", "是":
		return true, true
	case "no", "false", "0", "否":
		return false, true
	}
	return false, false
}

// check holds a line against the rules of a machine and the lines before it.
func (t *table) check(l *line) {
	if l.manufacturer == "" {
		t.fault(l.number, "manufacturer", "is empty")
	}
	if l.serial == "" {
		t.fault(l.number, "serial", "is empty")
		return
	}
	if l.key == "" {
		l.key = KeyOf(l.serial)
	}
	if !validKey(l.key) {
		t.fault(l.number, "key", "has letters, digits, _ and - only; give one where the serial number has none")
	}
	if l.site != "" && l.customer == "" {
		t.fault(l.number, "site", "needs a customer")
	}
	machine := pair{l.manufacturer, l.serial}
	if first, twice := t.serials[machine]; twice {
		t.fault(l.number, "serial", fmt.Sprintf("stands on line %d already", first))
	} else if first, twice := t.keys[l.key]; twice && l.key != "" {
		t.fault(l.number, "serial", fmt.Sprintf("gives the key %s, which line %d has", l.key, first))
	}
	t.serials[machine], t.keys[l.key] = l.number, l.number
}

// distinct lists what the lines name, each once and without the empty.
func (t *table) distinct(of func(*line) string) []string {
	seen := map[string]bool{"": true}
	names := []string{}
	for _, l := range t.lines {
		if name := of(l); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}
