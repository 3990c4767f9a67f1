package rules

import (
	"math"
	"time"
)

// maxSignals bounds the signals of one machine; further ones are counted and not looked at.
const maxSignals = 256

// heldFor is how long the last value of a regime or context signal stands in for
// one that the row itself does not have: some gateways send each signal alone.
const heldFor = int64(15 * time.Minute)

// Row is what one machine reported at one instant, by signal number. An
// evaluator reads it and keeps nothing of it.
type Row struct {
	at      int64 // Unix ns
	now     []float64
	held    []float64
	heldAt  []int64
	bad     []bool   // implausible in this row
	suspect []bool   // the machine's: a sensor rule is open on it
	flagged []bool   // a limit or sensor rule is in trouble on this signal
	set     []uint16 // signals that this row has, implausible ones included
	names   []string
	roles   []Role // "" = not in the pack
}

// At is the row's event time.
func (r *Row) At() time.Time { return unix(r.at) }

func unix(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// Value is a signal's trusted value in this row, NaN when it has none.
func (r *Row) Value(number int) float64 { return r.now[number] }

// Held is a signal's value in this row or, for a while, its last one; else NaN.
func (r *Row) Held(number int) float64 {
	if r.heldAt[number] != 0 && r.at-r.heldAt[number] <= heldFor {
		return r.held[number]
	}
	return math.NaN()
}

// Implausible says whether this row holds a value of the signal that cannot be.
func (r *Row) Implausible(number int) bool { return r.bad[number] }

// doubted says whether a signal's sensor is held to be at fault.
func (r *Row) doubted(number int) bool { return r.bad[number] || r.suspect[number] }

// Flagged says whether another rule already holds the signal to be in trouble:
// such rows teach nothing.
func (r *Row) Flagged(number int) bool { return r.flagged[number] }

func (r *Row) grow(name string) {
	r.names = append(r.names, name)
	r.roles = append(r.roles, "")
	r.now = append(r.now, math.NaN())
	r.held = append(r.held, math.NaN())
	r.heldAt = append(r.heldAt, 0)
	r.bad = append(r.bad, false)
	r.flagged = append(r.flagged, false)
}

// clear makes room for the next row.
func (r *Row) clear(at int64) {
	for _, n := range r.set {
		r.now[n], r.bad[n] = math.NaN(), false
	}
	for i := range r.flagged {
		r.flagged[i] = false
	}
	r.set, r.at = r.set[:0], at
}

func (r *Row) put(number uint16, v float64, plausible bool) {
	r.set = append(r.set, number)
	if !plausible {
		r.bad[number] = true
		return
	}
	r.now[number], r.held[number], r.heldAt[number] = v, v, r.at
}

// input turns a row into the one number that a rule looks at: a signal, minus
// others, or a formula, inside a regime.
type input struct {
	signal  int
	minus   []int
	formula *formula
	numbers []int // of the formula's signals
	regime  []bound
	shown   float64 // the number before anything was subtracted, of the row that was read last
}

type bound struct {
	number    int
	low, high float64
}

func newInput(r *Rule, numbers Numbers) input {
	in := input{signal: -1, regime: bounds(r, numbers)}
	if r.Signal != "" {
		in.signal = numbers(r.Signal)
	}
	for _, s := range r.Minus {
		in.minus = append(in.minus, numbers(s))
	}
	if in.formula = r.formula; in.formula != nil {
		for _, s := range in.formula.signals {
			in.numbers = append(in.numbers, numbers(s))
		}
	}
	return in
}

func bounds(r *Rule, numbers Numbers) []bound {
	var list []bound
	for _, name := range regimeSignals(r) {
		list = append(list, bound{numbers(name), r.Regime[name].Low, r.Regime[name].High})
	}
	return list
}

// read gives the number, and Calm when it counts; else why it does not.
func (in *input) read(r *Row) (float64, State) {
	if !in.concerned(r) {
		return 0, Nothing
	}
	if !within(r, in.regime) {
		return 0, Outside
	}
	x := r.now[in.signal]
	if in.formula != nil {
		var values [maxList]float64
		for i, n := range in.numbers {
			values[i] = r.Held(n)
		}
		x = in.formula.run(&values)
	}
	in.shown = x
	for _, n := range in.minus {
		x -= r.Held(n)
	}
	if x != x {
		return 0, Nothing
	}
	return x, Calm
}

// concerned says whether the row has the signal, or one of the formula's.
func (in *input) concerned(r *Row) bool {
	if in.formula == nil {
		return r.now[in.signal] == r.now[in.signal]
	}
	for _, n := range in.numbers {
		if r.now[n] == r.now[n] {
			return true
		}
	}
	return false
}

// within says whether the machine is in the regime; an unknown value is not.
func within(r *Row, regime []bound) bool {
	for i := range regime {
		b := &regime[i]
		if v := r.Held(b.number); !(v >= b.low && v <= b.high) {
			return false
		}
	}
	return true
}
