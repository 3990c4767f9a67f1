package postgres

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// FindBinaries returns the folder with PostgreSQL's server binaries of a major
// version, or of the newest (>= 15) when version is "".
func FindBinaries(version string) (string, error) {
	best, bestVersion := "", 0
	for _, dir := range binaryDirs() {
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
		return "", problem.New(problem.Unavailable, "the data folder was made by PostgreSQL %s, whose server is not installed; install it (Debian: apt-get install postgresql-%s) or give --database-url", version, version)
	}
	return "", problem.New(problem.Unavailable, "no PostgreSQL server (15 or newer) is installed; install it (Debian: make setup, or apt-get install postgresql) or give --database-url")
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
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output() //nolint:gosec // a server binary found on this machine
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
