package webhooks_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

// Whatever is written to the audit log is in the list of what may happen, so that
// somebody has thought of what a customer may hear of it.
func TestEventTypes_KnowAllThatIsAudited(t *testing.T) {
	t.Parallel()
	known := machines.EventTypes()
	seen := 0
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			entityAt, actionAt, audited := audits(call, ok)
			if !audited {
				return true
			}
			entity, literal := text(call.Args[entityAt])
			if !literal {
				return true
			}
			seen++
			prefix := strings.ReplaceAll(entity, "_", "-") + "."
			if !slices.ContainsFunc(known, func(e machines.EventType) bool { return strings.HasPrefix(e.Type, prefix) }) {
				t.Errorf("%s: %q is audited and in no list of what may happen: say in machines/event_types.go what of it a customer is told", path, entity)
			}
			if action, literal := text(call.Args[actionAt]); literal && !machines.KnowsEvents(prefix+strings.NewReplacer("_", "-", " ", "-").Replace(action)) {
				t.Errorf("%s: %s%s is audited and not in machines/event_types.go", path, prefix, action)
			}
			return true
		})
		return nil
	})
	if err != nil || seen < 25 {
		t.Errorf("%d calls seen: %v", seen, err)
	}
}

// audits finds machines.Audit, and the adding of an entry to several of machines.
func audits(call *ast.CallExpr, is bool) (entityAt, actionAt int, audited bool) {
	if !is {
		return 0, 0, false
	}
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	switch {
	case name == "Audit" && len(call.Args) == 11:
		return 4, 8, true
	case name == "add" && len(call.Args) == 9:
		return 2, 6, true
	}
	return 0, 0, false
}

func text(e ast.Expr) (string, bool) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(literal.Value)
	return s, err == nil
}

// What a customer is told are fields that exist: a renamed one would be lost in silence.
func TestEventTypes_TellOfFieldsThatExist(t *testing.T) {
	t.Parallel()
	for entity, of := range map[string]any{"component": machines.Component{}, "reading": machines.Reading{}, "finding": machines.Finding{}, "case": maintenance.Case{}, "work_order": maintenance.WorkOrder{},
		"checklist_item": maintenance.ChecklistItem{}, "attachment": maintenance.Attachment{}, "callback": maintenance.Callback{}, "complaint": maintenance.Complaint{}, "promise": maintenance.Promise{},
		"service_plan": maintenance.ServicePlan{}, "customer": machines.Customer{}, "site": machines.Site{}, "contact": machines.Contact{}} {
		fields, public := machines.PublicFields(entity)
		if !public {
			t.Errorf("no customer hears of a %s", entity)
		}
		has := names(reflect.TypeOf(of))
		for _, name := range fields {
			if !slices.Contains(has, name) {
				t.Errorf("a %s has no %s", entity, name)
			}
		}
	}
	for _, entity := range []string{"user", "token", "device", "dead_letter", "assignment", "webhook", "model", "anything"} {
		if _, public := machines.PublicFields(entity); public {
			t.Errorf("customers hear of a %s", entity)
		}
	}
}

func names(of reflect.Type) (list []string) {
	for f := range of.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		list = append(list, name)
	}
	return list
}
