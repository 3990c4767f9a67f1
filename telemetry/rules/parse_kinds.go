package rules

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/thirdstate/thirdstate/internal/ucum"
)

// formula reads an expression; its faults are told at their place within the text.
func (t *ruleText) formula(n ast.Node) {
	s, ok := plain(n)
	switch {
	case !ok:
		t.at(n, "expr must be a text")
		return
	case strings.TrimSpace(s) == "":
		t.at(n, "expr is empty")
		return
	case utf8.RuneCountInString(s) > maxFormula:
		t.at(n, "expr has more than %d characters", maxFormula)
		return
	}
	f, faults := compile(s, t.names())
	for _, fault := range faults {
		t.within(n, s, fault.at, "expr: "+fault.text)
	}
	if f == nil {
		return
	}
	t.rule.Expr, t.rule.formula = s, f
	if t.rule.Signal == "" {
		t.rule.Signal = f.signals[0]
	}
}

// within reports a fault at a character of a text: in its line where it stands in
// lines of its own, else behind the place where it begins.
func (t *ruleText) within(n ast.Node, text string, at int, fault string) {
	before := string([]rune(text)[:min(at, utf8.RuneCountInString(text))])
	line := strings.Count(before, "\n")
	col := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	switch v := n.(type) {
	case *ast.LiteralNode:
		if strings.HasPrefix(v.Start.Value, ">") { // folded: its lines are not those of the text
			line, col = 0, 0
			break
		}
		t.fault(v.Start.Position.Line+1+line, leading(v.Value.Token.Origin)+1+col, fault)
		return
	case *ast.StringNode:
		if !bare(n) {
			col++ // the quote
		}
		if line > 0 || strings.Contains(strings.TrimSpace(v.Token.Origin), "\n") {
			line, col = 0, 0
		}
	}
	position := n.GetToken().Position
	t.fault(position.Line+line, position.Column+col, fault)
}

func leading(s string) int { return len(s) - len(strings.TrimLeft(s, " ")) }

// expression checks what goes with a formula.
func (t *ruleText) expression() {
	r, f := t.rule, t.rule.formula
	if k := kindOf(r.Kind); k == nil || !slices.Contains(k.Takes, "expr") && !slices.Contains(k.Needs, "expr") {
		return // reported
	}
	switch {
	case t.given["expr"] == nil:
		if t.given["unit"] != nil {
			t.at(t.given["unit"], "unit goes with expr; a signal has its own")
		}
		return
	case r.Kind != "expression" && t.given["signal"] != nil:
		t.at(t.given["signal"], "signal or expr, not both")
	case t.given["minus"] != nil:
		t.at(t.given["minus"], "minus goes with signal; an expr subtracts by itself")
	}
	if f == nil {
		return
	}
	switch {
	case r.Kind == "expression" && !f.boolean:
		t.at(t.given["expr"], "expr must be a condition such as a > 1; a number is judged by kind threshold, with above or below")
	case r.Kind != "expression" && f.boolean:
		t.at(t.given["expr"], "expr must be a number; a condition is judged by kind expression")
	}
	if r.Unit == "" && r.Kind != "expression" {
		r.Unit = "1"
	}
}

func standards() []string {
	names := make([]string, len(vibrationZones))
	for i, z := range vibrationZones {
		names[i] = z.name
	}
	return names
}

// zoneLimits reads a site's own [B, C, D].
func (t *ruleText) zoneLimits(n ast.Node) {
	list, ok := n.(*ast.SequenceNode)
	if !ok || len(list.Values) != len(t.rule.Limits) {
		t.at(n, "limits must be the three values where zones B, C and D begin")
		return
	}
	for i, item := range list.Values {
		before := len(t.faults)
		t.rule.Limits[i] = t.number(item, "limits")
		if i > 0 && len(t.faults) == before && t.rule.Limits[i] <= t.rule.Limits[i-1] {
			t.at(item, "limits must rise: %g after %g", t.rule.Limits[i], t.rule.Limits[i-1])
		}
	}
}

// zones turns the zone that is trouble into a limit in the signal's unit.
func (t *ruleText) zones() {
	r := t.rule
	switch {
	case (t.given["standard"] == nil) == (t.given["limits"] == nil):
		t.at(t.node, "a rule of kind zones needs standard or limits, and not both")
		return
	case r.Standard != "":
		t.standard()
	}
	if r.Limits == ([3]float64{}) {
		return // reported
	}
	if r.Zone == "" {
		r.Zone = "C"
	}
	above := r.Limits[strings.Index(zoneNames, r.Zone)-1]
	r.Above = &above
	if r.Release != nil && *r.Release > above {
		t.at(t.given["release"], "release (%g) must not be above the limit (%g)", *r.Release, above)
	}
	t.reached()
}

// standard takes the limits of a standard over in the signal's unit.
func (t *ruleText) standard() {
	r := t.rule
	spec, ok := t.pack.Signal(r.Signal)
	if !ok {
		return // reported
	}
	for _, z := range vibrationZones {
		if z.name != r.Standard {
			continue
		}
		unit, err := ucum.Convert(z.unit, spec.Unit)
		if err != nil {
			t.at(t.given["standard"], "%s is in %s, which unit %q of signal %s does not measure", z.name, z.unit, spec.Unit, spec.Name)
			return
		}
		for i, v := range z.begin {
			r.Limits[i] = unit.Of(v)
		}
	}
}

// target reads an ISO 4406 code such as 18/16/13 or */16/13.
func (t *ruleText) target(n ast.Node) []int {
	s := t.text(n, "target")
	parts := strings.Split(s, "/")
	out := make([]int, len(parts))
	for i, p := range parts {
		if p == "*" {
			out[i] = -1
			continue
		}
		code, err := strconv.Atoi(p)
		if out[i] = code; err != nil || code < 0 || code >= len(particles) {
			out = nil
			break
		}
	}
	if s != "" && (len(out) < 2 || len(out) > maxSizes) {
		t.at(n, "target must be an ISO 4406 code such as 18/16/13, or */16/13, with codes from 0 to %d", len(particles)-1)
		return nil
	}
	return out
}

// cleanliness turns the target into greatest counts in the signals' units.
func (t *ruleText) cleanliness() {
	r := t.rule
	if t.given["excess"] == nil {
		r.Excess = 1
	}
	if t.given["signals"] == nil || r.Target == nil {
		return
	}
	if len(r.Signals) != len(r.Target) {
		t.at(t.given["signals"], "signals must be as many as the figures of the target: counts above 4, 6 and 14 um")
		return
	}
	for i, name := range r.Signals {
		spec, ok := t.pack.Signal(name)
		if !ok {
			continue // reported
		}
		unit, err := ucum.Convert("/mL", spec.Unit)
		if err != nil {
			t.at(t.given["signals"], "counts of particles are in /mL, which unit %q of signal %s does not measure", spec.Unit, name)
			continue
		}
		if r.Target[i] >= 0 {
			r.Limits[i] = unit.Of(mostParticles(r.Target[i] + r.Excess - 1))
		}
	}
}

// codes reads patterns of trouble codes.
func (t *ruleText) codes(n ast.Node) []string {
	var out []string
	for _, item := range t.list(n, "codes") {
		out = append(out, t.matching(item, "code", codePattern, "a trouble code as the logbook names it, such as dtc.spn110.fmi0, or dtc.spn110.* for all that begin so"))
	}
	return out
}

// reached refuses a limit behind what the signal can plausibly say: what is beyond
// that is the sensor's fault and never judged.
func (t *ruleText) reached() {
	r := t.rule
	spec, ok := t.pack.Signal(r.Signal)
	if !ok || r.Expr != "" || len(r.Minus) > 0 {
		return
	}
	place := func(key string) ast.Node {
		if n := t.given[key]; n != nil {
			return n
		}
		return t.node
	}
	if r.Above != nil && spec.High != nil && *r.Above >= *spec.High {
		t.at(place("above"), "is never reached: above %g, and beyond %g signal %s is taken for a fault of its sensor", *r.Above, *spec.High, spec.Name)
	}
	if r.Below != nil && spec.Low != nil && *r.Below <= *spec.Low {
		t.at(place("below"), "is never reached: below %g, and under %g signal %s is taken for a fault of its sensor", *r.Below, *spec.Low, spec.Name)
	}
}
