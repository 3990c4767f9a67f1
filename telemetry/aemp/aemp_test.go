package aemp

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var seen = time.Date(2026, 3, 1, 7, 55, 0, 0, time.UTC)

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustRead(t testing.TB, body []byte) Fleet {
	t.Helper()
	f, err := Read(body)
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	return f
}

// says holds that a machine says exactly these signals, at seen unless told.
func says(t *testing.T, e Equipment, want map[string]float64) {
	t.Helper()
	got := map[string]float64{}
	for _, v := range e.Values {
		got[v.Signal] = v.Value
	}
	for signal, v := range want {
		if g, ok := got[signal]; !ok || math.Abs(g-v) > 1e-6 {
			t.Errorf("%s = %v (%v), want %v", signal, g, ok, v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestRead_TheStandard(t *testing.T) {
	t.Parallel()
	f := mustRead(t, file(t, "standard.xml"))
	if len(f.Equipment) != 1 || len(f.Faults) != 0 || f.Link("next") != "https://oem.example/aemp/Fleet/2" || !f.SnapshotTime.Equal(seen.Add(5*time.Minute)) {
		t.Fatalf("%+v", f)
	}
	e := f.Equipment[0]
	if e.Header != (Header{"EXAMPLE", "EX215", "FLEET-007", "EX215A0007", "EXA00215A000000007", time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)}) {
		t.Errorf("%+v", e.Header)
	}
	says(t, e, map[string]float64{"latitude": 31.2304, "longitude": 121.4737, "altitude": 12.5, "operating_hours": 4211.45, "idle_hours": 901.2,
		"fuel_used": 60233, "fuel_level": 48.8, "def_level": 62, "engine_running": 1, "odometer": 812.4})
	if len(e.Codes) != 1 || e.Codes[0] != (Code{"SPN110-FMI0", "Engine coolant temperature high", "High", "J1939", seen.Add(-time.Minute)}) {
		t.Errorf("%+v", e.Codes)
	}
}

func TestRead_QuirksOfMakers(t *testing.T) {
	t.Parallel()
	f := mustRead(t, file(t, "quirks.xml"))
	if len(f.Equipment) != 2 || len(f.Faults) != 0 {
		t.Fatalf("%+v", f)
	}
	if e := f.Equipment[0]; !e.InstalledAt.IsZero() || e.Model != "TB-1" || len(e.Values) != 0 {
		t.Errorf("a machine without data: %+v", e)
	}
	e := f.Equipment[1]
	if e.Model != "" || e.PIN != "" || e.SerialNumber != "S2" {
		t.Errorf("%+v", e.Header)
	}
	says(t, e, map[string]float64{"operating_hours": 233.7, "idle_hours": 1003 + 53.0/60 + 24.0/3600, "engine_running": 1})
	for _, v := range e.Values {
		if v.At.IsZero() {
			t.Errorf("%s has no time", v.Signal)
		}
	}
	if f.Link("self") != f.Link("next") {
		t.Errorf("the loop is the poller's to see: %+v", f.Links)
	}
}

func TestRead_JSONOfFourMakers(t *testing.T) {
	t.Parallel()
	var variants map[string]json.RawMessage
	if err := json.Unmarshal(file(t, "variants.json"), &variants); err != nil || len(variants) != 4 {
		t.Fatal(len(variants), err)
	}
	samsara := mustRead(t, variants["samsara_style"])
	says(t, samsara.Equipment[0], map[string]float64{"latitude": 31.2, "longitude": 121.4, "operating_hours": 4211.45, "engine_running": 1, "fuel_level": 48.8})
	cat := mustRead(t, variants["cat_snapshot_style"])
	if cat.Link("next") != "https://x.example/fleet/2" || len(cat.Equipment[0].Codes) != 1 || cat.Equipment[0].Codes[0].Identifier != "E360-2" {
		t.Errorf("%+v", cat)
	}
	series := mustRead(t, variants["cat_timeseries_style"])
	if len(series.Equipment) != 1 || series.Equipment[0].SerialNumber != "" || len(series.Equipment[0].Codes) != 1 {
		t.Errorf("%+v", series)
	}
	stream := mustRead(t, variants["trackunit_stream_style"])
	says(t, stream.Equipment[0], map[string]float64{"operating_hours": 42.12, "latitude": 57, "longitude": 9.9})
	if stream.Equipment[0].SerialNumber != "S1" || !stream.Equipment[0].Values[0].At.Equal(time.UnixMilli(1604042795000)) {
		t.Errorf("%+v", stream)
	}
}

// A row of the table of quirks: what is said of one machine in a maker's dialect.
func TestRead_Dialects(t *testing.T) {
	t.Parallel()
	const at = `datetime="2026-03-01T07:55:00Z"`
	for name, c := range map[string]struct {
		inner string
		want  map[string]float64
	}{
		"hours as a duration":           {`<CumulativeOperatingHours ` + at + `><Hour>PT233H42M</Hour></CumulativeOperatingHours>`, map[string]float64{"operating_hours": 233.7}},
		"days in a duration":            {`<CumulativeOperatingHours ` + at + `><Hour>P1DT2H</Hour></CumulativeOperatingHours>`, map[string]float64{"operating_hours": 26}},
		"idle in minutes":               {`<CumulativeIdleHours ` + at + `><minutes>90</minutes></CumulativeIdleHours>`, map[string]float64{"idle_hours": 1.5}},
		"the odometer's own element":    {`<Distance ` + at + `><OdometerKilometre>812.4</OdometerKilometre></Distance>`, map[string]float64{"odometer": 812.4}},
		"miles":                         {`<Distance ` + at + `><OdometerUnits>mile</OdometerUnits><Odometer>100</Odometer></Distance>`, map[string]float64{"odometer": 160.9344}},
		"US gallons":                    {`<FuelUsed ` + at + `><FuelUnits>US gallon</FuelUnits><FuelConsumed>10</FuelConsumed></FuelUsed>`, map[string]float64{"fuel_used": 37.85411784}},
		"imperial gallons":              {`<FuelUsed ` + at + `><FuelUnits>imperial gallon</FuelUnits><FuelConsumed>10</FuelConsumed></FuelUsed>`, map[string]float64{"fuel_used": 45.4609}},
		"nowhere, but an altitude":      {`<Location ` + at + `><Latitude>0</Latitude><Longitude>0</Longitude><Altitude>12</Altitude></Location>`, map[string]float64{"altitude": 12}},
		"feet":                          {`<Location ` + at + `><Altitude>100</Altitude><AltitudeUnits>foot</AltitudeUnits></Location>`, map[string]float64{"altitude": 30.48}},
		"empty value":                   {`<FuelUsed ` + at + `><FuelConsumed></FuelConsumed></FuelUsed>`, nil},
		"engine N/A":                    {`<EngineStatus ` + at + `><EngineNumber>N/A</EngineNumber><Running>FALSE</Running></EngineStatus>`, map[string]float64{"engine_running": 0}},
		"two engines":                   {`<EngineStatus ` + at + `><EngineNumber>1</EngineNumber><Running>true</Running></EngineStatus><EngineStatus ` + at + `><EngineNumber>2</EngineNumber><Running>false</Running></EngineStatus>`, map[string]float64{"engine_running": 1, "engine_running_2": 0}},
		"load factor by its own name":   {`<AverageDailyLoadFactorLast24 ` + at + `><LoadFactor>37</LoadFactor></AverageDailyLoadFactorLast24>`, map[string]float64{"load_factor_24h": 37}},
		"payload in short tons":         {`<CumulativePayloadTotals ` + at + `><WeightUnit>short ton</WeightUnit><Payload>2</Payload></CumulativePayloadTotals>`, map[string]float64{"payload_total": 1814.36948}},
		"speed in miles":                {`<MaximumSpeedLast24 ` + at + `><SpeedUnits>mph</SpeedUnits><Speed>10</Speed></MaximumSpeedLast24>`, map[string]float64{"max_speed_24h": 16.09344}},
		"a switch":                      {`<SwitchStatus ` + at + `><Number>3</Number><Status>on</Status></SwitchStatus>`, map[string]float64{"switch_3": 1}},
		"a time of no zone":             {`<CumulativeLoadCount datetime="2026-03-01T07:55:00"><Count>7</Count></CumulativeLoadCount>`, map[string]float64{"load_count": 7}},
		"time as child, other spelling": {`<CumulativeLoadCount><Count>7</Count><DateTime>2026-03-01T07:55:00+00:00</DateTime></CumulativeLoadCount>`, map[string]float64{"load_count": 7}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := mustRead(t, []byte(`<x:Fleet xmlns:x="urn:any"><x:Equipment><EquipmentHeader><SerialNumber>S</SerialNumber></EquipmentHeader>`+c.inner+`</x:Equipment></x:Fleet>`))
			if len(f.Equipment) != 1 || len(f.Faults) > 0 {
				t.Fatalf("%+v", f)
			}
			says(t, f.Equipment[0], c.want)
			for _, v := range f.Equipment[0].Values {
				if !v.At.Equal(seen) {
					t.Errorf("at %v", v.At)
				}
			}
		})
	}
}

func TestRead_OneBadMachineCostsTheOthersNothing(t *testing.T) {
	t.Parallel()
	const machine = `<Equipment><EquipmentHeader><SerialNumber>%s</SerialNumber></EquipmentHeader><CumulativeOperatingHours datetime="%s"><Hour>%s</Hour></CumulativeOperatingHours></Equipment>`
	body := "<Fleet>" + fmt.Sprintf(machine, "A", "2026-03-01T07:55:00Z", "many") + fmt.Sprintf(machine, "B", "yesterday", "7") + fmt.Sprintf(machine, "C", "2026-03-01T07:55:00Z", "7") + "</Fleet>"
	f := mustRead(t, []byte(body))
	if len(f.Equipment) != 3 || len(f.Faults) != 2 || len(f.Equipment[2].Values) != 1 {
		t.Errorf("%+v", f)
	}
}

// What we write is what we read, in both forms, and has the shape of the sample.
func TestWrite_ComesBackAsItWas(t *testing.T) {
	t.Parallel()
	f := mustRead(t, file(t, "standard.xml"))
	f.Equipment = append(f.Equipment, Equipment{Header: Header{OEMName: "A & B <C>", SerialNumber: "零7", Model: "M"}, Values: []Value{
		{"EngineStatus", "engine_running", seen, 1}, {"EngineStatus", "engine_running_2", seen, 0}, {"SwitchStatus", "switch_3", seen, 1},
		{"CumulativeOperatingHours", "operating_hours", seen, 0.1}, {"CumulativePayloadTotals", "payload_total", seen, 5500}, {"MaximumSpeedLast24", "max_speed_24h", seen, 21.5}}})
	for name, write := range map[string]func(string) ([]byte, error){"XML": f.XML, "JSON": f.JSON} {
		body, err := write("")
		if err != nil {
			t.Fatal(err)
		}
		again := mustRead(t, body)
		if len(again.Faults) > 0 || fmt.Sprint(again.Links) != fmt.Sprint(f.Links) || !again.SnapshotTime.Equal(f.SnapshotTime) || len(again.Equipment) != 2 {
			t.Fatalf("%s: %+v", name, again)
		}
		for i, e := range f.Equipment {
			got := again.Equipment[i]
			if got.Header != e.Header || fmt.Sprint(got.Codes) != fmt.Sprint(e.Codes) {
				t.Errorf("%s: %+v, want %+v", name, got, e)
			}
			sortValues(got.Values)
			sortValues(e.Values)
			if fmt.Sprint(got.Values) != fmt.Sprint(e.Values) {
				t.Errorf("%s: %v, want %v", name, got.Values, e.Values)
			}
		}
	}
}

func sortValues(list []Value) {
	slices.SortFunc(list, func(a, b Value) int { return strings.Compare(a.Signal, b.Signal) })
}

// Each element, attribute and order of our document of the sample's machine stands
// in the sample, but for what we do not know (tank capacity).
func TestWrite_HasTheShapeOfTheSample(t *testing.T) {
	t.Parallel()
	f := mustRead(t, file(t, "standard.xml"))
	body, err := f.XML("")
	if err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(shape(t, file(t, "standard.xml")), func(s string) bool { return strings.Contains(s, "FuelTankCapacity") })
	if got := shape(t, body); !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func shape(t *testing.T, body []byte) (out []string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(body))
	var path []string
	for {
		token, err := d.Token()
		if err != nil {
			return out
		}
		switch x := token.(type) {
		case xml.StartElement:
			path = append(path, x.Name.Space+":"+x.Name.Local)
			line := strings.Join(path, "/")
			for _, a := range x.Attr {
				line += " " + a.Name.Local
			}
			out = append(out, line)
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
}

func TestWrite_SeriesComesBack(t *testing.T) {
	t.Parallel()
	e := Equipment{Header: Header{SerialNumber: "S1"}}
	for i := range 5 {
		e.Values = append(e.Values, Value{"CumulativeOperatingHours", "operating_hours", seen.Add(time.Duration(i) * time.Hour), float64(100 + i)})
	}
	f := Fleet{SnapshotTime: seen, Equipment: []Equipment{e}}
	for name, write := range map[string]func(string) ([]byte, error){"XML": f.XML, "JSON": f.JSON} {
		body, err := write("CumulativeOperatingHours")
		if err != nil {
			t.Fatal(err)
		}
		again := mustRead(t, body)
		if len(again.Equipment) != 1 || again.Equipment[0].SerialNumber != "S1" || fmt.Sprint(again.Equipment[0].Values) != fmt.Sprint(e.Values) {
			t.Errorf("%s: %+v\n%s", name, again, body)
		}
	}
}

func TestSeries_BothSpellingsInAnyCase(t *testing.T) {
	t.Parallel()
	for metric, want := range map[string]string{
		"faults": "FaultCode", "Faults": "FaultCode", "switchStatus": "SwitchStatus", "locations": "Location", "Locations": "Location", "engineCondition": "EngineStatus",
		"cumulativeOperatingHours": "CumulativeOperatingHours", "cumulativeIdleHours": "CumulativeIdleHours", "cumulativeFuelUsed": "FuelUsed", "fuelRemainingRatio": "FuelRemaining",
		"CumulativeNonProductiveIdleHours": "CumulativeNonProductiveIdleHours", "CumulativeIdleNonOperatingHours": "CumulativeIdleNonOperatingHours",
		"CumulativePowerTakeOffHours": "CumulativePowerTakeOffHours", "CumulativeActiveRegenerationHours": "CumulativeActiveRegenerationHours", "CumulativeLoadCount": "CumulativeLoadCount",
		"CumulativePayloadTotals": "CumulativePayloadTotals", "Distance": "Distance", "FuelUsed": "FuelUsed", "FUELUSEDLAST24": "FuelUsedLast24", "FuelRemaining": "FuelRemaining",
		"DEFRemaining": "DEFRemaining", "AverageDailyLoadFactorLast24": "AverageDailyLoadFactorLast24", "MaximumSpeedLast24": "MaximumSpeedLast24",
	} {
		element, signals, ok := Series(metric)
		if !ok || element != want || want != "FaultCode" && len(signals) == 0 {
			t.Errorf("%s: %s %v %v", metric, element, signals, ok)
		}
	}
	if _, _, ok := Series("passwords"); ok {
		t.Error("an unknown series was found")
	}
	if _, signals, _ := Series("locations"); len(signals) != 3 {
		t.Errorf("%v", signals)
	}
}

func big(n int) Fleet {
	f := Fleet{SnapshotTime: seen, Links: []Link{{"self", "x"}}}
	for i := range n {
		f.Equipment = append(f.Equipment, Equipment{Header: Header{SerialNumber: fmt.Sprintf("S%05d", i)}, Values: []Value{{"CumulativeOperatingHours", "operating_hours", seen, float64(i)}}})
	}
	return f
}

func TestSplit_EveryMachineOnce(t *testing.T) {
	t.Parallel()
	f := big(2_000)
	for name, write := range map[string]func(string) ([]byte, error){"XML": f.XML, "JSON": f.JSON} {
		body, err := write("")
		if err != nil {
			t.Fatal(err)
		}
		parts, err := Split(body, 32<<10)
		if err != nil || len(parts) < len(body)/(32<<10) {
			t.Fatalf("%s: %d parts of %d bytes: %v", name, len(parts), len(body), err)
		}
		n := 0
		for _, p := range parts {
			if len(p) > 32<<10 {
				t.Errorf("%s: a part of %d bytes", name, len(p))
			}
			part := mustRead(t, p)
			if !part.SnapshotTime.Equal(seen) {
				t.Errorf("%s: snapshot at %v", name, part.SnapshotTime)
			}
			for _, e := range part.Equipment {
				if e.SerialNumber != fmt.Sprintf("S%05d", n) || len(e.Values) != 1 {
					t.Fatalf("%s: machine %d is %+v", name, n, e)
				}
				n++
			}
		}
		if n != 2_000 {
			t.Errorf("%s: %d machines", name, n)
		}
		if whole, err := Split(body, 10<<20); err != nil || len(whole) != 1 || !bytes.Equal(whole[0], body) {
			t.Errorf("%s: a short document was touched: %v", name, err)
		}
	}
	if _, err := Split(fmt.Appendf(nil, `{"Equipment":["%s"]}`, strings.Repeat("x", 2_000)), 1_000); err == nil {
		t.Error("a machine beyond the limit was cut")
	}
}

func TestRead_Bounds(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"deep XML":   strings.Repeat("<a>", 50) + strings.Repeat("</a>", 50),
		"deep JSON":  strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50),
		"deep list":  strings.Repeat("[", 50) + strings.Repeat("]", 50),
		"wide XML":   "<Fleet>" + strings.Repeat("<a/>", maxNodes+1) + "</Fleet>",
		"wide JSON":  "[" + strings.Repeat("0,", maxNodes+1) + "0]",
		"entities":   `<!DOCTYPE a [<!ENTITY b "c">]><Fleet><Links><rel>&b;</rel><href>x</href></Links></Fleet>`,
		"empty":      "  ",
		"HTML":       "<html><body>Sign in</body></html>",
		"error JSON": `{"code":"429.002","description":"quota"}`,
		"cut":        "<Fleet><Equipment>",
		"encoding":   `<?xml version="1.0" encoding="utf-16"?><Fleet/>`,
	} {
		if f, err := Read([]byte(body)); err == nil {
			t.Errorf("%s was read: %+v", name, f)
		}
	}
}

func fuzzed(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		fleet, err := Read(body)
		if err != nil {
			return
		}
		if len(fleet.Faults) > maxFaults {
			t.Fatal("too many faults")
		}
		for _, e := range fleet.Equipment {
			for _, v := range e.Values {
				if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) || v.Signal == "" || !v.At.IsZero() && (v.At.Year() < 2000 || v.At.Year() > 2100) {
					t.Fatalf("%+v", v)
				}
			}
		}
		for _, write := range []func(string) ([]byte, error){fleet.XML, fleet.JSON} {
			out, err := write("")
			if err != nil {
				t.Fatal(err)
			}
			if len(fleet.Equipment) > 0 {
				if again, err := Read(out); err != nil || len(again.Equipment) != len(fleet.Equipment) {
					t.Fatalf("%v: %s", err, out)
				}
			}
		}
		if parts, err := Split(body, 200); err == nil {
			for _, p := range parts {
				if len(body) > 200 && len(p) > 200 {
					t.Fatal("a part beyond the limit")
				}
			}
		}
	})
}

func FuzzRead_XML(f *testing.F) {
	f.Add(file(f, "standard.xml"))
	f.Add(file(f, "quirks.xml"))
	fuzzed(f)
}

func FuzzRead_JSON(f *testing.F) {
	var variants map[string]json.RawMessage
	if err := json.Unmarshal(file(f, "variants.json"), &variants); err != nil {
		f.Fatal(err)
	}
	for _, v := range variants {
		f.Add([]byte(v))
	}
	fuzzed(f)
}
