package ucum

import "math"

// quantity is what a unit measures, as powers of the base units.
type quantity struct{ length, time, mass, temperature, current, angle, amount, light int8 }

var temperature = quantity{temperature: 1}

// unit is a unit in terms of the base units m, s, g, K, A, rad, mol, cd:
// base value = value*size + zero.
type unit struct {
	size, zero float64
	of         quantity
}

// atom is a unit that others are made of; metric ones take prefixes.
type atom struct {
	unit
	metric bool
}

var (
	length    = quantity{length: 1}
	duration  = quantity{time: 1}
	mass      = quantity{mass: 1}
	angle     = quantity{angle: 1}
	area      = quantity{length: 2}
	volume    = quantity{length: 3}
	speed     = quantity{length: 1, time: -1}
	frequency = quantity{time: -1}
	force     = quantity{mass: 1, length: 1, time: -2}
	pressure  = quantity{mass: 1, length: -1, time: -2}
	energy    = quantity{mass: 1, length: 2, time: -2}
	power     = quantity{mass: 1, length: 2, time: -3}
	current   = quantity{current: 1}
	charge    = quantity{current: 1, time: 1}
	voltage   = quantity{mass: 1, length: 2, time: -3, current: -1}
	resist    = quantity{mass: 1, length: 2, time: -3, current: -2}
	conduct   = quantity{mass: -1, length: -2, time: 3, current: 2}
	capacity  = quantity{mass: -1, length: -2, time: 4, current: 2}
	induct    = quantity{mass: 1, length: 2, time: -2, current: -2}
	flux      = quantity{mass: 1, length: 2, time: -2, current: -1}
	induction = quantity{mass: 1, time: -2, current: -1}
)

func metric(size float64, of quantity) atom { return atom{unit{size: size, of: of}, true} }
func plain(size float64, of quantity) atom  { return atom{unit{size: size, of: of}, false} }

const (
	inch    = 0.0254
	pound   = 453.59237   // g
	gravity = 9.80665     // m/s2
	minute  = 60.0        // s
	gallon  = 231 * inch3 // m3, US
	inch3   = inch * inch * inch
	acre    = 4046.8726098743 // m2, US survey
)

// atoms are the units of UCUM that machines use, by case-sensitive code, with the
// values of its table of 2024.
var atoms = map[string]atom{
	"m": metric(1, length), "s": metric(1, duration), "g": metric(1, mass), "K": metric(1, temperature), "A": metric(1, current),
	"rad": metric(1, angle), "mol": metric(1, quantity{amount: 1}), "cd": metric(1, quantity{light: 1}),

	"Cel": {unit{size: 1, zero: 273.15, of: temperature}, true}, "[degF]": plainWith(5.0/9, 459.67*5/9, temperature), "[degR]": plain(5.0/9, temperature),
	"Hz": metric(1, frequency), "N": metric(1e3, force), "Pa": metric(1e3, pressure), "J": metric(1e3, energy), "W": metric(1e3, power),
	"C": metric(1, charge), "V": metric(1e3, voltage), "Ohm": metric(1e3, resist), "S": metric(1e-3, conduct), "F": metric(1e-3, capacity),
	"H": metric(1e3, induct), "Wb": metric(1e3, flux), "T": metric(1e3, induction),
	"L": metric(1e-3, volume), "l": metric(1e-3, volume), "ar": metric(100, area), "t": metric(1e6, mass), "bar": metric(1e8, pressure),
	"min": plain(minute, duration), "h": plain(60*minute, duration), "d": plain(24*60*minute, duration), "wk": plain(7*24*60*minute, duration),
	"a": plain(365.25*24*60*minute, duration), "mo": plain(365.25*24*60*minute/12, duration),
	"deg": plain(math.Pi/180, angle), "'": plain(math.Pi/180/60, angle), "''": plain(math.Pi/180/3600, angle), "gon": plain(math.Pi/200, angle), "circ": plain(2*math.Pi, angle),

	"%": plain(0.01, quantity{}), "[ppth]": plain(1e-3, quantity{}), "[ppm]": plain(1e-6, quantity{}), "[ppb]": plain(1e-9, quantity{}),
	"[pi]": plain(math.Pi, quantity{}), "10*": plain(10, quantity{}), "10^": plain(10, quantity{}),

	"atm": plain(101325e3, pressure), "att": plain(98066.5e3, pressure), "[psi]": plain(pound*gravity/(inch*inch), pressure),
	"m[H2O]": metric(9806.65e3, pressure), "m[Hg]": metric(133322e3, pressure), "[in_i'H2O]": plain(9806.65e3*inch, pressure), "[in_i'Hg]": plain(133322e3*inch, pressure),
	"gf": metric(gravity, force), "[lbf_av]": plain(pound*gravity, force), "dyn": metric(1e-2, force), "[g]": metric(gravity, quantity{length: 1, time: -2}),
	"[HP]": plain(550*12*inch*pound*gravity, power), "[Btu]": plain(1055.05585262e3, energy), "cal": metric(4.184e3, energy), "eV": metric(1.602176634e-16, energy),

	"[in_i]": plain(inch, length), "[ft_i]": plain(12*inch, length), "[yd_i]": plain(36*inch, length), "[mi_i]": plain(63360*inch, length), "[nmi_i]": plain(1852, length),
	"[mil_i]": plain(inch/1000, length), "[kn_i]": plain(1852/(60*minute), speed), "[acr_us]": plain(acre, area),
	"[sft_i]": plain(144*inch*inch, area), "[sin_i]": plain(inch*inch, area), "[cin_i]": plain(inch3, volume), "[cft_i]": plain(1728*inch3, volume), "[cyd_i]": plain(46656*inch3, volume),
	"[gal_us]": plain(gallon, volume), "[qt_us]": plain(gallon/4, volume), "[pt_us]": plain(gallon/8, volume), "[foz_us]": plain(gallon/128, volume), "[bbl_us]": plain(42*gallon, volume),
	"[gal_br]": plain(4.54609e-3, volume), "[lb_av]": plain(pound, mass), "[oz_av]": plain(pound/16, mass), "[ston_av]": plain(2000*pound, mass), "[lton_av]": plain(2240*pound, mass),
	"P": metric(100, quantity{mass: 1, length: -1, time: -1}), "St": metric(1e-4, quantity{length: 2, time: -1}), "G": metric(0.1, induction),
}

func plainWith(size, zero float64, of quantity) atom { return atom{unit{size, zero, of}, false} }

// prefixes of metric units.
var prefixes = map[string]float64{
	"Y": 1e24, "Z": 1e21, "E": 1e18, "P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "h": 1e2, "da": 1e1,
	"d": 1e-1, "c": 1e-2, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "a": 1e-18,
}

// usual are the units that are offered, those of one quantity in a row.
var usual = []string{
	"Cel", "[degF]", "K",
	"bar", "kPa", "MPa", "Pa", "mbar", "[psi]", "atm", "m[H2O]", "mm[Hg]",
	"L/min", "L/h", "L/s", "m3/h", "m3/min", "[gal_us]/min", "[gal_us]/h",
	"L", "mL", "m3", "[gal_us]", "[gal_br]",
	"kg", "g", "t", "[lb_av]",
	"kg/h", "t/h", "kg/s", "[lb_av]/h",
	"km/h", "m/s", "m/min", "mm/s", "[mi_i]/h", "[kn_i]",
	"m/s2", "mm/s2", "[g]",
	"m", "mm", "cm", "um", "km", "[in_i]", "[ft_i]", "[mi_i]",
	"h", "min", "s", "ms", "d",
	"1/min", "Hz", "1/s", "kHz", "/h",
	"kW", "W", "MW", "[HP]",
	"kW.h", "MJ", "kJ", "J", "MW.h", "[Btu]",
	"N", "kN", "[lbf_av]",
	"V", "mV", "kV", "A", "mA", "Ohm", "kOhm", "A.h", "C",
	"deg", "rad", "deg/s",
	"%", "1", "[ppth]", "[ppm]",
	"kg/m3", "g/L", "m2", "cSt", "mm2/s", "kPa/min", "bar/min", "Cel/min", "K/min",
}
