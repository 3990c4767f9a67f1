package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/accounts"
	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/intake"
)

// store reaches the records of an installation, beside a running server or not.
type store struct {
	Data        string `help:"Folder of the installation." type:"path" placeholder:"DIR"`
	DatabaseURL string `name:"database-url" help:"PostgreSQL server, when it is not the private one." placeholder:"URL"`
}

// with runs fn as the administrator. A private server that runs already is used
// and left running.
func (s *store) with(ctx context.Context, fn func(pool *postgres.Pool, clk *clock.Clock) error) error {
	quiet := slog.New(slog.DiscardHandler)
	if s.Data == "" {
		s.Data = defaultData()
	}
	address := s.DatabaseURL
	if address == "" {
		cluster, err := postgres.StartCluster(ctx, filepath.Join(s.Data, "postgres"), quiet)
		if err != nil {
			return err
		}
		address = cluster.URL()
		if !cluster.Adopted() {
			defer func() { _ = cluster.Stop(context.WithoutCancel(ctx)) }()
		}
	}
	if err := postgres.Migrate(ctx, address); err != nil {
		return err
	}
	pool, err := postgres.Open(ctx, address, postgres.MaxConns(4))
	if err != nil {
		return err
	}
	defer pool.Close()
	clk, err := openClock(ctx, pool, time.Time{}, 1, false)
	if err != nil {
		return err
	}
	return fn(pool, clk)
}

var administrator = identity.Principal{Name: "command line", Role: identity.Admin, Language: "en"}

type migrateCommand struct{ store }

// Run brings the schema up to date.
func (c *migrateCommand) Run(ctx context.Context) error {
	return c.with(ctx, func(*postgres.Pool, *clock.Clock) error {
		_, err := fmt.Println("the schema is up to date")
		return err
	})
}

type tokenCommand struct {
	Create tokenCreate `cmd:"" help:"Make a token and print it; it is shown this once."`
}

type tokenCreate struct {
	store
	Role     string        `required:"" help:"What the token may do, such as service-manager or owner-viewer."`
	Customer string        `help:"Customer (id or name), for owner-admin, owner-viewer and customer-representative."`
	Name     string        `help:"What the token is for." default:"command line"`
	For      time.Duration `name:"valid-for" help:"How long it is valid; 0 means until revoked."`
}

// Run prints the new token alone, so that a script can read it.
func (c *tokenCreate) Run(ctx context.Context) error {
	role := identity.Role(c.Role)
	if !role.Valid() {
		return problem.New(problem.Invalid, "there is no role %q; the roles are %s", c.Role, roleNames())
	}
	return c.with(ctx, func(pool *postgres.Pool, clk *clock.Clock) error {
		var token string
		err := postgres.As(ctx, pool, administrator, func(tx pgx.Tx) error {
			customer, err := findCustomer(ctx, tx, c.Customer)
			if err != nil {
				return err
			}
			want := accounts.NewToken{Name: c.Name, Role: role, CustomerID: customer}
			if c.For > 0 {
				until := clk.Now().Add(c.For)
				want.ExpiresAt = &until
			}
			token, _, err = accounts.CreateToken(ctx, tx, clk.Now(), administrator, want)
			return err
		})
		if err != nil {
			return err
		}
		_, err = fmt.Println(token)
		return err
	})
}

func roleNames() string {
	names := make([]string, 0, len(identity.Roles))
	for _, r := range identity.Roles {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

func findCustomer(ctx context.Context, tx pgx.Tx, text string) (*uuid.UUID, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no customer was asked for
	}
	all, err := machines.Customers(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.ID.String() == text || c.Name == text || strings.EqualFold(c.NameEN, text) {
			return &c.ID, nil
		}
	}
	return nil, problem.New(problem.NotFound, "there is no customer %q", text)
}

type userCommand struct {
	Add  userAdd  `cmd:"" help:"Add a person; the password is read from standard input."`
	List userList `cmd:"" help:"List the people."`
}

type userAdd struct {
	store
	Login    string `arg:"" help:"Name to sign in with."`
	Role     string `required:"" help:"What the person may do."`
	Name     string `help:"Name to show."`
	Customer string `help:"Customer (id or name), for owners and representatives."`
}

// Run adds a user.
func (c *userAdd) Run(ctx context.Context) error {
	fmt.Fprintln(os.Stderr, "password (at least 12 characters), then Enter:")
	raw, err := io.ReadAll(io.LimitReader(os.Stdin, 1<<10))
	if err != nil {
		return fmt.Errorf("read the password: %w", err)
	}
	password := strings.TrimRight(string(raw), "\r\n")
	return c.with(ctx, func(pool *postgres.Pool, clk *clock.Clock) error {
		return postgres.As(ctx, pool, administrator, func(tx pgx.Tx) error {
			customer, err := findCustomer(ctx, tx, c.Customer)
			if err != nil {
				return err
			}
			if c.Name == "" {
				c.Name = c.Login
			}
			_, err = accounts.AddUser(ctx, tx, clk.Now(), administrator, accounts.NewUser{Login: c.Login, Name: c.Name,
				Role: identity.Role(c.Role), CustomerID: customer, Password: password, Language: "zh"})
			return err
		})
	})
}

type userList struct{ store }

// Run lists the users.
func (c *userList) Run(ctx context.Context) error {
	return c.with(ctx, func(pool *postgres.Pool, _ *clock.Clock) error {
		return postgres.As(ctx, pool, administrator, func(tx pgx.Tx) error {
			users, err := accounts.Users(ctx, tx)
			for _, u := range users {
				fmt.Printf("%-20s %-24s %s\n", u.Login, u.Role, u.Name)
			}
			return err
		})
	})
}

type deviceCommand struct {
	Add deviceAdd `cmd:"" help:"Add a device for a machine and print its token; it is shown this once."`
}

type deviceAdd struct {
	store
	Key     string `arg:"" help:"Key of the machine that the device speaks for (or a name of its own for a gateway)."`
	Gateway bool   `help:"The device speaks for many machines."`
}

// Run prints the device's token: its MQTT password; the user name is the key.
func (c *deviceAdd) Run(ctx context.Context) error {
	return c.with(ctx, func(pool *postgres.Pool, clk *clock.Clock) error {
		var token string
		err := postgres.As(ctx, pool, administrator, func(tx pgx.Tx) error {
			var id *uuid.UUID
			m, err := machines.ByKey(ctx, tx, c.Key)
			switch {
			case err == nil:
				id = &m.ID
			case problem.Of(err) != problem.NotFound || !c.Gateway:
				return errors.Join(fmt.Errorf("machine %s", c.Key), err)
			}
			token, err = intake.AddDevice(ctx, tx, clk.Now(), c.Key, id, c.Gateway)
			return err
		})
		if err != nil {
			return err
		}
		_, err = fmt.Println(token)
		return err
	})
}
