package maintenance

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

// Accept takes in what detection found: it keeps each finding, opens or joins the
// case of its machine and failure mode, and lets the machine's health follow. It
// is the caller's one transaction; the same changes twice do the same as once.
func Accept(ctx context.Context, db postgres.DB, now time.Time, changes []machines.FindingChange) error {
	who, ok := identity.From(ctx)
	if !ok {
		who = identity.Program("detection")
	}
	touched := map[uuid.UUID]machines.Machine{}
	for _, id := range machinesOf(changes) { // one order for all, so that nobody waits in a circle
		m, err := machines.Lock(ctx, db, id)
		if err != nil {
			return err
		}
		touched[id] = m
	}
	last := map[uuid.UUID]machines.Finding{}
	for _, change := range changes {
		if change.Stage == machines.Shadow && change.Change == machines.FindingOpened {
			continue // told to nobody
		}
		f, fresh, err := machines.ApplyFinding(ctx, db, now, change)
		if err != nil {
			return err
		}
		if !fresh {
			continue
		}
		last[f.MachineID] = f
		if err := takeFinding(ctx, db, now, who, touched[f.MachineID], f, change); err != nil {
			return err
		}
	}
	for _, id := range machinesOf(changes) {
		f, ok := last[id]
		if !ok {
			continue
		}
		if err := setHealth(ctx, db, now, id, machines.LifecycleEvent{Text: f.Title, TextEN: f.TitleEN}, &f); err != nil {
			return err
		}
	}
	return nil
}

func machinesOf(changes []machines.FindingChange) []uuid.UUID {
	var ids []uuid.UUID
	for _, c := range changes {
		if !slices.Contains(ids, c.Finding.MachineID) {
			ids = append(ids, c.Finding.MachineID)
		}
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// takeFinding lets a change of a finding have its effect on cases.
func takeFinding(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, m machines.Machine, f machines.Finding, change machines.FindingChange) error {
	switch {
	case change.Change == machines.FindingClosed:
		return findingEnded(ctx, db, now, who, f)
	case f.CaseID != nil:
		ended, err := escalate(ctx, db, now, who, *f.CaseID, f)
		if err != nil || !ended {
			return err
		}
	}
	if change.Propose || change.Stage == machines.Shadow || !opensCase(m, f) {
		return nil
	}
	_, err := caseFor(ctx, db, now, who, f, change.Stage == machines.Advise)
	return err
}

// seen is what maintenance reads of a finding's evidence; its full shape is the
// rules' affair.
type seen struct {
	Kind  string    `json:"kind"`
	Since time.Time `json:"since"`
}

func evidenceOf(f machines.Finding) seen {
	var s seen
	if json.Unmarshal(f.Evidence, &s) != nil {
		return seen{}
	}
	return s
}

// opensCase says whether a finding is a matter for people. A locked machine's
// lock, and silence that is explained, are shown and are no faults.
func opensCase(m machines.Machine, f machines.Finding) bool {
	switch {
	case f.Severity == machines.Info,
		m.OperatingStatus == machines.Locked, m.OperatingStatus == machines.Scrapped:
		return false
	case evidenceOf(f).Kind == "silence" || f.FailureMode == machines.NoData:
		return m.Connectivity != machines.NoCoverage && m.Connectivity != machines.Off
	}
	return true
}

// aboutSensor says whether the sensor is at fault and not the machine.
func aboutSensor(f machines.Finding) bool {
	return evidenceOf(f).Kind == "stuck" || f.FailureMode == machines.SensorFailure
}

// caseOf drafts the case of a finding. A sensor's fault is an advice about the
// sensor, however loud its rule is: the machine is well.
func caseOf(f machines.Finding) Case {
	c := Case{MachineID: f.MachineID, FailureMode: f.FailureMode, Title: f.Title, TitleEN: f.TitleEN, Severity: f.Severity, Origin: "finding"}
	if c.FailureMode == "" {
		c.FailureMode = f.Rule
	}
	if c.Title == "" {
		c.Title = c.FailureMode
	}
	if aboutSensor(f) {
		c.Severity = machines.Advice
	}
	switch f.Source {
	case "inspection", "request", "daily_check":
		c.Origin = f.Source
	case "reading":
		c.Origin = "daily_check"
	}
	onset := f.OpenedAt
	if since := evidenceOf(f).Since; !since.IsZero() && since.Before(onset) {
		onset = since
	}
	c.OnsetAt = &onset
	return c
}

// caseFor opens the finding's case or joins it to the one that is open already.
func caseFor(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, f machines.Finding, advised bool) (Case, error) {
	draft := caseOf(f)
	draft.Advised = advised
	var budget AlertBudget
	if draft.Origin == "finding" && draft.Severity != machines.Alarm && !advised {
		var err error
		if budget, draft.OverBudget, err = overBudget(ctx, db, now, f.MachineID); err != nil {
			return Case{}, err
		}
		draft.Advised = draft.OverBudget
	}
	c, created, err := openCase(ctx, db, now, who, draft)
	if err != nil {
		return Case{}, err
	}
	if created && c.OverBudget {
		if err := holdForRoom(ctx, db, now, who, c, budget); err != nil {
			return Case{}, err
		}
	}
	if err := machines.AttachFinding(ctx, db, f.ID, c.ID); err != nil {
		return Case{}, err
	}
	if created {
		return c, nil
	}
	return joinCase(ctx, db, now, who, c, f)
}

// joinCase adds a finding to a case that is open already. A matter that was held
// to be repaired and shows itself again goes back to work.
func joinCase(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case, f machines.Finding) (Case, error) {
	note := machines.Text{ZH: "又一条发现归入本单：" + f.Title, EN: "another finding belongs to this case: " + machines.InLanguage("en", f.Title, f.TitleEN)}
	if c.State == AwaitingCallback {
		return stepCase(ctx, db, now, who, c, InWork, note, nil)
	}
	if err := noteCase(ctx, db, now, who, c, note); err != nil {
		return Case{}, err
	}
	if _, err := escalate(ctx, db, now, who, c.ID, f); err != nil {
		return Case{}, err
	}
	return loadCase(ctx, db, c.ID)
}

// escalate raises a case to its finding's severity; it never lowers it. true = the
// case has ended while the fault went on and grew worse: that wants a new one.
func escalate(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, id uuid.UUID, f machines.Finding) (ended bool, err error) {
	c, err := lockCase(ctx, db, id)
	if err != nil {
		return false, err
	}
	severity := caseOf(f).Severity
	if graver(c.Severity, severity) == c.Severity {
		return false, nil
	}
	if c.State.Ended() {
		return true, nil
	}
	after := c
	after.Severity = severity
	after, err = changeCase(ctx, db, now, who, "escalated", c, after)
	if err != nil {
		return false, err
	}
	if severity == machines.Alarm && after.OverBudget { // an alarm waits for no room
		if after, err = vouch(ctx, db, now, who, after, false); err != nil {
			return false, err
		}
	}
	return false, addMove(ctx, db, now, who, after, after.State, machines.Text{ZH: "升级：" + f.Title, EN: "escalated: " + machines.InLanguage("en", f.Title, f.TitleEN)})
}

// findingEnded notes on its case that a finding is no longer there.
func findingEnded(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, f machines.Finding) error {
	if f.CaseID == nil {
		return nil
	}
	c, err := lockCase(ctx, db, *f.CaseID)
	if problem.Of(err) == problem.NotFound { // of an owner before this one
		return nil
	}
	if err != nil || c.State.Ended() {
		return err
	}
	note := machines.Text{ZH: "发现已消失：" + f.Title, EN: "the finding is gone: " + machines.InLanguage("en", f.Title, f.TitleEN)}
	if f.CloseReason == "rule_changed" {
		note = machines.Text{ZH: "规则已更新，服务单继续", EN: "the rule has changed; the case goes on"}
	}
	return noteCase(ctx, db, now, who, c, note)
}
