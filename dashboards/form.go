package dashboards

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// Limits of what a browser may send.
const (
	maxForm   = 64 << 10  // bytes of a form without a photo
	maxPhoto  = 15 << 20  // bytes of the largest photo
	maxField  = 4_000     // characters of one field
	maxPack   = 256 << 10 // characters of the text of a rule pack
	maxFields = 50
	firstYear = 1900 // of a time
	lastYear  = 2199
)

// readForm reads the form within its limits, so that no field holds more than a
// person writes, nor text that no database column takes. 0 is the usual limit.
func (r *request) readForm(limit int64, field int) error {
	if limit == 0 {
		limit = maxForm
	}
	if field == 0 {
		field = maxField
	}
	req := r.Request()
	req.Body = http.MaxBytesReader(r.Response(), req.Body, limit)
	err := req.ParseMultipartForm(maxForm)
	if errors.Is(err, http.ErrNotMultipart) {
		err = req.ParseForm()
	}
	switch {
	case err == nil:
		return r.checkValues(req.Form, field)
	case errors.As(err, new(*http.MaxBytesError)):
		if limit > maxPhoto {
			return r.refusal(problem.TooLarge, "error.photo")
		}
		return r.refusal(problem.TooLarge, "error.form")
	}
	return r.refusal(problem.Invalid, "error.form")
}

func (r *request) checkValues(values url.Values, longest int) error {
	n := 0
	for name, list := range values {
		for _, value := range append([]string{name}, list...) {
			if n++; n > 2*maxFields || utf8.RuneCountInString(value) > longest || !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
				return r.refusal(problem.Invalid, "error.form")
			}
		}
	}
	return nil
}

// formNumber reads a number; an empty field is no number, anything else is refused.
func (r *request) formNumber(name string) (*float64, error) {
	text := strings.TrimSpace(r.FormValue(name))
	if text == "" {
		return nil, nil //nolint:nilnil // an empty field is allowed and means "no number"
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return nil, r.refusal(problem.Invalid, "error.number")
	}
	return &n, nil
}

// formMinutes reads whole minutes of one day; an empty field is none.
func (r *request) formMinutes(name string) (int, error) {
	n, err := r.formNumber(name)
	if err != nil || n == nil {
		return 0, err
	}
	if *n < 0 || *n > 24*60 {
		return 0, r.refusal(problem.Invalid, "error.minutes")
	}
	return int(math.Round(*n)), nil
}

// formTime reads a datetime-local field in the service organisation's zone.
func (r *request) formTime(name string) (*time.Time, error) {
	text := r.FormValue(name)
	if text == "" {
		return nil, nil //nolint:nilnil // an empty field is allowed and means "no time"
	}
	at, err := time.ParseInLocation("2006-01-02T15:04", text, zone)
	if err != nil || at.Year() < firstYear || at.Year() > lastYear {
		return nil, r.refusal(problem.Invalid, "error.time")
	}
	at = at.UTC()
	return &at, nil
}

// formDays reads the days of a deferral from now; an empty field is none.
func (r *request) formDays(name string) (*time.Time, error) {
	text := r.FormValue(name)
	if text == "" {
		return nil, nil //nolint:nilnil // an empty field is allowed and means "no time"
	}
	days, err := strconv.Atoi(text)
	if err != nil || days < 1 || days > 60 {
		return nil, r.refusal(problem.Invalid, "error.days")
	}
	until := r.now.Add(time.Duration(days) * 24 * time.Hour)
	return &until, nil
}
