package datasets

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// headings are the columns of the tables: of detection, and of remaining life.
var (
	headings     = []string{"set", "figure", "watcher", "alarm clock", "always", "published", "goal", "short by"}        //nolint:gochecknoglobals // never written
	lifeHeadings = []string{"set", "figure", "model", "mean life less age", "constant", "published", "goal", "short by"} //nolint:gochecknoglobals // never written
)

// Print writes the tables, as text or for a Markdown page.
func (r Result) Print(w io.Writer, markdown bool) error {
	if err := table(w, markdown, headings, cells(r.Lines)); err != nil {
		return err
	}
	if len(r.Lives) > 0 {
		fmt.Fprintln(w)
		if err := table(w, markdown, lifeHeadings, cells(r.Lives)); err != nil {
			return err
		}
	}
	return r.notes(w)
}

func table(w io.Writer, markdown bool, headings []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	line := func(cells []string) {
		if markdown {
			fmt.Fprintf(t, "| %s |\n", strings.Join(cells, " | "))
			return
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	line(headings)
	if markdown {
		line(strings.Split(strings.Repeat("---,", len(headings)-1)+"---", ","))
	}
	for _, cells := range rows {
		line(cells)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

// notes says what was not measured.
func (r Result) notes(w io.Writer) error {
	var notes []string
	for _, name := range r.Missing {
		notes = append(notes, "not in this folder: "+name)
	}
	for _, name := range r.Unknown {
		notes = append(notes, "not measured, the tables are of no known family: "+name)
	}
	if len(notes) == 0 {
		return nil
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", strings.Join(notes, "\n")); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

func cells(lines []Line) [][]string {
	var rows [][]string
	for _, l := range lines {
		rows = append(rows, l.cells())
	}
	return rows
}

func (l Line) cells() []string {
	published, goal, short := "-", "-", "-"
	if l.Published != "" {
		published = l.Published
	}
	if l.aim != noGoal {
		goal = map[aim]string{atLeast: ">= ", atMost: "<= "}[l.aim] + strconv.FormatFloat(l.Goal, 'f', -1, 64)
		if short = "met"; l.Short() > 0 {
			short = number(l.Short())
		}
	}
	return []string{l.Set, l.Figure, number(l.Watcher), number(l.Clock), number(l.Always), published, goal, short}
}

// number is a value with three figures, "-" where there is none.
func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case math.Abs(v) >= 1, v == 0:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}
