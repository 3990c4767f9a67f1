package rules

import (
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/thirdstate/thirdstate/telemetry/rules/statistics"
)

// known reads the name of a signal that the pack declares.
func (t *ruleText) known(n ast.Node) string {
	s := t.text(n, "signal")
	if s == "" {
		return ""
	}
	names := t.names()
	if !slices.Contains(names, s) {
		t.at(n, "signal %q is not declared under signals%s", short(s), nearest(s, names))
		return ""
	}
	return s
}

// names lists the signals of the pack.
func (t *ruleText) names() []string {
	names := make([]string, len(t.pack.Signals))
	for i := range t.pack.Signals {
		names[i] = t.pack.Signals[i].Name
	}
	return names
}

func (t *ruleText) knownList(n ast.Node, what string) []string {
	var out []string
	for _, item := range t.list(n, what) {
		s := t.known(item)
		if s != "" && slices.Contains(out, s) {
			t.at(item, "%s names %q twice", what, s)
			continue
		}
		out = append(out, s)
	}
	return out
}

func (t *ruleText) regime(n ast.Node) map[string]Range {
	out := map[string]Range{}
	entries, _ := t.entries(n, "regime")
	for _, e := range entries {
		if name := t.known(e.key); name != "" {
			out[name] = closed(t.limits(e.value, "regime of "+name))
		}
	}
	return out
}

func (t *ruleText) perHour(n ast.Node) Range {
	var above, below *float64
	given := t.fields(n, "per_hour", []field{
		{"above", func(n ast.Node) { above = t.optional(n, "above") }},
		{"below", func(n ast.Node) { below = t.optional(n, "below") }},
	})
	if given != nil && len(given) == 0 {
		t.at(n, "per_hour needs above or below")
	}
	return closed(below, above)
}

// fits says which settings the rule's kind misses or does not know.
func (t *ruleText) fits(k *Kind) {
	for _, key := range k.Needs {
		if key == "signal" && t.given["expr"] != nil && slices.Contains(k.Takes, "expr") {
			continue
		}
		if t.given[key] == nil {
			t.at(t.node, "a rule of kind %s needs %q", k.Name, key)
		}
	}
	for _, f := range t.settings() {
		if n := t.given[f.key]; n != nil && !slices.Contains(k.Needs, f.key) && !slices.Contains(k.Takes, f.key) {
			t.at(n, "a rule of kind %s takes no %q", k.Name, f.key)
		}
	}
}

// defaults fills in what was not given.
func (t *ruleText) defaults() {
	r := t.rule
	switch r.Kind {
	case "silence":
		t.fallback("severity", "no_data", Info)
	case "stuck", "sensors":
		t.fallback("severity", "sensor_failure", Advice)
	}
	if r.FailureMode == "" {
		r.FailureMode = r.ID
	}
	if t.given["clear"] == nil {
		r.Clear = r.Hold
	}
}

func (t *ruleText) fallback(key, mode string, s Severity) {
	if t.given[key] == nil {
		t.rule.Severity = s
	}
	if t.rule.FailureMode == "" {
		t.rule.FailureMode = mode
	}
}

// whole checks settings against one another.
func (t *ruleText) whole() {
	r := t.rule
	if slices.Contains(r.Minus, r.Signal) && r.Signal != "" {
		t.at(t.given["minus"], "minus names the rule's own signal")
	}
	if slices.Contains(r.Context, r.Signal) && r.Signal != "" {
		t.at(t.given["context"], "context names the rule's own signal")
	}
	t.expression()
	if len(r.Context) > statistics.MaxContext {
		t.at(t.given["context"], "%d context signals, at most %d", len(r.Context), statistics.MaxContext)
	}
	switch r.Kind {
	case "threshold":
		t.threshold()
	case "zones":
		t.zones()
	case "cleanliness":
		t.cleanliness()
	case "silence":
		if t.given["after"] != nil && r.After <= 0 {
			t.at(t.given["after"], "after must be longer than nothing")
		}
	case "stuck":
		t.stuck()
	}
}

func (t *ruleText) threshold() {
	r := t.rule
	switch {
	case r.Above == nil && r.Below == nil:
		if t.given["above"] == nil && t.given["below"] == nil {
			t.at(t.node, "a rule of kind threshold needs above or below")
		}
	case r.Above != nil && r.Below != nil:
		if *r.Below >= *r.Above {
			t.at(t.given["below"], "below (%g) must be less than above (%g)", *r.Below, *r.Above)
		}
		if r.Release != nil {
			t.at(t.given["release"], "release goes with above or below, not with both")
		}
	case r.Release != nil && r.Above != nil && *r.Release > *r.Above:
		t.at(t.given["release"], "release (%g) must not be above the limit (%g)", *r.Release, *r.Above)
	case r.Release != nil && r.Below != nil && *r.Release < *r.Below:
		t.at(t.given["release"], "release (%g) must not be below the limit (%g)", *r.Release, *r.Below)
	}
	t.reached()
}

// stuck needs something to look for: a time without movement or a plausible range.
func (t *ruleText) stuck() {
	r := t.rule
	if t.given["tolerance"] != nil && t.given["after"] == nil {
		t.at(t.given["tolerance"], "tolerance goes with after")
	}
	if s, ok := t.pack.Signal(r.Signal); ok && r.After == 0 && s.Low == nil && s.High == nil {
		t.at(t.node, "needs after, or a plausible range of signal %s", r.Signal)
	}
}
