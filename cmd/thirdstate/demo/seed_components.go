package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/simulate"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// The fan motors of these pump trucks' coolers were exchanged in one campaign. The first
// one's came back to be repaired twice, and two of the others are warm.
var exchangedCoolers = []string{"BC37T1911283", "BC37T2008331", "BC37T2302076", "BC37T2402118", "BC37T2106175"}

const exchangedBatch = "FM-2503"

var exchangedOn = time.Date(2025, 4, 14, 0, 0, 0, 0, time.UTC)

// components gives a machine the maintainable items that its pack's rules watch.
func (s *seeding) components(ctx context.Context, m machines.Machine, of simulate.Machine, pack *rules.Pack) error {
	if pack == nil {
		return nil
	}
	seen := map[string]bool{"": true}
	batch := fmt.Sprintf("%d-Q%d", of.BuiltOn.Year(), (of.BuiltOn.Month()+2)/3) // parts are bought by the quarter
	for _, r := range pack.Rules {
		if seen[r.Component] {
			continue
		}
		seen[r.Component] = true
		name := nameOf(r.Component)
		c := machines.Component{MachineID: m.ID, Code: r.Component, Name: name.ZH, NameEN: name.EN, Batch: batch, InstalledAt: of.HandedOver}
		if r.Component == "hydraulic_cooler" && slices.Contains(exchangedCoolers, m.Key) {
			c.Batch, c.InstalledAt = exchangedBatch, exchangedOn
		}
		_, err := machines.AddComponent(ctx, s.db, s.now, s.who, c)
		if err != nil {
			return fmt.Errorf("add component %s of %s: %w", r.Component, m.Key, err)
		}
	}
	return nil
}

func nameOf(code string) machines.Text {
	for _, c := range componentNames {
		if c.code == code {
			return machines.Text{ZH: c.zh, EN: c.en}
		}
	}
	return machines.Text{ZH: code, EN: code}
}

var componentNames = []struct{ code, zh, en string }{
	{"air_end", "主机", "Air end"},
	{"air_filter", "空气滤清器", "Air filter"},
	{"air_net", "供气管网", "Compressed-air network"},
	{"alternator", "发电机", "Alternator"},
	{"coolant_temperature_sensor", "水温传感器", "Coolant temperature sensor"},
	{"cooling_system", "冷却系统", "Cooling system"},
	{"coupling", "联轴器", "Coupling"},
	{"discharge_temperature_sensor", "排气温度传感器", "Discharge temperature sensor"},
	{"engine", "发动机", "Engine"},
	{"governor", "调速器", "Governor"},
	{"hydraulic_cooler", "液压油散热器", "Hydraulic oil cooler"},
	{"hydraulic_system", "液压系统", "Hydraulic system"},
	{"injectors", "喷油器", "Injectors"},
	{"main_pump", "主泵", "Main pump"},
	{"motor", "主电机", "Drive motor"},
	{"oil_cooler", "油冷却器", "Oil cooler"},
	{"oil_separator", "油气分离器", "Oil separator"},
	{"oil_temperature_sensor", "油温传感器", "Oil temperature sensor"},
	{"pilot_circuit", "先导油路", "Pilot circuit"},
	{"return_filter", "回油滤芯", "Return filter"},
	{"swing_motor", "回转马达", "Swing motor"},
	{"telematics", "车载终端", "Telematics unit"},
	{"wear_plate", "眼镜板与切割环", "Wear plate and cutting ring"},
}
