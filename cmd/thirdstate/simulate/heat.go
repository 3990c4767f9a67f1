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
	lag    float64                               // seconds while it runs
	cold   float64                               // seconds while it stands
	power  func(load float64) float64            // at a load
	target func(power float64, at int64) float64 // rise at which heat and cooling are equal
}

// warm goes through the last hours slot by slot; within a slot the load is even, so
// each step is exact.
func (u *unit) warm(at int64, b *body) warmth {
	var w warmth
	begin := floorDiv(at, slotSeconds) - heatSlots
	for i := begin; i*slotSeconds < at; i++ {
		from, to := i*slotSeconds, min((i+1)*slotSeconds, at)
		s := u.slot(from)
		power, target, lag := 0.0, 0.0, b.cold
		if s.on {
			power = b.power(s.load)
			target, lag = b.target(power, from), b.lag
		}
		passed := float64(to - from)
		w.power += (power - w.power) * (1 - math.Exp(-passed/powerLag))
		w.rise += (target - w.rise) * (1 - math.Exp(-passed/lag))
	}
	return w
}
