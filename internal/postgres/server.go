package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
)

const (
	heldWithin  = 15 * time.Second // a killed server's children hold its memory for 2-3 s
	readyWithin = 5 * time.Minute  // a server that recovers from a crash reads its log first
	logLimit    = 1 << 20          // bytes of the log that a start leaves in place
)

// settings of the server. Of what clients did wrong its log says nothing (LOG
// ranks above ERROR there): we log that ourselves, and it may hold people's data.
var settings = []string{ //nolint:gochecknoglobals // an ordered list, never written
	"listen_addresses=", "port=5432", "unix_socket_permissions=0700", "cluster_name=thirdstate",
	"max_connections=60", "shared_buffers=128MB", "max_wal_size=1GB", "synchronous_commit=on", "jit=off",
	"timezone=UTC", "log_timezone=UTC", "log_min_messages=log", "log_checkpoints=off",
}

// throwawaySettings are for tests: fast, and lost at a power cut.
var throwawaySettings = []string{ //nolint:gochecknoglobals // an ordered list, never written
	"fsync=off", "full_page_writes=off", "synchronous_commit=off", "autovacuum=off", "max_connections=200",
}

// bring makes the cluster when there is none and starts its server when none
// runs. Callers hold the turn.
func (c *Cluster) bring(ctx context.Context) (adopted bool, err error) {
	version, made := c.version()
	if c.bin, err = FindBinaries(version); err != nil {
		return false, err
	}
	if !made {
		if err := c.initialise(ctx); err != nil {
			return false, err
		}
	}
	if pid := c.PID(); pid != 0 {
		err := c.ready(ctx, func() bool { return c.PID() == 0 })
		if err == nil {
			c.log.Info("the private database's server runs already and is used", "pid", pid)
			return true, nil
		}
		if c.PID() != 0 {
			return false, problem.New(problem.Unavailable, "the private database's server (process %d) runs and does not answer: end it, then start again (%v)", pid, err)
		}
	}
	return false, c.start(ctx)
}

func (c *Cluster) version() (string, bool) {
	b, err := os.ReadFile(filepath.Join(c.data, "PG_VERSION"))
	if err != nil {
		return "", false
	}
	return strings.TrimSpace(string(b)), true
}

// initialise makes the cluster beside its place and renames it, so that an
// interrupted initdb leaves no half of one.
func (c *Cluster) initialise(ctx context.Context) error {
	fresh := c.data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return cannotMake(fresh, err)
	}
	if err := c.account.folder(fresh); err != nil {
		return err
	}
	args := []string{"-D", fresh, "-U", "thirdstate_owner", "-E", "UTF8", "--locale=C.UTF-8", "--auth-local=trust", "--auth-host=reject"}
	if c.throwaway {
		args = append(args, "--no-sync")
	}
	c.log.Info("making the private database", "folder", c.data)
	out, err := c.account.command(ctx, filepath.Join(c.bin, "initdb"), args...).CombinedOutput()
	if err != nil {
		said := fmt.Sprintf("%s\n%v", strings.TrimSpace(string(out)), err)
		return errors.Join(hint("initdb could not make the private database in "+c.dir, c.dir, said), os.RemoveAll(fresh))
	}
	if err := os.Rename(fresh, c.data); err != nil {
		return fmt.Errorf("%w: %w", problem.New(problem.Invalid, "%s holds something that is no database; move it away", c.data), err)
	}
	return syncFolder(c.dir)
}

func syncFolder(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // our own folder
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	return errors.Join(f.Sync(), f.Close())
}

func (c *Cluster) start(ctx context.Context) error {
	c.forgetOthers()
	for deadline := time.Now().Add(heldWithin); ; {
		err := c.startOnce(ctx)
		if err == nil || !strings.Contains(err.Error(), "shared memory block") || time.Now().After(deadline) {
			return err
		}
		if !wait(ctx, 250*time.Millisecond) {
			return ctx.Err()
		}
	}
}

func (c *Cluster) startOnce(ctx context.Context) error {
	logFile, from, err := c.openLog()
	if err != nil {
		return err
	}
	defer logFile.Close() // the server holds its own copy
	args := []string{"-D", c.data, "-k", c.socket}
	list := settings
	if c.throwaway {
		list = append(list[:len(list):len(list)], throwawaySettings...)
	}
	for _, s := range list {
		args = append(args, "-c", s)
	}
	cmd := c.account.command(context.WithoutCancel(ctx), filepath.Join(c.bin, "postgres"), args...) // Stop ends it, in good order
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the private database: %w", err)
	}
	reaped := make(chan struct{})
	go func() { _ = cmd.Wait(); close(reaped) }() // ends with the server
	c.reaped = reaped
	ended := func() bool {
		select {
		case <-reaped:
			return true
		default:
			return false
		}
	}
	err = c.ready(ctx, ended)
	switch {
	case err == nil:
		return nil
	case ended():
		return hint("the private database did not start", c.dir, c.saidSince(from))
	}
	err = fmt.Errorf("%w (%w)", hint("the private database does not answer", c.dir, c.saidSince(from)), err)
	return errors.Join(err, c.endProcess(ctx, cmd.Process.Pid))
}

// ready waits until the server answers, which after a crash may take minutes, or
// has ended.
func (c *Cluster) ready(ctx context.Context, ended func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	said := time.Now()
	for {
		err := c.answers(ctx)
		if err == nil || ended() {
			return err
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			c.log.Info("waiting for the private database", "log", c.tail())
		}
		if !wait(ctx, 20*time.Millisecond) {
			return fmt.Errorf("reach the private database: %w", err)
		}
	}
}

func (c *Cluster) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// end stops the server that runs in the folder, ours or adopted.
func (c *Cluster) end(ctx context.Context) error {
	pid := c.PID()
	if pid == 0 {
		return nil
	}
	return c.endProcess(ctx, pid)
}

func (c *Cluster) endProcess(ctx context.Context, pid int) error {
	steps := []struct {
		signal syscall.Signal
		within time.Duration
	}{
		{syscall.SIGINT, 30 * time.Second},  // fast: roll back, checkpoint
		{syscall.SIGQUIT, 10 * time.Second}, // immediate: recovers at the next start
		{syscall.SIGKILL, 5 * time.Second},
	}
	for _, step := range steps {
		if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop the private database's server %d: %w", pid, err)
		}
		if c.gone(ctx, pid, step.within) {
			return nil
		}
		ctx = context.WithoutCancel(ctx) // only good order depends on the caller's patience
	}
	return fmt.Errorf("the private database's server %d does not stop", pid)
}

func (c *Cluster) gone(ctx context.Context, pid int, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for isServer(pid) {
		if !wait(ctx, 10*time.Millisecond) {
			return !isServer(pid)
		}
	}
	return true
}

func (c *Cluster) logPath() string { return filepath.Join(c.dir, "log") }

// openLog keeps what the last server said before it died, within bounds, and
// says from which byte on the next one speaks.
func (c *Cluster) openLog() (f *os.File, from int64, err error) {
	if info, err := os.Stat(c.logPath()); err == nil && info.Size() > logLimit {
		if err := os.Rename(c.logPath(), c.logPath()+".1"); err != nil {
			return nil, 0, fmt.Errorf("put the private database's log aside: %w", err)
		}
	}
	f, err = os.OpenFile(c.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, cannotMake(c.logPath(), err)
	}
	if c.account != nil {
		err = f.Chown(c.account.uid, c.account.gid) // so that its user can start the server without us
	}
	if err == nil {
		from, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("prepare the private database's log: %w", err), f.Close())
	}
	return f, from, nil
}

// saidSince reads the server's log from a byte on, 16 KiB at most.
func (c *Cluster) saidSince(from int64) string {
	f, err := os.Open(c.logPath())
	if err != nil {
		return "no log was written"
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		from = max(from, info.Size()-16<<10)
	}
	b := make([]byte, 16<<10)
	n, _ := f.ReadAt(b, from)
	if n == 0 {
		return "it said nothing"
	}
	return string(b[:n])
}

// tail is the last lines of the server's log.
func (c *Cluster) tail() string { return lastLines(c.saidSince(0), 4) }

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, " | ")
}

// runningServer is the live server of a data folder, 0 when there is none.
func runningServer(data string) int {
	pid := pidIn(filepath.Join(data, "postmaster.pid"))
	if pid <= 1 || !isServer(pid) {
		return 0
	}
	return pid
}

func pidIn(path string) int {
	b, err := os.ReadFile(path) //nolint:gosec // our own folder
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(string(b), "\n", 2)[0]))
	if err != nil {
		return 0
	}
	return pid
}

// isServer says whether a process lives and is PostgreSQL: after a reboot its
// number may be somebody else's. Without /proc only the first is known.
func isServer(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // 12 (postgres) S 1 ...
	if err != nil {
		return false
	}
	open, shut := strings.IndexByte(string(stat), '('), strings.LastIndexByte(string(stat), ')')
	if open < 0 || shut < open || shut+2 >= len(stat) {
		return false
	}
	return strings.HasPrefix(string(stat[open+1:]), "postgres") && stat[shut+2] != 'Z'
}

// forgetOthers removes the lock files of a server that is gone when its number
// now belongs to another program, which PostgreSQL would take for a server.
func (c *Cluster) forgetOthers() {
	for _, path := range []string{filepath.Join(c.data, "postmaster.pid"), filepath.Join(c.socket, ".s.PGSQL.5432.lock")} {
		pid := pidIn(path)
		if pid > 1 && syscall.Kill(pid, 0) == nil && !isServer(pid) {
			c.log.Info("removing the lock of a server that is gone", "file", path, "pid", pid)
			_ = os.Remove(path) // when it stays, the start says so
		}
	}
}
