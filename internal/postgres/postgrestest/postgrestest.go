// Package postgrestest gives tests a real database of their own: cloned from a
// migrated template on a private server that lives as long as the test binary.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

var (
	starting sync.Mutex
	running  *postgres.Cluster
	open     io.Closer
	serial   atomic.Int64
)

// New returns a pool on a fresh database. It ends with the test; the server ends
// with the test binary. Missing PostgreSQL fails the test.
func New(t testing.TB) *postgres.Pool {
	t.Helper()
	pool, err := postgres.Open(context.Background(), URL(t), postgres.MaxConns(12))
	if err != nil {
		t.Fatalf("open the test database: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// URL makes a fresh migrated database and returns its owner's URL.
func URL(t testing.TB) string {
	t.Helper()
	c, err := acquire()
	if err != nil {
		t.Fatalf("a real PostgreSQL is needed (make setup): %v", err)
	}
	name := fmt.Sprintf("test_%d", serial.Add(1))
	if err := admin(c, fmt.Sprintf(`CREATE DATABASE %s TEMPLATE thirdstate`, name)); err != nil {
		t.Fatalf("clone the test database: %v", err)
	}
	t.Cleanup(func() {
		if err := admin(c, fmt.Sprintf(`DROP DATABASE %s WITH (FORCE)`, name)); err != nil {
			t.Errorf("drop the test database: %v", err)
		}
	})
	return strings.Replace(c.URL(), "/thirdstate?", "/"+name+"?", 1)
}

// admin runs one statement; clones of one template take turns.
func admin(c *postgres.Cluster, sql string) error {
	starting.Lock()
	defer starting.Unlock()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, strings.Replace(c.URL(), "/thirdstate?", "/postgres?", 1))
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing to save
	_, err = conn.Exec(ctx, sql)
	return err
}

// acquire starts the server for the first test that wants one.
func acquire() (*postgres.Cluster, error) {
	starting.Lock()
	defer starting.Unlock()
	if running != nil {
		return running, nil
	}
	dir, err := os.MkdirTemp("", "thirdstate-test-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the server's user must pass through
		return nil, err
	}
	ctx := postgres.WithServerSettings(context.Background(), "fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200")
	cluster, err := postgres.StartCluster(ctx, filepath.Join(dir, "db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if err := reapAfterUs(cluster, dir); err != nil {
		return nil, errors.Join(err, cluster.Stop(ctx))
	}
	if err := postgres.Migrate(ctx, cluster.URL()); err != nil {
		return nil, err
	}
	running = cluster
	return cluster, nil
}

// reapAfterUs leaves a small process behind that stops the server and removes its
// folder when this test binary ends, however it ends: its standard input is then
// at its end.
func reapAfterUs(c *postgres.Cluster, dir string) error {
	const script = `read _; kill -QUIT "$0"; n=0; while kill -0 "$0" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done; rm -rf "$1" "$2"`
	cmd := exec.Command("sh", "-c", script, strconv.Itoa(c.PID()), dir, c.Socket()) //nolint:gosec,noctx // it must outlive us
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	open = in // kept open as long as the process lives
	return cmd.Start()
}
