// Package postgrestest gives tests a real database of their own: cloned from a
// migrated template on a private server that lives as long as the test binary.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
)

// server is the one of this test binary: tests of one binary share it, and its
// folder is its own, so that binaries that run side by side never meet.
type server struct {
	mu       sync.Mutex
	cluster  *postgres.Cluster
	lifeline io.Closer // open as long as this process lives
	clones   int
}

var shared server //nolint:gochecknoglobals // a test binary has no main of ours to own it

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
	address, name, err := shared.clone()
	if err != nil {
		t.Fatalf("a real PostgreSQL is needed (make setup): %v", err)
	}
	t.Cleanup(func() {
		if err := shared.do(fmt.Sprintf(`DROP DATABASE %s WITH (FORCE)`, name)); err != nil {
			t.Errorf("drop the test database: %v", err)
		}
	})
	return address
}

// Folder is a fresh folder that a private server can live in: when tests run as
// root, the server's user must pass through it, which t.TempDir does not allow.
func Folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o711); err != nil { //nolint:gosec // see above
			t.Fatal(err)
		}
	}
	return dir
}

func (s *server) clone() (address, name string, err error) {
	s.mu.Lock()
	if s.cluster == nil {
		err = s.start()
	}
	s.clones++
	name = fmt.Sprintf("test_%d", s.clones)
	s.mu.Unlock()
	if err != nil {
		return "", "", err
	}
	// Copied as files: with a throwaway server's settings an eighth of the time of the WAL's way.
	if err := s.do(fmt.Sprintf(`CREATE DATABASE %s TEMPLATE thirdstate STRATEGY file_copy`, name)); err != nil {
		return "", "", fmt.Errorf("clone the migrated database: %w", err)
	}
	address, err = s.address(name)
	return address, name, err
}

func (s *server) address(database string) (string, error) {
	u, err := url.Parse(s.cluster.URL())
	if err != nil {
		return "", fmt.Errorf("read the test server's URL: %w", err)
	}
	u.Path = "/" + database
	return u.String(), nil
}

// do runs one statement beside the tests; clones of one template take turns.
func (s *server) do(sql string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx := context.Background()
	address, err := s.address("postgres")
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// start makes the server for the first test that wants one.
func (s *server) start() error {
	dir, err := os.MkdirTemp("", "thirdstate-test-")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // the server's user must pass through
		return err
	}
	if err := s.reapAfterUs(dir); err != nil {
		return err
	}
	ctx := context.Background()
	cluster, err := postgres.StartCluster(ctx, filepath.Join(dir, "pg"), slog.New(slog.DiscardHandler), postgres.Throwaway())
	if err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, cluster.URL()); err != nil {
		return errors.Join(err, cluster.Stop(ctx))
	}
	s.cluster = cluster
	return nil
}

// reap waits for the end of its input, which is the end of the test binary, and
// then ends the server and removes its folder.
const reap = `cat >/dev/null
while read -r pid <"$0/pg/data/postmaster.pid" && kill -QUIT "$pid" 2>/dev/null; do sleep 0.1; done 2>/dev/null
rm -rf "$0"`

// reapAfterUs leaves a small process behind that cleans up however we end: a
// test binary has no last word of its own after a panic, a timeout or a kill.
func (s *server) reapAfterUs(dir string) error {
	cmd := exec.Command("sh", "-c", reap, dir) //nolint:gosec,noctx // it must outlive us
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	s.lifeline = in
	return cmd.Start()
}
