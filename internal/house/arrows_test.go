package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// An arrow says what the packages in a folder may import of ours, directly. The
// longest folder that holds a package counts; "x/..." means x and all below it.
type arrow struct {
	from string
	to   []string
}

var arrows = []arrow{
	{"cmd", []string{"..."}},
	{"api", []string{"maintenance/...", "machines/...", "telemetry/...", "internal/...", "api/..."}},
	{"dashboards", []string{"maintenance/...", "machines/...", "telemetry/...", "internal/...", "dashboards/..."}},
	{"maintenance", []string{"maintenance/...", "machines/...", "internal/..."}},
	{"maintenance/dispatch", []string{"machines", "internal/problem"}},
	{"machines", []string{"machines/...", "internal/..."}},
	{"telemetry", []string{"telemetry/edge", "telemetry/history", "telemetry/observation", "telemetry/formats", "telemetry/sparkplug", "telemetry/intakelog", "telemetry/silence", "machines/...", "internal/..."}},
	{"telemetry/intake", []string{"telemetry/edge", "telemetry/formats", "telemetry/sparkplug", "telemetry/intakelog", "machines", "internal/..."}}, // it ends at the log; what becomes of a message it does not know
	{"telemetry/history", []string{"telemetry/formats", "telemetry/observation", "internal/..."}},                                                   // it keeps points, and does not know where they come from
	{"telemetry/telemetrytest", []string{"telemetry/intakelog", "telemetry/sparkplug", "internal/..."}},
	{"telemetry/observation", nil},
	{"telemetry/silence", nil}, // why a machine says nothing follows from what was said, and from nothing else
	{"telemetry/j1939", nil},
	{"telemetry/aemp", nil},
	{"telemetry/aemp/pull", []string{"telemetry/aemp", "telemetry/formats", "telemetry/intakelog"}},
	{"telemetry/sparkplug", nil},
	{"telemetry/formats", []string{"telemetry/observation", "telemetry/j1939", "telemetry/aemp"}}, // a message means the same whoever reads it, and when
	{"telemetry/intakelog", []string{"telemetry/observation", "internal/clock", "internal/problem"}},
	{"telemetry/edge", []string{"telemetry/intakelog", "telemetry/publish"}},                        // it carries records, and cannot read them
	{"telemetry/rules", []string{"telemetry/observation", "telemetry/rules/...", "internal/ucum"}},  // units are arithmetic
	{"telemetry/rules/watcher", []string{"telemetry/rules/statistics", "telemetry/rules/snapshot"}}, // it sees numbers of signals, and knows no rules
	{"telemetry/rules/statistics", []string{"telemetry/rules/snapshot"}},
	{"telemetry/rules/snapshot", nil},
	{"telemetry/logbook", []string{"telemetry/...", "machines/...", "internal/..."}},
	{"telemetry/detection", []string{"telemetry/...", "machines/...", "internal/..."}},
	{"telemetry/lifespan", []string{"telemetry/history", "telemetry/rules/prognosis", "machines", "internal/..."}}, // it knows what is stored, and no rules
	{"telemetry/gate", []string{"telemetry/...", "machines/...", "internal/..."}},
	{"deploy", nil},
	{"internal", []string{"internal/..."}},
	{"internal/webhooks", []string{"internal/...", "machines"}}, // it carries what the audit log of machines announces
	{"internal/accounts", []string{"internal/...", "machines"}}, // users are written with the audit log of machines
}

// walls are what must not be reached, not even through others.
var walls = []struct {
	from, never string
	why         string
}{
	{"telemetry/...", "maintenance/...", "they meet in cmd only"},
	{"maintenance/...", "telemetry/...", "they meet in cmd only"},
	{"machines/...", "telemetry/...", "machines is below telemetry"},
	{"api/...", "dashboards/...", "api and dashboards do not know each other"},
	{"dashboards/...", "api/...", "api and dashboards do not know each other"},
	{"internal/...", "telemetry/...", "internal carries the domain"},
	{"internal/...", "maintenance/...", "internal carries the domain"},
}

// impure are the standard packages through which the world would reach a rule.
var impure = []string{"net", "net/http", "database/sql", "log", "log/slog", "os/exec"}

type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
	Error      *struct{ Err string }
}

func TestArrows_DirectImportsFollowTheMap(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		from := ours(p.ImportPath)
		allowed, known := allowedFrom(from)
		if !known {
			t.Errorf("%s is in no folder of the map: add it to arrows and to ARCHITECTURE.md", from)
			continue
		}
		for _, path := range p.Imports {
			if to := ours(path); to != "" && !slices.ContainsFunc(allowed, func(pattern string) bool { return within(to, pattern) }) {
				t.Errorf("%s must not import %s", from, to)
			}
		}
	}
}

func TestArrows_WallsHoldThroughOthers(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		from := ours(p.ImportPath)
		for _, path := range p.Deps {
			to := ours(path)
			for _, wall := range walls {
				if to != "" && within(from, wall.from) && within(to, wall.never) {
					t.Errorf("%s reaches %s: %s", from, to, wall.why)
				}
			}
			if within(to, "cmd/...") && !within(from, "cmd/...") {
				t.Errorf("%s reaches %s: nothing imports cmd", from, to)
			}
		}
	}
}

func TestArrows_RulesSeeObservationsAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		from := ours(p.ImportPath)
		if !within(from, "telemetry/rules/...") {
			continue
		}
		for _, path := range p.Deps {
			switch {
			case slices.Contains(impure, path):
				t.Errorf("%s reaches %s: a rule is a pure function of its observations", from, path)
			case ours(path) != "", standard(path):
			case !strings.HasPrefix(path, "github.com/goccy/go-yaml") && !strings.HasPrefix(path, "github.com/expr-lang/expr"):
				t.Errorf("%s reaches %s: rules need the standard library, the YAML of their packs and the syntax of their formulas", from, path)
			}
		}
	}
}

func TestArrows_LogAndDispatchAreWithoutDatabase(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		from := ours(p.ImportPath)
		if from != "telemetry/intakelog" && from != "telemetry/formats" && from != "telemetry/sparkplug" && from != "telemetry/observation" && from != "maintenance/dispatch" {
			continue
		}
		for _, path := range p.Imports {
			if strings.HasPrefix(path, "github.com/jackc/") || path == "database/sql" || ours(path) == "internal/postgres" {
				t.Errorf("%s imports %s: it works without a database", from, path)
			}
		}
	}
}

// ours is an import path below the module, or "" for everyone else's.
func ours(path string) string {
	if path == module {
		return "."
	}
	if below, found := strings.CutPrefix(path, module+"/"); found {
		return below
	}
	return ""
}

// within says whether a package matches "x", "x/..." or "...".
func within(path, pattern string) bool {
	folder, tree := strings.CutSuffix(pattern, "...")
	folder = strings.TrimSuffix(folder, "/")
	return path == folder || tree && (folder == "" && path != "" || strings.HasPrefix(path, folder+"/"))
}

func allowedFrom(path string) (to []string, known bool) {
	if path == "." {
		return nil, true
	}
	longest := -1
	for _, a := range arrows {
		if within(path, a.from+"/...") && len(a.from) > longest {
			to, longest = a.to, len(a.from)
		}
	}
	return to, longest >= 0
}

// packages lists the module's packages with all that they reach.
func packages(t *testing.T) []pkg {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Standard,Imports,Deps,Error", "./...")
	command.Dir = root
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		list = append(list, p)
	}
}

// standard says whether a package comes with Go: no domain stands first in its path.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") || first == "vendor"
}
