package maintenance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

// failedItem opens the case of a failed item, and a repair on its component in the
// same visit: the engineer is there. finding is what the reading opened, if it did.
func failedItem(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, o WorkOrder, item ChecklistItem, finding *machines.Finding) (*Case, error) {
	mode := failedMode(o, item)
	if o.CaseID != nil && mode == o.FailureMode && slices.Contains([]string{"repair", "special", "remote"}, o.Kind) {
		return nil, nil //nolint:nilnil // this order repairs it: its proof decides
	}
	if finding == nil || finding.CaseID != nil {
		f, err := inspectionFinding(ctx, db, now, who, o, item, mode)
		if err != nil {
			return nil, err
		}
		finding = &f
	}
	c, err := caseOfFailed(ctx, db, now, who, *finding)
	if err != nil {
		return nil, err
	}
	if err := setHealth(ctx, db, now, o.MachineID, caseEvent(now, who, c), finding); err != nil {
		return nil, err
	}
	c, err = repairNow(ctx, db, now, who, o, c)
	return &c, err
}

// caseOfFailed is the case that a finding belongs to already, else the one that it opens.
func caseOfFailed(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, f machines.Finding) (Case, error) {
	if f.CaseID != nil {
		if c, err := lockCase(ctx, db, *f.CaseID); err != nil || !c.State.Ended() {
			return c, err
		}
	}
	return caseFor(ctx, db, now, who, f, false)
}

// failedMode is the failure mode that a failed item stands for.
func failedMode(o WorkOrder, item ChecklistItem) string {
	switch {
	case item.FailureMode != "":
		return item.FailureMode
	case o.FailureMode != "":
		return o.FailureMode
	case item.Component != "":
		return item.Component + "_defect"
	}
	return "inspection_defect"
}

func inspectionFinding(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, o WorkOrder, item ChecklistItem, mode string) (machines.Finding, error) {
	evidence := map[string]any{"kind": "inspection", "since": now, "workOrderId": o.ID, "itemId": item.ID, "text": item.Note}
	if item.Number != nil {
		evidence["observed"], evidence["unit"], evidence["signal"] = *item.Number, item.Unit, item.Signal
	}
	packed, err := json.Marshal(evidence)
	if err != nil {
		return machines.Finding{}, err
	}
	f := machines.Finding{MachineID: o.MachineID, Rule: "inspection:" + mode, FailureMode: mode, Severity: machines.Warning, Source: "inspection", State: "open",
		Title: "检查不合格：" + item.Text, TitleEN: "Inspection failed: " + machines.InLanguage("en", item.Text, item.TextEN),
		OpenedAt: now, DetectedAt: now, UpdatedAt: now, Evidence: packed}
	if item.Component != "" {
		f.Component = &item.Component
	}
	f, _, err = machines.ApplyFinding(identity.With(ctx, who), db, now, machines.FindingChange{Change: machines.FindingOpened, Finding: f})
	return f, err
}

const openRepairSQL = `SELECT count(*) FROM work_order WHERE case_id = @case AND kind = 'repair' AND id <> @order AND state NOT IN ('completed', 'cannot_complete', 'cancelled')`

// repairNow gives the repair to the engineer who is on site, where he is qualified;
// else it waits for the dispatcher.
func repairNow(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, o WorkOrder, c Case) (Case, error) {
	there, err := postgres.Value[int](ctx, db, openRepairSQL, pgx.NamedArgs{"case": c.ID, "order": o.ID})
	if err != nil {
		return Case{}, fmt.Errorf("look for a repair of case %d: %w", c.Number, err)
	}
	if there > 0 || o.CaseID != nil && *o.CaseID == c.ID && o.Kind == "repair" {
		return c, nil
	}
	repair, err := ScheduleOrder(ctx, db, now, who, NewOrder{CaseID: &c.ID, MachineID: o.MachineID, Kind: "repair", PlannedAt: &now, DueAt: &now})
	if err != nil {
		return Case{}, err
	}
	if err := handOver(ctx, db, now, who, o, repair); err != nil {
		return Case{}, err
	}
	return loadCase(ctx, db, c.ID)
}

func handOver(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, from, to WorkOrder) error {
	if from.TechnicianID == nil {
		return nil
	}
	ranked, err := rank(ctx, db, now, to)
	if err != nil {
		return err
	}
	for _, why := range ranked {
		if why.TechnicianID != *from.TechnicianID || why.Excluded != nil {
			continue
		}
		after := to
		after.State, after.StateAt, after.TechnicianID, after.DispatchedAt, after.AcceptedAt = OrderAccepted, now, from.TechnicianID, &now, &now
		if err := addAssignment(ctx, db, now, who, after, why, "accepted", nil); err != nil {
			return err
		}
		_, err := changeOrder(ctx, db, now, who, to, after)
		return err
	}
	return nil
}
