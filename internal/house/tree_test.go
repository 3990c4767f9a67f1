package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/thirdstate/thirdstate"

// root is the module's folder, seen from this package's.
const root = "../.."

// A source is one Go file of ours that a person wrote.
type source struct {
	path string // from the module's folder, with slashes
	text string
	file *ast.File
	set  *token.FileSet
}

func (s *source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// at names the place of a node.
func (s *source) at(n ast.Node) string {
	position := s.set.Position(n.Pos())
	return s.path + ":" + strconv.Itoa(position.Line)
}

// files lists what git would put into a clone: tracked, or new and not ignored.
func files(t *testing.T) []string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", "ls-files", "-co", "--exclude-standard", "-z")
	command.Dir = root
	out, err := command.Output()
	if err != nil {
		return walked(t) // a source archive has no git
	}
	var paths []string
	for path := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if _, err := os.Lstat(filepath.Join(root, path)); err == nil {
			paths = append(paths, path)
		}
	}
	sort.Strings(paths)
	return paths
}

func walked(t *testing.T) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && (name == ".git" || name == ".cache" || name == "bin") {
			return filepath.SkipDir
		}
		if !entry.IsDir() {
			from, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			paths = append(paths, filepath.ToSlash(from))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// sources parses our Go files, generated ones apart.
func sources(t *testing.T) []*source {
	t.Helper()
	var list []*source
	set := token.NewFileSet()
	for _, path := range files(t) {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_templ.go") || strings.Contains(path, "/testdata/") {
			continue
		}
		text := read(t, path)
		file, err := parser.ParseFile(set, path, text, parser.ParseComments)
		if err != nil {
			t.Fatalf("parse %s: %v", path, err)
		}
		list = append(list, &source{path: path, text: text, file: file, set: set})
	}
	return list
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
