package simulate

import "math"

// pumpSize is what differs between the pump trucks.
type pumpSize struct {
	power  float64 // kW at full load
	heat   float64 // K of oil per kW
	volume float64 // m³ an hour at full load
}

var pumpSizes = map[string]pumpSize{
	"BC5430THB-56": {power: 160, heat: 0.45, volume: 95},
	"BC5230THB-37": {power: 112, heat: 0.62, volume: 70},
}

// usualRise is the oil's rise at usual load, to which FouledCooler refers.
const usualRise = 29.0

func (u *unit) pumpBody() *body {
	size := pumpSizes[u.Model]
	own := 1 + 0.05*u.self(0)
	return &body{
		lag: 1800 + 90*u.self(1), cold: 2400,
		power: func(load float64) float64 { return 8 + size.power*load },
		target: func(power, air float64, at int64) float64 {
			rise := own * size.heat * power * (1 - 0.003*(air-25))
			return rise * (1 + u.effect(FouledCooler, at)/usualRise)
		},
	}
}

func (s *speech) pump() {
	u, size := s.u, pumpSizes[s.u.Model]
	b := u.pumpBody()
	w := u.warm(s.at, b)
	load, air := s.momentary(), u.ambient(s.at)
	oil := air + w.rise
	pumping := load > 0.05
	s.say("ignition", flag(s.slot.on), 0, 0, 1)
	s.say("engine_speed", flag(s.slot.on)*(750+900*math.Min(1, 2*load)), 8*flag(s.slot.on), 0, 1)
	s.say("pump_pressure", flag(pumping)*(45+245*load), 3*flag(pumping), 0, 1)
	s.say("pump_power_avg", w.power, 0.4, 0, 0.1)
	s.say("stroke_rate", flag(pumping)*(7+15*load), 0.3*flag(pumping), 0, 0.1)
	s.say("ambient_temp", air+u.self(2)*0.5, 0.25, 0.3, 0.1)
	s.sensor("hydraulic_oil_temp", func(at int64) float64 {
		if at == s.at {
			return oil + u.self(3)
		}
		return u.ambient(at) + u.warm(at, b).rise + u.self(3)
	}, 0.45)
	s.say("coolant_temp", air+(58+8*math.Min(1, w.power/size.power))*math.Min(1, w.rise/20), 0.5, 0.5, 0.5)
	if pumping {
		efficiency := 88 + u.self(4) - 5*(load-0.5) - u.effect(WornWearPlate, s.at)
		s.say("filling_efficiency", efficiency, 1.0, 0.8, 0.1)
	} else {
		s.say("filling_efficiency", 0, 0, 0, 0.1)
	}
	level := 78 + 2*u.self(5) + 0.05*(oil-45) - u.effect(HydraulicLeak, s.at)
	s.say("hydraulic_oil_level", math.Max(0, level), 0.2, 0.2, 0.1)
	thick := math.Max(0, 1-(oil-20)/35)
	s.say("return_filter_dp", flag(s.slot.on)*(0.4+1.3*load+0.5*thick+u.effect(BlockedFilter, s.at)*(0.6+0.8*load)), 0.05*flag(s.slot.on), 0.03, 0.01)
	s.fuel(26)
	s.counters(size.volume)
}
