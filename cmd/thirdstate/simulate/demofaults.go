package simulate

import "time"

// Hero is the machine that the demo's story is about.
const Hero = "BC56T2411418"

// leads are the six machines of the demo's first screen.
func leads(start time.Time) []Machine {
	end := start.AddDate(0, 0, Days)
	nights := pouring
	nights.Days, nights.RainStops, nights.NightFrom = 1, 0, 25
	date := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	list := []Machine{
		{Key: Hero, Model: "BC5430THB-56", Customer: "tongda", Site: "yard", HasDevice: true, Work: nights, Plate: "湘D·B1418",
			BuiltOn: date(2024, 11, 12), HandedOver: date(2025, 1, 8), Hours: 3212, Volume: 118_400},
		{Key: "BE21N1407752", Model: "BE215", Customer: "yuelu", Site: "xiangjiang", Work: digging,
			BuiltOn: date(2014, 7, 3), HandedOver: date(2014, 8, 20), Hours: 14_870},
		{Key: "KF13A1900266", Model: "KF132", Customer: "hejin", Site: "plant", HasDevice: true, Work: allDay,
			BuiltOn: date(2019, 9, 16), HandedOver: date(2019, 11, 2), Hours: 31_240},
		{Key: "GS50D2100081", Model: "GS500", Customer: "dayaoshan", Site: "tunnel", HasDevice: true, Work: prime, Format: LineProtocol,
			BuiltOn: date(2021, 3, 9), HandedOver: date(2021, 5, 6), Hours: 18_905,
			Gaps: []Gap{{Kind: NoCoverage, From: end.Add(-8*time.Minute + time.Second), To: end.Add(3 * time.Hour)}}},
		{Key: "BE36N2301190", Model: "BE365", Customer: "anxin", Site: "zhou", HasDevice: true, Work: digging,
			BuiltOn: date(2023, 1, 18), HandedOver: date(2023, 3, 1), Hours: 5_630,
			Status: "locked", Note: "融资租赁方已锁机，非故障", NoteEN: "Locked by the lessor, not a fault",
			Gaps: []Gap{{Kind: Locked, From: end.AddDate(0, 0, -4)}}},
		{Key: "BC37T2001526", Model: "BC5230THB-37", Customer: "henggu", Site: "gaokao", HasDevice: true, Work: pouring, Plate: "湘D·G1526",
			BuiltOn: date(2020, 1, 9), HandedOver: date(2020, 4, 15), Hours: 9_410, Volume: 352_600,
			Status: "shut_down", Note: "高考停工至6月9日", NoteEN: "Site shut until 9 June",
			Gaps: []Gap{{Kind: SiteShut, From: end.AddDate(0, 0, -2), To: end.AddDate(0, 0, 5)}}},
	}
	for i := range list {
		m := &list[i]
		is := prefixes[m.Model]
		tail := m.Key[len(m.Key)-4:]
		m.Name, m.NameEN = is.name+" "+tail, is.nameEN+" "+tail
		m.WarrantyMonths, m.WarrantyHours, m.MeterAt = 12, 2000, end
		if m.Status == "" {
			m.Status = "working"
		}
		if m.Format == "" {
			m.Format = OwnJSON
		}
	}
	return list
}

// faults are the demo's labelled faults by machine. Days count from the start.
func faults(start time.Time) map[string][]Fault {
	at := func(days float64) time.Time { return start.Add(time.Duration(days * 24 * float64(time.Hour))) }
	good := func(days float64) Visit { return Visit{at(days), 0.97} }
	list := []struct {
		machine string
		Fault
	}{
		{Hero, Fault{Mode: FouledCooler, Component: "hydraulic_cooler", Onset: at(26), Failure: at(40), Reach: 25, Story: "hero"}},
		{"KF13A1900266", Fault{Mode: SensorFailure, Component: "discharge_temperature_sensor", Onset: at(29.3), Failure: at(60), Mild: true}},
		{"BC56T2105342", Fault{Mode: WornWearPlate, Component: "wear_plate", Onset: at(9), Failure: at(27), Reach: 20, Visits: []Visit{good(17.2)}}},
		{"BC37T2107459", Fault{Mode: HydraulicLeak, Component: "hydraulic_system", Onset: at(12), Failure: at(13.8), Reach: 46, Visits: []Visit{good(13.2)}}},
		{"BE36N2010045", Fault{Mode: BlockedAirFilter, Component: "air_filter", Onset: at(10), Failure: at(20), Reach: 4, Visits: []Visit{good(15.4)}}},
		{"BE21N2105603", Fault{Mode: FouledCooler, Component: "hydraulic_cooler", Onset: at(13), Failure: at(25), Reach: 18, Visits: []Visit{good(21.3)}, Story: "late_visit"}},
		{"KF13A2000218", Fault{Mode: Bearing, Component: "air_end", Onset: at(10), Failure: at(32), Reach: 7, Visits: []Visit{good(19.3)}}},
		{"KF13A2200408", Fault{Mode: BlockedSeparator, Component: "oil_separator", Onset: at(14), Failure: at(28), Reach: 0.7, Visits: []Visit{good(22.4)}}},
		{"GS50D2000163", Fault{Mode: Injector, Component: "injectors", Onset: at(11), Failure: at(24), Reach: 90, Visits: []Visit{good(17.4)}}},
		{"GS50D2100307", Fault{Mode: Imbalance, Component: "coupling", Onset: at(22), Failure: at(42), Reach: 12, Story: "yours"}},
		{"GS50D1900248", Fault{Mode: CoolantLeak, Component: "cooling_system", Onset: at(14), Failure: at(18), Reach: 56, Visits: []Visit{good(18.9)}, Story: "declined"}},
		{"BE21N1903288", Fault{Mode: HydraulicLeak, Component: "pilot_circuit", Onset: at(25), Failure: at(34), Reach: 12, Story: "yours"}},
		{"BE36N2111174", Fault{Mode: FouledCooler, Component: "hydraulic_cooler", Onset: at(18), Failure: at(18.6), Reach: 7, Passes: at(21.5), Story: "false_alarm"}},
		{"BC56T2010276", Fault{Mode: BlockedFilter, Component: "return_filter", Onset: at(18), Failure: at(30), Reach: 2.4, Visits: []Visit{good(25.3)}}},
		{"BC37T1911283", Fault{Mode: FouledCooler, Component: "hydraulic_cooler", Onset: at(10.5), Failure: at(26), Reach: 15.5, Visits: []Visit{{at(17.4), 0.24}, good(20.4)}, Story: "comeback"}},
		// Of its sisters two are warm already, and nobody has been told by their own rules yet when the story begins.
		{"BC37T2008331", Fault{Mode: FouledCooler, Component: "hydraulic_cooler", Onset: at(23), Failure: at(53), Reach: 12}},
		{"BC37T2302076", Fault{Mode: FouledCooler, Component: "hydraulic_cooler", Onset: at(22.5), Failure: at(55), Reach: 12}},
	}
	told := map[string][]Fault{}
	for _, f := range list {
		f.ID = f.machine + "-" + f.Mode
		told[f.machine] = append(told[f.machine], f.Fault)
	}
	return told
}
