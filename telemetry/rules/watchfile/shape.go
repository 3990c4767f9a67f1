package watchfile

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// looked is how many lines are looked at to find out a file's shape.
const looked = 8

// maxContext is how many columns the rules can take for explaining.
const maxContext = 4

// shape finds the separator, the header, the time and what each column is for.
func (t *table) shape(opts Options) error {
	var first []numbered
	for len(first) < looked {
		line, err := t.readLine()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		first = append(first, numbered{t.line, line})
	}
	t.ahead = t.line
	if len(first) < 2 {
		return t.fault(1, "a table has at least two rows")
	}
	t.sep = separator(first)
	rows := make([][]string, len(first))
	for i, line := range first {
		t.line = line.number
		fields, err := t.split(line.text)
		if err != nil {
			return err
		}
		rows[i] = slices.Clone(fields)
	}
	if !slices.ContainsFunc(rows, func(r []string) bool { return len(r) < 2 || r[len(r)-1] != "" }) {
		for i := range rows {
			rows[i] = rows[i][:len(rows[i])-1] // each line ends in a separator
		}
	}
	t.comma = t.decimalComma(rows)
	if n := len(rows[0]); n > maxColumns || n != len(rows[1]) && len(rows) == 2 {
		return t.fault(1, "%d columns, then %d: not a table", n, len(rows[1]))
	}
	header, err := t.header(rows, first[0].number)
	if err != nil {
		return err
	}
	if header {
		rows, first = rows[1:], first[1:]
	}
	t.pending, t.line = first, first[0].number
	return t.assign(rows, opts)
}

// separator is the first that cuts most lines into the same number of fields, more
// than one. Commas go last: they may be the decimal ones.
func separator(lines []numbered) byte {
	for _, sep := range []byte{'\t', ';', '|', ','} {
		agree := map[int]int{}
		for _, line := range lines[1:] {
			agree[count(line.text, sep)]++
		}
		for n, of := range agree {
			if n > 0 && 2*of > len(lines)-1 {
				return sep
			}
		}
	}
	return ' '
}

// count is how often a separator stands outside quotes.
func count(line string, sep byte) int {
	n, quoted := 0, false
	for i := range len(line) {
		switch {
		case line[i] == '"':
			quoted = !quoted
		case line[i] == sep && !quoted:
			n++
		}
	}
	return n
}

// decimalComma says whether fields are numbers once their comma is a point. Between
// commas as separators, 1,234 in quotes is taken for a thousand: that is no number.
func (t *table) decimalComma(rows [][]string) bool {
	for _, r := range rows[1:] {
		for _, text := range r {
			whole, part, found := strings.Cut(text, ",")
			if !found || t.sep == ',' && len(part) == 3 {
				continue
			}
			if _, err := strconv.ParseFloat(whole+"."+part, 64); err == nil {
				return true
			}
		}
	}
	return false
}

// header says whether the first row names the columns: where it has a text and the
// second row a number, or where it has no number at all.
func (t *table) header(rows [][]string, line int) (bool, error) {
	numbers := 0
	for i, text := range rows[0] {
		if _, ok := t.number(text); ok {
			numbers++
			continue
		}
		if i < len(rows[1]) && !missing(text) {
			if _, ok := t.number(rows[1][i]); ok {
				return true, t.call(rows[0], line)
			}
		}
	}
	if _, isTime := guess(rows[0][0]); numbers == 0 && !isTime {
		return true, t.call(rows[0], line)
	}
	if t.comment != "" {
		if names, err := t.split(t.comment); err == nil && len(names) == len(rows[0]) {
			return false, t.call(slices.Clone(names), line)
		}
	}
	for i := range rows[0] {
		t.columns = append(t.columns, column{name: "c" + strconv.Itoa(i+1)})
	}
	return false, nil
}

// call takes the columns' names from the header; doubled ones get a number.
func (t *table) call(names []string, line int) error {
	for i, name := range names {
		name = strings.TrimSpace(name)
		if !utf8.ValidString(name) {
			return t.fault(line, "the name of column %d is not UTF-8 (it looks like %s): save the file as UTF-8, or convert it (iconv -f %[2]s -t UTF-8)", i+1, encoding(name))
		}
		if name == "" {
			name = "c" + strconv.Itoa(i+1)
		}
		if len(name) > maxName {
			return t.fault(line, "the name of column %d is longer than %d bytes: not a header", i+1, maxName)
		}
		if slices.ContainsFunc(t.columns, func(c column) bool { return c.name == name }) {
			doubled := name
			name += "_" + strconv.Itoa(i+1)
			t.note(line, "there is more than one column %s: number %d is called %s", doubled, i+1, name)
		}
		t.columns = append(t.columns, column{name: name})
	}
	return nil
}

// encoding guesses how a name that is not UTF-8 is written: in GBK, bytes beyond
// ASCII begin pairs; in Latin-1 they mostly stand alone.
func encoding(name string) string {
	for i := 0; i < len(name); i++ {
		if name[i] < 0x80 {
			continue
		}
		if i++; i == len(name) || name[i] < 0x40 || name[i-1] < 0x81 {
			return "LATIN1"
		}
		if name[i] < 0x80 {
			return "LATIN1" // a letter behind: rarely a pair
		}
	}
	return "GBK"
}

// Columns that say by their names what they are.
var (
	machineNames = []string{"machine", "machine_id", "machineid", "device", "device_id", "deviceid", "asset", "asset_id", "assetid", "equipment", "equipment_id", "设备", "设备编号"}
	labelNames   = []string{"anomaly", "is_anomaly", "changepoint", "change_point", "label", "labels", "att_flag", "ground_truth", "rul"}
)

// assign decides what each column is for.
func (t *table) assign(rows [][]string, opts Options) error {
	if err := t.group(rows, opts); err != nil {
		return err
	}
	if err := t.narrow(rows, opts); err != nil {
		return err
	}
	if t.long {
		return t.assignLong(rows, opts)
	}
	if err := t.mark(opts.Ignore, ignored); err != nil {
		return err
	}
	if err := t.findTime(rows, opts); err != nil {
		return err
	}
	if err := t.mark(opts.Context, asContext); err != nil {
		return err
	}
	if len(opts.Context) > maxContext && opts.Pack == nil {
		return t.fault(1, "%d context columns, at most %d", len(opts.Context), maxContext)
	}
	if len(opts.Signals) > 0 {
		return t.only(opts.Signals)
	}
	for i := range t.columns {
		c := &t.columns[i]
		switch {
		case c.use != asSignal:
		case slices.Contains(labelNames, strings.ToLower(c.name)):
			c.use = ignored
			t.note(t.line, "column %s is taken for a label and not watched; name it among the signals if it is one", c.name)
		case t.texts(rows, i):
			c.use = ignored
			t.note(t.line, "column %s holds text (%q) and is not watched", c.name, short(word(rows, i)))
		}
	}
	return t.few()
}

// group finds the column that names the machine.
func (t *table) group(rows [][]string, opts Options) error {
	switch opts.Group {
	case "none":
		return nil
	case "":
	default:
		return t.mark([]string{opts.Group}, asGroup)
	}
	named := slices.Concat(opts.Signals, opts.Context, opts.Ignore)
	for i := range t.columns {
		c := &t.columns[i]
		if slices.ContainsFunc(rows, func(r []string) bool { return i >= len(r) || r[i] == "" }) {
			continue
		}
		if slices.Contains(machineNames, strings.ToLower(c.name)) && !slices.Contains(named, c.name) && opts.Time != c.name {
			c.use = asGroup
			t.note(t.line, "column %s is taken for the machine's name; --group none if it is not", c.name)
			return nil
		}
	}
	return nil
}

// only watches the named columns.
func (t *table) only(names []string) error {
	for i := range t.columns {
		if t.columns[i].use == asSignal {
			t.columns[i].use = ignored
		}
	}
	if err := t.mark(names, asSignal); err != nil {
		return err
	}
	return t.few()
}

func (t *table) few() error {
	if signals, _, _ := t.chosen(); len(signals) > maxWatched {
		return t.fault(1, "%d columns of numbers, at most %d can be watched at once: choose some", len(signals), maxWatched)
	}
	return nil
}

// maxWatched leaves room for context among the 256 signals of a machine.
const maxWatched = 240

// texts says whether a column holds words.
func (t *table) texts(rows [][]string, i int) bool {
	for _, r := range rows {
		if i < len(r) && !missing(r[i]) {
			if _, ok := t.number(r[i]); !ok {
				return true
			}
		}
	}
	return false
}

// word is a column's first value.
func word(rows [][]string, i int) string {
	for _, r := range rows {
		if i < len(r) && !missing(r[i]) {
			return r[i]
		}
	}
	return ""
}

func (t *table) mark(names []string, u use) error {
	for _, name := range names {
		i := t.find(name)
		if i < 0 {
			known := make([]string, len(t.columns))
			for j, c := range t.columns {
				known[j] = c.name
			}
			return t.fault(1, "there is no column %q; there are: %s", short(name), short200(strings.Join(known, ", ")))
		}
		t.columns[i].use = u
	}
	return nil
}

func short200(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}

// find gives the index of a column by its name or its number, -1 = none.
func (t *table) find(name string) int {
	for i, c := range t.columns {
		if c.name == name {
			return i
		}
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(t.columns) {
		return n - 1
	}
	return -1
}
