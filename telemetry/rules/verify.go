package rules

import (
	"math"
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules/statistics"
)

// defaultVerifyHours is how long a machine must run in the regime after a repair
// before a rule without a wish of its own says anything.
const defaultVerifyHours = 2.0

// verifyShare of the limit may remain where the rule does not say how much.
const verifyShare = 0.4

// Verify says whether the signal of a finding is back within its band, in the same
// regime and against the same baseline, after a repair. The rows must be those
// since the repair, in order of time. The newest stretch of the needed length
// decides, by its median: what a machine does while it warms up after the repair
// says nothing.
func Verify(rule *Rule, ev Evidence, after []observation.Observation) Verdict {
	v := Verdict{NeededHours: rule.Verify.RegimeHours, Limit: rule.Verify.MaxEffect}
	if v.NeededHours == 0 {
		v.NeededHours = defaultVerifyHours
	}
	if rule.Kind == "silence" {
		v.Enough = len(after) > 0
		v.Passed = v.Enough
		return v
	}
	switch rule.Kind {
	case "lamp", "codes", "precursors":
		return verifyLamp(ev, after, v)
	case "expression", "combined", "cleanliness":
		return verifyAgain(rule, after, v)
	}
	rests, total := rests(rule, ev, after, v.NeededHours)
	v.RegimeHours = total
	v.Enough = len(rests) > 0 && total >= v.NeededHours
	if len(rests) == 0 {
		return v
	}
	switch rule.Kind {
	case "stuck", "sensors":
		v.Deviation = stillness(rule, rests)
		v.Limit = 0
	case "rate":
		v.Limit = math.Max(v.Limit, math.Abs(ev.Limit)*verifyShare)
		v.Deviation = steepness(rests) * rule.Window.Hours()
	case "threshold", "zones":
		v.Deviation = beyond(rule, rests)
	default:
		if v.Limit == 0 {
			v.Limit = verifyShare * math.Abs(ev.Limit)
		}
		v.Deviation = middle(rests)
	}
	v.Passed = v.Enough && sided(rule.Direction, v.Deviation) <= v.Limit
	return v
}

// verifyLamp passes when a machine has run for a while and none of the codes came again.
func verifyLamp(ev Evidence, after []observation.Observation, v Verdict) Verdict {
	for i := range after {
		if i > 0 {
			v.RegimeHours += min(after[i].At.Sub(after[i-1].At), 15*time.Minute).Hours()
		}
		for _, c := range ev.Causes {
			if x, ok := after[i].Get(c.Signal); ok && x > 0 {
				v.Deviation = 1
			}
		}
	}
	v.Limit = 0
	v.Enough = v.Deviation > 0 || v.RegimeHours >= v.NeededHours
	v.Passed = v.Enough && v.Deviation == 0
	return v
}

// rest is a value with its baseline taken off.
type rest struct {
	hours float64 // in the regime, since the repair
	value float64
}

// rests computes what the baseline leaves of each row in the regime, for the
// newest stretch of needed hours, and how many hours there were in all.
func rests(rule *Rule, ev Evidence, after []observation.Observation, needed float64) (list []rest, total float64) {
	signal := rule.Signal
	if signal == "" {
		signal = ev.Signal
	}
	var last time.Time
	var period time.Duration
	paused := true
	held := map[string]float64{}
	for i := range after {
		o := &after[i]
		for _, v := range o.Values {
			if v.Quality <= observation.Unmapped && math.Abs(v.Value) <= greatest {
				held[v.Signal] = v.Value
			}
		}
		y, ok := judged(rule, signal, o, held)
		if !ok || !(math.Abs(y) <= greatest) {
			continue
		}
		if !inside(rule.Regime, held) {
			paused = true
			continue
		}
		passed := o.At.Sub(last)
		if !last.IsZero() && (period == 0 || passed < period) {
			period = passed
		}
		if !paused {
			total += min(passed, max(statistics.GapPeriods*period, 5*time.Minute)).Hours()
		}
		last, paused = o.At, false
		if normal, ok := expected(rule, ev.Model, held); ok {
			list = append(list, rest{total, y - normal})
		}
	}
	from, _ := slices.BinarySearchFunc(list, total-needed, func(r rest, h float64) int {
		if r.hours < h {
			return -1
		}
		return 1
	})
	return list[from:], total
}

// judged is the number that the rule looks at, of what an observation says.
func judged(rule *Rule, signal string, o *observation.Observation, held map[string]float64) (float64, bool) {
	if rule.formula == nil {
		return o.Get(signal)
	}
	var values [maxList]float64
	said := false
	for i, name := range rule.formula.signals {
		v, ok := held[name]
		if values[i] = v; !ok {
			values[i] = math.NaN()
		}
		_, now := o.Get(name)
		said = said || now
	}
	y := rule.formula.run(&values)
	return y, said && y == y
}

func inside(regime map[string]Range, held map[string]float64) bool {
	for name, limits := range regime {
		if v, ok := held[name]; !ok || v < limits.Low || v > limits.High {
			return false
		}
	}
	return true
}

// expected is the normal value in these circumstances; without a model only what
// the rule subtracts.
func expected(rule *Rule, model *Model, held map[string]float64) (float64, bool) {
	if model == nil {
		sum := 0.0
		for _, name := range rule.Minus {
			v, ok := held[name]
			if !ok {
				return 0, false
			}
			sum += v
		}
		return sum, true
	}
	sum := model.Level
	for _, t := range model.Terms {
		v, ok := held[t.Signal]
		if !ok {
			return 0, false
		}
		sum += t.Slope * (v - t.Mean)
	}
	return sum, true
}

func values(list []rest) []float64 {
	out := make([]float64, len(list))
	for i, r := range list {
		out[i] = r.value
	}
	return out
}

func middle(list []rest) float64 { return statistics.Median(values(list)) }

// beyond is how far the value goes over the rule's limit for more than a tenth of the time.
func beyond(rule *Rule, list []rest) float64 {
	v := values(list)
	slices.Sort(v)
	over := 0.0
	if rule.Above != nil {
		over = math.Max(over, v[(len(v)-1)*9/10]-*rule.Above)
	}
	if rule.Below != nil {
		over = math.Max(over, *rule.Below-v[(len(v)-1)/10])
	}
	return over
}

// stillness is the share of the rule's tolerance that the values did not leave: 0 when
// the sensor moves again, 1 when it does not.
func stillness(rule *Rule, list []rest) float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for _, r := range list {
		low, high = math.Min(low, r.value), math.Max(high, r.value)
	}
	if (rule.After > 0 || rule.Kind == "sensors") && high-low <= rule.Tolerance {
		return 1
	}
	return 0
}

// steepness is the slope per hour between the middles of both halves.
func steepness(list []rest) float64 {
	half := len(list) / 2
	if half == 0 {
		return 0
	}
	hours := list[len(list)-1].hours - list[0].hours
	if hours <= 0 {
		return 0
	}
	return (middle(list[half:]) - middle(list[:half])) / (hours / 2)
}

func sided(d Direction, v float64) float64 {
	switch d {
	case Up:
		return v
	case Down:
		return -v
	case Both:
	}
	return math.Abs(v)
}
