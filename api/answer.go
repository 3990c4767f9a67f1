package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// Answer is one thing with its version.
type Answer[T any] struct {
	ETag string `header:"ETag"`
	Body T
}

// Items is a page of a list.
type Items[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"cursor of the next page; absent on the last"`
}

// Listed is a page of a list with its links (RFC 8288).
type Listed[T any] struct {
	Link string `header:"Link"`
	Body Items[T]
}

// Paged are the parameters of every list.
type Paged struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"things a page"`
	Cursor string `query:"cursor" maxLength:"512" doc:"from the page before"`
}

// ByID names one thing.
type ByID struct {
	ID uuid.UUID `path:"id"`
}

// Cached lets a reader ask whether something changed.
type Cached struct {
	IfNoneMatch string `header:"If-None-Match" maxLength:"256"`
}

// Matched names the version that a change was decided on.
type Matched struct {
	IfMatch string `header:"If-Match" maxLength:"256" doc:"the ETag that was read; or send version in the body"`
}

// Nothing is the answer of an operation that has nothing to say.
type Nothing struct{}

// read runs fn in a transaction that sees what the caller may see.
func read[T any](ctx context.Context, s *Server, fn func(db postgres.DB) (T, error)) (T, error) {
	var out T
	who, _ := identity.From(ctx)
	err := postgres.As(ctx, s.Pool, who, func(tx pgx.Tx) (err error) {
		out, err = fn(tx)
		return err
	})
	return out, err
}

// act is one change that a caller asks for.
type act struct {
	tx  pgx.Tx
	now time.Time
	who identity.Principal
}

// write runs fn in one transaction, at most once for an Idempotency-Key.
func write[T any](ctx context.Context, s *Server, fn func(a act) (T, error)) (T, error) {
	var out T
	who, _ := identity.From(ctx)
	now := s.Clock.Now()
	err := postgres.As(ctx, s.Pool, who, func(tx pgx.Tx) (err error) {
		out, err = once(ctx, tx, now, who, func() (T, error) { return fn(act{tx, now, who}) })
		return noOracle(err)
	})
	return out, err
}

// noOracle answers "no such thing" where row-level security refused a write: that
// another's thing exists is not told.
func noOracle(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "42501" {
		return problem.New(problem.NotFound, "no such thing")
	}
	return err
}

// answered wraps one thing; version 0 means that it has none.
func answered[T any](thing T, version int, err error) (*Answer[T], error) {
	if err != nil {
		return nil, err
	}
	return &Answer[T]{ETag: etag(thing, version), Body: thing}, nil
}

// unlessSeen answers 304 when the reader has this very answer already.
func unlessSeen[T any](in Cached, thing T, version int, err error) (*Answer[T], error) {
	a, err := answered(thing, version, err)
	if err != nil {
		return nil, err
	}
	for seen := range strings.SplitSeq(in.IfNoneMatch, ",") {
		if seen = strings.TrimPrefix(strings.TrimSpace(seen), "W/"); seen == a.ETag || seen == "*" {
			return nil, &notModified{etag: a.ETag}
		}
	}
	return a, nil
}

// listed wraps a page with the links to the first and the next one.
func listed[T any](ctx context.Context, page machines.Page[T], err error) (*Listed[T], error) {
	if err != nil {
		return nil, err
	}
	if page.Items == nil {
		page.Items = []T{}
	}
	out := &Listed[T]{Body: Items[T]{Items: page.Items, Next: page.Next}}
	r := requestOf(ctx)
	if r == nil {
		return out, nil
	}
	out.Link = link(r, "", "first")
	if page.Next != "" {
		out.Link += ", " + link(r, page.Next, "next")
	}
	return out, nil
}

// whole wraps a list that has one page.
func whole[T any](ctx context.Context, items []T, err error) (*Listed[T], error) {
	return listed(ctx, machines.Page[T]{Items: items}, err)
}

func link(r *request, cursor, rel string) string {
	query := url.Values{}
	for name, values := range r.query {
		if name != "cursor" {
			query[name] = values
		}
	}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	target := url.URL{Path: r.path, RawQuery: query.Encode()}
	return "<" + target.String() + `>; rel="` + rel + `"`
}

// etag is the version (for If-Match) and a digest of the answer (for If-None-Match).
func etag(thing any, version int) string {
	body, err := json.Marshal(thing)
	if err != nil {
		return ""
	}
	sum := fnv.New64a()
	sum.Write(body)
	return fmt.Sprintf("\"%d-%s\"", version, hex.EncodeToString(sum.Sum(nil)))
}

// version reads the version that a change was decided on, from If-Match or the
// body; 0 is "whatever it is now" and must be asked for with If-Match: *.
func version(in Matched, inBody int) (int, error) {
	switch {
	case in.IfMatch == "*":
		return 0, nil
	case in.IfMatch == "" && inBody > 0:
		return inBody, nil
	case in.IfMatch == "":
		return 0, problem.New(problem.PreconditionRequired, "send If-Match with the ETag that you read, or version in the body")
	}
	digits, _, _ := strings.Cut(strings.Trim(in.IfMatch, `"`), "-")
	v, err := strconv.Atoi(digits)
	if err != nil || v < 1 {
		return 0, problem.New(problem.PreconditionFailed, "If-Match names no version of this thing")
	}
	if inBody > 0 && inBody != v {
		return 0, problem.New(problem.Invalid, "If-Match and version name two versions")
	}
	return v, nil
}

// notModified is the answer to If-None-Match.
type notModified struct{ etag string }

func (*notModified) Error() string  { return "not modified" }
func (*notModified) GetStatus() int { return http.StatusNotModified }

// GetHeaders implements huma.HeadersError.
func (n *notModified) GetHeaders() http.Header { return http.Header{"Etag": {n.etag}} }

// someID is nil for an id that was not given.
func someID(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}
