package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// Cluster is the private PostgreSQL server: a child process that listens on a
// unix socket only and outlives neither Stop nor, for long, a crash of ours (the
// next start adopts it).
type Cluster struct {
	dir, socket, bin string
	user             *account // whom the server runs as; nil: as we do
	log              *slog.Logger
	process          *os.Process // nil when adopted
	exited           chan struct{}
	adopted          bool
}

// How long the server may take to start, and to stop in good order.
const (
	startWithin = 30 * time.Second
	stopWithin  = 30 * time.Second
)

// StartCluster makes the cluster in dir on the first call and starts its server.
// A server that still runs there after a crash of ours is adopted.
func StartCluster(ctx context.Context, dir string, log *slog.Logger) (*Cluster, error) {
	c := &Cluster{dir: dir, log: log}
	var err error
	if c.user, err = serverAccount(); err != nil {
		return nil, err
	}
	version, made := readVersion(dir)
	if c.bin, err = FindBinaries(version); err != nil {
		return nil, err
	}
	if c.socket, err = c.socketFolder(); err != nil {
		return nil, err
	}
	if !made {
		if err := c.initialise(ctx); err != nil {
			return nil, err
		}
	}
	if pid := c.runningPID(); pid != 0 {
		if err := waitReady(ctx, c.url("postgres"), startWithin); err == nil {
			c.adopted = true
			log.Info("adopted the private database's running server", "pid", pid)
			return c, c.ensureDatabase(ctx)
		}
	}
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	return c, c.ensureDatabase(ctx)
}

func readVersion(dir string) (string, bool) {
	b, err := os.ReadFile(filepath.Join(dir, "PG_VERSION")) //nolint:gosec // our own folder
	if err != nil {
		return "", false
	}
	return strings.TrimSpace(string(b)), true
}

// URL connects as the owner, who may migrate.
func (c *Cluster) URL() string { return c.url("thirdstate") }

func (c *Cluster) url(database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&port=5432&user=thirdstate_owner", database, c.socket)
}

// Adopted says whether the server was running already.
func (c *Cluster) Adopted() bool { return c.adopted }

// PID is the server's process, 0 when none runs.
func (c *Cluster) PID() int { return c.runningPID() }

// Socket is the folder of the server's socket.
func (c *Cluster) Socket() string { return c.socket }

func (c *Cluster) initialise(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(c.dir), 0o755); err != nil { //nolint:gosec // the server's user must pass through
		return problem.New(problem.Invalid, "cannot make the folder %s: %v; give another one with --data", filepath.Dir(c.dir), err)
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return problem.New(problem.Invalid, "cannot make the folder %s: %v; give another one with --data", c.dir, err)
	}
	if err := c.user.own(c.dir); err != nil {
		return err
	}
	args := []string{"-D", c.dir, "-U", "thirdstate_owner", "-E", "UTF8", "--locale=C.UTF-8", "--auth=trust"}
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "initdb"), args...) //nolint:gosec // a server binary found on this machine
	cmd.Dir = c.dir
	cmd.Env = []string{"LANG=C.UTF-8", "PATH=" + c.bin + ":/usr/bin:/bin"}
	cmd.SysProcAttr = c.user.attributes()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return problem.New(problem.Unavailable, "initdb could not make the private database in %s: %s", c.dir, lastLines(string(out), 3))
	}
	return nil
}

func (c *Cluster) start(ctx context.Context) error {
	deadline := time.Now().Add(startWithin)
	for {
		err := c.startOnce(ctx)
		if err == nil {
			return nil
		}
		// After a kill -9 the old server's children hold its shared memory for 2-3 s.
		if !strings.Contains(err.Error(), "shared memory block") && !strings.Contains(err.Error(), "lock file") || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func (c *Cluster) logPath() string { return filepath.Join(c.dir, "server.log") }

func (c *Cluster) startOnce(ctx context.Context) error {
	logFile, err := os.OpenFile(c.logPath(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return problem.New(problem.Invalid, "cannot write %s: %v", c.logPath(), err)
	}
	defer logFile.Close() //nolint:errcheck // the server holds its own copy
	args := []string{"-D", c.dir, "-k", c.socket, "-c", "listen_addresses=", "-c", "port=5432", "-c", "unix_socket_permissions=0700",
		"-c", "max_connections=60", "-c", "shared_buffers=128MB", "-c", "timezone=UTC", "-c", "log_timezone=UTC", "-c", "max_wal_size=1GB"}
	args = append(args, extraSettings(ctx)...)
	cmd := exec.Command(filepath.Join(c.bin, "postgres"), args...) //nolint:gosec,noctx // it must outlive the context: Stop ends it in good order
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, logFile, logFile
	cmd.Env = []string{"LANG=C.UTF-8", "PATH=" + c.bin + ":/usr/bin:/bin"}
	cmd.SysProcAttr = c.user.attributes()
	cmd.SysProcAttr.Setpgid = true // Ctrl-C reaches us, not the server: we end it when nobody needs it
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the private database: %w", err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }() // ends when the server does, at the latest in Stop
	c.process, c.exited = cmd.Process, exited
	ready := make(chan error, 1)
	waitCtx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	go func() { ready <- waitReady(waitCtx, c.url("postgres"), startWithin) }()
	select {
	case err := <-ready:
		if err == nil {
			return nil
		}
		return errors.Join(fmt.Errorf("the private database did not answer: %s", c.lastLog()), c.Stop(context.WithoutCancel(ctx)))
	case <-exited:
		cancel()
		<-ready
		return problem.New(problem.Unavailable, "the private database did not start: %s", c.lastLog())
	}
}

// extraKey carries server settings for tests (fsync=off).
type extraKey struct{}

// WithServerSettings returns a context whose StartCluster adds settings such as
// "fsync=off"; only test databases want that.
func WithServerSettings(ctx context.Context, settings ...string) context.Context {
	return context.WithValue(ctx, extraKey{}, settings)
}

func extraSettings(ctx context.Context) []string {
	settings, ok := ctx.Value(extraKey{}).([]string)
	if !ok {
		return nil
	}
	var args []string
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

func (c *Cluster) lastLog() string {
	b, err := os.ReadFile(c.logPath())
	if err != nil {
		return "no log was written"
	}
	return lastLines(string(b), 4)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, " | ")
}

// runningPID is the live server of this folder, 0 when there is none.
func (c *Cluster) runningPID() int {
	b, err := os.ReadFile(filepath.Join(c.dir, "postmaster.pid"))
	if err != nil {
		return 0
	}
	lines := strings.Split(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 1 || len(lines) < 2 || strings.TrimSpace(lines[1]) != c.dir {
		return 0
	}
	if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || !strings.HasPrefix(string(comm), "postgres") {
		return 0
	}
	return pid
}

// Stop ends the server in good order and waits for it; after a bound it is
// stopped at once, which PostgreSQL recovers from.
func (c *Cluster) Stop(ctx context.Context) error {
	pid := c.runningPID()
	if c.process != nil {
		pid = c.process.Pid
	}
	if pid == 0 {
		return nil
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} { // fast, immediate, at once
		if err := syscall.Kill(pid, sig); errors.Is(err, syscall.ESRCH) {
			return nil
		}
		if c.gone(ctx, pid) {
			return nil
		}
	}
	return fmt.Errorf("the private database's server %d does not stop", pid)
}

func (c *Cluster) gone(ctx context.Context, pid int) bool {
	timeout := time.NewTimer(stopWithin)
	defer timeout.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timeout.C:
			return false
		case <-c.exited: // nil and never ready when adopted
			return true
		case <-poll.C:
			if c.process == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
				return true
			}
		}
	}
}

// socketFolder is short, because a socket's path may have 107 bytes at most, and
// the same for the same data folder, so that a running server can be adopted.
func (c *Cluster) socketFolder() (string, error) {
	abs, err := filepath.Abs(c.dir)
	if err != nil {
		return "", fmt.Errorf("read the data folder's path: %w", err)
	}
	c.dir = abs
	sum := sha256.Sum256([]byte(abs))
	dir := filepath.Join(os.TempDir(), "thirdstate-"+hex.EncodeToString(sum[:6]))
	if len(dir) > 80 {
		dir = filepath.Join("/tmp", filepath.Base(dir))
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", problem.New(problem.Invalid, "cannot make the socket's folder %s: %v", dir, err)
	}
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return "", problem.New(problem.Invalid, "%s is in the way of the database's socket; remove it", dir)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && !c.user.mayOwn(int(stat.Uid)) {
		return "", problem.New(problem.Invalid, "%s belongs to somebody else; remove it", dir)
	}
	return dir, c.user.own(dir)
}

// waitReady tries to reach the database until it answers or the time is over.
func waitReady(ctx context.Context, url string, atMost time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("reach the database: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
