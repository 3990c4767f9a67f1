package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// inHelper names the folder of the cluster that a second process of this test
// binary starts; it then says "ready" or what stands in the way, and waits for
// the end of its input.
const inHelper = "THIRDSTATE_TEST_CLUSTER"

func TestMain(m *testing.M) {
	dir := os.Getenv(inHelper)
	if dir == "" {
		os.Exit(m.Run())
	}
	c, err := postgres.StartCluster(context.Background(), dir, quiet(), postgres.Throwaway())
	if err != nil {
		fmt.Println(strings.ReplaceAll(err.Error(), "\n", " // "))
		os.Exit(1)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := c.Stop(context.Background()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func start(t *testing.T, dir string) *postgres.Cluster {
	t.Helper()
	return startWith(t, dir, postgres.Throwaway())
}

func startWith(t *testing.T, dir string, opts ...postgres.ClusterOption) *postgres.Cluster {
	t.Helper()
	c, err := postgres.StartCluster(t.Context(), dir, quiet(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// second is another process that uses a cluster.
type second struct {
	cmd  *exec.Cmd
	in   io.Closer
	said string
}

// inSecondProcess starts a cluster in a process of its own and returns what it
// said first. uid 0 means as we run.
func inSecondProcess(t *testing.T, dir string, uid uint32) *second {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	if uid != 0 {
		cmd = exec.Command(copyFor(t, exe))
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	cmd.Env = append(os.Environ(), inHelper+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the second process said %q: %v", line, err)
	}
	return &second{cmd, in, strings.TrimSpace(line)}
}

// copyFor puts the test binary where another user can run it.
func copyFor(t *testing.T, exe string) string {
	t.Helper()
	b, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(postgrestest.Folder(t), "postgres.test")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func exec1(t *testing.T, url, sql string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(t.Context(), sql)
	return errors.Join(err, conn.Close(t.Context()))
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for range 1500 { // 30 s
		if is() {
			return
		}
		<-poll.C
	}
	t.Fatalf("waited 30 s in vain: %s", what)
}

func TestCluster_StartsStopsAndKeepsItsRecords(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir := filepath.Join(postgrestest.Folder(t), "made", "on", "the way")
	c := start(t, dir)
	if c.Adopted() {
		t.Error("a server that we started is not adopted")
	}
	if err := exec1(t, c.URL(), `CREATE TABLE kept (text text); INSERT INTO kept VALUES ('泵车')`); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Stop(t.Context()), c.Stop(t.Context())); err != nil {
		t.Fatal(err)
	}
	if pid := c.PID(); pid != 0 {
		t.Fatalf("server %d runs after Stop", pid)
	}
	again := start(t, dir)
	if err := exec1(t, again.URL(), `DO $$ BEGIN ASSERT (SELECT length(text) = 2 FROM kept); END $$`); err != nil {
		t.Fatal(err)
	}
	if err := again.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}

func TestCluster_IsAdoptedAfterAKillOfItsProcess(t *testing.T) {
	t.Parallel()
	dir := postgrestest.Folder(t)
	parent := inSecondProcess(t, dir, 0)
	if parent.said != "ready" {
		t.Fatal(parent.said)
	}
	if err := parent.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.cmd.Wait()
	c := start(t, dir)
	if !c.Adopted() {
		t.Fatal("the server that the killed process left was not adopted")
	}
	if err := exec1(t, c.URL(), `SELECT 1`); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pid := c.PID(); pid != 0 {
		t.Fatalf("the adopted server %d runs after Stop", pid)
	}
}

func TestCluster_RunsAgainWithEveryCommitAfterKillsOfItsServer(t *testing.T) {
	t.Parallel()
	c := startWith(t, postgrestest.Folder(t))
	if err := exec1(t, c.URL(), `CREATE TABLE kept (n int)`); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if err := exec1(t, c.URL(), fmt.Sprintf(`INSERT INTO kept VALUES (%d)`, n)); err != nil {
			t.Fatal(err)
		}
		killed := c.PID()
		if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the server runs again", func() bool {
			return c.PID() != killed && exec1(t, c.URL(), `SELECT 1`) == nil
		})
		if err := exec1(t, c.URL(), fmt.Sprintf(`DO $$ BEGIN ASSERT (SELECT count(*) = %d FROM kept); END $$`, n+1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCluster_StartsAfterAKillOfBothProcesses(t *testing.T) {
	t.Parallel()
	dir := postgrestest.Folder(t)
	parent := inSecondProcess(t, dir, 0)
	if parent.said != "ready" {
		t.Fatal(parent.said)
	}
	var server int
	b, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(b), &server); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{parent.cmd.Process.Pid, server} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	_ = parent.cmd.Wait()
	c := start(t, dir) // its children may hold the memory for a moment
	if c.Adopted() {
		t.Error("a dead server was adopted")
	}
	if err := exec1(t, c.URL(), `SELECT 1`); err != nil {
		t.Fatal(err)
	}
}

func TestCluster_IsEndedByItsLastUser(t *testing.T) {
	t.Parallel()
	dir := postgrestest.Folder(t)
	first := start(t, dir)
	beside := inSecondProcess(t, dir, 0) // a command line tool beside the program
	if beside.said != "ready" {
		t.Fatal(beside.said)
	}
	pid := first.PID()
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first.PID() != pid {
		t.Fatal("Stop ended a server that another process uses")
	}
	if err := exec1(t, first.URL(), `SELECT 1`); err != nil {
		t.Fatal(err)
	}
	_ = beside.in.Close()
	if err := beside.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if first.PID() != 0 {
		t.Fatal("the last user left the server running")
	}
}

func TestCluster_RunsAsAnOrdinaryUserOnly(t *testing.T) {
	t.Parallel()
	dir := postgrestest.Folder(t)
	c := start(t, dir)
	info, err := os.Stat(fmt.Sprintf("/proc/%d", c.PID()))
	if err != nil {
		t.Fatal(err)
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid == 0 || os.Geteuid() != 0 && int(uid) != os.Geteuid() {
		t.Fatalf("the server runs as user %d", uid)
	}
	for _, private := range []string{"data", "run"} {
		info, err := os.Stat(filepath.Join(dir, private))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s is open to others: %v", private, info.Mode())
		}
	}
}

// ordinary is the user "nobody" when we are root, else ourselves.
func ordinary() uint32 {
	if os.Geteuid() == 0 {
		return 65534
	}
	return 0
}

func TestCluster_WorksForAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	dir := postgrestest.Folder(t)
	if uid := ordinary(); uid != 0 {
		if err := os.Chown(dir, int(uid), int(uid)); err != nil {
			t.Fatal(err)
		}
	}
	theirs := inSecondProcess(t, filepath.Join(dir, "pg"), ordinary())
	if theirs.said != "ready" {
		t.Fatal(theirs.said)
	}
	ours := start(t, filepath.Join(dir, "pg")) // root beside them acts as they do
	if !ours.Adopted() {
		t.Fatal("not the same server")
	}
}

func TestCluster_SaysThatItsFolderCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := postgrestest.Folder(t)
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	said := inSecondProcess(t, filepath.Join(dir, "pg"), ordinary()).said
	if !strings.Contains(said, filepath.Join(dir, "pg")) || !strings.Contains(said, "--data") || strings.Contains(said, " // ") {
		t.Fatalf("not one line that names the folder and what to do: %s", said)
	}
}

func TestCluster_SaysThatAFileIsInTheWay(t *testing.T) {
	t.Parallel()
	file := filepath.Join(postgrestest.Folder(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := postgres.StartCluster(t.Context(), filepath.Join(file, "pg"), quiet())
	if problem.Of(err) != problem.Invalid || !strings.Contains(err.Error(), file) {
		t.Fatalf("got %v", err)
	}
}

func TestCluster_QuotesTheLogOfAServerThatDoesNotStart(t *testing.T) {
	t.Parallel()
	dir := postgrestest.Folder(t)
	if err := start(t, dir).Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	conf, err := os.OpenFile(filepath.Join(dir, "data", "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conf.WriteString("work_mem = plenty\n"); err != nil {
		t.Fatal(err)
	}
	_ = conf.Close()
	_, err = postgres.StartCluster(t.Context(), dir, quiet())
	if problem.Of(err) != problem.Unavailable || !strings.Contains(err.Error(), "work_mem") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("not one line with what the log says: %v", err)
	}
}

func TestCluster_ForgetsAnInterruptedInitdb(t *testing.T) {
	t.Parallel()
	dir := postgrestest.Folder(t)
	if err := os.MkdirAll(filepath.Join(dir, "data.new", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data.new", "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, dir)
	if err := exec1(t, c.URL(), `SELECT 1`); err != nil {
		t.Fatal(err)
	}
}

func TestCluster_TakesALongPathWithASpace(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(postgrestest.Folder(t), strings.Repeat("long", 30)+" 数据")
	c := start(t, dir)
	if err := exec1(t, c.URL(), `SELECT 1`); err != nil {
		t.Fatal(err)
	}
}
