package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// Token lets a program call the API. Its secret is told once and not kept.
type Token struct {
	ID           uuid.UUID     `json:"id" db:"id"`
	Name         string        `json:"name" db:"name"`
	Role         identity.Role `json:"role" db:"role"`
	CustomerID   *uuid.UUID    `json:"customerId" db:"customer_id"`
	TechnicianID *uuid.UUID    `json:"technicianId" db:"technician_id"`
	CreatedAt    time.Time     `json:"createdAt" db:"created_at"`
	ExpiresAt    *time.Time    `json:"expiresAt" db:"expires_at"`
	RevokedAt    *time.Time    `json:"revokedAt" db:"revoked_at"`
}

// NewToken asks for a token. ExpiresAt is by the program clock, nil means until
// revoked.
type NewToken struct {
	Name         string
	Role         identity.Role
	CustomerID   *uuid.UUID
	TechnicianID *uuid.UUID
	ExpiresAt    *time.Time
}

// A secret is 256 random bits behind a prefix by which scanners of repositories
// find it.
const (
	secretPrefix = "ts_"
	secretBytes  = 32
)

const tokenColumns = `id, name, role, customer_id, technician_id, created_at, expires_at, revoked_at`

const addTokenSQL = `INSERT INTO api_token (id, name, hash, role, customer_id, technician_id, created_at, expires_at)
	VALUES (@id, @name, @hash, @role, @customerID, @technicianID, @now, @expiresAt) RETURNING ` + tokenColumns

// CreateToken makes a token and its secret, which cannot be had again. A digest
// without salt is enough for what cannot be guessed.
func CreateToken(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, n NewToken) (secret string, t Token, err error) {
	faults := checkScope(n.Role, n.CustomerID, n.TechnicianID)
	if strings.TrimSpace(n.Name) == "" {
		faults = append(faults, problem.Field{Pointer: "/name", Detail: "is empty"})
	}
	if n.ExpiresAt != nil && !n.ExpiresAt.After(now) {
		faults = append(faults, problem.Field{Pointer: "/expiresAt", Detail: "is over by the program clock"})
	}
	if err := refuse(faults); err != nil {
		return "", Token{}, err
	}
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // never fails: it would end the program
	secret = secretPrefix + base64.RawURLEncoding.EncodeToString(random)
	t, err = postgres.One[Token](ctx, db, addTokenSQL, pgx.NamedArgs{"id": postgres.NewID(), "name": strings.TrimSpace(n.Name), "hash": digest(secret), "role": n.Role,
		"customerID": n.CustomerID, "technicianID": n.TechnicianID, "now": now, "expiresAt": n.ExpiresAt})
	if err != nil {
		return "", Token{}, fmt.Errorf("create a token: %w", postgres.Translate(err))
	}
	return secret, t, machines.Audit(ctx, db, now, who, "token", t.ID, nil, t.CustomerID, "created", nil, t)
}

func digest(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

const tokensSQL = `SELECT ` + tokenColumns + ` FROM api_token ORDER BY created_at DESC, id DESC`

// Tokens lists the tokens, newest first, the revoked ones too.
func Tokens(ctx context.Context, db postgres.DB) ([]Token, error) {
	list, err := postgres.All[Token](ctx, db, tokensSQL, nil)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return list, nil
}

const (
	lockTokenSQL   = `SELECT ` + tokenColumns + ` FROM api_token WHERE id = @id FOR UPDATE`
	revokeTokenSQL = `UPDATE api_token SET revoked_at = @now WHERE id = @id RETURNING ` + tokenColumns
)

// RevokeToken ends a token at once; one that has ended stays as it was.
func RevokeToken(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID) error {
	before, err := postgres.One[Token](ctx, db, lockTokenSQL, pgx.NamedArgs{"id": id})
	if err != nil {
		return named("token", err)
	}
	if before.RevokedAt != nil {
		return nil
	}
	after, err := postgres.One[Token](ctx, db, revokeTokenSQL, pgx.NamedArgs{"id": id, "now": now})
	if err != nil {
		return fmt.Errorf("revoke token %s: %w", id, err)
	}
	return machines.Audit(ctx, db, now, who, "token", id, nil, after.CustomerID, "revoked", before, after)
}

const byDigestSQL = `SELECT ` + tokenColumns + ` FROM api_token WHERE hash = @hash AND revoked_at IS NULL`

// PrincipalOfToken says who holds a secret; an unknown, expired or revoked one is
// Unauthenticated.
func PrincipalOfToken(ctx context.Context, pool *postgres.Pool, now time.Time, secret string) (identity.Principal, error) {
	refused := problem.New(problem.Unauthenticated, "the token is unknown, expired or revoked")
	if !strings.HasPrefix(secret, secretPrefix) || len(secret) != len(secretPrefix)+base64.RawURLEncoding.EncodedLen(secretBytes) {
		return identity.Principal{}, refused
	}
	var t Token
	err := postgres.As(ctx, pool, identity.Program("token"), func(tx pgx.Tx) (err error) {
		t, err = postgres.One[Token](ctx, tx, byDigestSQL, pgx.NamedArgs{"hash": digest(secret)})
		return err
	})
	if problem.Of(err) == problem.NotFound || err == nil && t.ExpiresAt != nil && !t.ExpiresAt.After(now) {
		return identity.Principal{}, refused
	}
	if err != nil {
		return identity.Principal{}, fmt.Errorf("look up a token: %w", err)
	}
	p := identity.Principal{TokenID: t.ID, Name: t.Name, Role: t.Role, Language: "zh"}
	if t.CustomerID != nil {
		p.CustomerID = *t.CustomerID
	}
	if t.TechnicianID != nil {
		p.TechnicianID = *t.TechnicianID
	}
	return p, nil
}
