package rules

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// formulaFault is one thing that is wrong with a formula; at counts characters from 0.
type formulaFault struct {
	at   int
	text string
}

// compile reads a formula in the syntax of expr-lang (https://expr-lang.org), of
// which it takes numbers, signals, conditions and the functions below: nothing that
// loops or allocates. names are the signals that there are.
func compile(text string, names []string) (*formula, []formulaFault) {
	c := compiler{names: names}
	tree, err := parser.Parse(text)
	if err != nil {
		var e *file.Error
		if errors.As(err, &e) {
			return nil, []formulaFault{{e.From, strings.Replace(e.Message, "unexpected token EOF", "ends too early; between { and } a formula with commas needs quotes", 1)}}
		}
		return nil, []formulaFault{{0, "cannot be read"}}
	}
	root := c.node(tree.Node)
	c.f.boolean = root.boolean
	switch {
	case len(c.faults) > 0:
	case len(c.f.steps) > maxFormulaNodes:
		c.fault(tree.Node, "is too costly: %d operations, at most %d; split it into several conditions", len(c.f.steps), maxFormulaNodes)
	case c.deepest > maxStack:
		c.fault(tree.Node, "is nested too deeply")
	case len(c.f.signals) == 0:
		c.fault(tree.Node, "looks at no signal")
	}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return &c.f, nil
}

type compiler struct {
	names   []string
	f       formula
	faults  []formulaFault
	stack   int
	deepest int
}

// term is what a node is: a condition or a number, and whether it depends on a signal.
type term struct {
	boolean bool
	varies  bool
}

func (c *compiler) fault(n ast.Node, format string, args ...any) {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, formulaFault{n.Location().From, fmt.Sprintf(format, args...)})
	}
}

// emit adds a step that takes so many values and leaves one.
func (c *compiler) emit(s formulaStep, takes int) {
	c.f.steps = append(c.f.steps, s)
	c.stack += 1 - takes
	c.deepest = max(c.deepest, c.stack)
}

func (c *compiler) node(n ast.Node) term {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return c.constant(float64(n.Value), false)
	case *ast.FloatNode:
		return c.constant(n.Value, false)
	case *ast.BoolNode:
		return c.constant(truth(n.Value), true)
	case *ast.IdentifierNode:
		return c.signal(n, n.Value)
	case *ast.MemberNode:
		if name, ok := dotted(n); ok {
			return c.signal(first(n), name)
		}
	case *ast.ChainNode:
		return c.node(n.Node)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.choose(n)
	case *ast.BuiltinNode:
		return c.call(n, n.Name, n.Arguments)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.call(n, callee.Value, n.Arguments)
		}
	}
	c.fault(n, "only numbers, signals, conditions and functions can be used here")
	return term{varies: true}
}

func (c *compiler) constant(v float64, boolean bool) term {
	c.emit(formulaStep{op: pushValue, value: v}, 0)
	return term{boolean: boolean}
}

// dotted gives names such as dtc.red_stop, which read as members of members.
func dotted(n *ast.MemberNode) (string, bool) {
	property, ok := n.Property.(*ast.StringNode)
	if !ok || n.Optional {
		return "", false
	}
	switch of := n.Node.(type) {
	case *ast.IdentifierNode:
		return of.Value + "." + property.Value, true
	case *ast.MemberNode:
		name, ok := dotted(of)
		return name + "." + property.Value, ok
	}
	return "", false
}

func first(n ast.Node) ast.Node {
	for {
		m, ok := n.(*ast.MemberNode)
		if !ok {
			return n
		}
		n = m.Node
	}
}

func (c *compiler) signal(n ast.Node, name string) term {
	out := term{varies: true}
	if !slices.Contains(c.names, name) {
		if isFunction(name) {
			c.fault(n, "%s is a function: write %s(…)", name, name)
		} else {
			c.fault(n, "signal %q is not declared under signals%s", short(name), nearest(name, c.names))
		}
		return out
	}
	place := slices.Index(c.f.signals, name)
	if place < 0 {
		place = len(c.f.signals)
		c.f.signals = append(c.f.signals, name)
	}
	if place >= maxList {
		c.fault(n, "looks at more than %d signals", maxList)
		return out
	}
	c.emit(formulaStep{op: pushSignal, n: uint8(place)}, 0) //nolint:gosec // below maxList
	return out
}

func (c *compiler) unary(n *ast.UnaryNode) term {
	switch n.Operator {
	case "-":
		x := c.number(n.Node, n.Operator)
		c.emit(formulaStep{op: opNegate}, 1)
		return x
	case "+":
		return c.number(n.Node, n.Operator)
	case "!", "not":
		x := c.condition(n.Node, n.Operator)
		c.emit(formulaStep{op: opNot}, 1)
		return x
	}
	c.fault(n, "operator %q is not known", n.Operator)
	return term{}
}

func (c *compiler) number(n ast.Node, of string) term {
	t := c.node(n)
	if t.boolean {
		c.fault(n, "%s needs a number, and this is a condition", of)
	}
	return t
}

func (c *compiler) condition(n ast.Node, of string) term {
	t := c.node(n)
	if !t.boolean {
		c.fault(n, "%s needs a condition such as a > 1, and this is a number", of)
	}
	return term{boolean: true, varies: t.varies}
}

// operators by what they take: numbers, conditions, or any two of one sort.
var (
	arithmetic = map[string]formulaOp{"+": opAdd, "-": opSubtract, "*": opMultiply, "/": opDivide, "%": opModulo, "**": opPower, "^": opPower}
	comparison = map[string]formulaOp{"<": opLess, "<=": opLessOrEqual, ">": opGreater, ">=": opGreaterOrEqual}
	equality   = map[string]formulaOp{"==": opEqual, "!=": opUnequal}
	logic      = map[string]formulaOp{"and": opAnd, "&&": opAnd, "or": opOr, "||": opOr}
)

func (c *compiler) binary(n *ast.BinaryNode) term {
	if op, ok := arithmetic[n.Operator]; ok {
		a, b := c.number(n.Left, n.Operator), c.number(n.Right, n.Operator)
		c.emit(formulaStep{op: op}, 2)
		return term{varies: a.varies || b.varies}
	}
	if op, ok := comparison[n.Operator]; ok {
		a, b := c.number(n.Left, n.Operator), c.number(n.Right, n.Operator)
		c.emit(formulaStep{op: op}, 2)
		return c.decided(n, a.varies || b.varies)
	}
	if op, ok := equality[n.Operator]; ok {
		a, b := c.alike(n.Left, n.Right, n)
		c.emit(formulaStep{op: op}, 2)
		return c.decided(n, a.varies || b.varies)
	}
	if op, ok := logic[n.Operator]; ok {
		c.sides(n)
		c.emit(formulaStep{op: op}, 2)
		if op == opAnd {
			c.reachable(n)
		}
		return term{boolean: true, varies: true}
	}
	if n.Operator == "??" {
		a, b := c.alike(n.Left, n.Right, n)
		c.emit(formulaStep{op: opElse}, 2)
		if !a.varies {
			c.fault(n, "what stands before ?? is always known: what follows is never reached")
		}
		return term{boolean: a.boolean, varies: a.varies || b.varies}
	}
	c.fault(n, "operator %q is not known", n.Operator)
	return term{varies: true}
}

// sides compiles both sides of and, or; a side that is always the same decides alone.
func (c *compiler) sides(n *ast.BinaryNode) {
	for _, side := range []ast.Node{n.Left, n.Right} {
		if t := c.condition(side, n.Operator); !t.varies {
			if _, ok := side.(*ast.BoolNode); ok { // comparisons have said so themselves
				c.fault(side, "is always the same: no signal is looked at")
			}
		}
	}
}

// decided reports a condition that looks at no signal.
func (c *compiler) decided(n ast.Node, varies bool) term {
	if !varies {
		c.fault(n, "is always the same: no signal is looked at")
	}
	return term{boolean: true, varies: varies}
}

// alike compiles two sides that must both be numbers or both be conditions.
func (c *compiler) alike(left, right, n ast.Node) (a, b term) {
	a, b = c.node(left), c.node(right)
	if a.boolean != b.boolean {
		c.fault(n, "one side is a condition and the other a number")
	}
	return a, b
}

func (c *compiler) choose(n *ast.ConditionalNode) term {
	if t := c.condition(n.Cond, "a choice"); !t.varies {
		if _, ok := n.Cond.(*ast.BoolNode); ok {
			c.fault(n.Cond, "is always the same: one branch is never reached")
		}
	}
	a, _ := c.alike(n.Exp1, n.Exp2, n.Exp2)
	c.emit(formulaStep{op: opChoose}, 3)
	return term{boolean: a.boolean, varies: true}
}

// function is one that formulas may call.
type function struct {
	name        string
	op          formulaOp
	least, most int // arguments
}

// functions lists them in the order shown to rule authors.
var functions = []function{
	{"abs", opAbs, 1, 1}, {"min", opMin, 2, 8}, {"max", opMax, 2, 8}, {"clamp", opClamp, 3, 3},
	{"floor", opFloor, 1, 1}, {"ceil", opCeil, 1, 1}, {"round", opRound, 1, 1},
	{"sqrt", opSqrt, 1, 1}, {"exp", opExp, 1, 1}, {"ln", opLn, 1, 1}, {"log10", opLog10, 1, 1},
	{"known", opKnown, 1, 1}, {"value", pushSignal, 1, 1},
}

func isFunction(name string) bool {
	return slices.ContainsFunc(functions, func(f function) bool { return f.name == name })
}

func (c *compiler) call(n ast.Node, name string, args []ast.Node) term {
	i := slices.IndexFunc(functions, func(f function) bool { return f.name == name })
	if i < 0 {
		names := make([]string, len(functions))
		for j, f := range functions {
			names[j] = f.name
		}
		c.fault(n, "function %q is not known%s; known: %s", short(name), nearest(name, names), strings.Join(names, ", "))
		return term{varies: true}
	}
	f := functions[i]
	if len(args) < f.least || len(args) > f.most {
		c.fault(n, "%s takes %s, not %d", name, counted(f.least, f.most), len(args))
		return term{boolean: f.op == opKnown, varies: true}
	}
	if f.op == pushSignal { // value("a name that is no plain word")
		if s, ok := args[0].(*ast.StringNode); ok {
			return c.signal(args[0], s.Value)
		}
		c.fault(args[0], "value takes a signal's name in quotes")
		return term{varies: true}
	}
	out := term{boolean: f.op == opKnown}
	for _, a := range args {
		out.varies = c.number(a, name).varies || out.varies
	}
	c.emit(formulaStep{op: f.op, n: uint8(len(args))}, len(args)) //nolint:gosec // eight at most
	return out
}

func counted(least, most int) string {
	switch {
	case most == 1:
		return "one argument"
	case least == most:
		return fmt.Sprintf("%d arguments", least)
	}
	return fmt.Sprintf("%d to %d arguments", least, most)
}

// reachable refuses a conjunction that no value fulfils, such as a > 5 and a < 3.
func (c *compiler) reachable(n *ast.BinaryNode) {
	limits := map[string]*Range{}
	var gather func(n ast.Node)
	gather = func(n ast.Node) {
		b, ok := n.(*ast.BinaryNode)
		if !ok {
			return
		}
		if logic[b.Operator] == opAnd && (b.Operator == "and" || b.Operator == "&&") {
			gather(b.Left)
			gather(b.Right)
			return
		}
		name, op, v, ok := simple(b)
		if !ok {
			return
		}
		r := limits[name]
		if r == nil {
			r = &Range{-math.MaxFloat64, math.MaxFloat64}
			limits[name] = r
		}
		if op == opGreater || op == opGreaterOrEqual {
			r.Low = math.Max(r.Low, v)
		} else {
			r.High = math.Min(r.High, v)
		}
	}
	gather(n)
	for _, name := range c.f.signals {
		if r := limits[name]; r != nil && r.Low > r.High {
			c.fault(n, "is never true: %s cannot be above %g and below %g", name, r.Low, r.High)
		}
	}
}

// simple takes apart a comparison of one signal with one number.
func simple(b *ast.BinaryNode) (signal string, op formulaOp, v float64, ok bool) {
	op, ok = comparison[b.Operator]
	if !ok {
		return "", 0, 0, false
	}
	left, right := b.Left, b.Right
	if _, isNumber := literal(left); isNumber {
		left, right = right, left
		op = map[formulaOp]formulaOp{opLess: opGreater, opLessOrEqual: opGreaterOrEqual, opGreater: opLess, opGreaterOrEqual: opLessOrEqual}[op]
	}
	v, ok = literal(right)
	if !ok {
		return "", 0, 0, false
	}
	switch n := left.(type) {
	case *ast.IdentifierNode:
		return n.Value, op, v, true
	case *ast.MemberNode:
		signal, ok = dotted(n)
		return signal, op, v, ok
	}
	return "", 0, 0, false
}

func literal(n ast.Node) (float64, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return float64(n.Value), true
	case *ast.FloatNode:
		return n.Value, true
	case *ast.UnaryNode:
		v, ok := literal(n.Node)
		return -v, ok && n.Operator == "-"
	}
	return 0, false
}
