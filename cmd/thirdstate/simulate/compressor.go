package simulate

import "math"

func (u *unit) compressorBody() *body {
	own := 1 + 0.03*u.self(0)
	return &body{
		lag: 900 + 100*u.self(1), cold: 2000,
		power: func(load float64) float64 { return 38 + 100*load },
		target: func(power, _ float64, at int64) float64 {
			return own * (36 + 0.15*power) * (1 + u.effect(FouledCooler, at)/48)
		},
	}
}

// compressorHouse is the air that a compressor takes in.
func (u *unit) compressorHouse(at int64) float64 { return 12 + 0.65*u.ambient(at) }

func (s *speech) compressor() {
	u := s.u
	b := u.compressorBody()
	w := u.warm(s.at, b)
	load, on := s.momentary(), flag(s.slot.on)
	intake := u.compressorHouse(s.at)
	s.say("running", on, 0, 0, 1)
	s.say("load", on*100*load, on, 0, 0.5)
	s.say("motor_power_avg", w.power, 0.4, 0, 0.1)
	s.say("intake_temp", intake+0.5*u.self(2), 0.2, 0.3, 0.1)
	s.sensor("discharge_temp", func(at int64) float64 {
		if at == s.at {
			return intake + w.rise + u.self(3)
		}
		return u.compressorHouse(at) + u.warm(at, b).rise + u.self(3)
	}, 0.5)
	s.say("discharge_pressure", on*(6.6+0.7*load+0.1*u.self(4)), 0.04*on, 0.03*on, 0.01)
	s.say("motor_current", on*(88+165*load), 1.5*on, 1.5*on, 0.5)
	bearing := u.effect(Bearing, s.at)
	s.say("bearing_temp", intake+w.rise*0.72+9+u.self(5)+4*bearing*on, 0.4, 0.5, 0.1)
	s.say("vibration", on*(2.1+0.3*u.self(6)+1.1*load+bearing), 0.14*on, 0.1*on, 0.01)
	s.say("separator_dp", on*math.Max(0.05, 0.16+0.02*u.self(7)+0.14*load+u.effect(BlockedSeparator, s.at)*(0.4+load)), 0.012*on, 0.01*on, 0.001)
	s.say("pressure_decay", math.Max(0, 9+1.2*u.self(8)+u.effect(AirLeak, s.at)), 0.8, 0.8, 0.1)
	s.counters(0)
}
