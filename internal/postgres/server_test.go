package postgres

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// passable is a folder that the server's user can pass through (postgrestest has
// the same; it imports us).
func passable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindBinaries_SaysWhatToInstall(t *testing.T) {
	t.Parallel()
	_, err := findIn([]string{t.TempDir()}, "")
	if problem.Of(err) != problem.Unavailable || !strings.Contains(err.Error(), "apt-get install postgresql") || !strings.Contains(err.Error(), "create_main_cluster = false") {
		t.Errorf("nothing installed: %v", err)
	}
	_, err = FindBinaries("99")
	if problem.Of(err) != problem.Unavailable || !strings.Contains(err.Error(), "postgresql-99") {
		t.Errorf("the data's version is not installed: %v", err)
	}
	dir, err := FindBinaries("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		t.Error(err)
	}
}

func TestAccount_NamesTheFolderThatItCannotPass(t *testing.T) {
	t.Parallel()
	shut := filepath.Join(passable(t), "shut")
	inside := filepath.Join(shut, "inside")
	if err := os.MkdirAll(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	stranger := &account{name: "stranger", uid: 54321, gid: 54321}
	err := stranger.reaches(inside)
	if problem.Of(err) != problem.Invalid || !strings.Contains(err.Error(), "stranger") || !strings.Contains(err.Error(), "chmod o+x") {
		t.Errorf("got %v", err)
	}
	owns := &account{name: "owner", uid: os.Geteuid(), gid: os.Getegid()}
	if err := owns.reaches(inside); err != nil {
		t.Errorf("the owner passes: %v", err)
	}
}

func TestHint_KnowsAFullDisk(t *testing.T) {
	t.Parallel()
	err := hint("starting", "/data", "FATAL: could not write lock file: No space left on device")
	if problem.Of(err) != problem.Unavailable || !strings.Contains(err.Error(), "the disk of /data is full: free some space") {
		t.Errorf("got %v", err)
	}
}

func TestSocketFolder_FitsASocketsPathAndIsTheSameEachTime(t *testing.T) {
	long := "/" + strings.Repeat("a", 100)
	for _, runtime := range []string{"", t.TempDir(), "/" + strings.Repeat("r", 100)} {
		t.Setenv("XDG_RUNTIME_DIR", runtime)
		got := socketFolder(long)
		if path := got + "/.s.PGSQL.5432.lock"; len(path) > 107 {
			t.Errorf("%s has %d bytes", path, len(path))
		}
		if got != socketFolder(long) || got == socketFolder(long+"b") {
			t.Errorf("%s does not belong to its data alone", got)
		}
	}
}

func TestCluster_StartsWhenAnotherProgramHasTheOldServersNumber(t *testing.T) {
	t.Parallel()
	dir := passable(t)
	c, err := StartCluster(t.Context(), dir, slog.New(slog.DiscardHandler), Throwaway())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := c.account.command(t.Context(), "/bin/cat") // of the same user, so that PostgreSQL would respect it
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = other.Wait() })
	pidFile := filepath.Join(c.data, "postmaster.pid")
	if err := os.WriteFile(pidFile, fmt.Appendf(nil, "%d\n%s\n1\n5432\n", other.Process.Pid, c.data), 0o600); err != nil {
		t.Fatal(err)
	}
	if uid, gid, _ := owner(c.data); uid != os.Geteuid() {
		if err := os.Chown(pidFile, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	again, err := StartCluster(t.Context(), dir, slog.New(slog.DiscardHandler), Throwaway())
	if err != nil {
		t.Fatal(err)
	}
	if again.Adopted() {
		t.Error("cat is no server")
	}
	if err := again.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(other.Process.Pid, 0); err != nil {
		t.Errorf("the other program was ended: %v", err)
	}
}
