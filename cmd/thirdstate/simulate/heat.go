package simulate

import "math"

// heatSlots is how far back a temperature remembers: twelve hours.
const heatSlots = 48

// powerLag is the time constant of the mean power that machines report, seconds.
const powerLag = 1800.0

// warmth is the state that lags behind the load.
type warmth struct {
	power float64 // exponential mean of the power over half an hour
	rise  float64 // of the medium above the air, K
}

// body says how a machine's medium takes heat.
type body struct {
	lag    float64                                    // seconds while it runs
	cold   float64                                    // seconds while it stands
	power  func(load float64) float64                 // at a load
	target func(power, air float64, at int64) float64 // rise at which heat and cooling are equal
}

// warm goes through the last hours slot by slot; within a slot the load is even, so
// each step is exact.
func (u *unit) warm(at int64, b *body) warmth {
	var w warmth
	step := func(passed float64) (power, hot, cold float64) {
		return 1 - math.Exp(-passed/powerLag), 1 - math.Exp(-passed/b.lag), 1 - math.Exp(-passed/b.cold)
	}
	byPower, byLag, byCold := step(slotSeconds)
	last := floorDiv(at, slotSeconds)
	for i := last - heatSlots; i <= last; i++ {
		from := i * slotSeconds
		if i == last {
			byPower, byLag, byCold = step(float64(at - from))
		}
		m := u.slotAt(i)
		power, target, share := 0.0, 0.0, byCold
		if m.slot.on {
			power = b.power(m.slot.load)
			target, share = b.target(power, m.air, from), byLag
		}
		w.power += (power - w.power) * byPower
		w.rise += (target - w.rise) * share
	}
	return w
}
