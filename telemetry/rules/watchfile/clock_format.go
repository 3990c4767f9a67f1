package watchfile

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// TimeFormats says in one line what a time format may be.
const TimeFormats = "epoch-s, epoch-ms, epoch-us, epoch-ns, rfc3339, excel (days), row (its number), %Y-%m-%d %H:%M:%S as of strptime, or a layout of Go"

// dayOf1900 is where spreadsheets begin to count days.
var dayOf1900 = time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)

// formatOf reads a time format, nil = none is given. A row number counts in every.
func formatOf(text string, every time.Duration) (*timeFormat, error) {
	switch strings.ToLower(text) {
	case "":
		return nil, nil
	case "epoch-s", "%s":
		return &timeFormat{unit: 1e9}, nil
	case "epoch-ms":
		return &timeFormat{unit: 1e6}, nil
	case "epoch-us":
		return &timeFormat{unit: 1e3}, nil
	case "epoch-ns":
		return &timeFormat{unit: 1}, nil
	case "rfc3339":
		return &timeFormat{layout: time.RFC3339Nano}, nil
	case "excel":
		return &timeFormat{unit: int64(24 * time.Hour), origin: dayOf1900.UnixNano()}, nil
	case "row":
		return &timeFormat{unit: int64(every), origin: epoch.UnixNano()}, nil
	}
	layout := text
	if strings.Contains(text, "%") {
		var err error
		if layout, err = strptime(text); err != nil {
			return nil, err
		}
	}
	// What a layout cannot carry over, a time loses on its way through it.
	trial := time.Date(2034, 11, 25, 23, 45, 56, 0, time.UTC)
	if at, err := time.Parse(layout, trial.Format(layout)); err != nil || at.Year() != 2034 || at.YearDay() != trial.YearDay() {
		return nil, fmt.Errorf("time format %q names no year, month and day; it may be %s", short(text), TimeFormats)
	}
	return &timeFormat{layout: layout}, nil
}

// directives of strptime in the words of Go. Numbers may have one digit; a fraction
// of a second is read wherever one follows.
var directives = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "1", 'd': "2", 'e': "_2", 'j': "002", 'H': "15", 'I': "3", 'M': "4", 'S': "5", 'p': "PM",
	'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'z': "Z0700", 'Z': "MST", 'T': "15:4:5", 'R': "15:4", 'F': "2006-1-2", 'D': "1/2/06", '%': "%",
}

func strptime(text string) (string, error) {
	for _, fraction := range []string{".%f", ",%f"} {
		text = strings.ReplaceAll(text, "%S"+fraction, "%S")
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		i++
		if i == len(text) {
			return "", errors.New("time format ends in %")
		}
		word, ok := directives[text[i]]
		if !ok {
			return "", fmt.Errorf("time format: %%%c is not known; there are %%Y %%m %%d %%H %%M %%S %%f %%b %%p %%z and their like", text[i])
		}
		b.WriteString(word)
	}
	return b.String(), nil
}
