package house

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	longestFile      = 500 // lines
	largestInterface = 5   // methods
)

// Names that say nothing about what is inside, as a folder, a file or the end
// of a type's name.
var (
	emptyName = regexp.MustCompile(`^(utils?|commons?|helpers?|misc|base|types|models?|services?|managers?|impl|dto|mocks?)$`)
	emptyType = regexp.MustCompile(`(Util|Utils|Helper|Helpers|Manager|Impl|DTO)$`)
)

// allowedNames are words of the trade that read like empty ones.
var allowedNames = []string{"api/models.go"} // of machines

// serverClock is the database's own idea of the time.
var serverClock = regexp.MustCompile(`(?i)\bnow\s*\(\s*\)|\bcurrent_(timestamp|date|time)\b|\blocaltimestamp\b|\b(clock|statement|transaction)_timestamp\s*\(`)

func TestSource_FilesStayShort(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if lines := strings.Count(s.text, "\n"); lines > longestFile {
			t.Errorf("%s has %d lines, at most %d: split it by what it is about", s.path, lines, longestFile)
		}
	}
}

func TestSource_NamesSaySomething(t *testing.T) {
	t.Parallel()
	for _, file := range files(t) {
		if strings.Contains(file, "/testdata/") || slices.Contains(allowedNames, file) {
			continue
		}
		for part := range strings.SplitSeq(strings.TrimSuffix(file, path.Ext(file)), "/") {
			if emptyName.MatchString(strings.TrimSuffix(part, "_test")) {
				t.Errorf("%s: %q says nothing about what is inside", file, part)
			}
		}
	}
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && emptyType.MatchString(spec.Name.Name) {
				t.Errorf("%s: type %s: name what it is, not its layer", s.at(n), spec.Name.Name)
			}
			return true
		})
	}
}

func TestSource_InterfacesAreFewAndSmall(t *testing.T) {
	t.Parallel()
	architecture := read(t, "ARCHITECTURE.md")
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			of, ok := spec.Type.(*ast.InterfaceType)
			if !ok || s.test() {
				return true
			}
			name := s.file.Name.Name + "." + spec.Name.Name
			if of.Methods.NumFields() > largestInterface {
				t.Errorf("%s: %s has %d methods, at most %d", s.at(n), name, of.Methods.NumFields(), largestInterface)
			}
			if spec.Name.IsExported() && !constraint(of) && !strings.Contains(architecture, "`"+name+"`") {
				t.Errorf("%s: %s is not among the interfaces of ARCHITECTURE.md: say there what varies, or take the concrete type", s.at(n), name)
			}
			return true
		})
	}
}

// constraint says whether an interface only limits a type parameter.
func constraint(of *ast.InterfaceType) bool {
	for _, field := range of.Methods.List {
		if _, method := field.Type.(*ast.FuncType); !method && len(field.Names) == 0 {
			switch field.Type.(type) {
			case *ast.BinaryExpr, *ast.UnaryExpr:
				return true
			}
		}
	}
	return false
}

func TestSource_SQLNeverAsksTheServerForTheTime(t *testing.T) {
	t.Parallel()
	for _, file := range files(t) {
		if strings.HasSuffix(file, ".sql") {
			for i, line := range strings.Split(read(t, file), "\n") {
				if statement, _, _ := strings.Cut(line, "--"); serverClock.MatchString(statement) {
					t.Errorf("%s:%d: the time is an argument: %s", file, i+1, strings.TrimSpace(line))
				}
			}
		}
	}
	for _, s := range sources(t) {
		if strings.HasPrefix(s.path, "internal/house/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err == nil && serverClock.MatchString(text) && !strings.Contains(text, "|>") { // |> is Flux, read by InfluxDB
				t.Errorf("%s: the time is an argument: %s", s.at(n), serverClock.FindString(text))
			}
			return true
		})
	}
}

func TestSource_TestsNeitherSleepNorSkip(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if !s.test() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			receiver, _ := selector.X.(*ast.Ident)
			switch name := selector.Sel.Name; {
			case receiver != nil && receiver.Name == "synctest":
				return false // time in a bubble passes at once
			case receiver != nil && receiver.Name == "time" && name == "Sleep":
				t.Errorf("%s: wait for a signal, a condition or in a synctest bubble", s.at(n))
			case name == "SkipNow", name == "Skipf", name == "Skip" && receiver != nil && len(receiver.Name) <= 2:
				t.Errorf("%s: a skipped test looks green: make test brings what it needs", s.at(n))
			}
			return true
		})
	}
}

func TestSource_KeepsNoGlobalState(t *testing.T) {
	t.Parallel()
	folders := map[string][]*source{}
	for _, s := range sources(t) {
		folder := path.Dir(s.path)
		if !s.test() && !strings.HasSuffix(folder, "test") { // one test server for all tests of a run is its owner's business
			folders[folder] = append(folders[folder], s)
		}
	}
	for _, list := range folders {
		globals := map[string]bool{}
		for _, s := range list {
			for _, spec := range packageVariables(s.file) {
				for _, name := range spec.Names {
					globals[name.Name] = true
				}
				if stateful(spec) {
					t.Errorf("%s: %s is state that the whole program shares: give it an owner", s.at(spec), spec.Names[0].Name)
				}
			}
		}
		for _, s := range list {
			for _, target := range assigned(s.file) {
				if globals[target.Name] {
					t.Errorf("%s: %s is changed while the program runs: give it an owner", s.at(target), target.Name)
				}
			}
		}
	}
}

func packageVariables(file *ast.File) []*ast.ValueSpec {
	var list []*ast.ValueSpec
	for _, declaration := range file.Decls {
		if general, ok := declaration.(*ast.GenDecl); ok && general.Tok == token.VAR {
			for _, spec := range general.Specs {
				list = append(list, spec.(*ast.ValueSpec))
			}
		}
	}
	return list
}

// stateful says whether a variable is made to be changed: a lock, an atomic, a
// channel or an empty map. What is computed once (sync.OnceValue) is a constant.
func stateful(spec *ast.ValueSpec) bool {
	if selector, ok := spec.Type.(*ast.SelectorExpr); ok {
		from, _ := selector.X.(*ast.Ident)
		return from != nil && (from.Name == "sync" || from.Name == "atomic")
	}
	if _, ok := spec.Type.(*ast.ChanType); ok {
		return true
	}
	for _, value := range spec.Values {
		if call, ok := value.(*ast.CallExpr); ok {
			if made, ok := call.Fun.(*ast.Ident); ok && made.Name == "make" {
				return true
			}
		}
	}
	return false
}

// assigned lists the roots of what functions assign to, locals left out.
func assigned(file *ast.File) []*ast.Ident {
	var list []*ast.Ident
	note := func(target ast.Expr) {
		for {
			switch at := target.(type) {
			case *ast.IndexExpr:
				target = at.X
			case *ast.SelectorExpr:
				target = at.X
			case *ast.ParenExpr:
				target = at.X
			case *ast.Ident:
				if at.Name != "_" && (at.Obj == nil || file.Scope.Lookup(at.Name) == at.Obj) {
					list = append(list, at)
				}
				return
			default:
				return
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch statement := n.(type) {
		case *ast.AssignStmt:
			if statement.Tok != token.DEFINE {
				for _, target := range statement.Lhs {
					note(target)
				}
			}
		case *ast.IncDecStmt:
			note(statement.X)
		}
		return true
	})
	return list
}
