package webhooks

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const (
	secretPrefix = "whsec_"
	secretBytes  = 32
	overlap      = 24 * time.Hour // in which a new secret and the one before both sign
)

func newSecret() []byte {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails: it would end the program
	return secret
}

// secretText is a secret as its receiver is told it.
func secretText(secret []byte) string {
	return secretPrefix + base64.StdEncoding.EncodeToString(secret)
}

// signature is the header webhook-signature: one signature for each secret over
// id, second of the try and body (Standard Webhooks 1.0.0, symmetric).
func signature(id string, at time.Time, body string, secrets ...[]byte) string {
	header := ""
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "." + body)) // a hash takes everything
		if header != "" {
			header += " "
		}
		header += "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return header
}

const rotateSQL = `UPDATE webhook SET old_secret = secret, old_secret_until = @until, secret = @secret, version = version + 1 WHERE id = @id RETURNING ` + webhookColumns

// Rotate gives a webhook a new secret, which is told this once. For a day the old
// one signs too, so that the receiver can change over without a gap. wall is the
// time by which receivers live.
func Rotate(ctx context.Context, db postgres.DB, s Settings, now, wall time.Time, who identity.Principal, id uuid.UUID) (Webhook, string, error) {
	before, err := get(ctx, db, lockSQL, id)
	if err != nil {
		return Webhook{}, "", err
	}
	if s.Key == nil {
		return Webhook{}, "", problem.New(problem.Unavailable, "this server has no key to seal secrets with")
	}
	secret := newSecret()
	after, err := postgres.One[Webhook](ctx, db, rotateSQL, pgx.NamedArgs{"id": id, "until": wall.Add(overlap), "secret": s.Key.Seal(secret, id.String())})
	if err != nil {
		return Webhook{}, "", fmt.Errorf("rotate the secret of webhook %s: %w", id, err)
	}
	return after, secretText(secret), record(ctx, db, now, who, "secret rotated", before, after)
}
