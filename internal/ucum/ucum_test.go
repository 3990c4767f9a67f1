package ucum

import (
	"errors"
	"math"
	"testing"
)

func TestConvert_UnitsOfTheTrade(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to    string
		value, want float64
	}{
		{"[degF]", "Cel", 212, 100}, {"[degF]", "Cel", -40, -40}, {"K", "Cel", 273.15, 0}, {"Cel", "[degF]", 37, 98.6}, {"Cel", "K", 25, 298.15}, {"mK", "K", 300_000, 300},
		{"[psi]", "bar", 1000, 68.94757293}, {"kPa", "bar", 250, 2.5}, {"MPa", "bar", 35, 350}, {"Pa", "kPa", 101325, 101.325}, {"mm[Hg]", "kPa", 760, 101.32472},
		{"[gal_us]/min", "L/min", 1, 3.785411784}, {"m3/h", "L/min", 6, 100}, {"L/h", "L/min", 60, 1}, {"l", "m3", 1000, 1}, {"dm3", "L", 3, 3},
		{"[lb_av]", "kg", 1, 0.45359237}, {"t", "kg", 2.5, 2500}, {"[mi_i]/h", "km/h", 60, 96.56064}, {"m/s", "km/h", 10, 36}, {"[in_i]/s", "mm/s", 1, 25.4},
		{"min", "h", 90, 1.5}, {"s", "h", 3600, 1}, {"ms", "s", 1500, 1.5}, {"Hz", "1/min", 25, 1500}, {"1/min", "/min", 1500, 1500}, {"{rev}/min", "1/min", 800, 800},
		{"[HP]", "kW", 1, 0.745699872}, {"W", "kW", 1500, 1.5}, {"kW.h", "MJ", 1, 3.6}, {"%", "1", 50, 0.5}, {"1", "%", 0.25, 25}, {"[ppm]", "%", 10_000, 1}, {"{bag}", "", 3, 3},
		{"deg", "rad", 180, math.Pi}, {"[in_i]", "mm", 2, 50.8}, {"A.h", "C", 1, 3600}, {"cSt", "mm2/s", 46, 46}, {"K/min", "Cel/min", 3, 3}, {"[degF]/min", "Cel/min", 9, 5},
		{"kg.m/s2", "N", 9.81, 9.81}, {"kg/(m.s2)", "Pa", 7, 7}, {"10*3", "1", 2, 2000}, {"m[H2O]", "bar", 10, 0.980665}, {"s-1", "Hz", 5, 5},
	} {
		l, err := Convert(c.from, c.to)
		if err != nil {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
			continue
		}
		if got := l.Of(c.value); math.Abs(got-c.want) > 1e-8*math.Max(1, math.Abs(c.want)) {
			t.Errorf("%g %s is %.10g %s, want %g", c.value, c.from, got, c.to, c.want)
		}
		if back := l.Back(l.Of(c.value)); math.Abs(back-c.value) > 1e-9*math.Max(1, math.Abs(c.value)) {
			t.Errorf("%g %s to %s and back is %g", c.value, c.from, c.to, back)
		}
	}
}

func TestConvert_RefusesOtherQuantities(t *testing.T) {
	t.Parallel()
	_, err := Convert("[psi]", "Cel")
	if err == nil || err.Error() != "unit [psi] cannot become Cel" {
		t.Errorf("%v", err)
	}
	for _, pair := range [][2]string{{"h", "1/min"}, {"bar", "%"}, {"", "Cel"}, {"1/Cel", "Cel"}, {"kW", "kW.h"}, {"m", "m2"}} {
		if _, err := Convert(pair[0], pair[1]); !errors.As(err, new(*MismatchError)) {
			t.Errorf("%v: %v", pair, err)
		}
	}
	for _, unit := range []string{"°C", "rpm", "psi", "celsius", "K K", "/", "m//s", "m.", "(m", "m)", "kh", "m0", "m99", "[", "{x", "0", "((((((m))))))", string(make([]byte, 100)), "m9.m9.m9.m9.m9.m9.m9.m9.m9.m9.m9.m9.m9.m9.m9.m9"} {
		if _, err := Convert(unit, "1"); !errors.As(err, new(*UnknownError)) {
			t.Errorf("%q: %v", unit, err)
		}
	}
}

func TestAlike_OffersWhatCanBecomeTheUnit(t *testing.T) {
	t.Parallel()
	offered := 0
	for _, u := range usual {
		alike := Alike(u)
		if !Known(u) || len(alike) == 0 {
			t.Errorf("%s is offered and not known", u)
		}
		offered += len(alike)
		for _, other := range alike {
			if _, err := Convert(other, u); err != nil {
				t.Errorf("%v", err)
			}
		}
	}
	if got := Alike("Cel"); len(got) != 3 || got[1] != "[degF]" || Alike("x") != nil {
		t.Errorf("%v", got)
	}
}

func TestLowest_NothingIsColderThanAbsoluteZero(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		unit  string
		value float64
		ok    bool
	}{
		{"Cel", -400, false}, {"Cel", -273.15, true}, {"[degF]", -500, false}, {"[degF]", -459.67, true}, {"K", -1, false}, {"K", 0, true},
		{"bar", -400, true}, {"Cel/min", -400, true}, {"?", -400, true},
	} {
		if (c.value >= Lowest(c.unit)) != c.ok {
			t.Errorf("%g %s", c.value, c.unit)
		}
	}
}

func FuzzConvert(f *testing.F) {
	for _, u := range usual {
		f.Add(u, "bar")
	}
	f.Fuzz(func(t *testing.T, from, to string) {
		l, err := Convert(from, to)
		if err == nil && (l.Factor == 0 || math.IsNaN(l.Factor) || math.IsInf(l.Factor, 0) || math.IsNaN(l.Offset) || math.IsInf(l.Offset, 0)) {
			t.Errorf("%q to %q: %+v", from, to, l)
		}
	})
}

func TestConvertSpoken_ReadsWhatPeopleWrite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, to, unit string
		value, want    float64
	}{
		{"°C", "Cel", "Cel", 60, 60}, {"C", "Cel", "Cel", 60, 60}, {"C", "A.h", "C", 3600, 1}, {"degF", "Cel", "[degF]", 212, 100}, {"℉", "Cel", "[degF]", 212, 100}, {"F", "Cel", "[degF]", 32, 0},
		{"PSI", "bar", "[psi]", 145.0377377, 10}, {"kPa", "bar", "kPa", 100, 1}, {"KPA", "bar", "kPa", 100, 1}, {"RPM", "/min", "/min", 1500, 1500}, {"1/s", "/min", "1/s", 1, 60},
		{"%RH", "%", "%", 40, 40}, {"/", "%", "1", 0.4, 40}, {"m³ / h", "L/min", "m3/h", 6, 100}, {"l/hr", "L/h", "L/h", 5, 5}, {"Hours", "h", "h", 2, 2}, {"a", "A", "A", 3, 3}, {"Nm", "N.m", "N.m", 7, 7}, {" km/h ", "m/s", "km/h", 36, 10},
	} {
		l, unit, err := ConvertSpoken(c.text, c.to)
		if err != nil || unit != c.unit || math.Abs(l.Of(c.value)-c.want) > 1e-6 {
			t.Errorf("%v %s is %v %s (%s), %v; want %v", c.value, c.text, l.Of(c.value), c.to, unit, err, c.want)
		}
	}
	for text, want := range map[string]string{"PSI": "unit PSI cannot become Cel", "C.m": "unit C.m cannot become Cel", "furlong": `"furlong" is no unit that is known`, "": `"" is no unit that is known`} {
		if _, _, err := ConvertSpoken(text, "Cel"); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	for text, unit := range spoken {
		if !Known(unit) {
			t.Errorf("%s stands for %s, which is no unit", text, unit)
		}
	}
}
