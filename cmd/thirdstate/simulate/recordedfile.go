package simulate

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// Bounds of a recorded file.
const (
	maxRecordedLine    = 1 << 20 // bytes
	maxRecordedColumns = 2_000
	maxRecordedLength  = 100 * 365 * 24 * time.Hour
)

// recordedFile is a file while it is read.
type recordedFile struct {
	*Mapping
	name    string
	line    int
	columns []string
	time    int // -1 = rows are an interval apart
	machine int // -1 = one name for all
	prefix  string
	signals []recordedSignal
	layout  string
	began   time.Time
	seen    map[string]*recordedMachine
}

type recordedSignal struct {
	name   string
	column int
}

type recordedMachine struct {
	rows int
	last time.Duration
}

func (f *recordedFile) fault(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", f.name, f.line, fmt.Sprintf(format, args...))
}

func readFile(mapping *Mapping, name string) ([]recordedRow, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the recording: %w", err)
	}
	defer file.Close()
	f := &recordedFile{Mapping: mapping, name: name, seen: map[string]*recordedMachine{}}
	rows, err := f.read(file)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s: holds no rows", name)
	}
	return rows, nil
}

// unpacked reads through gzip where the file begins like it, and skips a byte
// order mark.
func unpacked(r io.Reader) (*bufio.Reader, error) {
	lines := bufio.NewReaderSize(r, 64<<10)
	if head, err := lines.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		plain, err := gzip.NewReader(lines)
		if err != nil {
			return nil, fmt.Errorf("is not a whole gzip file: %w", err)
		}
		lines = bufio.NewReaderSize(plain, 64<<10)
	}
	if head, err := lines.Peek(3); err == nil && bytes.Equal(head, []byte("\xef\xbb\xbf")) {
		_, _ = lines.Discard(3)
	}
	return lines, nil
}

func (f *recordedFile) read(r io.Reader) ([]recordedRow, error) {
	lines, err := unpacked(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	scan := bufio.NewScanner(lines)
	scan.Buffer(make([]byte, 0, 64<<10), maxRecordedLine)
	var rows []recordedRow
	for scan.Scan() {
		f.line++
		if strings.TrimSpace(scan.Text()) == "" {
			continue
		}
		fields, err := f.split(scan.Text())
		if err != nil {
			return nil, err
		}
		if f.columns == nil {
			if err := f.shape(fields); err != nil {
				return nil, err
			}
			if f.headed() {
				continue
			}
		}
		row, err := f.row(fields)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if err := scan.Err(); errors.Is(err, bufio.ErrTooLong) {
		f.line++
		return nil, f.fault("line is longer than %d bytes: not a table", maxRecordedLine)
	} else if err != nil {
		f.line++
		return nil, f.fault("cannot be read on: %v", err)
	}
	return rows, nil
}

func (f *recordedFile) split(line string) ([]string, error) {
	if strings.ContainsRune(line, 0) {
		return nil, f.fault("holds a zero byte: not a text file")
	}
	if f.sep == ' ' {
		return strings.Fields(line), nil
	}
	if !strings.Contains(line, `"`) {
		return strings.Split(line, string(f.sep)), nil
	}
	reader := csv.NewReader(strings.NewReader(line))
	reader.Comma, reader.LazyQuotes = rune(f.sep), true
	fields, err := reader.Read()
	if err != nil {
		return nil, f.fault("cannot be cut into columns: %v", err)
	}
	return fields, nil
}

// shape settles which column is what from the first line.
func (f *recordedFile) shape(fields []string) error {
	if len(fields) > maxRecordedColumns {
		return f.fault("%d columns, at most %d", len(fields), maxRecordedColumns)
	}
	f.columns = make([]string, len(fields))
	for i := range fields {
		f.columns[i] = "c" + strconv.Itoa(i+1)
		if name := strings.TrimSpace(fields[i]); f.headed() && name != "" {
			f.columns[i] = name
		}
	}
	base, _, _ := strings.Cut(filepath.Base(f.name), ".")
	f.prefix = strings.ReplaceAll(f.Machine.Name, "{file}", base)
	f.time, f.machine = -1, -1
	var err error
	if f.Time != "" {
		if f.time, err = f.find(f.Time); err != nil {
			return err
		}
	}
	if f.Machine.Column != "" {
		if f.machine, err = f.find(f.Machine.Column); err != nil {
			return err
		}
	}
	return f.choose()
}

// choose lists the signals and their columns.
func (f *recordedFile) choose() error {
	for signal, column := range f.Signals {
		i, err := f.find(column)
		if err != nil {
			return err
		}
		f.signals = append(f.signals, recordedSignal{signal, i})
	}
	slices.SortFunc(f.signals, func(a, b recordedSignal) int { return a.column - b.column })
	if len(f.signals) > 0 {
		return nil
	}
	left := map[int]bool{f.time: true, f.machine: true}
	for _, column := range f.Ignore {
		i, err := f.find(column)
		if err != nil {
			return err
		}
		left[i] = true
	}
	for i, name := range f.columns {
		if left[i] {
			continue
		}
		if !signalPattern.MatchString(name) {
			return f.fault("column %q is no name of a signal: map it under signals, or ignore it", name)
		}
		f.signals = append(f.signals, recordedSignal{name, i})
	}
	if len(f.signals) == 0 {
		return f.fault("no column is left for a signal")
	}
	return nil
}

func (f *recordedFile) find(column string) (int, error) {
	if i := slices.Index(f.columns, column); i >= 0 {
		return i, nil
	}
	if n, err := strconv.Atoi(column); err == nil && n >= 1 && n <= len(f.columns) {
		return n - 1, nil
	}
	known := []rune(strings.Join(f.columns, ", "))
	if len(known) > 200 {
		known = append(known[:200], '…')
	}
	return 0, f.fault("there is no column %q; there are: %s", column, string(known))
}

func (f *recordedFile) row(fields []string) (recordedRow, error) {
	if len(fields) != len(f.columns) {
		return recordedRow{}, f.fault("%d fields, the first line has %d", len(fields), len(f.columns))
	}
	row := recordedRow{machine: f.prefix}
	if f.machine >= 0 {
		row.machine += strings.TrimSpace(fields[f.machine])
	}
	if !keyPattern.MatchString(row.machine) {
		return row, f.fault("machine %q must have 1 to 64 letters, digits, - or _", row.machine)
	}
	var err error
	if row.after, err = f.after(row.machine, fields); err != nil {
		return row, err
	}
	row.values = make([]observation.Value, 0, len(f.signals))
	for _, s := range f.signals {
		text := strings.TrimSpace(fields[s.column])
		switch strings.ToLower(text) {
		case "", "-", "na", "n/a", "nan", "null", "none":
			continue
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || v-v != 0 {
			return row, f.fault("column %s: %q is not a number; map the signals that are, or ignore it", f.columns[s.column], text)
		}
		row.values = append(row.values, observation.Value{Signal: s.name, Value: v})
	}
	return row, nil
}

// after is a row's distance from the begin of the file.
func (f *recordedFile) after(machine string, fields []string) (time.Duration, error) {
	m := f.seen[machine]
	if m == nil {
		m = &recordedMachine{}
		f.seen[machine] = m
	}
	m.rows++
	if f.time < 0 {
		if int64(m.rows) > int64(maxRecordedLength/f.interval) {
			return 0, f.fault("row_interval %s is too long for so many rows", f.RowInterval)
		}
		return time.Duration(m.rows-1) * f.interval, nil
	}
	at, err := f.at(strings.TrimSpace(fields[f.time]))
	if err != nil {
		return 0, err
	}
	if f.began.IsZero() {
		f.began = at
	}
	after := at.Sub(f.began)
	if after > maxRecordedLength {
		return 0, f.fault("%s is more than a hundred years after the first row", at.Format(time.RFC3339))
	}
	if after < m.last || after < 0 {
		return 0, f.fault("time goes back to %s: sort the file by time", at.Format(time.RFC3339))
	}
	m.last = after
	return after, nil
}

// layouts of times that are found without being told.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04", "2006-01-02", "2006/01/02 15:04:05", "02.01.2006 15:04:05", "unix",
}

func (f *recordedFile) at(text string) (time.Time, error) {
	if f.layout == "" {
		f.layout = f.TimeFormat
		for _, layout := range layouts {
			if _, ok := timeIn(layout, text); ok && f.layout == "" {
				f.layout = layout
			}
		}
	}
	at, ok := timeIn(f.layout, text)
	if !ok {
		return at, f.fault("column %s: %q is not a time; say how it is written with time_format", f.columns[f.time], text)
	}
	return at, nil
}

func timeIn(layout, text string) (time.Time, bool) {
	unit := map[string]float64{"unix": 1e9, "unix_ms": 1e6}[layout]
	if unit == 0 {
		at, err := time.Parse(layout, text)
		return at, err == nil && layout != ""
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v*unit < 7e18) {
		return time.Time{}, false
	}
	return time.Unix(0, int64(v*unit)).UTC(), true
}
