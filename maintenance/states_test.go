package maintenance

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/machines"
)

var update = flag.Bool("update", false, "write docs/states.md anew from the tables of moves")

const statesFile = "../docs/states.md"

// drawn is a row of a table of moves as the page shows it.
type drawn struct {
	from, to string
	when     machines.Text
	by       []identity.Role
}

// The page of states is drawn from the tables; a move that is added there is
// drawn by: go test ./maintenance -run TestStates -update
func TestStates_PageIsDrawnFromTheTables(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	page.WriteString("# States\n\nDrawn from the tables of moves in `maintenance/` by `go test ./maintenance -run TestStates -update`; do not edit.\n" +
		"The program itself may take every step that is shown. A step that is not shown is refused with 409 and the list of what is allowed.\n")
	draw(&page, "Case", "服务单", caseStateNames(), caseRowsDrawn())
	draw(&page, "Work order", "工单", orderStateNames(), orderRowsDrawn())
	if *update {
		if err := os.WriteFile(statesFile, []byte(page.String()), 0o644); err != nil { //nolint:gosec // a page of the documentation
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(statesFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != page.String() {
		t.Error("docs/states.md is not what the tables say: go test ./maintenance -run TestStates -update")
	}
}

type stateName struct {
	name string
	text machines.Text
}

func caseStateNames() []stateName {
	var names []stateName
	for _, s := range CaseStates {
		names = append(names, stateName{string(s), s.Text()})
	}
	return names
}

func orderStateNames() []stateName {
	var names []stateName
	for _, s := range OrderStates {
		names = append(names, stateName{string(s), s.Text()})
	}
	return names
}

// Waiting is drawn once for all states that may wait: thirty arrows say less than a sentence.
func caseRowsDrawn() []drawn {
	var rows []drawn
	for _, step := range caseSteps {
		for _, from := range step.from {
			to := step.to
			if slices.Equal(step.from, liveCases) {
				from = "any of the others"
			}
			rows = append(rows, drawn{string(from), string(to), step.when, step.by})
			if slices.Equal(step.from, liveCases) {
				break
			}
		}
	}
	return rows
}

func orderRowsDrawn() []drawn {
	var rows []drawn
	for _, step := range orderSteps {
		for _, from := range step.from {
			rows = append(rows, drawn{string(from), string(step.to), step.when, step.by})
		}
	}
	return rows
}

func draw(page *strings.Builder, title, titleZH string, names []stateName, rows []drawn) {
	fmt.Fprintf(page, "\n## %s (%s)\n\n```mermaid\nstateDiagram-v2\n  [*] --> open\n", title, titleZH)
	for _, r := range rows {
		if strings.Contains(r.from, " ") || r.to == string(previous) {
			continue
		}
		fmt.Fprintf(page, "  %s --> %s: %s\n", r.from, r.to, r.when.EN)
	}
	for _, n := range names {
		if slices.Contains([]string{"closed", "cancelled", "completed", "cannot_complete"}, n.name) {
			fmt.Fprintf(page, "  %s --> [*]\n", n.name)
		}
	}
	page.WriteString("```\n\n| state | shown as | 显示为 |\n|---|---|---|\n")
	for _, n := range names {
		fmt.Fprintf(page, "| `%s` | %s | %s |\n", n.name, n.text.EN, n.text.ZH)
	}
	page.WriteString("\n| from | to | when | 何时 | who |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		var by []string
		for _, role := range r.by {
			by = append(by, string(role))
		}
		fmt.Fprintf(page, "| %s | %s | %s | %s | %s |\n", r.from, r.to, r.when.EN, r.when.ZH, strings.Join(by, ", "))
	}
}
