package maintenance

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// Answer notes what was found for one item of a checklist, while the engineer is
// on site. The limits of a number decide by themselves; a number of a signal is
// kept as a reading too. A failed item opens (or joins) the case of its failure
// mode with a repair in the same visit, and that case is returned; an order that
// repairs this very fault opens nothing.
func Answer(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, itemID uuid.UUID, a ItemAnswer) (ChecklistItem, *Case, error) {
	order, err := orderOfItem(ctx, db, itemID)
	if err != nil {
		return ChecklistItem{}, nil, err
	}
	o, _, err := lockOrder(ctx, db, order)
	if err != nil {
		return ChecklistItem{}, nil, err
	}
	if err := mayAnswer(who, o); err != nil {
		return ChecklistItem{}, nil, err
	}
	before, err := postgres.One[ChecklistItem](ctx, db, lockItemSQL, pgx.NamedArgs{"id": itemID})
	if err != nil {
		return ChecklistItem{}, nil, fmt.Errorf("lock checklist item %s: %w", itemID, err)
	}
	item, err := answered(ctx, db, now, who, before, a)
	if err != nil {
		return ChecklistItem{}, nil, err
	}
	if err := saveItem(ctx, db, now, who, o, before, item); err != nil {
		return ChecklistItem{}, nil, err
	}
	finding, err := readItem(ctx, db, now, who, o, item)
	if err != nil || item.Result != "fail" {
		return item, nil, err
	}
	c, err := failedItem(ctx, db, now, who, o, item, finding)
	return item, c, err
}

const orderOfItemSQL = `SELECT work_order_id FROM checklist_item WHERE id = @id`

func orderOfItem(ctx context.Context, db postgres.DB, id uuid.UUID) (uuid.UUID, error) {
	order, err := postgres.Value[uuid.UUID](ctx, db, orderOfItemSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return order, notFound("checklist item")
	}
	return order, err
}

const lockItemSQL = `SELECT ` + itemColumns + ` FROM checklist_item WHERE id = @id FOR UPDATE`

func mayAnswer(who identity.Principal, o WorkOrder) error {
	switch {
	case !ownOrder(who, o):
		return refuse(problem.Forbidden, "this work order is somebody else's", "这张工单不是您的")
	case o.State != OrderOnSite:
		state := o.State.Text()
		return problem.New(problem.Conflict, "a checklist is filled in on site; the work order is %s", state.EN).
			WithZH("请到场后填写检查表；工单处于「%s」", state.ZH).WithAllowed(stateNames(nextOrderStates(who, o))...)
	}
	return nil
}

// answered checks an answer against its item and decides its result.
func answered(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, item ChecklistItem, a ItemAnswer) (ChecklistItem, error) {
	a.Note, a.NoteEN = strings.TrimSpace(a.Note), strings.TrimSpace(a.NoteEN)
	item.Result, item.Number, item.Note, item.NoteEN, item.PhotoID, item.DoneAt, item.DoneBy = a.Result, a.Number, a.Note, a.NoteEN, a.PhotoID, &now, who.Name
	fault := func(pointer, en, zh string) error {
		return problem.New(problem.Invalid, "see errors").WithZH("%s", zh).WithFields(problem.Field{Pointer: pointer, Detail: en})
	}
	switch {
	case !slices.Contains([]string{"", "pass", "fail", "na"}, a.Result):
		return item, fault("/result", "pass, fail or na", "结果应为合格、不合格或不适用")
	case utf8.RuneCountInString(a.Note) > longestDescription, utf8.RuneCountInString(a.NoteEN) > longestDescription:
		return item, fault("/note", "at most 4000 characters", "备注过长")
	case a.Number != nil && (math.IsNaN(*a.Number) || math.IsInf(*a.Number, 0) || math.Abs(*a.Number) > 1e12):
		return item, fault("/number", "is no number", "不是有效数字")
	case a.Result == "na" && item.Required && a.Note == "" && item.Kind != "pass_fail":
		return item, fault("/note", "why it does not apply", "请说明不适用的原因")
	}
	if a.PhotoID != nil {
		if err := photoOf(ctx, db, item, *a.PhotoID); err != nil {
			return item, err
		}
	}
	if a.Result == "na" {
		item.Number = nil
		return item, nil
	}
	switch item.Kind {
	case "number", "meter":
		if a.Number == nil {
			return item, fault("/number", "what was measured", "请填写读数")
		}
		item.Result = judgeNumber(item, *a.Number)
		return item, nil
	case "photo":
		if a.PhotoID == nil {
			return item, fault("/photoId", "a photo, or na with the reason", "请拍照，或选不适用并说明原因")
		}
	case "text":
		if a.Note == "" {
			return item, fault("/note", "in words", "请填写内容")
		}
	case "choice":
		if !slices.Contains(item.Choices, a.Note) {
			return item, fault("/note", "one of "+strings.Join(item.Choices, ", "), "请从选项中选择")
		}
	default:
		if a.Result == "" {
			return item, fault("/result", "pass, fail or na", "请选择合格、不合格或不适用")
		}
	}
	if item.Result == "" {
		item.Result = "pass"
	}
	return item, nil
}

// judgeNumber lets the limits decide, whatever the engineer thinks of it.
func judgeNumber(item ChecklistItem, n float64) string {
	if item.Low != nil && n < *item.Low || item.High != nil && n > *item.High {
		return "fail"
	}
	return "pass"
}

const photoOfSQL = `SELECT count(*) FROM attachment WHERE id = @photo
  AND (entity = 'checklist_item' AND entity_id = @item OR entity = 'work_order' AND entity_id = @order)`

func photoOf(ctx context.Context, db postgres.DB, item ChecklistItem, photo uuid.UUID) error {
	n, err := postgres.Value[int](ctx, db, photoOfSQL, pgx.NamedArgs{"photo": photo, "item": item.ID, "order": item.WorkOrderID})
	if err != nil {
		return fmt.Errorf("look for the photo: %w", err)
	}
	if n == 0 {
		return refuse(problem.Invalid, "see errors", "照片不属于本工单").WithFields(problem.Field{Pointer: "/photoId", Detail: "is no photo of this work order"})
	}
	return nil
}

const saveItemSQL = `UPDATE checklist_item SET result = @result, number = @number, note = @note, note_en = @note_en, photo_id = @photo, done_at = @done_at, done_by = @done_by WHERE id = @id`

func saveItem(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, o WorkOrder, before, item ChecklistItem) error {
	if _, err := postgres.Run(ctx, db, saveItemSQL, pgx.NamedArgs{"id": item.ID, "result": item.Result, "number": item.Number, "note": item.Note, "note_en": item.NoteEN,
		"photo": item.PhotoID, "done_at": item.DoneAt, "done_by": item.DoneBy}); err != nil {
		return fmt.Errorf("save checklist item %d of work order %d: %w", item.Position, o.Number, err)
	}
	return machines.Audit(ctx, db, now, who, "checklist_item", item.ID, &o.MachineID, o.CustomerID, "answered", before, item)
}

// readItem keeps a number as a reading of its signal; one beyond the model's own
// limits opens a finding, which is returned.
func readItem(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, o WorkOrder, item ChecklistItem) (*machines.Finding, error) {
	if item.Signal == "" || item.Number == nil {
		return nil, nil //nolint:nilnil // most items are no readings
	}
	if item.Kind == "meter" {
		if err := doubtMeter(ctx, db, now, who, o, item); err != nil {
			return nil, err
		}
	}
	_, f, err := machines.AddReading(ctx, db, now, who, machines.Reading{MachineID: o.MachineID, At: now, Signal: item.Signal, Value: *item.Number,
		Source: "visit", PhotoID: item.PhotoID})
	if err != nil {
		return nil, fmt.Errorf("keep the reading of %s: %w", item.Signal, err)
	}
	return f, nil
}

const (
	meterShare = 0.05 // by how much an hour meter may differ from telemetry
	meterFrom  = 20.0 // hours; below, a share says nothing
)

// doubtMeter notes on the machine's life an hour meter that does not agree with
// telemetry: somebody may have turned it back (调表).
func doubtMeter(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, o WorkOrder, item ChecklistItem) error {
	m, err := machines.Get(ctx, db, o.MachineID)
	if err != nil || m.OperatingHours == nil || !m.HasDevice {
		return err
	}
	if off := math.Abs(*item.Number - *m.OperatingHours); off < meterFrom || off <= meterShare**m.OperatingHours {
		return nil
	}
	return machines.AddEvent(ctx, db, machines.LifecycleEvent{MachineID: m.ID, At: now, Kind: "meter", Actor: who.Name, Entity: "work_order", EntityID: &o.ID,
		Text:   fmt.Sprintf("小时计 %.0f h 与遥测 %.0f h 相差超过 5%%，请核实是否调表", *item.Number, *m.OperatingHours),
		TextEN: fmt.Sprintf("Hour meter %.0f h and telemetry %.0f h differ by more than 5 %%: was the meter tampered with?", *item.Number, *m.OperatingHours)})
}
