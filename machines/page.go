package machines

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/problem"
)

const (
	defaultPage   = 50
	longestPage   = 500
	longestCursor = 512 // bytes
)

// PageLimit is the number of things on a page: 50 where nothing was asked for,
// and 500 at most.
func PageLimit(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, longestPage)
}

// PageOf cuts a page from the rows of a query with LIMIT limit+1: the row too many
// says that there is a next page, which begins after the last row that is shown.
func PageOf[T any](rows []T, limit int, cursor func(T) string) Page[T] {
	if len(rows) <= limit {
		return Page[T]{Items: rows}
	}
	return Page[T]{Items: rows[:limit], Next: cursor(rows[limit-1])}
}

// EncodeCursor packs the sort key of a row; a cursor means nothing to its reader.
func EncodeCursor(parts ...string) string {
	packed, err := json.Marshal(parts)
	if err != nil {
		return "" // strings always marshal
	}
	return base64.RawURLEncoding.EncodeToString(packed)
}

// DecodeCursor gives the n parts of a cursor back, and nil for "" (the first page).
func DecodeCursor(cursor string, n int) ([]string, error) {
	if cursor == "" {
		return nil, nil
	}
	if len(cursor) > longestCursor {
		return nil, badCursor()
	}
	packed, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || !utf8.Valid(packed) {
		return nil, badCursor()
	}
	var parts []string
	if err := json.Unmarshal(packed, &parts); err != nil || len(parts) != n {
		return nil, badCursor()
	}
	for _, part := range parts {
		if strings.ContainsRune(part, 0) {
			return nil, badCursor()
		}
	}
	return parts, nil
}

// TimeCursor is the cursor of a list by time and id.
func TimeCursor(at time.Time, id uuid.UUID) string {
	return EncodeCursor(at.UTC().Format(time.RFC3339Nano), id.String())
}

// ReadTimeCursor gives time and id of a TimeCursor back, nil for the first page.
func ReadTimeCursor(cursor string) (*time.Time, *uuid.UUID, error) {
	parts, err := DecodeCursor(cursor, 2)
	if err != nil || parts == nil {
		return nil, nil, err
	}
	at, err := time.Parse(time.RFC3339Nano, parts[0])
	if err != nil || at.Year() < 1 || at.Year() > 9999 {
		return nil, nil, badCursor()
	}
	id, err := uuid.Parse(parts[1])
	if err != nil {
		return nil, nil, badCursor()
	}
	return &at, &id, nil
}

func badCursor() error {
	return problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/cursor", Detail: "is no cursor of this list"})
}
