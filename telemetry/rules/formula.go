package rules

import "math"

// Bounds of one formula.
const (
	maxFormula      = 1_000 // characters
	maxFormulaNodes = 100   // operations
	maxStack        = 32
)

// formula is an expression of a pack, compiled once to a program for a stack of
// numbers: no loops, no allocation, and its cost is its length. A condition is 1 or 0.
// What is not known is NaN and makes unknown what hangs on it, division by zero and
// the root of a negative number included; a condition that is false, or true, for
// every value of what is unknown is so (Kleene 1952).
type formula struct {
	steps   []formulaStep
	signals []string // in the order of the text; a step has their place
	boolean bool     // a condition, not a number
}

type formulaStep struct {
	op    formulaOp
	n     uint8 // of a signal: its place; of min and max: how many
	value float64
}

type formulaOp uint8

const (
	pushValue formulaOp = iota
	pushSignal
	opAdd
	opSubtract
	opMultiply
	opDivide
	opModulo
	opPower
	opNegate
	opLess
	opLessOrEqual
	opGreater
	opGreaterOrEqual
	opEqual
	opUnequal
	opAnd
	opOr
	opNot
	opElse   // a ?? b
	opChoose // a ? b : c
	opKnown
	opAbs
	opFloor
	opCeil
	opRound
	opSqrt
	opExp
	opLn
	opLog10
	opMin
	opMax
	opClamp
)

// run computes the formula of the signals' values, in the order of signals.
func (f *formula) run(values *[maxList]float64) float64 {
	var stack [maxStack]float64
	top := -1
	for i := range f.steps {
		s := &f.steps[i]
		switch s.op {
		case pushValue:
			top++
			stack[top] = s.value
		case pushSignal:
			top++
			stack[top] = values[s.n]
		case opNegate, opNot, opKnown, opAbs, opFloor, opCeil, opRound, opSqrt, opExp, opLn, opLog10:
			stack[top] = one(s.op, stack[top])
		case opChoose, opClamp:
			top -= 2
			stack[top] = three(s.op, stack[top], stack[top+1], stack[top+2])
		case opMin, opMax:
			top -= int(s.n) - 1
			stack[top] = extreme(s.op, stack[top:top+int(s.n)])
		default:
			top--
			stack[top] = two(s.op, stack[top], stack[top+1])
		}
	}
	return stack[0]
}

func one(op formulaOp, a float64) float64 {
	switch op {
	case opNegate:
		return -a
	case opNot:
		return 1 - a
	case opKnown:
		return truth(a == a)
	case opAbs:
		return math.Abs(a)
	case opFloor:
		return math.Floor(a)
	case opCeil:
		return math.Ceil(a)
	case opRound:
		return math.Round(a)
	case opSqrt:
		return math.Sqrt(a)
	case opExp:
		return finite(math.Exp(a))
	case opLn:
		return finite(math.Log(a))
	default:
		return finite(math.Log10(a))
	}
}

func two(op formulaOp, a, b float64) float64 {
	switch op {
	case opAdd:
		return finite(a + b)
	case opSubtract:
		return finite(a - b)
	case opMultiply:
		return finite(a * b)
	case opDivide:
		return finite(a / b)
	case opModulo:
		return math.Mod(a, b)
	case opPower:
		return finite(math.Pow(a, b))
	case opAnd:
		if a == 0 || b == 0 {
			return 0
		}
		return a * b
	case opOr:
		if a == 1 || b == 1 {
			return 1
		}
		return a + b
	case opElse:
		if a == a {
			return a
		}
		return b
	default:
		return compare(op, a, b)
	}
}

func compare(op formulaOp, a, b float64) float64 {
	if a != a || b != b {
		return math.NaN()
	}
	switch op {
	case opLess:
		return truth(a < b)
	case opLessOrEqual:
		return truth(a <= b)
	case opGreater:
		return truth(a > b)
	case opGreaterOrEqual:
		return truth(a >= b)
	case opEqual:
		return truth(a == b)
	default:
		return truth(a != b)
	}
}

func three(op formulaOp, a, b, c float64) float64 {
	if op == opClamp {
		if !(b <= c) {
			return math.NaN()
		}
		return math.Min(math.Max(a, b), c)
	}
	switch a {
	case 1:
		return b
	case 0:
		return c
	}
	return math.NaN()
}

// extreme is the least or greatest; unknown when one of them is.
func extreme(op formulaOp, list []float64) float64 {
	best := list[0]
	for _, v := range list[1:] {
		if op == opMin {
			best = math.Min(best, v)
		} else {
			best = math.Max(best, v)
		}
	}
	return best
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// finite makes unknown what is beyond numbers.
func finite(v float64) float64 {
	if math.Abs(v) <= math.MaxFloat64 {
		return v
	}
	return math.NaN()
}
