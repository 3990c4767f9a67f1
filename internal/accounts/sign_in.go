package accounts

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

const byLoginSQL = `SELECT ` + userColumns + `, password_hash FROM app_user WHERE login = @login`

type signing struct {
	User
	Hash string `db:"password_hash"`
}

// SignIn checks a login and its password. An unknown login, a wrong password and a
// disabled user get the same answer after the same work.
func SignIn(ctx context.Context, pool *postgres.Pool, _ time.Time, login, password string) (identity.Principal, error) {
	var u signing
	if login = plainLogin(login); len(login) > 100 || strings.ContainsRune(login, 0) || strings.ToValidUTF8(login, "") != login {
		login = ""
	}
	err := postgres.As(ctx, pool, identity.Program("sign-in"), func(tx pgx.Tx) (err error) {
		u, err = postgres.One[signing](ctx, tx, byLoginSQL, pgx.NamedArgs{"login": login})
		return err
	})
	if err != nil && problem.Of(err) != problem.NotFound {
		return identity.Principal{}, fmt.Errorf("look up a login: %w", err)
	}
	right := matches(u.Hash, password)
	if err != nil || !right || u.DisabledAt != nil {
		return identity.Principal{}, problem.New(problem.Unauthenticated, "login or password is wrong")
	}
	return u.Principal(), nil
}

const byIDSQL = `SELECT ` + userColumns + ` FROM app_user WHERE id = @id AND disabled_at IS NULL`

// ByID says who a signed-in user is now; a disabled one is nobody.
func ByID(ctx context.Context, pool *postgres.Pool, id uuid.UUID) (identity.Principal, error) {
	var u User
	err := postgres.As(ctx, pool, identity.Program("session"), func(tx pgx.Tx) (err error) {
		u, err = postgres.One[User](ctx, tx, byIDSQL, pgx.NamedArgs{"id": id})
		return err
	})
	if problem.Of(err) == problem.NotFound {
		return identity.Principal{}, problem.New(problem.Unauthenticated, "nobody has signed in")
	}
	if err != nil {
		return identity.Principal{}, fmt.Errorf("read the signed-in user: %w", err)
	}
	return u.Principal(), nil
}
