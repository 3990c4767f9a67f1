// Package problem says what kind of thing went wrong, so that the edges (HTTP,
// pages, command line) can answer without reading error texts. An error that is
// no problem is Internal, and its text never leaves the log.
package problem

import (
	"errors"
	"fmt"
)

// Kind is what went wrong from the caller's point of view.
type Kind string

// The kinds. Every kind has an HTTP status in api and dashboards, held by a test.
const (
	Invalid              Kind = "invalid"               // the input breaks a rule that the caller can mend
	Unauthenticated      Kind = "unauthenticated"       // nobody has signed in
	Forbidden            Kind = "forbidden"             // known, but not allowed
	NotFound             Kind = "not_found"             // no such thing, or not this caller's
	Conflict             Kind = "conflict"              // the thing's state does not allow it now
	PreconditionFailed   Kind = "precondition_failed"   // changed since it was read
	PreconditionRequired Kind = "precondition_required" // a version must be named
	TooLarge             Kind = "too_large"
	Limited              Kind = "limited"     // too many requests
	Unavailable          Kind = "unavailable" // a part that is needed is away; try again
	Internal             Kind = "internal"
)

// Kinds lists every kind; a test holds that each has an HTTP status.
var Kinds = []Kind{Invalid, Unauthenticated, Forbidden, NotFound, Conflict, PreconditionFailed,
	PreconditionRequired, TooLarge, Limited, Unavailable, Internal}

// Field names one faulty part of the input by JSON pointer.
type Field struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// Error is a problem with a text that the caller may read.
type Error struct {
	Kind    Kind
	Text    string
	ZH      string // the text in Chinese, "" where nobody wrote one
	Fields  []Field
	Allowed []string // for a refused transition: what is allowed from here
}

func (e *Error) Error() string { return e.Text }

// New makes a problem of a kind. The text is shown to the caller.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// WithZH adds the text in Chinese, for those who see it on a page.
func (e *Error) WithZH(format string, args ...any) *Error {
	e.ZH = fmt.Sprintf(format, args...)
	return e
}

// In gives the text in a language, "zh" or "en"; "" where it has none.
func (e *Error) In(language string) string {
	if language == "zh" {
		return e.ZH
	}
	return e.Text
}

// WithFields adds the faulty fields, all at once.
func (e *Error) WithFields(fields ...Field) *Error {
	e.Fields = append(e.Fields, fields...)
	return e
}

// WithAllowed adds what would have been allowed.
func (e *Error) WithAllowed(allowed ...string) *Error {
	e.Allowed = append(e.Allowed, allowed...)
	return e
}

// Of gives the kind of an error; an error that is no problem is Internal.
func Of(err error) Kind {
	if p := As(err); p != nil {
		return p.Kind
	}
	return Internal
}

// As returns the problem inside err, or nil.
func As(err error) *Error {
	if p, ok := errors.AsType[*Error](err); ok {
		return p
	}
	return nil
}
