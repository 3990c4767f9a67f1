package datasets

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A twist makes another copy of a run, in which the same faults must be found: a
// detector that knows only its files fails on it.
type twist struct {
	name  string
	cells func(column int, value float64) float64                           // nil = values stay
	times time.Duration                                                     // added
	rows  func(row int, chance func() float64) (times int, behindNext bool) // nil = each once
}

// copyShare of the rows are dropped, late or doubled, and copySeed says which.
const (
	copyShare = 0.02
	copySeed  = 4
)

// twists are measured and shown in this order.
func twists() []twist {
	some := func(times int, late bool) func(int, func() float64) (int, bool) {
		return func(_ int, chance func() float64) (int, bool) {
			if chance() < copyShare {
				return times, late
			}
			return 1, false
		}
	}
	return []twist{
		{name: "as it is"},
		{name: "gain, offset", cells: func(column int, v float64) float64 { return v*(0.3+0.7*float64(column%5)) + 100*float64(column%3) }},
		{name: "100 d 5 h later", times: (100*24 + 5) * time.Hour},
		{name: "half the rate", rows: func(row int, _ func() float64) (int, bool) { return row % 2, false }},
		{name: "2 % dropped", rows: some(0, false)},
		{name: "2 % late", rows: some(1, true)},
		{name: "2 % doubled", rows: some(2, false)},
	}
}

// Copies is how figures with a goal stand on copies.
type Copies struct {
	Names []string // of the copies
	Lines []CopyLine
}

// CopyLine is one figure on each copy.
type CopyLine struct {
	Set, Figure string
	Values      []float64
}

// MeasureCopies runs the default watcher over transformed copies of what it knows in a folder.
func MeasureCopies(ctx context.Context, fsys fs.FS) (Copies, error) {
	var result Copies
	d, err := look(fsys)
	if err != nil {
		return result, err
	}
	for _, t := range twists() {
		result.Names = append(result.Names, t.name)
	}
	for _, f := range families() {
		sets, err := f.find(d)
		if err != nil {
			return result, fmt.Errorf("%s: %w", f.name, err)
		}
		for _, s := range sets {
			if len(s.runs) == 0 {
				continue // it has no signals
			}
			lines, err := s.copies(ctx)
			if err != nil {
				return result, fmt.Errorf("%s: %w", s.name, err)
			}
			result.Lines = append(result.Lines, lines...)
		}
	}
	return result, nil
}

func (s set) copies(ctx context.Context) ([]CopyLine, error) {
	s.figures = slices.DeleteFunc(slices.Clone(s.figures), func(f figure) bool { return f.aim == noGoal })
	lines := make([]CopyLine, len(s.figures))
	for _, t := range twists() {
		twisted := s
		twisted.runs = nil
		for _, r := range s.runs {
			c, err := r.twisted(t)
			if err != nil {
				return nil, err
			}
			twisted.runs = append(twisted.runs, c)
		}
		measured, err := twisted.measure(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		for i, l := range measured {
			lines[i].Set, lines[i].Figure, lines[i].Values = l.Set, l.Figure, append(lines[i].Values, l.Watcher)
		}
	}
	return lines, nil
}

// twisted is another copy of a run; it is judged by the rows of the original.
func (r run) twisted(t twist) (run, error) {
	f, err := r.open()
	if err != nil {
		return run{}, err
	}
	defer f.Close()
	c := copying{twist: t, group: -1, origin: map[string][]int{}, chance: rand.New(rand.NewPCG(copySeed, 0)).Float64} //nolint:gosec // no secrets
	if r.opts.Group != "" {
		if c.group, err = strconv.Atoi(r.opts.Group); err != nil {
			return run{}, fmt.Errorf("%s: copies know the machine's column by its number, not as %q", r.name, r.opts.Group)
		}
		c.group--
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for lines.Scan() {
		c.line(strings.TrimRight(lines.Text(), "\r"))
	}
	if err := lines.Err(); err != nil {
		return run{}, fmt.Errorf("%s: cannot be read on: %w", r.name, err)
	}
	c.flush()
	r.open = in(c.out.String())
	r.origin = c.origin
	if r.opts.Healthy > 0 {
		healthy := 0
		for _, row := range c.origin["1"] {
			if row <= r.opts.Healthy {
				healthy++
			}
		}
		r.opts.Healthy = healthy
	}
	return r, nil
}

// copying is one copy being written.
type copying struct {
	twist  twist
	group  int // column of the machine, -1 = there is one machine
	sep    string
	seen   bool
	rows   map[string]int
	origin map[string][]int // machine -> for each row of the copy, that of the original
	late   *copied          // comes behind the next
	chance func() float64
	out    strings.Builder
}

func (c *copying) line(text string) {
	if strings.TrimSpace(text) == "" {
		return
	}
	if !c.seen {
		c.seen, c.rows, c.sep = true, map[string]int{}, " "
		for _, sep := range []string{",", ";"} {
			if strings.Contains(text, sep) {
				c.sep = sep
			}
		}
		if _, err := strconv.ParseFloat(strings.TrimSpace(c.split(text)[0]), 64); err != nil && !c.hasTime(text) {
			c.out.WriteString(text + "\n")
			return
		}
	}
	fields := c.split(text)
	machine := "1"
	if c.group >= 0 {
		machine = fields[c.group]
	}
	c.rows[machine]++
	times, late := 1, false
	if c.twist.rows != nil {
		times, late = c.twist.rows(c.rows[machine], c.chance)
	}
	for i := range fields {
		fields[i] = c.cell(i, strings.TrimSpace(fields[i]))
	}
	row := copied{machine, c.rows[machine], fields}
	switch {
	case c.late != nil:
		row.exchangeTimes(c.late)
	case late:
		c.late = &row
		return
	}
	for range times {
		c.write(row)
	}
	c.flush()
}

// flush writes the row that is late.
func (c *copying) flush() {
	if c.late != nil {
		c.write(*c.late)
		c.late = nil
	}
}

// copied is a row of a copy.
type copied struct {
	machine string
	row     int // of the original
	fields  []string
}

// exchangeTimes lets what is late carry the time at which it came.
func (r *copied) exchangeTimes(late *copied) {
	for i := range r.fields {
		if _, _, ok := readTime(r.fields[i]); ok && i < len(late.fields) {
			r.fields[i], late.fields[i] = late.fields[i], r.fields[i]
		}
	}
}

func (c *copying) write(r copied) {
	c.out.WriteString(strings.Join(r.fields, c.sep) + "\n")
	c.origin[r.machine] = append(c.origin[r.machine], r.row)
}

func (c *copying) split(text string) []string {
	if c.sep == " " {
		return strings.Fields(text)
	}
	return strings.Split(text, c.sep)
}

// copyTimes are how the tables write times.
var copyTimes = []string{time.DateTime, "02/01/06 15", "2006.01.02.15.04.05"} //nolint:gochecknoglobals // never written

func (c *copying) hasTime(text string) bool {
	_, _, ok := readTime(c.split(text)[0])
	return ok
}

func readTime(text string) (at time.Time, layout string, ok bool) {
	for _, layout := range copyTimes {
		if at, err := time.Parse(layout, strings.TrimSpace(text)); err == nil {
			return at, layout, true
		}
	}
	return time.Time{}, "", false
}

func (c *copying) cell(column int, text string) string {
	if c.twist.times != 0 {
		if at, layout, ok := readTime(text); ok {
			return at.Add(c.twist.times).Format(layout)
		}
	}
	if c.twist.cells == nil || column == c.group {
		return text
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return strconv.FormatFloat(c.twist.cells(column, v), 'g', 12, 64)
}

// back gives the row of the original that a row of a copy is, and of the row behind the
// last one that behind the original's last.
func (r run) back(machine string, row int) int {
	switch origin := r.origin[machine]; {
	case r.origin == nil:
		return row
	case row <= len(origin):
		return origin[row-1]
	}
	return r.truth[machine].End
}

// Print writes the table, as text or for a Markdown page.
func (c Copies) Print(w io.Writer, markdown bool) error {
	var rows [][]string
	for _, l := range c.Lines {
		cells := []string{l.Set, l.Figure}
		for _, v := range l.Values {
			cells = append(cells, number(v))
		}
		rows = append(rows, cells)
	}
	return table(w, markdown, append([]string{"set", "figure"}, c.Names...), rows)
}
