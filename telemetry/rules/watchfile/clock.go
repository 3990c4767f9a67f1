package watchfile

import (
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
	"02/01/2006 15:04:05", "02/01/2006 15:04", "02/01/06 15", "2006.01.02 15:04:05", "2006.01.02.15.04.05", "2006年1月2日 15:04:05", "2006年1月2日 15:04",
}

// clockNames are columns that hold the time if their values can be one.
var clockNames = []string{"time", "timestamp", "datetime", "date", "date_time", "ts", "at", "time_stamp", "时间", "时间戳", "日期"}

// timeFormat reads one column's times.
type timeFormat struct {
	layout string
	unit   float64 // ns of a number; 0 = written
	origin int64   // Unix ns of 0
}

func (f timeFormat) parse(text string) (time.Time, bool) {
	if f.unit == 0 {
		at, err := time.Parse(f.layout, text)
		return at, err == nil && at.Year() >= 1970 && at.Year() < 2200
	}
	v, err := strconv.ParseFloat(text, 64)
	ns := v * f.unit
	if err != nil || !(math.Abs(ns) < 7e18) {
		return time.Time{}, false
	}
	return time.Unix(0, f.origin+int64(ns)).UTC(), true
}

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
func (t *table) findTime(rows [][]string, wanted string) error {
	if wanted == "none" {
		return nil
	}
	if wanted != "" {
		i := t.find(wanted)
		if i < 0 {
			return t.mark([]string{wanted}, asTime)
		}
		if t.take(rows, i, true) {
			return nil
		}
		if i >= len(rows[0]) {
			return t.fault(t.line, "%d fields, the first row has %d", len(rows[0]), len(t.columns))
		}
		return t.fault(t.line, "column %s: %q is not a time that is understood", t.columns[i].name, short(rows[0][i]))
	}
	for i := range t.columns {
		named := slices.Contains(clockNames, strings.ToLower(t.columns[i].name))
		if t.columns[i].use == asSignal && t.take(rows, i, named) {
			return nil
		}
	}
	return nil
}

// take makes column i the time if the first rows can be read so; numbers only where
// the column is named for it.
func (t *table) take(rows [][]string, i int, named bool) bool {
	if i >= len(rows[0]) {
		return false
	}
	try := func(f timeFormat) bool {
		var last time.Time
		for _, r := range rows {
			if i >= len(r) {
				return false
			}
			at, ok := f.parse(r[i])
			if !ok || at.Before(last) {
				return false
			}
			last = at
		}
		t.timed, t.clock, t.columns[i].use = true, f, asTime
		return true
	}
	if _, isNumber := t.number(rows[0][i]); isNumber {
		f, ok := numeric(rows[0][i])
		return named && ok && try(f)
	}
	for _, layout := range layouts {
		if try(timeFormat{layout: layout}) {
			return true
		}
	}
	f, ok := guess(rows[0][i])
	if ok {
		t.timed, t.clock, t.columns[i].use = true, f, asTime
	}
	return ok
}
