package watchfile

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// layouts are the written times that are understood, without a zone in UTC.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999",
	"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02", "2006/01/02 15:04:05.999999999", "2006/1/2 15:04:05", "2006/1/2 15:04", "2006/1/2",
	"02.01.2006 15:04:05.999999999", "02.01.2006 15:04", "20060102150405", "20060102 15:04:05", "01/02/2006 15:04:05", "01/02/2006 15:04",
	"1/2/2006 15:04:05", "1/2/2006 15:04", "1/2/2006 3:04:05 PM", "1/2/2006 3:04 PM", "02/01/2006 15:04:05", "02/01/2006 15:04", "2/1/2006 15:04", "02/01/06 15",
	"02-Jan-2006 15:04:05", "02-Jan-06 15:04:05", "2006-01-02 15:04:05 -0700", "2006.01.02 15:04:05", "2006.01.02.15.04.05", "2006年1月2日 15:04:05", "2006年1月2日 15:04",
}

// dayFirst is what a layout with the month first may have been meant as.
var dayFirst = strings.NewReplacer("01/02/", "02/01/", "1/2/", "2/1/")

// clockNames are columns that hold the time if their values can be one.
var clockNames = []string{"time", "timestamp", "datetime", "date", "date_time", "ts", "at", "time_stamp", "时间", "时间戳", "日期"}

// timeFormat reads one column's times.
type timeFormat struct {
	layout string
	unit   int64 // ns of a number; 0 = written
	origin int64 // Unix ns of 0
}

func (f timeFormat) parse(text string) (time.Time, bool) {
	if f.unit == 0 {
		at, err := time.Parse(f.layout, text)
		return at, err == nil && at.Year() >= 1970 && at.Year() < 2200
	}
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil && whole > -latest/f.unit && whole < latest/f.unit {
		return time.Unix(0, f.origin+whole*f.unit).UTC(), true
	}
	v, err := strconv.ParseFloat(text, 64)
	ns := v * float64(f.unit)
	if err != nil || !(math.Abs(ns) < latest) {
		return time.Time{}, false
	}
	return time.Unix(0, f.origin+int64(ns)).UTC(), true
}

// latest is the end of the year 2191, in Unix ns: no number is a later time.
const latest = 7e18

// guess finds the layout of a written time.
func guess(text string) (timeFormat, bool) {
	for _, layout := range layouts {
		f := timeFormat{layout: layout}
		if _, ok := f.parse(text); ok {
			return f, true
		}
	}
	return timeFormat{}, false
}

// numeric finds what a number as a time counts: by its size, seconds to
// nanoseconds since 1970; small ones are seconds of a recording.
func numeric(text string) (timeFormat, bool) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v < 0 || v-v != 0 {
		return timeFormat{}, false
	}
	switch {
	case v < 1e8:
		return timeFormat{unit: 1e9, origin: epoch.UnixNano()}, true
	case v < 1e11:
		return timeFormat{unit: 1e9}, true
	case v < 1e14:
		return timeFormat{unit: 1e6}, true
	case v < 1e17:
		return timeFormat{unit: 1e3}, true
	}
	return timeFormat{unit: 1}, true
}

// findTime settles which column is the time and how it is written.
func (t *table) findTime(rows [][]string, opts Options) error {
	given, err := formatOf(opts.TimeFormat, opts.every())
	if err != nil {
		return err
	}
	if opts.Time == "none" {
		return nil
	}
	if opts.Time != "" {
		i := t.find(opts.Time)
		switch {
		case i < 0:
			return t.mark([]string{opts.Time}, asTime)
		case t.take(rows, i, true, given):
			return nil
		case i >= len(rows[0]):
			return t.fault(t.line, "%d fields, the first row has %d", len(rows[0]), len(t.columns))
		}
		return t.fault(t.line, "column %s: %q is not a time that is understood%s", t.columns[i].name, short(rows[0][i]), expected(opts.TimeFormat))
	}
	for _, named := range []bool{true, false} {
		for i := range t.columns {
			c := &t.columns[i]
			if c.use == asSignal && slices.Contains(clockNames, strings.ToLower(c.name)) == named && t.take(rows, i, named, given) {
				return nil
			}
		}
	}
	if given != nil {
		return t.fault(t.line, "no column is named for times and holds them%s", expected(opts.TimeFormat))
	}
	t.note(t.line, "no column of times is found: rows are taken as %s apart", opts.every())
	return nil
}

func expected(format string) string {
	if format == "" {
		return "; say how it is written by the time format"
	}
	return fmt.Sprintf(" in the format %q", format)
}

// take makes column i the time if the first rows can be read so; numbers only where
// the column is named for it.
func (t *table) take(rows [][]string, i int, named bool, given *timeFormat) bool {
	if i >= len(rows[0]) {
		return false
	}
	fits := func(f timeFormat) bool {
		var last time.Time
		for _, r := range rows {
			if i >= len(r) {
				return false
			}
			at, ok := f.parse(r[i])
			if !ok || at.Before(last) && given == nil {
				return false
			}
			last = at
		}
		return true
	}
	use := func(f timeFormat) bool {
		t.timed, t.clock, t.columns[i].use = true, f, asTime
		return true
	}
	if given != nil {
		return (named || given.unit == 0) && fits(*given) && use(*given)
	}
	if _, isNumber := t.number(rows[0][i]); isNumber {
		f, ok := numeric(rows[0][i])
		return named && ok && fits(f) && use(f)
	}
	for _, layout := range layouts {
		f := timeFormat{layout: layout}
		if !fits(f) {
			continue
		}
		if other := dayFirst.Replace(layout); other != layout && fits(timeFormat{layout: other}) {
			t.note(t.line, "column %s: %q is read with the month first; say so by the time format if it is the day", t.columns[i].name, short(rows[0][i]))
		}
		return use(f)
	}
	f, ok := guess(rows[0][i])
	return ok && use(f)
}
