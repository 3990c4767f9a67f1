package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// Cluster is the private PostgreSQL server: a child process that listens on a
// unix socket only. It is started again when it dies, adopted when a crash of
// ours left it running, and shared by the processes that open the same folder:
// the last one to Stop ends it.
//
// The folder holds data (PostgreSQL's), run (the socket), log and two locks.
type Cluster struct {
	dir, data, socket string
	account           *account // whom the server runs as; nil: as we do
	log               *slog.Logger
	throwaway         bool

	bin     string        // where the server's programs are
	reaped  chan struct{} // closed when our child has ended; nil when adopted
	adopted bool
	use     *lock // shared by the processes that use the server

	quit    context.CancelFunc
	kept    chan struct{} // closed when the keeper has ended
	stopped sync.Once
	stopErr error
}

// ClusterOption changes how a private server is run.
type ClusterOption func(*Cluster)

// Throwaway is for databases that a test makes and drops: nothing is written to
// the disk in time, so a power cut destroys the cluster.
func Throwaway() ClusterOption { return func(c *Cluster) { c.throwaway = true } }

// StartCluster makes the cluster in dir on the first call and starts its server.
// A server that runs there already is used. What stands in the way is said in a
// problem of one line.
func StartCluster(ctx context.Context, dir string, log *slog.Logger, opts ...ClusterOption) (*Cluster, error) {
	c, err := newCluster(dir, log, opts)
	if err != nil {
		return nil, err
	}
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	keep, quit := context.WithCancel(context.WithoutCancel(ctx))
	c.quit, c.kept = quit, make(chan struct{})
	go c.keep(keep) // ends in Stop
	return c, nil
}

func newCluster(dir string, log *slog.Logger, opts []ClusterOption) (*Cluster, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("read the database folder's path: %w", err)
	}
	c := &Cluster{dir: abs, data: filepath.Join(abs, "data"), log: log}
	for _, o := range opts {
		o(c)
	}
	if err := makeFolders(c.dir); err != nil {
		return nil, err
	}
	if c.account, err = serverAccount(c.data); err != nil {
		return nil, err
	}
	if err := c.account.reaches(c.dir); err != nil {
		return nil, err
	}
	c.socket = socketFolder(c.dir)
	return c, c.account.folder(c.socket)
}

// open gets the server to run and counts us among its users.
func (c *Cluster) open(ctx context.Context) (err error) {
	if c.use, err = openLock(filepath.Join(c.dir, "use.lock")); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.use.release()
		}
	}()
	return c.inTurn(ctx, func() error {
		adopted, err := c.bring(ctx)
		if err != nil {
			return err
		}
		c.adopted = adopted
		err = errors.Join(c.ensureDatabase(ctx), c.use.shared())
		if err != nil && !adopted {
			err = errors.Join(err, c.end(context.WithoutCancel(ctx)))
		}
		return err
	})
}

// inTurn keeps other processes from starting or stopping the server meanwhile.
func (c *Cluster) inTurn(ctx context.Context, fn func() error) error {
	turn, err := openLock(filepath.Join(c.dir, "start.lock"))
	if err != nil {
		return err
	}
	defer turn.release()
	if err := turn.alone(ctx); err != nil {
		return err
	}
	return fn()
}

// keep starts the server again whenever it has died, until Stop.
func (c *Cluster) keep(ctx context.Context) {
	defer close(c.kept)
	for c.untilGone(ctx) {
		c.log.Error("the private database ended by itself and is started again", "log", c.tail())
		pause := 100 * time.Millisecond // it may have been killed while it came up
		for {
			err := c.inTurn(ctx, func() error { _, err := c.bring(ctx); return err })
			if err == nil {
				c.log.Info("the private database runs again", "pid", c.PID())
				break
			}
			if ctx.Err() != nil {
				return
			}
			c.log.Error("the private database does not start", "error", err, "next_try_in", pause)
			if !wait(ctx, pause) {
				return
			}
			pause = min(2*pause, 30*time.Second)
		}
	}
}

// untilGone waits for the server's end; false when the keeper is to end first.
func (c *Cluster) untilGone(ctx context.Context) bool {
	for {
		if c.PID() == 0 {
			return ctx.Err() == nil
		}
		look := time.NewTimer(500 * time.Millisecond)
		select {
		case <-ctx.Done():
			look.Stop()
			return false
		case <-c.reaped: // nil and never ready when adopted
			c.reaped = nil
		case <-look.C:
		}
		look.Stop()
	}
}

// wait says whether the whole time passed before the context was over.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Stop ends the server in good order and waits for it, unless another process
// uses it still. When ctx ends, or after 30 s, it is ended at once, which it
// recovers from at its next start. Safe to call again.
func (c *Cluster) Stop(ctx context.Context) error {
	c.stopped.Do(func() {
		c.quit()
		<-c.kept
		defer c.use.release()
		c.stopErr = c.inTurn(context.WithoutCancel(ctx), func() error {
			last, err := c.use.tryAlone()
			if err != nil {
				return err
			}
			if !last {
				c.log.Info("another process uses the private database: it is left running")
				return nil
			}
			return c.end(ctx)
		})
	})
	return c.stopErr
}

// URL connects as the owner, who may migrate.
func (c *Cluster) URL() string { return c.url("thirdstate") }

func (c *Cluster) url(database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&port=5432&user=thirdstate_owner", database, strings.ReplaceAll(c.socket, " ", "%20"))
}

// Adopted says whether the server was running already.
func (c *Cluster) Adopted() bool { return c.adopted }

// PID is the server's process, 0 when none runs.
func (c *Cluster) PID() int { return runningServer(c.data) }

// longestSocket is what fits the 107 bytes of a socket's path with its name.
const longestSocket = 107 - len("/.s.PGSQL.5432.lock")

// socketFolder is beside the data, or, where that path is too long, a short one
// that is the same for the same folder, so that a running server is found again.
func socketFolder(dir string) string {
	if beside := filepath.Join(dir, "run"); len(beside) <= longestSocket {
		return beside
	}
	sum := sha256.Sum256([]byte(dir))
	name := "thirdstate-" + hex.EncodeToString(sum[:6])
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); runtime != "" && os.Geteuid() != 0 && len(runtime)+1+len(name) <= longestSocket {
		if info, err := os.Stat(runtime); err == nil && info.IsDir() {
			return filepath.Join(runtime, name)
		}
	}
	return filepath.Join("/tmp", name)
}

// ensureDatabase makes the program's database when it is not there.
func (c *Cluster) ensureDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		return fmt.Errorf("reach the private database: %w", err)
	}
	defer conn.Close(ctx) // nothing was written
	var there bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = 'thirdstate')`).Scan(&there); err != nil {
		return fmt.Errorf("look for the program's database: %w", err)
	}
	if there {
		return nil
	}
	if _, err := conn.Exec(ctx, `CREATE DATABASE thirdstate`); err != nil {
		return fmt.Errorf("make the program's database: %w", Translate(err))
	}
	return nil
}

// hint turns what PostgreSQL said when it failed into one line with what to do.
func hint(doing, dir, said string) error {
	tail := lastLines(said, 4)
	if strings.Contains(said, "No space left on device") || strings.Contains(said, "Disk quota exceeded") {
		return problem.New(problem.Unavailable, "the disk of %s is full: free some space and start again (%s: %s)", dir, doing, tail)
	}
	return problem.New(problem.Unavailable, "%s: %s", doing, tail)
}
