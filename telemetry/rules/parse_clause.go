package rules

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// clauseText reads the clauses of combined rules, and the pack's named conditions.
type clauseText struct {
	*check
	pack  *Pack
	named map[string]entryNode // as they stand in the text
	done  map[string]*namedClause
	way   []string // of names that are being read, to find circles
}

// namedClause is a named condition that has been read; nil clause = it had faults.
type namedClause struct {
	clause *Clause
	cost   int
}

// conditions reads the conditions that clauses can name.
func (c *check) conditions(n ast.Node, p *Pack) {
	x := c.clausesOf(p)
	entries, _ := c.entries(n, "conditions")
	if len(entries) > maxRules {
		c.at(n, "%d conditions, at most %d", len(entries), maxRules)
		return
	}
	for _, e := range entries {
		if !idPattern.MatchString(e.name) {
			c.at(e.key, "condition %q must be small letters, digits, '_', '-' and '.', 64 at most", short(e.name))
			continue
		}
		x.named[e.name] = e
	}
	for _, e := range entries {
		x.read(e.name)
	}
}

func (c *check) clausesOf(p *Pack) *clauseText {
	if c.named == nil {
		c.named = &clauseText{check: c, pack: p, named: map[string]entryNode{}, done: map[string]*namedClause{}}
	}
	return c.named
}

func (t *ruleText) clauses() *clauseText { return t.clausesOf(t.pack) }

// root reads the clauses of one rule, nil after a fault.
func (x *clauseText) root(n ast.Node) *Clause {
	clause, cost := x.clause(n)
	if cost > maxClauses {
		x.at(n, "is too costly: %d clauses with the conditions that it names, at most %d", min(cost, 1_000_000), maxClauses)
		return nil
	}
	return clause
}

// read reads a named condition once.
func (x *clauseText) read(name string) *namedClause {
	if d := x.done[name]; d != nil {
		return d
	}
	e, ok := x.named[name]
	if !ok {
		return nil
	}
	x.way = append(x.way, name)
	d := &namedClause{}
	d.clause, d.cost = x.clause(e.value)
	x.way = x.way[:len(x.way)-1]
	x.done[name] = d
	return d
}

// clause reads one clause and says how many it is made of.
func (x *clauseText) clause(n ast.Node) (out *Clause, cost int) {
	entries, ok := x.entries(n, "a condition")
	if !ok {
		return nil, 0
	}
	for _, e := range entries {
		switch e.name {
		case "all", "any", "not", "is":
			return x.group(n, e.name)
		}
	}
	return x.leaf(n), 1
}

// group reads all, any, not and is.
func (x *clauseText) group(n ast.Node, how string) (*Clause, int) {
	clause, cost := &Clause{}, 0
	before := len(x.faults)
	lasting := ruleText{check: x.check, pack: x.pack, rule: &Rule{}}
	var whole *Clause
	given := x.fields(n, "a condition with "+how, append(lasting.lasting(), field{how, func(n ast.Node) {
		switch how {
		case "all":
			clause.All, cost = x.several(n, how)
		case "any":
			clause.Any, cost = x.several(n, how)
		case "not":
			clause.Not, cost = x.clause(n)
		case "is":
			whole, cost = x.is(n)
		}
	}}))
	if len(x.faults) > before || given == nil || how == "is" && whole == nil || slices.Contains(slices.Concat(clause.All, clause.Any), nil) {
		return nil, cost // reported
	}
	clause.Hold, clause.Clear = lasting.rule.Hold, lasting.rule.Clear
	if given["hold"] != nil && given["clear"] == nil {
		clause.Clear = clause.Hold
	}
	if how == "is" {
		if clause.Hold == 0 && clause.Clear == 0 {
			return whole, cost
		}
		clause.All = []*Clause{whole}
	}
	x.possible(n, clause)
	return clause, cost + 1
}

func (x *clauseText) several(n ast.Node, how string) (out []*Clause, cost int) {
	list, ok := n.(*ast.SequenceNode)
	if !ok || len(list.Values) < 2 || len(list.Values) > maxList {
		x.at(n, "%s must be a list of 2 to %d conditions", how, maxList)
		return nil, 0
	}
	for _, item := range list.Values {
		clause, more := x.clause(item)
		out, cost = append(out, clause), min(cost+more, 1<<30)
	}
	return out, cost
}

// is puts a named condition in its place.
func (x *clauseText) is(n ast.Node) (*Clause, int) {
	name := x.text(n, "is")
	if name == "" {
		return nil, 0
	}
	if i := slices.Index(x.way, name); i >= 0 {
		x.at(n, "goes round in a circle: %s", strings.Join(append(slices.Clone(x.way[i:]), name), " is "))
		return nil, 0
	}
	d := x.read(name)
	if d == nil {
		var names []string
		for known := range x.named {
			names = append(names, known)
		}
		slices.Sort(names)
		x.at(n, "condition %q is not declared under conditions%s", short(name), nearest(name, names))
		return nil, 0
	}
	return d.clause, d.cost
}

// leaf reads a rule of another kind, without its words.
func (x *clauseText) leaf(n ast.Node) *Clause {
	before := len(x.faults)
	r := &Rule{Direction: Both, PerHour: closed(nil, nil)}
	t := ruleText{check: x.check, pack: x.pack, rule: r, node: n}
	kinds := partKinds()
	known := slices.Concat([]field{
		{"kind", func(n ast.Node) { r.Kind = t.oneOf(n, "kind of a condition", kinds) }},
		{"regime", func(n ast.Node) { r.Regime = t.regime(n) }},
		// so that a misspelt one is suggested
		{"all", nil}, {"any", nil}, {"not", nil}, {"is", nil},
	}, t.lasting(), t.settings())
	if t.given = x.fields(n, "a condition", known); t.given == nil {
		return nil
	}
	if len(t.given) == 0 {
		if len(x.faults) == before {
			x.at(n, "a condition is all, any, not or is of others, or has the settings of a rule")
		}
		return nil
	}
	if t.given["kind"] == nil {
		r.Kind = "threshold"
		if t.given["expr"] != nil && t.given["above"] == nil && t.given["below"] == nil {
			r.Kind = "expression"
		}
	}
	t.finish()
	if len(x.faults) > before || r.Kind == "" {
		return nil
	}
	clause := &Clause{Rule: r, Hold: r.Hold, Clear: r.Clear, kind: kindOf(r.Kind)}
	r.Hold, r.Clear, r.FailureMode, r.Severity = 0, 0, "", ""
	return clause
}

func partKinds() []string {
	var names []string
	for i := range Kinds {
		if Kinds[i].part {
			names = append(names, Kinds[i].Name)
		}
	}
	return names
}

// possible refuses a group whose limits on one signal contradict one another, so that
// it is never so, or leave nothing out, so that it always is.
func (x *clauseText) possible(n ast.Node, c *Clause) {
	limits := map[string]Range{} // of All: what all allow; of Any: what none does
	for _, part := range append(c.All, c.Any...) {
		r := part.Rule
		if r == nil || part.Hold > 0 || part.Clear > 0 || r.Kind != "threshold" || r.Expr != "" || len(r.Minus) > 0 || len(r.Regime) > 0 || r.Above != nil && r.Below != nil {
			continue
		}
		have, there := limits[r.Signal]
		if !there {
			have = closed(nil, nil)
		}
		raises := (r.Above != nil) == (c.All != nil) // what is above is needed, or what is below left
		v := or(r.Above, or(r.Below, 0))
		if raises {
			have.Low = max(have.Low, v)
		} else {
			have.High = min(have.High, v)
		}
		limits[r.Signal] = have
		switch {
		case have.Low < have.High || have.Low == have.High && c.Any != nil:
		case c.All != nil:
			x.at(n, "is never so: %s cannot be above %g and below %g", r.Signal, have.Low, have.High)
			return
		default:
			x.at(n, "is always so: %s is above %g or below %g", r.Signal, have.High, have.Low)
			return
		}
	}
}
