package postgres

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"context"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// account is whom the private server runs as when we are root, whom PostgreSQL
// refuses; nil means as we do.
type account struct {
	name     string
	uid, gid int
}

// serverAccount is PostgreSQL's own user, else "nobody"; nil for ordinary users.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil: run as we do
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil {
			return &account{name, uid, gid}, nil
		}
	}
	return nil, problem.New(problem.Unavailable, "the database does not run as root and there is no user postgres or nobody; start as an ordinary user")
}

func (a *account) attributes() *syscall.SysProcAttr {
	if a == nil {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}} //nolint:gosec // ids from the user database
}

func (a *account) mayOwn(uid int) bool {
	return uid == os.Geteuid() || a != nil && uid == a.uid
}

// own hands a folder to the server's user and checks that it can be reached.
func (a *account) own(dir string) error {
	if a == nil {
		return nil
	}
	if err := os.Chown(dir, a.uid, a.gid); err != nil {
		return fmt.Errorf("hand %s to %s: %w", dir, a.name, err)
	}
	for parent := filepath.Dir(dir); parent != "/" && parent != "."; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil {
			return fmt.Errorf("look at %s: %w", parent, err)
		}
		if info.Mode().Perm()&0o001 == 0 {
			return problem.New(problem.Invalid, "the database runs as user %s, who cannot pass through %s; give a folder elsewhere with --data, or allow it (chmod o+x %s)", a.name, parent, parent)
		}
	}
	return nil
}

// ensureDatabase makes the program's database when it is not there.
func (c *Cluster) ensureDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		return fmt.Errorf("reach the private database: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing was written
	var there bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = 'thirdstate')`).Scan(&there); err != nil {
		return fmt.Errorf("look for the program's database: %w", err)
	}
	if there {
		return nil
	}
	if _, err := conn.Exec(ctx, `CREATE DATABASE thirdstate`); err != nil {
		return fmt.Errorf("make the program's database: %w", err)
	}
	return nil
}
