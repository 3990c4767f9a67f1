package telemetry

import (
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

// What a sender says of its unit counts without any settings: values become those of
// the signal's unit. A unit of something else is a dead letter by name and the rest of
// the message is stored; one that nobody knows leaves the value as it came.
func TestUnits_OfSendersAreConverted(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, _, _ := addPump(t, w, "PM1")
	w.send(t, "", "fleet/PM1/senml", `[{"n":"hydraulic_oil_temp","u":"K","v":335.65},{"n":"main_pressure","u":"Pa","v":21000000},{"n":"extra","u":"lx","v":7}]`)
	w.send(t, "", "fleet/PM1/senml", `[{"bu":"bar","n":"hydraulic_oil_temp","v":62},{"n":"main_pressure","v":200}]`)
	w.send(t, "", "fleet/PM1/senml", `[{"n":"hydraulic_oil_temp","u":"furlong","v":61},{"n":"main_pressure","u":"kPa","v":19000}]`)
	w.send(t, "", "fleet/PM1/senml", `[{"n":"hydraulic_oil_temp","u":"K","v":-5}]`)
	withUnit := func(name string, alias uint64, v float64, unit string) sparkplug.Metric {
		m := metric(name, alias, v)
		m.Properties = []sparkplug.Property{{Key: "engUnit", Type: sparkplug.String, Value: sparkplug.Value{Kind: sparkplug.StringValue, Text: unit}}}
		return m
	}
	w.spark(t, "embedded", "g/NBIRTH/gw", 0, bdSeq(1))
	w.spark(t, "embedded", "g/DBIRTH/gw/PM1", 1, withUnit("hydraulic_oil_temp", 7, 212, "°F"), withUnit("main_pressure", 8, 1450.377, "PSI"))
	w.spark(t, "embedded", "g/DDATA/gw/PM1", 2, metric("", 7, 50), metric("", 8, 0))

	// A mapping that converts is a person's word, and goes before the sender's.
	w.maps(t, Mapping{MachineID: &machine, Raw: "hydraulic_oil_temp", Signal: "hydraulic_oil_temp", Unit: "[degF]"})
	w.maps(t, Mapping{MachineID: &machine, Raw: "P", Signal: "main_pressure", Unit: "bar"})
	w.send(t, "", "fleet/PM1/senml", `[{"n":"hydraulic_oil_temp","u":"Cel","v":212},{"n":"P","u":"MPa","v":20}]`)
	as := []string{
		"PM1 hydraulic_oil_temp=62.5/good main_pressure=210/good extra=7/unmapped",
		"PM1 main_pressure=200/good",
		"PM1 hydraulic_oil_temp=61/unmapped main_pressure=190/good",
		"PM1 hydraulic_oil_temp=-278.1/implausible",
		"PM1 hydraulic_oil_temp=100/good main_pressure=100/good",
		"PM1 hydraulic_oil_temp=10/good main_pressure=0/good",
		"PM1 hydraulic_oil_temp=100/good main_pressure=200/good",
	}
	want(t, decoded(t, w, NewStage(w.log, w.pool, quiet())), as)
	want(t, decoded(t, w, NewStage(w.log, w.pool, quiet())), as) // whoever reads it again

	w.run(t, historyRun{})
	letters := w.letters(t, DeadLetterFilter{})
	if len(letters) != 1 || letters[0].Reason != UnitMismatch || letters[0].Detail != "hydraulic_oil_temp: unit bar cannot become Cel" {
		t.Fatalf("%+v", letters)
	}
}

// More values in wrong units than are named one by one are counted by the last.
func TestUnits_ManyMismatchesAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	addPump(t, w, "PM1")
	pack := `[{"bu":"bar","n":"main_pressure","v":1}`
	for range 12 {
		pack += `,{"n":"hydraulic_oil_temp","v":1}`
	}
	w.send(t, "", "fleet/PM1/senml", pack+"]")
	w.run(t, historyRun{})
	letters := w.letters(t, DeadLetterFilter{})
	last := ""
	for _, l := range letters {
		if strings.Contains(l.Detail, "more") {
			last += l.Detail
		}
	}
	if len(letters) != 8 || last != "hydraulic_oil_temp: unit bar cannot become Cel (and 4 more faults in this message)" {
		t.Fatalf("%d letters, %q", len(letters), last)
	}
}

// The page on which a name is mapped has the unit that an unclaimed device names.
func TestUnits_StandInTheChoiceOfAMapping(t *testing.T) {
	t.Parallel()
	w := newWorks(t)
	machine, _, _ := addPump(t, w, "PM1")
	w.send(t, "", "fleet/GW-8/senml", `[{"n":"Oil-Temp","u":"degF","v":212}]`)
	w.run(t, historyRun{})
	l := w.legend(t, machine, "GW-8")
	if len(l.Names) != 1 || l.Names[0].Unit != "degF" {
		t.Fatalf("%+v", l.Names)
	}
	oil, pressure := l.Signal("hydraulic_oil_temp"), l.Signal("main_pressure")
	want(t, []string{l.UnitFor(l.Names[0], oil), l.UnitFor(l.Names[0], pressure)}, []string{"[degF]", "bar"})
}
