package simulate

import "math"

// diggerSize is what differs between the excavators.
type diggerSize struct {
	power float64 // kW at full load
	heat  float64 // K of oil per kW
}

var diggerSizes = map[string]diggerSize{
	"BE215": {power: 105, heat: 0.60},
	"BE365": {power: 190, heat: 0.34},
}

func (u *unit) diggerBody() *body {
	size := diggerSizes[u.Model]
	own := 1 + 0.05*u.self(0)
	return &body{
		lag: 1800 + 90*u.self(1), cold: 2400,
		power: func(load float64) float64 { return size.power * (0.15 + 0.85*load) },
		target: func(power, air float64, at int64) float64 {
			rise := own * size.heat * power * (1 - 0.003*(air-25))
			return rise * (1 + u.effect(FouledCooler, at)/usualRise)
		},
	}
}

func (s *speech) excavator() {
	u, size := s.u, diggerSizes[s.u.Model]
	b := u.diggerBody()
	w := u.warm(s.at, b)
	load, air, on := s.momentary(), u.ambient(s.at), flag(s.slot.on)
	oil := air + w.rise
	s.say("ignition", on, 0, 0, 1)
	s.say("engine_speed", on*(950+850*math.Min(1, 3*load)), 8*on, 0, 1)
	s.say("engine_load", on*(14+80*load), 2*on, 0, 0.5)
	s.say("engine_power_avg", w.power, 0.4, 0, 0.1)
	s.say("ambient_temp", air+u.self(2)*0.5, 0.25, 0.3, 0.1)
	s.sensor("hydraulic_oil_temp", func(at int64) float64 {
		if at == s.at {
			return oil + u.self(3)
		}
		return u.ambient(at) + u.warm(at, b).rise + u.self(3)
	}, 0.45)
	s.say("coolant_temp", air+(57+9*math.Min(1, w.power/size.power))*math.Min(1, w.rise/20), 0.5, 0.5, 0.5)
	s.say("main_pump_pressure", on*(35+270*load), 5*on, 0, 1)
	pilot := 39 + 0.4*u.self(4) - 0.02*(oil-55) - u.effect(HydraulicLeak, s.at)
	s.say("pilot_pressure", on*math.Max(0, pilot), 0.35*on, 0.2*on, 0.1)
	drain := 4 + 0.5*u.self(5) + 0.06*(oil-50) + 5*load
	s.say("case_drain_flow", on*(drain+u.effect(WornMainPump, s.at)*(0.4+1.2*load)), 0.3*on, 0.25*on, 0.1)
	vacuum := 1.1 + 0.1*u.self(6) + 2.2*math.Min(1, 3*load)*(0.6+0.4*load)
	s.say("air_filter_vacuum", on*(vacuum+u.effect(BlockedAirFilter, s.at)*(0.5+load)), 0.08*on, 0.08*on, 0.01)
	s.say("engine_oil_pressure", on*(2.2+1.9*math.Min(1, 3*load)-0.008*(oil-50)), 0.05*on, 0.03*on, 0.01)
	s.say("battery_voltage", 25.2+2.8*on+0.1*u.self(7), 0.08, 0.05, 0.01)
	s.fuel(14)
	s.counters(0)
}
