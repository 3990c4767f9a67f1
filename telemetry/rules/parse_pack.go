package rules

import (
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"
)

func (c *check) readPack(root ast.Node) *Pack {
	p := &Pack{Lateness: DefaultLateness}
	var rules, conditions ast.Node
	given := c.fields(root, "a pack", []field{
		{"model", func(n ast.Node) { p.Model = c.text(n, "model") }},
		{"name", func(n ast.Node) { p.Name = c.text(n, "name") }},
		{"name_zh", func(n ast.Node) { p.NameZH = c.text(n, "name_zh") }},
		{"lateness", func(n ast.Node) { p.Lateness = c.duration(n, "lateness", MaxLateness) }},
		{"signals", func(n ast.Node) { p.Signals = c.signals(n) }},
		{"conditions", func(n ast.Node) { conditions = n }}, // after the signals, which they name
		{"rules", func(n ast.Node) { rules = n }},           // last: they name signals and conditions
	})
	for _, key := range []string{"model", "signals", "rules"} {
		if given != nil && given[key] == nil {
			c.at(root, "a pack needs %q", key)
		}
	}
	if conditions != nil {
		c.conditions(conditions, p)
	}
	if rules != nil {
		c.rules(rules, p)
	}
	return p
}

func (c *check) signals(n ast.Node) []SignalSpec {
	var list []SignalSpec
	entries, _ := c.entries(n, "signals")
	if len(entries) > maxPackSignals {
		c.at(n, "%d signals, at most %d", len(entries), maxPackSignals)
		return nil
	}
	for _, e := range entries {
		if !signalPattern.MatchString(e.name) {
			c.at(e.key, "signal %q must have 1 to 64 characters, no blanks, quotes, commas or equal signs", short(e.name))
			continue
		}
		list = append(list, c.signal(e))
	}
	return list
}

func (c *check) signal(e entryNode) SignalSpec {
	s := SignalSpec{Name: e.name, Role: Condition}
	what := "signal " + e.name
	given := c.fields(e.value, what, []field{
		{"unit", func(n ast.Node) { s.Unit = c.unit(n) }},
		{"role", func(n ast.Node) {
			s.Role = Role(c.oneOf(n, "role", []string{string(Condition), string(Context), string(Ignore)}))
		}},
		{"plausible", func(n ast.Node) { s.Low, s.High = c.limits(n, "plausible") }},
		{"label", func(n ast.Node) { s.Label = c.text(n, "label") }},
		{"label_zh", func(n ast.Node) { s.LabelZH = c.text(n, "label_zh") }},
	})
	if given != nil && given["unit"] == nil {
		c.at(e.key, "%s needs a unit (UCUM; \"1\" for none)", what)
	}
	if (given["label"] == nil) != (given["label_zh"] == nil) {
		c.at(e.key, "%s needs its label in both languages: label and label_zh", what)
	}
	return s
}

func (c *check) rules(n ast.Node, p *Pack) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		c.at(n, "rules must be a list")
		return
	}
	if len(list.Values) > maxRules {
		c.at(n, "%d rules, at most %d", len(list.Values), maxRules)
		return
	}
	seen := map[string]bool{WatcherID: true, UnmappedID: true, SensorsID: true, RedStopID: true, WarningLampID: true}
	for _, item := range list.Values {
		r := c.rule(item, p)
		if seen[r.ID] {
			c.at(item, "rule id %q is taken", r.ID)
		}
		seen[r.ID] = r.ID != ""
		r.Model = p.Model
		p.Rules = append(p.Rules, r)
	}
}

// ruleText is a rule while it is read: which settings were given, and where.
type ruleText struct {
	*check
	pack  *Pack
	rule  *Rule
	node  ast.Node
	given map[string]ast.Node
}

func (c *check) rule(n ast.Node, p *Pack) Rule {
	r := Rule{Severity: Warning, Direction: Both, PerHour: closed(nil, nil)}
	t := ruleText{check: c, pack: p, rule: &r, node: n}
	t.given = c.fields(n, "a rule", slices.Concat(t.identity(), t.lasting(), t.settings(), t.facts()))
	if t.given == nil {
		return r
	}
	for _, key := range []string{"id", "kind", "title", "title_zh"} {
		if t.given[key] == nil {
			c.at(n, "a rule needs %q", key)
		}
	}
	t.finish()
	return r
}

// finish checks the settings against the kind and one another, and fills in what was
// not given.
func (t *ruleText) finish() {
	if kind := kindOf(t.rule.Kind); kind != nil {
		t.fits(kind)
	}
	t.defaults()
	t.whole()
}

func (t *ruleText) identity() []field {
	r := t.rule
	kinds := make([]string, len(Kinds))
	for i := range Kinds {
		kinds[i] = Kinds[i].Name
	}
	severities := make([]string, len(Severities))
	for i, s := range Severities {
		severities[i] = string(s)
	}
	const id = "small letters, digits, '_', '-' and '.', 64 at most"
	return []field{
		{"id", func(n ast.Node) { r.ID = t.matching(n, "id", idPattern, id) }},
		{"kind", func(n ast.Node) { r.Kind = t.oneOf(n, "kind", kinds) }},
		{"component", func(n ast.Node) { r.Component = t.matching(n, "component", idPattern, id) }},
		{"failure_mode", func(n ast.Node) { r.FailureMode = t.matching(n, "failure_mode", idPattern, id) }},
		{"title", func(n ast.Node) { r.Title = t.text(n, "title") }},
		{"title_zh", func(n ast.Node) { r.TitleZH = t.text(n, "title_zh") }},
		{"severity", func(n ast.Node) { r.Severity = Severity(t.oneOf(n, "severity", severities)) }},
		{"iso14224", func(n ast.Node) { r.ISO14224 = t.oneOf(n, "iso14224", failureModes()) }},
		{"regime", func(n ast.Node) { r.Regime = t.regime(n) }},
	}
}

func failureModes() []string {
	codes := make([]string, len(FailureModes))
	for i, m := range FailureModes {
		codes[i] = m.Code
	}
	return codes
}

func (t *ruleText) lasting() []field {
	r := t.rule
	return []field{
		{"hold", func(n ast.Node) { r.Hold = t.duration(n, "hold", maxDuration) }},
		{"clear", func(n ast.Node) { r.Clear = t.duration(n, "clear", maxDuration) }},
	}
}

func (t *ruleText) settings() []field {
	r := t.rule
	return []field{
		{"signal", func(n ast.Node) { r.Signal = t.known(n) }},
		{"expr", func(n ast.Node) { t.formula(n) }},
		{"unit", func(n ast.Node) { r.Unit = t.unit(n) }},
		{"minus", func(n ast.Node) { r.Minus = t.knownList(n, "minus") }},
		{"context", func(n ast.Node) { r.Context = t.knownList(n, "context") }},
		{"signals", func(n ast.Node) { r.Signals = t.knownList(n, "signals") }},
		{"above", func(n ast.Node) { r.Above = t.optional(n, "above") }},
		{"below", func(n ast.Node) { r.Below = t.optional(n, "below") }},
		{"release", func(n ast.Node) { r.Release = t.optional(n, "release") }},
		{"per_hour", func(n ast.Node) { r.PerHour = t.perHour(n) }},
		{"window", func(n ast.Node) { r.Window = t.window(n) }},
		{"after", func(n ast.Node) { r.After = t.duration(n, "after", maxDuration) }},
		{"tolerance", func(n ast.Node) { r.Tolerance = t.least(n, "tolerance", 0) }},
		{"learn", func(n ast.Node) { r.Learn = t.span(n, "learn", learnLeast/2) }},
		{"smooth", func(n ast.Node) { r.Smooth = t.span(n, "smooth", 1) }},
		{"sigma", func(n ast.Node) { r.Sigma = t.least(n, "sigma", 1) }},
		{"min_effect", func(n ast.Node) { r.MinEffect = t.least(n, "min_effect", 0) }},
		{"direction", func(n ast.Node) {
			r.Direction = Direction(t.oneOf(n, "direction", []string{string(Up), string(Down), string(Both)}))
		}},
		{"standard", func(n ast.Node) { r.Standard = t.oneOf(n, "standard", standards()) }},
		{"limits", func(n ast.Node) { t.zoneLimits(n) }},
		{"zone", func(n ast.Node) { r.Zone = t.oneOf(n, "zone", []string{"B", "C", "D"}) }},
		{"target", func(n ast.Node) { r.Target = t.target(n) }},
		{"excess", func(n ast.Node) { r.Excess = t.integer(n, "excess", 1, 10) }},
		{"codes", func(n ast.Node) { r.Codes = t.codes(n) }},
		{"count", func(n ast.Node) { r.Count = t.integer(n, "count", 1, maxOccurrences) }},
		{"signs", func(n ast.Node) { r.Signs = t.signs(n) }},
		{"when", func(n ast.Node) { r.When = t.clauses().root(n) }},
		{"stop_at", func(n ast.Node) { r.StopAt = t.optional(n, "stop_at") }},
	}
}

func (t *ruleText) facts() []field {
	r := t.rule
	return []field{
		{"first_checks", func(n ast.Node) { r.FirstChecks = t.texts(n, "first_checks") }},
		{"causes", func(n ast.Node) { r.Causes = t.texts(n, "causes") }},
		{"skills", func(n ast.Node) { r.Skills = t.textList(n, "skills") }},
		{"parts", func(n ast.Node) { r.Parts = t.textList(n, "parts") }},
		{"pf_days", func(n ast.Node) { r.PFDays = t.least(n, "pf_days", 0) }},
		{"verify", func(n ast.Node) {
			t.fields(n, "verify", []field{
				{"max_effect", func(n ast.Node) { r.Verify.MaxEffect = t.least(n, "max_effect", 0) }},
				{"regime_hours", func(n ast.Node) { r.Verify.RegimeHours = t.least(n, "regime_hours", 0) }},
			})
		}},
	}
}

// Bounds of a window.
const (
	shortestWindow = time.Minute
	longestWindow  = 90 * 24 * time.Hour
)
