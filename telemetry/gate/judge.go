package gate

import (
	"context"
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/backtest"
)

// Standard are the terms under which a report counts at the gate. Whoever wants to
// look at other ones may; what counts is stated before anybody looks.
var Standard = backtest.Terms{Longest: 30 * 24 * time.Hour, Visit: 3 * time.Hour, Newer: 0.3} //nolint:gochecknoglobals // never written

// Judged is what a version of the rules came to on the stored history.
type Judged struct {
	Model     string          `json:"model"`
	Hash      string          `json:"hash"`
	Rule      string          `json:"rule,omitempty"`
	Machines  int             `json:"machines" doc:"that have a history"`
	Silent    int             `json:"silentMachines" doc:"of which nothing is stored"`
	Rows      int64           `json:"rows"`
	RowNanos  float64         `json:"nanosPerRow" doc:"that the rules took for one row, all of them together"`
	Unplaced  int             `json:"faultsOutside" doc:"confirmed faults of which the history does not tell"`
	Result    backtest.Result `json:"result" doc:"all rules together; any confirmed fault of its machine is found by a flag"`
	RuleTable []RuleJudged    `json:"rules" doc:"each rule alone; a flag finds faults of its own failure mode"`
}

// RuleJudged is what one rule came to.
type RuleJudged struct {
	Rule        string          `json:"rule"`
	Hash        string          `json:"hash"`
	FailureMode string          `json:"failureMode"`
	Severity    rules.Severity  `json:"severity"`
	Result      backtest.Result `json:"result"`
}

// Judge runs a subject over what is stored of machines up to an instant and judges
// its flags against the confirmed faults.
func Judge(ctx context.Context, s Subject, machines []Machine, until time.Time, faults []Fault, terms backtest.Terms, rows Rows) (Judged, error) {
	out := Judged{Model: s.model(), Hash: s.hash(), Rule: s.Rule, RuleTable: []RuleJudged{}}
	if len(s.rules()) == 0 {
		return out, problem.New(problem.NotFound, "the pack of %s has no rule %q", s.model(), s.Rule)
	}
	r := newReplay(s, rows)
	if err := r.compare(ctx, machines, until); err != nil {
		return out, err
	}
	for _, m := range machines {
		if err := r.machine(ctx, m, until); err != nil {
			return out, err
		}
	}
	if len(r.spans) == 0 {
		return out, problem.New(problem.Conflict, "nothing is stored of any of the %d machines", len(machines))
	}
	out.Machines, out.Silent, out.Rows = len(r.spans), len(machines)-len(r.spans), r.seen
	out.RowNanos = float64(r.took.Nanoseconds()) / float64(r.seen)
	placed, unplaced := place(r.spans, machines, faults, terms)
	out.Unplaced = unplaced
	var all []backtest.Flag
	for _, rule := range s.rules() {
		result, err := backtest.Run(r.spans, r.flags[rule.ID], ofMode(rule, placed), terms)
		if err != nil {
			return out, problem.New(problem.Invalid, "%v", err)
		}
		out.RuleTable = append(out.RuleTable, RuleJudged{rule.ID, rule.Hash(), rule.FailureMode, rule.Severity, result})
		all = append(all, r.flags[rule.ID]...)
	}
	result, err := backtest.Run(r.spans, all, ofMode(nil, placed), terms)
	if err != nil {
		return out, problem.New(problem.Invalid, "%v", err)
	}
	out.Result = result
	return out, nil
}

// placed is a fault in the history of its machine.
type placed struct {
	backtest.Fault
	mode string
}

// place keeps the faults of which the history can tell. One that people saw after the
// machine's last word, as of one that stood still by then, counts at that word: so no
// lead is overstated.
func place(spans []backtest.Span, machines []Machine, faults []Fault, terms backtest.Terms) (list []placed, outside int) {
	for _, f := range faults {
		m := slices.IndexFunc(machines, func(m Machine) bool { return m.ID == f.MachineID })
		if m < 0 {
			continue
		}
		at := slices.IndexFunc(spans, func(s backtest.Span) bool { return s.Machine == machines[m].Key })
		if at < 0 || f.At.Before(spans[at].From) || f.At.Add(-terms.Longest).After(spans[at].To) {
			outside++
			continue
		}
		seen := f.At
		if seen.After(spans[at].To) {
			seen = spans[at].To
		}
		list = append(list, placed{backtest.Fault{Machine: spans[at].Machine, At: seen}, f.FailureMode})
	}
	return list, outside
}

// ofMode are the faults that a rule is about: those of its failure mode, and all of
// them for a rule that cannot know which (nil: for all rules together).
func ofMode(r *rules.Rule, faults []placed) (list []backtest.Fault) {
	for _, f := range faults {
		if r == nil || r.FailureMode == "" || r.FailureMode == "unknown" || r.FailureMode == f.mode {
			list = append(list, f.Fault)
		}
	}
	return list
}
