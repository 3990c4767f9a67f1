package ucum

import (
	"errors"
	"strings"
)

// spoken lists units as senders write them, folded, with what they mean in UCUM: the
// names of SenML (RFC 8428, RFC 8798) that are none, and what people write into the
// engineering unit of a tag. Add yours here.
//
//nolint:gochecknoglobals // a list, never written
var spoken = map[string]string{
	"degc": "Cel", "c": "Cel", "celsius": "Cel", "degcelsius": "Cel", "degf": "[degF]", "f": "[degF]", "fahrenheit": "[degF]", "kelvin": "K", "degk": "K",
	"bars": "bar", "barg": "bar", "barabs": "bar", "kpa": "kPa", "mpa": "MPa", "pa": "Pa", "hpa": "hPa", "psi": "[psi]", "psig": "[psi]", "inhg": "[in_i'Hg]", "mmhg": "mm[Hg]",
	"rpm": "/min", "r/min": "/min", "rev/min": "/min", "u/min": "/min", "beat/min": "/min", "hz": "Hz", "khz": "kHz",
	"hr": "h", "hrs": "h", "hour": "h", "hours": "h", "mins": "min", "minutes": "min", "sec": "s", "secs": "s", "seconds": "s", "day": "d", "days": "d",
	"percent": "%", "pct": "%", "%rh": "%", "rh": "%", "%el": "%", "el": "1", "/": "1", "/100": "%", "/1000": "[ppth]", "ppm": "[ppm]", "count": "1", "counts": "1", "pcs": "1", "none": "1",
	"l": "L", "liter": "L", "liters": "L", "litre": "L", "litres": "L", "l/s": "L/s", "l/min": "L/min", "lpm": "L/min", "l/h": "L/h", "l/hr": "L/h", "lph": "L/h", "ml": "mL",
	"gal": "[gal_us]", "gallon": "[gal_us]", "gallons": "[gal_us]", "gpm": "[gal_us]/min", "gph": "[gal_us]/h", "gal/min": "[gal_us]/min", "gal/h": "[gal_us]/h", "m3/hr": "m3/h", "cbm": "m3",
	"kw": "kW", "w": "W", "watt": "W", "watts": "W", "kwh": "kW.h", "mwh": "MW.h", "wh": "W.h", "hp": "[HP]", "kva": "kV.A", "kvar": "kV.A", "va": "V.A", "var": "V.A", "ah": "A.h",
	"volt": "V", "volts": "V", "v": "V", "mv": "mV", "kv": "kV", "amp": "A", "amps": "A", "ampere": "A", "a": "A", "ma": "mA", "ohm": "Ohm", "ohms": "Ohm", "kohm": "kOhm",
	"kmh": "km/h", "kph": "km/h", "km/hr": "km/h", "mph": "[mi_i]/h", "m/sec": "m/s", "mm/sec": "mm/s", "mps": "m/s", "mm/srms": "mm/s", "m/s^2": "m/s2", "mm/s^2": "mm/s2",
	"in": "[in_i]", "inch": "[in_i]", "inches": "[in_i]", "ft": "[ft_i]", "feet": "[ft_i]", "mi": "[mi_i]", "mile": "[mi_i]", "miles": "[mi_i]", "um": "um", "meter": "m", "meters": "m",
	"lb": "[lb_av]", "lbs": "[lb_av]", "kg/hr": "kg/h", "ton": "t", "tons": "t", "tonne": "t", "tonnes": "t", "nm": "N.m", "n-m": "N.m", "kn": "kN", "lbf": "[lbf_av]",
	"deg": "deg", "degree": "deg", "degrees": "deg", "lat": "deg", "lon": "deg", "deg/sec": "deg/s",
}

// folding makes spellings alike that differ in case, blanks and signs.
//
//nolint:gochecknoglobals // never written
var folding = strings.NewReplacer(" ", "", "_", "", "°", "deg", "º", "deg", "℃", "degc", "℉", "degf", "³", "3", "²", "2", "µ", "u", "μ", "u", "Ω", "ohm", "·", ".", "（", "(", "）", ")")

// Spoken lists what a unit may mean that somebody has written, in the order in which
// it should be tried: as UCUM, then as people write. It is empty for what is no unit.
func Spoken(text string) []string {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > MaxUnit {
		return nil
	}
	plain := folding.Replace(text)
	var list []string
	if Known(text) {
		list = append(list, text)
	} else if Known(plain) { // m³/h
		list = append(list, plain)
	}
	if unit, ok := spoken[strings.ToLower(plain)]; ok && unit != text {
		list = append(list, unit)
	}
	return list
}

// ConvertSpoken is Convert from a unit as somebody has written it. Of a spelling that
// may mean two things, such as C, that one counts which can become the unit.
func ConvertSpoken(text, to string) (l Linear, unit string, err error) {
	candidates := Spoken(text)
	if len(candidates) == 0 {
		return Linear{}, "", &UnknownError{Unit: text}
	}
	for _, unit := range candidates {
		if l, err = Convert(unit, to); err == nil {
			return l, unit, nil
		}
	}
	if _, mismatch := errors.AsType[*MismatchError](err); mismatch {
		err = &MismatchError{From: text, To: to}
	}
	return Linear{}, "", err
}
