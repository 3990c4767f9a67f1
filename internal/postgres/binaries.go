package postgres

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// FindBinaries returns the folder with PostgreSQL's server binaries of a major
// version, or of the newest (>= 15) when version is "".
func FindBinaries(version string) (string, error) { return findIn(binaryDirs(), version) }

func findIn(dirs []string, version string) (string, error) {
	best, bestVersion := "", 0
	for _, dir := range dirs {
		found := majorVersion(dir)
		if found < 15 || (version != "" && strconv.Itoa(found) != version) || found <= bestVersion {
			continue
		}
		best, bestVersion = dir, found
	}
	if best != "" {
		return best, nil
	}
	if version != "" {
		return "", problem.New(problem.Unavailable, "the data folder was made by PostgreSQL %s, whose server is not installed: install it (Debian: apt-get install postgresql-%s) or give --database-url", version, version)
	}
	return "", problem.New(problem.Unavailable, "no PostgreSQL server (15 or newer) is installed: install it (Debian: apt-get install postgresql, with create_main_cluster = false in /etc/postgresql-common/createcluster.conf so that no second server starts) or give --database-url")
}

func binaryDirs() []string {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		dirs = nil
	}
	more, err := filepath.Glob("/usr/pgsql-*/bin")
	if err == nil {
		dirs = append(dirs, more...)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	sort.Strings(dirs)
	return dirs
}

// majorVersion asks the server binary; 0 when there is no complete server.
func majorVersion(dir string) int {
	for _, name := range []string{"postgres", "initdb"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return 0
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output() //nolint:gosec // a server binary found on this machine
	if err != nil {
		return 0
	}
	fields := bytes.Fields(out)
	if len(fields) < 3 {
		return 0
	}
	n, err := strconv.Atoi(strings.SplitN(string(fields[2]), ".", 2)[0])
	if err != nil {
		return 0
	}
	return n
}
