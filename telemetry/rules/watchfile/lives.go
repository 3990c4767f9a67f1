package watchfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
)

// maxLifeValues bounds what is held of run-to-failure files at once.
const maxLifeValues = 20_000_000

// Fleet is machines that were followed until they failed, read from files. Ages are what
// a column says, else counted from the first row: in hours where rows have a time, else in
// rows.
type Fleet struct {
	Age      string // column of it, by name or number, "" = none; set before the first file is read
	Unit     string // of that column; default Hours
	Lives    []prognosis.Life
	Signals  []string
	Contexts []string
	Timed    bool
	Every    time.Duration // from row to row where rows have no time; 0 = nobody knows
	Notes    []string      // what was taken for what, a line each

	names  []string // signals, then contexts
	values int
	taken  map[string]bool // names of machines
	steps  []float64       // seconds from row to row, the median of each machine
}

// Roles are what a model is learnt of.
func (f *Fleet) Roles() prognosis.Options {
	o := prognosis.Options{Signals: f.Signals, Contexts: f.Contexts, Age: f.Age, Unit: unitOf(f.Timed)}
	if f.Age != "" {
		o.Unit = cmp.Or(f.Unit, prognosis.Hours)
	}
	if o.Every = f.Every.Seconds(); f.Timed {
		o.Every = median(f.steps)
	}
	return o
}

// median is the upper one; 0 of nothing.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// unitOf is what ages are counted in.
func unitOf(timed bool) string {
	if timed {
		return prognosis.Hours
	}
	return prognosis.Rows
}

// reading is one machine of the file that is read.
type reading struct {
	life        *prognosis.Life
	first, last time.Time
	values      []observation.Value // of the row before
	steps       []float64           // seconds from row to row
}

// Read adds the machines of a file: each one's last row is its failure. All files have
// the same columns. An error about the file is one line with its name and the line number.
func (f *Fleet) Read(ctx context.Context, r io.Reader, name string, opts Options) error {
	t, err := openTable(r, name, opts)
	if err != nil {
		return err
	}
	if err := f.roles(t); err != nil {
		return err
	}
	machines := map[string]*reading{}
	var order []*reading
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		row, err := t.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if bad := (badRow{}); errors.As(err, &bad) && opts.SkipBad {
			t.left.add(bad)
			continue
		}
		if err != nil {
			return err
		}
		m := machines[row.machine]
		if m == nil {
			if len(order) == maxMachines {
				return t.fault(row.line, "more than %d machines", maxMachines)
			}
			m = &reading{life: &prognosis.Life{Machine: called(t, row.machine)}, first: row.at}
			machines[strings.Clone(row.machine)], order = m, append(order, m)
		}
		if err := f.row(t, m, row); err != nil {
			return err
		}
	}
	for _, m := range order {
		if f.taken[m.life.Machine] {
			return fmt.Errorf("%s: there is a machine %s already, from a file before", name, short(m.life.Machine))
		}
		f.taken[m.life.Machine] = true
		f.Lives, f.steps = append(f.Lives, *m.life), append(f.steps, median(m.steps))
	}
	f.Notes = append(f.Notes, (&run{table: t}).notes()...)
	return nil
}

// called is a machine's name: that of its file, where the file has only one.
func called(t *table, machine string) string {
	if slices.ContainsFunc(t.columns, func(c column) bool { return c.use == asGroup }) {
		return strings.Clone(machine)
	}
	base, _, _ := strings.Cut(path.Base(filepath.ToSlash(t.name)), ".")
	return base
}

// roles takes the columns of the first file, and holds the others to them.
func (f *Fleet) roles(t *table) error {
	if f.Age != "" {
		i := t.find(f.Age)
		if i < 0 {
			return t.mark([]string{f.Age}, asSignal) // which names the columns that there are
		}
		f.Age = t.columns[i].name
		t.columns[i].use = asSignal
	}
	signals, contexts, _ := t.chosen()
	signals = slices.DeleteFunc(signals, func(name string) bool { return name == f.Age })
	switch {
	case t.long:
		return fmt.Errorf("%s: has one value a row: lives are read from tables with a column a signal", t.name)
	case len(signals) == 0:
		return fmt.Errorf("%s: no column of numbers is left to learn from", t.name)
	case f.Signals == nil:
		f.Signals, f.Contexts, f.Timed = signals, contexts, t.timed
		f.names, f.taken = slices.Concat(signals, contexts), map[string]bool{}
	case !slices.Equal(f.Signals, signals) || !slices.Equal(f.Contexts, contexts) || f.Timed != t.timed:
		return fmt.Errorf("%s: its columns are not those of the files before it, which are: %s", t.name, short200(strings.Join(f.names, ", ")))
	}
	return nil
}

// row adds one to a machine's life. A row that repeats the one before it is left out, as
// watch does.
func (f *Fleet) row(t *table, m *reading, row row) error {
	n := len(m.life.Rows)
	age := float64(n + 1)
	if f.Age != "" {
		said, known := valueOf(row.values, f.Age)
		switch {
		case !known && n == 0:
			return nil // its age is not known yet
		case !known:
			said = m.life.Rows[n-1].Age
		case said < 0 || n > 0 && said < m.life.Rows[n-1].Age:
			return t.fault(row.line, "machine %s: the age in column %s is %v after %v: it never goes back", short(row.machine), f.Age, said, m.age())
		}
		age = said
	} else if t.timed {
		if n > 0 && row.at.Equal(m.last) && slices.Equal(row.values, m.values) {
			return nil
		}
		if row.at.Before(m.last.Add(-putBack)) {
			return t.fault(row.line, "time goes back to %s: sort the file by time, or name the column of the machines (--group)", row.at.Format(time.RFC3339))
		}
		if age = row.at.Sub(m.first).Hours(); n > 0 {
			age = math.Max(age, m.life.Rows[n-1].Age)
		}
	}
	if f.values += len(f.names); f.values > maxLifeValues {
		return t.fault(row.line, "more than %d values in all: leave out columns, or every second row", maxLifeValues)
	}
	if n > 0 && row.at.After(m.last) {
		m.steps = append(m.steps, row.at.Sub(m.last).Seconds())
	}
	m.last, m.values = row.at, append(m.values[:0], row.values...)
	m.life.Rows = append(m.life.Rows, prognosis.Row{Age: age, Values: arrange(make([]float64, len(f.names)), f.names, row.values)})
	return nil
}

func (m *reading) age() float64 {
	if n := len(m.life.Rows); n > 0 {
		return m.life.Rows[n-1].Age
	}
	return 0
}

func valueOf(values []observation.Value, signal string) (float64, bool) {
	for i := range values {
		if values[i].Signal == signal {
			return values[i].Value, true
		}
	}
	return 0, false
}

// arrange puts an instant's values in the order of the names; NaN = it has none.
func arrange(into []float64, names []string, values []observation.Value) []float64 {
	next := 0 // rows have their values in the same order
	for i, name := range names {
		into[i] = math.NaN()
		for range values {
			v := &values[next%len(values)]
			if next++; v.Signal == name {
				into[i] = v.Value
				break
			}
		}
	}
	return into
}
