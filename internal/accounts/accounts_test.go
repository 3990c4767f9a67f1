package accounts_test

import (
	"context"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/accounts"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

const password = "correct horse battery"

var (
	now   = time.Date(2026, 6, 4, 6, 10, 0, 0, time.UTC)
	admin = identity.Principal{Name: "administrator", Role: identity.Admin}
)

func as(t *testing.T, pool *postgres.Pool, who identity.Principal, fn func(ctx context.Context, db postgres.DB) error) error {
	t.Helper()
	return postgres.As(t.Context(), pool, who, func(tx pgx.Tx) error { return fn(t.Context(), tx) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addUser(t *testing.T, pool *postgres.Pool, n accounts.NewUser) (u accounts.User) {
	t.Helper()
	must(t, as(t, pool, admin, func(ctx context.Context, db postgres.DB) (err error) {
		u, err = accounts.AddUser(ctx, db, now, admin, n)
		return err
	}))
	return u
}

func addCustomer(t *testing.T, pool *postgres.Pool) (c machines.Customer) {
	t.Helper()
	must(t, as(t, pool, admin, func(ctx context.Context, db postgres.DB) (err error) {
		c, err = machines.AddCustomer(ctx, db, now, admin, machines.Customer{Name: "砼达泵送"})
		return err
	}))
	return c
}

func TestSignIn_TakesTheRightPasswordOnly(t *testing.T) {
	pool := postgrestest.New(t)
	u := addUser(t, pool, accounts.NewUser{Login: "ZhaoMin", Name: "赵敏", Role: identity.ServiceManager, Password: password})
	addUser(t, pool, accounts.NewUser{Login: "demo", Name: "演示", Role: identity.Dispatcher, OneClick: true})

	who, err := accounts.SignIn(t.Context(), pool, now, " zhaomin ", password)
	must(t, err)
	if who.UserID != u.ID || who.Role != identity.ServiceManager || who.Name != "赵敏" || who.Language != "zh" {
		t.Errorf("signed in as %+v", who)
	}
	for _, wrong := range []struct{ login, password string }{
		{"zhaomin", "correct horse batterY"}, {"zhaomin", ""}, {"zhaomin", strings.Repeat("a", 1<<20)}, {"nobody", password},
		{"demo", ""}, {"", ""}, {"zhao\x00min", password}, {"\xff", password},
	} {
		if _, err := accounts.SignIn(t.Context(), pool, now, wrong.login, wrong.password); problem.Of(err) != problem.Unauthenticated {
			t.Errorf("%.20q, %.20q: %v", wrong.login, wrong.password, err)
		}
	}
}

func TestSignIn_RefusesTheDisabled(t *testing.T) {
	pool := postgrestest.New(t)
	u := addUser(t, pool, accounts.NewUser{Login: "helin", Name: "何琳", Role: identity.Dispatcher, Password: password})
	if _, err := accounts.ByID(t.Context(), pool, u.ID); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		must(t, as(t, pool, admin, func(ctx context.Context, db postgres.DB) error { return accounts.Disable(ctx, db, now, admin, u.ID) }))
	}
	if _, err := accounts.SignIn(t.Context(), pool, now, "helin", password); problem.Of(err) != problem.Unauthenticated {
		t.Errorf("sign in: %v", err)
	}
	if _, err := accounts.ByID(t.Context(), pool, u.ID); problem.Of(err) != problem.Unauthenticated {
		t.Errorf("by id: %v", err)
	}
	must(t, as(t, pool, admin, func(ctx context.Context, db postgres.DB) error {
		log, err := machines.Audits(ctx, db, machines.AuditFilter{Entity: "user", EntityID: &u.ID})
		if len(log.Items) != 2 || log.Items[0].Action != "disabled" {
			t.Errorf("audit: %+v", log.Items)
		}
		for _, entry := range log.Items {
			if strings.Contains(string(entry.After)+string(entry.Before), "argon2") {
				t.Error("the audit log holds a password's hash")
			}
		}
		return err
	}))
}

func TestDisable_KeepsTheLastAdministrator(t *testing.T) {
	pool := postgrestest.New(t)
	first := addUser(t, pool, accounts.NewUser{Login: "a", Role: identity.Admin, Password: password})
	second := addUser(t, pool, accounts.NewUser{Login: "b", Role: identity.Admin, Password: password})
	disable := func(id uuid.UUID) error {
		return as(t, pool, admin, func(ctx context.Context, db postgres.DB) error { return accounts.Disable(ctx, db, now, admin, id) })
	}
	must(t, disable(first.ID))
	if err := disable(second.ID); problem.Of(err) != problem.Conflict {
		t.Errorf("the last one: %v", err)
	}
	if err := disable(uuid.New()); problem.Of(err) != problem.NotFound {
		t.Errorf("nobody: %v", err)
	}
}

func TestAddUser_SaysAllThatIsWrong(t *testing.T) {
	pool := postgrestest.New(t)
	addUser(t, pool, accounts.NewUser{Login: "taken", Role: identity.Dispatcher, Password: password})
	stranger := uuid.New()
	for name, c := range map[string]struct {
		user accounts.NewUser
		want []string
		kind problem.Kind
	}{
		"short":           {accounts.NewUser{Login: "x", Role: identity.Admin, Password: "elevenchars"}, []string{"/password"}, problem.Invalid},
		"the login":       {accounts.NewUser{Login: "abcdefghijklm", Role: identity.Admin, Password: "ABCDEFGHIJKLM"}, []string{"/password"}, problem.Invalid},
		"one letter":      {accounts.NewUser{Login: "x", Role: identity.Admin, Password: "密密密密密密密密密密密密"}, []string{"/password"}, problem.Invalid},
		"no password":     {accounts.NewUser{Login: "x", Role: identity.Admin}, []string{"/password"}, problem.Invalid},
		"all at once":     {accounts.NewUser{Login: "a b", Role: "king", TechnicianID: &stranger, Password: "x", Language: "fr"}, []string{"/role", "/technicianId", "/login", "/language", "/password"}, problem.Invalid},
		"system":          {accounts.NewUser{Login: "x", Role: identity.System, Password: password}, []string{"/role"}, problem.Invalid},
		"owner of what":   {accounts.NewUser{Login: "x", Role: identity.OwnerAdmin, Password: password}, []string{"/customerId"}, problem.Invalid},
		"staff of whom":   {accounts.NewUser{Login: "x", Role: identity.Dispatcher, CustomerID: &stranger, Password: password}, []string{"/customerId"}, problem.Invalid},
		"taken":           {accounts.NewUser{Login: "TAKEN", Role: identity.Dispatcher, Password: password}, nil, problem.Conflict},
		"no such company": {accounts.NewUser{Login: "x", Role: identity.OwnerAdmin, CustomerID: &stranger, Password: password}, nil, problem.Invalid},
	} {
		err := as(t, pool, admin, func(ctx context.Context, db postgres.DB) error {
			_, err := accounts.AddUser(ctx, db, now, admin, c.user)
			return err
		})
		if problem.Of(err) != c.kind {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var pointers []string
		for _, f := range problem.As(err).Fields {
			pointers = append(pointers, f.Pointer)
		}
		if strings.Join(pointers, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: faults %v, want %v", name, pointers, c.want)
		}
	}
}

func TestToken_IsToldOnceAndKeptAsADigest(t *testing.T) {
	pool := postgrestest.New(t)
	customer := addCustomer(t, pool)
	until := now.Add(time.Hour)
	var secret string
	var token accounts.Token
	must(t, as(t, pool, admin, func(ctx context.Context, db postgres.DB) (err error) {
		secret, token, err = accounts.CreateToken(ctx, db, now, admin, accounts.NewToken{Name: "portal", Role: identity.OwnerViewer, CustomerID: &customer.ID, ExpiresAt: &until})
		return err
	}))
	if !strings.HasPrefix(secret, "ts_") || len(secret) != 46 {
		t.Errorf("the secret has %d characters", len(secret))
	}
	must(t, as(t, pool, admin, func(ctx context.Context, db postgres.DB) error {
		hash, err := postgres.Value[[]byte](ctx, db, `SELECT hash FROM api_token WHERE id = @id`, pgx.NamedArgs{"id": token.ID})
		if sum := sha256.Sum256([]byte(secret)); string(hash) != string(sum[:]) {
			t.Error("what is kept is not the digest")
		}
		return err
	}))

	who, err := accounts.PrincipalOfToken(t.Context(), pool, now, secret)
	must(t, err)
	if who.TokenID != token.ID || who.Role != identity.OwnerViewer || who.CustomerID != customer.ID || who.UserID != uuid.Nil {
		t.Errorf("the token is %+v", who)
	}
	for _, wrong := range []string{"", "ts_", secret[:45], secret + "a", secret[:45] + "!", "xx_" + secret[3:], "ts_" + strings.Repeat("A", 43)} {
		if _, err := accounts.PrincipalOfToken(t.Context(), pool, now, wrong); problem.Of(err) != problem.Unauthenticated {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, err := accounts.PrincipalOfToken(t.Context(), pool, until, secret); problem.Of(err) != problem.Unauthenticated {
		t.Errorf("expired: %v", err)
	}
	for range 2 {
		must(t, as(t, pool, admin, func(ctx context.Context, db postgres.DB) error {
			return accounts.RevokeToken(ctx, db, now, admin, token.ID)
		}))
	}
	if _, err := accounts.PrincipalOfToken(t.Context(), pool, now, secret); problem.Of(err) != problem.Unauthenticated {
		t.Errorf("revoked: %v", err)
	}
	must(t, as(t, pool, admin, func(ctx context.Context, db postgres.DB) error {
		list, err := accounts.Tokens(ctx, db)
		if len(list) != 1 || list[0].RevokedAt == nil {
			t.Errorf("listed: %+v", list)
		}
		log, err2 := machines.Audits(ctx, db, machines.AuditFilter{Entity: "token"})
		if len(log.Items) != 2 || strings.Contains(string(log.Items[1].After), secret[3:20]) {
			t.Errorf("audit: %d entries", len(log.Items))
		}
		if err == nil {
			err = err2
		}
		return err
	}))
}

func TestToken_IsBoundToItsRole(t *testing.T) {
	pool := postgrestest.New(t)
	over := now
	for name, n := range map[string]accounts.NewToken{
		"owner of nothing": {Name: "x", Role: identity.OwnerViewer}, "the program": {Name: "x", Role: identity.System},
		"no name": {Role: identity.Admin}, "over": {Name: "x", Role: identity.Admin, ExpiresAt: &over},
	} {
		err := as(t, pool, admin, func(ctx context.Context, db postgres.DB) error {
			_, _, err := accounts.CreateToken(ctx, db, now, admin, n)
			return err
		})
		if problem.Of(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUsers_AnOwnerSeesHisOwn(t *testing.T) {
	pool := postgrestest.New(t)
	customer := addCustomer(t, pool)
	addUser(t, pool, accounts.NewUser{Login: "admin", Role: identity.Admin, Password: password})
	addUser(t, pool, accounts.NewUser{Login: "liu", Role: identity.OwnerAdmin, CustomerID: &customer.ID, Password: password})
	owner := identity.Principal{Name: "刘建国", Role: identity.OwnerAdmin, CustomerID: customer.ID}
	must(t, as(t, pool, owner, func(ctx context.Context, db postgres.DB) error {
		list, err := accounts.Users(ctx, db)
		if len(list) != 1 || list[0].Login != "liu" {
			t.Errorf("the owner sees %+v", list)
		}
		return err
	}))
}
