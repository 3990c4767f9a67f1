package rules

import (
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// troubleShare of the time since a repair may be trouble: what a machine does while
// it starts says nothing.
const troubleShare = 0.1

// verifyAgain lets the rule look at the rows since the repair as if it had never
// seen the machine, and passes when it finds no trouble in nine tenths of the newest
// stretch of the needed length. Deviation is the share of trouble.
func verifyAgain(rule *Rule, after []observation.Observation, v Verdict) Verdict {
	spans := looks(rule, after)
	for _, s := range spans {
		v.RegimeHours += s.hours
	}
	hours, trouble := 0.0, 0.0
	for i := len(spans) - 1; i >= 0 && hours < v.NeededHours; i-- {
		hours += spans[i].hours
		if spans[i].state == Trouble {
			trouble += spans[i].hours
		}
	}
	v.Limit = troubleShare
	if v.Enough = hours > 0 && v.RegimeHours >= v.NeededHours; hours > 0 {
		v.Deviation = trouble / hours
	}
	v.Passed = v.Enough && v.Deviation <= v.Limit
	return v
}

// look is what a rule made of a row, and the time up to the row after it.
type look struct {
	state State
	hours float64
}

// looks shows the rows to a new evaluator of the rule; rows outside its regime, or of
// which it says nothing, are left out.
func looks(rule *Rule, after []observation.Observation) []look {
	kind := kindOf(rule.Kind)
	numbers := map[string]int{}
	row := Row{}
	number := func(name string) int {
		if n, ok := numbers[name]; ok {
			return n
		}
		numbers[name] = len(row.names)
		row.grow(name)
		row.suspect = append(row.suspect, false)
		return numbers[name]
	}
	eval := kind.New(rule, number)
	var list []look
	for i := range after {
		o := &after[i]
		row.clear(o.At.UnixNano())
		for _, x := range o.Values {
			if n := number(x.Signal); n < maxSignals && x.Quality <= observation.Unmapped && x.Value == x.Value {
				row.put(uint16(n), x.Value, true) //nolint:gosec // below maxSignals
			}
		}
		j := eval.Observe(&row)
		if j.State <= Outside || i+1 == len(after) {
			continue
		}
		list = append(list, look{j.State, min(after[i+1].At.Sub(o.At), 15*time.Minute).Hours()})
	}
	return list
}
