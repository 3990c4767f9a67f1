package detection

import (
	"encoding/json"
	"log/slog"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// finding turns what a rule found into a finding of the machine file. Evidence
// that cannot be written down (a number that JSON does not know) is left out: one
// machine's strange values must not stop the rules of all.
func (f *Fleet) finding(w Watched, found rules.Finding, log *slog.Logger) machines.FindingChange {
	evidence, err := json.Marshal(found.Evidence)
	if err != nil {
		log.Error("a finding goes without its evidence", "machine", w.Key, "rule", found.Rule, "error", err)
		evidence = []byte("{}")
	}
	out := machines.Finding{
		MachineID: w.ID, Rule: found.Rule, RuleHash: found.RuleHash, FailureMode: found.FailureMode,
		Severity: machines.Severity(found.Severity), Source: "rule",
		OpenedAt: found.OpenedAt, DetectedAt: found.At, UpdatedAt: found.At, Evidence: evidence,
		CloseReason: found.CloseReason,
	}
	if found.Component != "" {
		out.Component = &found.Component
	}
	if found.Change == rules.Closed {
		at := found.At
		out.ClosedAt = &at
	}
	out.Title, out.TitleEN = found.Rule, found.Rule
	if rule, ok := f.Rule(w, found.Rule); ok {
		out.Title, out.TitleEN = rule.TitleZH, rule.Title
		out.Facts = machines.Facts{
			Causes: texts(rule.Causes), FirstChecks: texts(rule.FirstChecks),
			Skills: rule.Skills, Parts: rule.Parts, PFDays: rule.PFDays,
		}
	}
	if out.FailureMode == "" {
		out.FailureMode = found.Rule
	}
	return machines.FindingChange{Change: machines.Change(found.Change), Finding: out, Propose: found.Propose}
}
