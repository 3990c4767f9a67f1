package detection

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/j1939"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// codesOf says in words which codes have a lamp on: the first by name, of more their
// number.
func codesOf(causes []rules.Cause) (zh, en string) {
	if len(causes) == 0 {
		return "", ""
	}
	code := strings.TrimPrefix(causes[0].Signal, "dtc.")
	words := j1939.Words{EN: strings.ToUpper(code), ZH: strings.ToUpper(code)}
	var spn uint32
	var fmi uint8
	if n, err := fmt.Sscanf(code, "spn%d.fmi%d", &spn, &fmi); n == 2 && err == nil {
		words = j1939.Describe(spn, fmi)
	}
	zh, en = "："+words.ZH, ": "+words.EN
	if more := len(causes) - 1; more > 0 {
		zh, en = fmt.Sprintf("%s等%d项", zh, more+1), fmt.Sprintf("%s, and %d more", en, more)
	}
	return zh, en
}

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
		if rule.Kind == "lamp" || rule.Kind == "codes" {
			code, codeEN := codesOf(found.Evidence.Causes)
			out.Title, out.TitleEN = out.Title+code, out.TitleEN+codeEN
		}
		out.Facts = machines.Facts{
			Causes: texts(rule.Causes), FirstChecks: texts(rule.FirstChecks),
			Skills: rule.Skills, Parts: rule.Parts, PFDays: rule.PFDays,
		}
	}
	if out.FailureMode == "" {
		out.FailureMode = found.Rule
	}
	return machines.FindingChange{Change: machines.Change(found.Change), Finding: out, Propose: found.Propose, Stage: f.Stages()[RuleKey{found.Rule, found.RuleHash}]}
}
