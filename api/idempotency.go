package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// key is an Idempotency-Key with what it was sent for.
type key struct {
	value string
	route string
	hash  []byte // of path, query, If-Match and body
}

// readKey takes the Idempotency-Key of a POST. Its body is hashed here, before
// it is decoded, and handed on.
func (s *Server) readKey(hc huma.Context, next func(huma.Context)) {
	x, ok := hc.(*exchange)
	given := hc.Header("Idempotency-Key")
	if !ok || given == "" || hc.Method() != http.MethodPost {
		next(hc)
		return
	}
	value := strings.TrimSuffix(strings.TrimPrefix(given, `"`), `"`)
	if value == "" || len(value) > 128 || strings.IndexFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		p := newProblem(x.ctx, problem.Invalid, "see errors")
		p.Errors = []Fault{{In: "header", Pointer: "/Idempotency-Key", Detail: "expected 1 to 128 visible ASCII characters"}}
		s.refuse(x, p)
		return
	}
	req := humaecho.Unwrap(x.humaContext).Request()
	body, err := io.ReadAll(io.LimitReader(req.Body, x.Operation().MaxBodyBytes))
	if err != nil {
		s.refuse(x, newProblem(x.ctx, problem.Invalid, "the body could not be read to its end"))
		return
	}
	req.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(body), req.Body}
	sum := sha256.New()
	for _, part := range []string{req.URL.RequestURI(), req.Header.Get("If-Match"), string(body)} {
		_ = binary.Write(sum, binary.BigEndian, uint64(len(part))) // a hash takes everything
		sum.Write([]byte(part))
	}
	requestOf(x.ctx).key = &key{value: value, route: x.Operation().OperationID, hash: sum.Sum(nil)}
	next(x)
}

// caller names who holds a key: the same key of two callers is two keys.
func caller(who identity.Principal) string {
	return fmt.Sprintf("%s/%s", who.UserID, who.TokenID)
}

// A caller sees its own keys only: the policy of the table compares app.actor,
// which is set to the caller's id here because names may be shared.
const (
	lockKeySQL = `SELECT set_config('app.actor', @principal, true) <> '' AND pg_try_advisory_xact_lock(hashtextextended(@principal || ' ' || @route || ' ' || @key, 7337))`
	findKeySQL = `SELECT request_hash, body, created_at FROM idempotency WHERE principal = @principal AND route = @route AND key = @key`
	dropKeySQL = `DELETE FROM idempotency WHERE principal = @principal AND route = @route AND key = @key`
	keepKeySQL = `INSERT INTO idempotency (key, principal, route, request_hash, status, body, created_at)
		VALUES (@key, @principal, @route, @hash, @status, @body, @now)`
	keyLife = 24 * time.Hour
)

type keptAnswer struct {
	RequestHash []byte    `db:"request_hash"`
	Body        []byte    `db:"body"`
	CreatedAt   time.Time `db:"created_at"`
}

// once runs fn, or answers what it answered before under the same key. The
// answer is kept in fn's own transaction: both are there or neither.
func once[T any](ctx context.Context, tx pgx.Tx, now time.Time, who identity.Principal, fn func() (T, error)) (T, error) {
	var out T
	r := requestOf(ctx)
	if r == nil || r.key == nil {
		return fn()
	}
	args := pgx.NamedArgs{"principal": caller(who), "route": r.key.route, "key": r.key.value}
	free, err := postgres.Value[bool](ctx, tx, lockKeySQL, args)
	if err != nil {
		return out, fmt.Errorf("lock the idempotency key: %w", err)
	}
	if !free {
		return out, problem.New(problem.Conflict, "a request with this idempotency key is still being answered")
	}
	kept, err := postgres.One[keptAnswer](ctx, tx, findKeySQL, args)
	switch {
	case err == nil && now.Sub(kept.CreatedAt) > keyLife:
		if _, err := postgres.Run(ctx, tx, dropKeySQL, args); err != nil {
			return out, fmt.Errorf("drop the old idempotency key: %w", err)
		}
	case err == nil && !bytes.Equal(kept.RequestHash, r.key.hash):
		return out, newProblem(ctx, keyReused, "")
	case err == nil:
		if err := json.Unmarshal(kept.Body, &out); err != nil {
			return out, fmt.Errorf("read the kept answer: %w", err)
		}
		return out, nil
	case problem.Of(err) != problem.NotFound && !errors.Is(err, pgx.ErrNoRows):
		return out, fmt.Errorf("find the idempotency key: %w", err)
	}
	if out, err = fn(); err != nil {
		return out, err
	}
	body, err := json.Marshal(out)
	if err != nil {
		return out, fmt.Errorf("keep the answer: %w", err)
	}
	args["hash"], args["status"], args["body"], args["now"] = r.key.hash, http.StatusOK, body, now
	if _, err := postgres.Run(ctx, tx, keepKeySQL, args); err != nil {
		return out, fmt.Errorf("keep the answer: %w", err)
	}
	return out, nil
}
