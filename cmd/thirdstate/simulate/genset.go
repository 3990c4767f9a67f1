package simulate

import "math"

func (u *unit) gensetBody() *body {
	own := 1 + 0.04*u.self(0)
	return &body{
		lag: 1500 + 150*u.self(1), cold: 2400,
		power: func(load float64) float64 { return 500 * load },
		target: func(power, _ float64, at int64) float64 {
			return own*(24+0.13*power) + u.effect(BlockedVent, at)*(0.4+power/400)
		},
	}
}

func (s *speech) genset() {
	u := s.u
	w := u.warm(s.at, u.gensetBody())
	load, air, on := s.momentary(), u.ambient(s.at), flag(s.slot.on)
	power := 500 * load
	s.say("running", on, 0, 0, 1)
	s.say("power", on*power, 3*on, 0, 1)
	s.say("power_avg", w.power, 1, 0, 0.1)
	s.say("ambient_temp", air+0.5*u.self(2), 0.25, 0.3, 0.1)
	warm := math.Min(1, w.rise/25)
	s.sensor("coolant_temp", func(at int64) float64 {
		w := w
		if at != s.at {
			w = u.warm(at, u.gensetBody())
		}
		air := u.ambient(at)
		return air + (80+0.012*w.power-0.6*(air-25)-air)*math.Min(1, w.rise/25)
	}, 0.4)
	gas := 235 + 0.42*w.power
	injector := u.effect(Injector, s.at) * (0.5 + w.power/400)
	s.say("exhaust_temp_left", air+on*(gas+4*u.self(3)+injector), 2, 1.5, 0.5)
	s.say("exhaust_temp_right", air+on*(gas+4*u.self(4)), 2, 1.5, 0.5)
	s.say("oil_pressure", on*(4.6+0.1*u.self(5)-0.25*warm+0.0004*power), 0.04*on, 0.03*on, 0.01)
	s.say("vibration", on*(5.2+0.5*u.self(6)+2.4*load+u.effect(Imbalance, s.at)), 0.25*on, 0.2*on, 0.01)
	s.say("winding_temp", air+w.rise+u.self(7), 0.4, 0.6, 0.1)
	s.say("coolant_level", math.Max(0, 88+2*u.self(8)+2*warm-u.effect(CoolantLeak, s.at)), 0.2, 0.15, 0.1)
	s.say("frequency", on*50, 0.03*on, 0.01*on, 0.01)
	s.say("battery_voltage", 25.4+2.5*on+0.1*u.self(9), 0.06, 0.05, 0.01)
	s.fuel(20)
	s.counters(0)
}
