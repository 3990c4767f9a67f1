package aemp

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// quantity is one element of the standard and the signal that it means.
type quantity struct {
	element string // as it is written
	field   string // that holds the value, as it is written
	also    []string
	signal  string
	units   []string // fields that name the unit
	written string   // unit that is written
	factor  map[string]float64
	read    func(string) (float64, bool)
	series  string // name of its time series, where it is not the element's
	per     string // field that tells several of a machine apart: engine, switch
}

// Factors to the signal's unit, by the unit's first letters.
var (
	litres     = map[string]float64{"": 1, "l": 1, "imp": 4.54609, "gal": 3.785411784, "us": 3.785411784, "m3": 1000, "cub": 1000}
	kilometres = map[string]float64{"": 1, "k": 1, "mi": 1.609344, "m": 0.001, "me": 0.001}
	speeds     = map[string]float64{"": 1, "ki": 1, "km": 1, "kp": 1, "kn": 1.852, "mi": 1.609344, "mp": 1.609344, "m/s": 3.6, "met": 3.6}
	kilograms  = map[string]float64{"": 1, "k": 1, "t": 1000, "p": 0.45359237, "lb": 0.45359237, "sh": 907.18474, "us": 907.18474, "lo": 1016.0469088}
	metres     = map[string]float64{"": 1, "m": 1, "f": 0.3048}
)

// quantities lists the elements in the order in which they are written. Several
// lines of one element are several values of it.
//
//nolint:gochecknoglobals // an ordered list, never written
var quantities = []quantity{
	{element: "Location", field: "Latitude", signal: "latitude", read: number, series: "Locations"},
	{element: "Location", field: "Longitude", signal: "longitude", read: number, series: "Locations"},
	{element: "Location", field: "Altitude", signal: "altitude", read: number, series: "Locations", units: []string{"AltitudeUnits"}, written: "metre", factor: metres},
	{element: "CumulativeOperatingHours", field: "Hour", also: []string{"hours"}, signal: "operating_hours", read: hours},
	{element: "CumulativeIdleHours", field: "Hour", also: []string{"hours"}, signal: "idle_hours", read: hours},
	{element: "CumulativeNonProductiveIdleHours", field: "Hour", also: []string{"hours"}, signal: "nonproductive_idle_hours", read: hours},
	{element: "CumulativeIdleNonOperatingHours", field: "Hour", also: []string{"hours"}, signal: "idle_nonoperating_hours", read: hours},
	{element: "CumulativePowerTakeOffHours", field: "Hour", also: []string{"hours"}, signal: "pto_hours", read: hours},
	{element: "CumulativeActiveRegenerationHours", field: "Hour", also: []string{"hours"}, signal: "regeneration_hours", read: hours},
	{element: "CumulativeLoadCount", field: "Count", signal: "load_count", read: number},
	{element: "CumulativePayloadTotals", field: "Payload", signal: "payload_total", read: number, units: []string{"PayloadUnits", "WeightUnit"}, written: "kilogram", factor: kilograms},
	{element: "FuelUsed", field: "FuelConsumed", signal: "fuel_used", read: number, units: []string{"FuelUnits"}, written: "litre", factor: litres, series: "CumulativeFuelUsed"},
	{element: "FuelUsedLast24", field: "FuelConsumed", signal: "fuel_used_24h", read: number, units: []string{"FuelUnits"}, written: "litre", factor: litres},
	{element: "FuelRemaining", field: "Percent", signal: "fuel_level", read: number, series: "FuelRemainingRatio"},
	{element: "DEFRemaining", field: "Percent", signal: "def_level", read: number, series: "DEFRemainingRatio"},
	{element: "EngineStatus", field: "Running", signal: "engine_running", read: boolean, per: "EngineNumber", series: "EngineCondition"},
	{element: "Distance", field: "Odometer", signal: "odometer", read: number, units: []string{"OdometerUnits"}, written: "kilometre", factor: kilometres},
	{element: "Distance", field: "OdometerKilometre", signal: "odometer", read: number},
	{element: "AverageDailyLoadFactorLast24", field: "Percent", also: []string{"loadfactor"}, signal: "load_factor_24h", read: number, series: "AverageLoadFactorLast24"},
	{element: "MaximumSpeedLast24", field: "Speed", signal: "max_speed_24h", read: number, units: []string{"SpeedUnits"}, written: "kilometre per hour", factor: speeds},
	{element: "SwitchStatus", field: "Status", also: []string{"switchvalue", "value", "switchstatus"}, signal: "switch", read: boolean, per: "Number"},
}

// aliases are elements that some makers call otherwise, in lower case.
var aliases = map[string]string{
	"enginecondition": "enginestatus", "cumulativefuelused": "fuelused", "fuelremainingratio": "fuelremaining", "defremainingratio": "defremaining",
	"averageloadfactorlast24": "averagedailyloadfactorlast24", "odometer": "distance",
}

// known says whether an element of this (lower-case) name means something.
func known(element string) (name string, ok bool) {
	if a, renamed := aliases[element]; renamed {
		element = a
	}
	if element == "faultcode" {
		return element, true
	}
	for i := range quantities {
		if strings.EqualFold(quantities[i].element, element) {
			return element, true
		}
	}
	return element, false
}

// Series gives the element and the signals of a time series by either spelling of
// its name, in any case: the standard's and that of its element. Faults has no
// signals.
func Series(metric string) (element string, signals []string, ok bool) {
	metric = strings.ToLower(metric)
	if metric == "faults" || metric == "faultcode" || metric == "faultcodes" {
		return "FaultCode", nil, true
	}
	for i := range quantities {
		q := &quantities[i]
		name, series := strings.ToLower(q.element), strings.ToLower(q.series)
		if metric == name || metric == series || metric == aliasOf(name) {
			element = q.element
			if len(signals) == 0 || signals[len(signals)-1] != q.signal {
				signals = append(signals, q.signal)
			}
		}
	}
	return element, signals, element != ""
}

func aliasOf(element string) string {
	for from, to := range aliases {
		if to == element && from != "odometer" {
			return from
		}
	}
	return element
}

// Signals lists every signal that an element can carry.
func Signals() (names []string) {
	for i := range quantities {
		if n := quantities[i].signal; len(names) == 0 || names[len(names)-1] != n {
			names = append(names, n)
		}
	}
	return names
}

func number(text string) (float64, bool) {
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && !math.IsNaN(v) && math.Abs(v) < 1e12
}

func boolean(text string) (float64, bool) {
	switch strings.ToLower(text) {
	case "true", "1", "on", "yes", "running", "active":
		return 1, true
	case "false", "0", "off", "no", "stopped", "inactive":
		return 0, true
	}
	return 0, false
}

var duration = regexp.MustCompile(`^P(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?)?$`)

// hours reads 233.7 or PT233H42M.
func hours(text string) (float64, bool) {
	m := duration.FindStringSubmatch(text)
	if m == nil || text == "P" || strings.HasSuffix(text, "T") {
		return number(text)
	}
	total := 0.0
	for i, perHour := range []float64{1.0 / 24, 1, 60, 3600} {
		if m[i+1] != "" {
			v, _ := number(m[i+1])
			total += v / perHour
		}
	}
	return total, true
}

// unitFactor finds the longest known beginning of a unit's name.
func (q *quantity) unitFactor(unit string) (float64, bool) {
	unit = strings.ToLower(strings.TrimSpace(unit))
	best, found := 1.0, -1
	for prefix, f := range q.factor {
		if strings.HasPrefix(unit, prefix) && len(prefix) > found && (prefix != "" || unit == "") {
			best, found = f, len(prefix)
		}
	}
	return best, found >= 0
}

// layouts of times; one without a zone is taken as UTC, which the standard asks for.
var layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05.999999999-0700", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04Z"}

// clock reads a time; ok is true for none at all (empty, year 1).
func clock(text string) (at time.Time, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return at, true
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		switch { // seconds or milliseconds since 1970
		case ms > 946_684_800_000 && ms < 4_102_444_800_000:
			return time.UnixMilli(ms).UTC(), true
		case ms > 946_684_800 && ms < 4_102_444_800:
			return time.Unix(ms, 0).UTC(), true
		}
		return at, ms == 0
	}
	for _, layout := range layouts {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		t = t.UTC()
		switch year := t.Year(); {
		case year <= 1:
			return at, true
		case year < 2000 || year > 2099:
			return at, false
		}
		return t, true
	}
	return at, false
}
