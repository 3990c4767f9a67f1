package watchfile

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// Columns of a long table (machine, time, signal, value) that say what they are.
var (
	signalNames = []string{"signal", "tag", "tagname", "tag_name", "sensor", "sensor_id", "variable", "parameter", "metric", "point", "信号", "测点", "测点名称", "参数"}
	valueNames  = []string{"value", "val", "reading", "值", "数值"}
)

// narrow finds out whether each row holds one signal's value, and which columns name
// the signal and hold the value.
func (t *table) narrow(rows [][]string, opts Options) error {
	signal, value := opts.SignalColumn, opts.ValueColumn
	if signal == "" && value == "" {
		s, v := t.called(signalNames), t.called(valueNames)
		if s < 0 || v < 0 || !t.texts(rows, s) || !t.numbers(rows, v) {
			return nil
		}
		signal, value = t.columns[s].name, t.columns[v].name
		t.note(t.line, "each row is taken for one value: column %s names the signal, %s holds its value", signal, value)
	}
	if signal == "" || value == "" {
		return t.fault(1, "a table of one value a row needs both columns, the signal's name and its value")
	}
	if err := t.mark([]string{signal}, asSignalName); err != nil {
		return err
	}
	t.long = true
	return t.mark([]string{value}, asValue)
}

// numbers says whether a column holds one.
func (t *table) numbers(rows [][]string, i int) bool {
	return slices.ContainsFunc(rows, func(r []string) bool {
		if i >= len(r) {
			return false
		}
		_, ok := t.number(r[i])
		return ok
	})
}

// called is the first column with one of these names, -1 = none.
func (t *table) called(names []string) int {
	return slices.IndexFunc(t.columns, func(c column) bool {
		return c.use == asSignal && slices.Contains(names, strings.ToLower(c.name))
	})
}

// assignLong decides what is left to decide of a long table: its roles are those of
// signals that come.
func (t *table) assignLong(rows [][]string, opts Options) error {
	if err := t.findTime(rows, opts); err != nil {
		return err
	}
	if !t.timed {
		return t.fault(1, "a table of one value a row needs a column of times")
	}
	if len(opts.Context) > maxContext && opts.Pack == nil {
		return t.fault(1, "%d context signals, at most %d", len(opts.Context), maxContext)
	}
	for i := range t.columns {
		if t.columns[i].use == asSignal {
			t.columns[i].use = ignored
		}
	}
	t.chosenOnly = len(opts.Signals) > 0
	for u, names := range map[use][]string{asSignal: opts.Signals, asContext: opts.Context, ignored: opts.Ignore} {
		for _, name := range names {
			t.roles[name] = u
		}
	}
	return nil
}

// one reads the value of a long table's row.
func (t *table) one(fields []string) error {
	var name, text string
	for i := range t.columns {
		switch t.columns[i].use {
		case asSignalName:
			name = fields[i]
		case asValue:
			text = fields[i]
		default:
		}
	}
	role, known := t.roles[name]
	if known && role == ignored || missing(text) {
		return nil
	}
	if _, met := t.names[name]; !met {
		if keep, err := t.meet(name, text); err != nil || !keep {
			return err
		}
	}
	return t.value(t.names[name], text)
}

// meet takes up a signal with its first value, and says whether it is one to watch.
func (t *table) meet(name, text string) (bool, error) {
	_, given := t.roles[name]
	switch _, ok := t.number(text); {
	case name == "" || len(name) > maxName || !utf8.ValidString(name):
		return false, t.bad("%q does not name a signal (in UTF-8, at most %d bytes)", short(name), maxName)
	case len(t.roles) >= maxColumns:
		return false, t.fault(t.line, "more than %d names of signals: is it the signal's column?", maxColumns)
	case t.chosenOnly && !given:
		t.roles[strings.Clone(name)] = ignored
		return false, nil
	case !ok:
		t.roles[strings.Clone(name)] = ignored
		t.note(t.line, "signal %s holds text (%q) and is not watched", short(name), short(text))
		return false, nil
	case len(t.names) == maxWatched:
		return false, t.fault(t.line, "more than %d signals, that many can be watched at once: choose some", maxWatched)
	}
	name = strings.Clone(name)
	t.names[name] = name
	if !given {
		t.roles[name] = asSignal
	}
	t.signals = append(t.signals, name)
	return true, nil
}

// add joins a value to those of the same instant; of two of one signal the first
// stays, and doubled is true.
func add(values []observation.Value, v observation.Value) (joined []observation.Value, doubled bool) {
	for i := range values {
		if values[i].Signal == v.Signal {
			return values, true
		}
	}
	return append(values, v), false
}
