package watchfile

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
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
	t.comma = t.sep != ',' && decimalComma(first)
	rows := make([][]string, len(first))
	for i, line := range first {
		t.line = line.number
		fields, err := t.split(line.text)
		if err != nil {
			return err
		}
		rows[i] = slices.Clone(fields)
	}
	if n := len(rows[0]); n > maxColumns || n != len(rows[1]) && len(rows) == 2 {
		return t.fault(1, "%d columns, then %d: not a table", n, len(rows[1]))
	}
	header := t.header(rows)
	if header {
		rows, first = rows[1:], first[1:]
	}
	t.pending, t.line = first, first[0].number
	return t.assign(rows, opts)
}

// separator is the first that cuts most lines into the same number of fields, more
// than one. Commas go last: they may be the decimal ones.
func separator(lines []numbered) byte {
	for _, sep := range []byte{'\t', ';', ','} {
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

func decimalComma(lines []numbered) bool {
	for _, line := range lines[1:] {
		if strings.Contains(line.text, ",") && !strings.Contains(line.text, ".") {
			return true
		}
	}
	return false
}

// header says whether the first row names the columns: where it has a text and the
// second row a number, or where it has no number at all.
func (t *table) header(rows [][]string) bool {
	numbers := 0
	for i, text := range rows[0] {
		if _, ok := t.number(text); ok {
			numbers++
			continue
		}
		if i < len(rows[1]) && !missing(text) {
			if _, ok := t.number(rows[1][i]); ok {
				t.name0(rows[0])
				return true
			}
		}
	}
	if _, isTime := guess(rows[0][0]); numbers == 0 && !isTime {
		t.name0(rows[0])
		return true
	}
	for i := range rows[0] {
		t.columns = append(t.columns, column{name: "c" + strconv.Itoa(i+1)})
	}
	return false
}

// name0 takes the columns' names from the header; doubled ones get a number.
func (t *table) name0(names []string) {
	for i, name := range names {
		name = strings.TrimSpace(name)
		if name == "" {
			name = "c" + strconv.Itoa(i+1)
		}
		taken := slices.ContainsFunc(t.columns, func(c column) bool { return c.name == name })
		if taken {
			name += "_" + strconv.Itoa(i+1)
		}
		t.columns = append(t.columns, column{name: name})
	}
}

// assign decides what each column is for.
func (t *table) assign(rows [][]string, opts Options) error {
	if opts.Group != "" {
		if err := t.mark([]string{opts.Group}, asGroup); err != nil {
			return err
		}
	}
	if err := t.mark(opts.Ignore, ignored); err != nil {
		return err
	}
	if err := t.findTime(rows, opts.Time); err != nil {
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
		if t.columns[i].use == asSignal && t.texts(rows, i) {
			t.columns[i].use = ignored
		}
	}
	return t.few()
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
