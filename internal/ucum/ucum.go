// Package ucum turns values from one unit of measure into another. Units are
// written in the Unified Code for Units of Measure (https://ucum.org), case
// sensitive: Cel, bar, [psi], L/min, 1/min. It knows the units of machines, not
// those of medicine, and nothing of who uses them.
package ucum

import (
	"fmt"
	"math"
)

// MaxUnit is the longest unit that is read, in bytes.
const MaxUnit = 64

// Linear turns a value into another unit: value*Factor + Offset.
type Linear struct{ Factor, Offset float64 }

// Of gives a value in the other unit.
func (l Linear) Of(value float64) float64 { return value*l.Factor + l.Offset }

// Back gives the value from which Of made this one.
func (l Linear) Back(value float64) float64 { return (value - l.Offset) / l.Factor }

// UnknownError is a text that is no unit.
type UnknownError struct{ Unit string }

func (e *UnknownError) Error() string { return fmt.Sprintf("%q is no unit that is known", e.Unit) }

// MismatchError names two units of different quantities, such as a pressure and a
// temperature.
type MismatchError struct{ From, To string }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("unit %s cannot become %s", named(e.From), named(e.To))
}

func named(unit string) string {
	if unit == "" {
		return "1"
	}
	return unit
}

// Convert says how values in one unit become values in another; "" is the unit 1.
// The error is an *UnknownError or a *MismatchError.
func Convert(from, to string) (Linear, error) {
	f, err := parse(from)
	if err != nil {
		return Linear{}, err
	}
	t, err := parse(to)
	if err != nil {
		return Linear{}, err
	}
	if f.of != t.of {
		return Linear{}, &MismatchError{From: from, To: to}
	}
	if f == t { // exactly the same, whatever rounding says
		return Linear{Factor: 1}, nil
	}
	l := Linear{Factor: f.size / t.size, Offset: (f.zero - t.zero) / t.size}
	if l.Factor == 0 || math.IsInf(l.Factor, 0) || math.IsInf(l.Offset, 0) {
		return Linear{}, &UnknownError{Unit: from} // 1e300 of anything is no unit
	}
	return l, nil
}

// Known says whether a text is a unit.
func Known(unit string) bool {
	_, err := parse(unit)
	return err == nil
}

// Alike lists the units of the trade that values in a unit can be turned into, in a
// fixed order.
func Alike(unit string) []string {
	u, err := parse(unit)
	if err != nil {
		return nil
	}
	var alike []string
	for _, usual := range usual {
		if other, err := parse(usual); err == nil && other.of == u.of {
			alike = append(alike, usual)
		}
	}
	return alike
}

// Lowest is the lowest value that a unit can have, its absolute zero where it is one
// of temperature; minus infinity for all others.
func Lowest(unit string) float64 {
	u, err := parse(unit)
	if err != nil || u.of != temperature {
		return math.Inf(-1)
	}
	return -u.zero/u.size - rounding
}

const rounding = 1e-6
