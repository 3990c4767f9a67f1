package simulate

import (
	"math"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// Failure modes that the simulator knows, by the names in the rule packs. The unit
// of a fault's Reach stands behind each.
const (
	FouledCooler     = "fouled_cooler"      // K at usual load; a leaking fan motor looks the same
	WornWearPlate    = "worn_wear_plate"    // percent of the cylinder's volume
	HydraulicLeak    = "hydraulic_leak"     // pump truck: percent of the tank; excavator: bar of pilot pressure
	BlockedFilter    = "blocked_filter"     // bar across the return filter
	BlockedAirFilter = "blocked_air_filter" // kPa of vacuum
	WornMainPump     = "worn_main_pump"     // L/min of case drain
	Bearing          = "bearing"            // mm/s, with 4 K for each of them
	BlockedSeparator = "blocked_separator"  // bar
	AirLeak          = "air_leak"           // kPa/min
	Injector         = "injector"           // K between the banks
	Imbalance        = "imbalance"          // mm/s
	CoolantLeak      = "coolant_leak"       // percent of the tank
	BlockedVent      = "blocked_vent"       // K of the winding
	SensorFailure    = "sensor_failure"     // none: the value freezes
)

// speech gathers what a machine says at one instant.
type speech struct {
	u      *unit
	at     int64
	slot   slot
	meter  reading
	values []observation.Value
}

// values computes every signal of an instant.
func (u *unit) values(at int64) []observation.Value {
	s := &speech{u: u, at: at, slot: u.slot(at), meter: u.read(at), values: make([]observation.Value, 0, 20)}
	switch u.kind {
	case "concrete_pump":
		s.pump()
	case "excavator":
		s.excavator()
	case "compressor":
		s.compressor()
	case "genset":
		s.genset()
	}
	return s.values
}

// say adds a signal with its noise (spread of single values) and its drift (spread
// of what nobody explains and comes and goes over hours), rounded as sensors round.
func (s *speech) say(signal string, value, noise, drift, step float64) {
	n := uint64(len(s.values))
	if noise > 0 {
		value += noise * gauss(s.u.seed, streamNoise+n, s.at)
	}
	if drift > 0 {
		value += drift * (0.8*wander(s.u.seed, streamWander+n, s.at, 5*3600) + 0.6*wander(s.u.seed, streamWander+50+n, s.at, 4*86400))
	}
	s.values = append(s.values, observation.Value{Signal: signal, Value: rounded(value, step)})
}

func rounded(v, step float64) float64 {
	v = math.Round(v/step) * step
	return math.Round(v*1e6) / 1e6
}

// self is the machine's own character, a number of mean 0 and spread 1.
func (u *unit) self(i int64) float64 { return gauss(u.seed, streamSelf, i) }

// momentary is the load of this instant: within a slot it breathes.
func (s *speech) momentary() float64 {
	if s.slot.load == 0 {
		return 0
	}
	return math.Max(0.02, s.slot.load*(1+0.07*gauss(s.u.seed, streamNoise+90, s.at)))
}

// sensorNoise is the spread of a temperature sensor, K.
const sensorNoise = 0.3

// sensor says a temperature, frozen since its sensor has failed.
func (s *speech) sensor(signal string, value func(at int64) float64, drift float64) {
	if onset := s.u.onset(SensorFailure, s.at); onset > 0 {
		frozen := *s
		frozen.at, frozen.values = onset, make([]observation.Value, len(s.values), len(s.values)+1)
		frozen.say(signal, value(onset), sensorNoise, drift, 0.1)
		s.values = append(s.values, frozen.values[len(s.values)])
		return
	}
	s.say(signal, value(s.at), sensorNoise, drift, 0.1)
}

// counters are those that every machine has.
func (s *speech) counters(perLoadHour float64) {
	s.say("operating_hours", s.u.Hours+s.meter.hours-s.u.known.hours, 0, 0, 0.05)
	if perLoadHour > 0 {
		s.say("pumped_volume", s.u.Volume+(s.meter.volume-s.u.known.volume)*perLoadHour, 0, 0, 0.5)
	}
}

// fuel falls with the hours and is filled up when a tank has gone.
func (s *speech) fuel(tankHours float64) {
	used := math.Mod(s.meter.hours+tankHours*uniform(s.u.seed, streamSelf, 99), tankHours)
	s.say("fuel_level", 95-80*used/tankHours, 0.4, 0, 0.5)
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
