package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// account is whom the private server runs as when we are root, whom PostgreSQL
// refuses; nil means as we do.
type account struct {
	name     string
	uid, gid int
}

// serverAccount is the data folder's owner when there is one, else PostgreSQL's
// own user, else "nobody"; nil for ordinary users, who must own the folder.
func serverAccount(data string) (*account, error) {
	uid, gid, made := owner(data)
	us := os.Geteuid()
	if us != 0 {
		if made && uid != us {
			return nil, problem.New(problem.Invalid, "the database's folder %s belongs to user %s: start as that user or as root, or give another folder with --data", data, userName(uid))
		}
		return nil, nil //nolint:nilnil // nil: run as we do
	}
	if made && uid != 0 {
		return &account{userName(uid), uid, gid}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil && uid != 0 {
			return &account{name, uid, gid}, nil
		}
	}
	return nil, problem.New(problem.Unavailable, "the database does not run as root and there is no user postgres or nobody; start as an ordinary user")
}

func owner(path string) (uid, gid int, there bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(stat.Uid), int(stat.Gid), true
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

// command runs one of PostgreSQL's programs as the account, in its own process
// group: Ctrl-C reaches us, not the server, which we end when nobody needs it.
func (a *account) command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // a server binary found on this machine
	cmd.Dir = "/"
	cmd.Env = []string{"LANG=C.UTF-8", "PATH=" + filepath.Dir(path) + ":/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)} //nolint:gosec // ids from the user database
	}
	return cmd
}

// folder makes a folder that only the account can enter.
func (a *account) folder(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return cannotMake(dir, err)
	}
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return problem.New(problem.Invalid, "%s is in the way of the database; remove it", dir)
	}
	if uid, _, ok := owner(dir); ok && uid != os.Geteuid() && (a == nil || uid != a.uid) {
		return problem.New(problem.Invalid, "%s belongs to user %s, the database needs it; remove it", dir, userName(uid))
	}
	if a == nil {
		return nil
	}
	if err := os.Chown(dir, a.uid, a.gid); err != nil {
		return fmt.Errorf("hand %s to user %s: %w", dir, a.name, err)
	}
	return nil
}

// reaches checks that the account can pass through every parent of a folder.
func (a *account) reaches(dir string) error {
	if a == nil {
		return nil
	}
	for parent := dir; ; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil {
			return fmt.Errorf("look at %s: %w", parent, err)
		}
		if !a.passes(info) {
			return problem.New(problem.Invalid, "the database runs as user %s, who cannot pass through %s: give a folder elsewhere with --data, or allow it (chmod o+x %s)", a.name, parent, parent)
		}
		if parent == "/" || parent == "." {
			return nil
		}
	}
}

func (a *account) passes(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	mode := info.Mode().Perm()
	switch {
	case !ok:
		return true
	case int(stat.Uid) == a.uid:
		return mode&0o100 != 0
	case int(stat.Gid) == a.gid:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

// makeFolders makes a folder and its parents. Root's are open for passing
// through, because the server runs as somebody else.
func makeFolders(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := makeFolders(parent); err != nil {
			return err
		}
	}
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := os.Mkdir(dir, mode); err != nil && !os.IsExist(err) {
		return cannotMake(dir, err)
	}
	if err := os.Chmod(dir, mode); err != nil { // whatever the umask says
		return cannotMake(dir, err)
	}
	return nil
}

func cannotMake(dir string, err error) error {
	return fmt.Errorf("%w: %w", problem.New(problem.Invalid, "the folder %s for the database cannot be made: give a folder that user %s may write with --data", dir, userName(os.Geteuid())), err)
}
