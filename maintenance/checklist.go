package maintenance

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

// checklistFor chooses what has to be checked: what the kind of work begins with,
// the checks of the fault (or of the kind of machine, where no fault is known),
// and what the kind of work ends with. name asks for a list by its name.
func checklistFor(name, kind, mode, machineKind string) []ChecklistItem {
	frame := frameOf(kind)
	if name != "" && isFrame(name) {
		frame = frameOf(name)
	}
	middle, found := faultItems(name, mode)
	if !found && frame.rounds {
		middle = roundOf(machineKind)
	}
	items := slices.Concat(frame.before, middle, frame.after)
	if frame.proves { // what is measured after a repair says whether it held
		for i := range items {
			items[i].Proof = items[i].Proof || items[i].Kind == "number"
		}
	}
	return items
}

func isFrame(name string) bool {
	return slices.ContainsFunc(checklistFrames, func(f checklistFrame) bool { return f.kind == name })
}

func frameOf(kind string) checklistFrame {
	i := slices.IndexFunc(checklistFrames, func(f checklistFrame) bool { return f.kind == kind })
	return checklistFrames[max(i, 0)]
}

// faultItems are the checks of a named list, or of a failure mode.
func faultItems(name, mode string) ([]ChecklistItem, bool) {
	for _, f := range faultChecks {
		if f.name == name || slices.Contains(f.modes, mode) && mode != "" {
			return f.items, true
		}
	}
	return nil, false
}

func roundOf(machineKind string) []ChecklistItem {
	for _, r := range machineRounds {
		if r.kind == machineKind {
			return r.items
		}
	}
	return nil
}

// checklistNames lists the checklists that can be asked for by name.
func checklistNames() []string {
	var names []string
	for _, f := range checklistFrames {
		names = append(names, f.kind)
	}
	for _, f := range faultChecks {
		names = append(names, f.name)
	}
	return names
}

func knownChecklist(name string) bool { return slices.Contains(checklistNames(), name) }

func unknownChecklist() error {
	return refuse(problem.Invalid, "see errors", "没有这个检查表").
		WithFields(problem.Field{Pointer: "/checklist", Detail: "is none of " + strings.Join(checklistNames(), ", ")})
}

const itemColumns = `id, work_order_id, position, text, text_en, kind, unit, low, high, choices, required, proof, component, failure_mode, signal,
  result, number, note, note_en, photo_id, done_at, done_by`

const insertItemSQL = `INSERT INTO checklist_item (id, work_order_id, customer_id, position, text, text_en, kind, unit, low, high, choices, required, proof, component, failure_mode, signal)
VALUES (@id, @order, @customer, @position, @text, @text_en, @kind, @unit, @low, @high, @choices, @required, @proof, @component, @failure_mode, @signal)`

func addChecklist(ctx context.Context, db postgres.DB, o WorkOrder, items []ChecklistItem) error {
	var batch pgx.Batch
	for n, i := range items {
		batch.Queue(insertItemSQL, pgx.NamedArgs{"id": postgres.NewID(), "order": o.ID, "customer": o.CustomerID, "position": n + 1, "text": i.Text, "text_en": i.TextEN,
			"kind": i.Kind, "unit": i.Unit, "low": i.Low, "high": i.High, "choices": notNil(i.Choices), "required": i.Required, "proof": i.Proof,
			"component": i.Component, "failure_mode": i.FailureMode, "signal": i.Signal})
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := db.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("write the checklist of work order %d: %w", o.Number, err)
	}
	return nil
}

const checklistSQL = `SELECT ` + itemColumns + ` FROM checklist_item WHERE work_order_id = @order ORDER BY position`

func checklistOf(ctx context.Context, db postgres.DB, order uuid.UUID) ([]ChecklistItem, error) {
	items, err := postgres.All[ChecklistItem](ctx, db, checklistSQL, pgx.NamedArgs{"order": order})
	if err != nil {
		return nil, fmt.Errorf("read the checklist of work order %s: %w", order, err)
	}
	return items, nil
}
