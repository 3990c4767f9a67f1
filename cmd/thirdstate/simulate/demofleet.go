package simulate

import (
	"fmt"
	"strings"
	"time"
)

// lot is some machines of one model at one customer.
type lot struct {
	model    string
	customer string
	site     string
	serials  string // year and month of building and number, as in BC56T2411418
	silent   string // serials of machines without a device
	work     Work
	format   Format
}

// Ways to work.
var (
	pouring  = Work{From: 30, To: 74, BreakFrom: 48, BreakTo: 51, Days: 0.88, RainStops: 0.75, Night: 0.22, Duty: 0.86, Low: 0.26, High: 0.6}
	digging  = Work{From: 28, To: 73, BreakFrom: 48, BreakTo: 54, Days: 0.93, RainStops: 0.7, Duty: 0.9, Low: 0.28, High: 0.82}
	mining   = Work{From: 28, To: 112, BreakFrom: 70, BreakTo: 74, Days: 0.96, RainStops: 0.3, Duty: 0.92, Low: 0.35, High: 0.88}
	allDay   = Work{From: 0, To: slotsPerDay, Duty: 0.97, Low: 0.25, High: 0.85}
	twoShift = Work{From: 28, To: 92, Days: 0.92, Duty: 0.95, Low: 0.2, High: 0.85}
	prime    = Work{From: 0, To: slotsPerDay, Duty: 1, Low: 0.28, High: 0.75}
	siteGen  = Work{From: 28, To: 90, Days: 0.95, RainStops: 0.2, Duty: 1, Low: 0.25, High: 0.7}
)

// lots are the machines beside the six of the first screen.
var lots = []lot{
	{model: "BC5430THB-56", customer: "tongda", site: "yard", serials: "2206117", work: pouring},
	{model: "BC5430THB-56", customer: "henggu", site: "gaokao", serials: "2109064 2303221", work: pouring},
	{model: "BC5430THB-56", customer: "luqiao", site: "bridge", serials: "2105342 2212083 2308155 2406029", work: pouring},
	{model: "BC5430THB-56", customer: "shengda", site: "quarry", serials: "2010276 2304190", silent: "1809037", work: pouring},
	{model: "BC5430THB-56", customer: "minxin", site: "road", serials: "2203408 2507012", work: pouring, format: ThingsBoard},
	{model: "BC5230THB-37", customer: "tongda", site: "yard", serials: "1911283", work: pouring},
	{model: "BC5230THB-37", customer: "luqiao", site: "bridge", serials: "2008331 2302076", silent: "1507214", work: pouring},
	{model: "BC5230THB-37", customer: "minxin", site: "road", serials: "2107459 2402118", work: pouring},
	{model: "BC5230THB-37", customer: "shengda", site: "quarry", serials: "2209362 2106175", silent: "1610093", work: pouring},
	{model: "BE215", customer: "yuelu", site: "xiangjiang", serials: "1903288 2004517 2206734", silent: "1609151", work: digging},
	{model: "BE215", customer: "minxin", site: "road", serials: "2105603 2301429 2404087", silent: "1711340", work: digging},
	{model: "BE215", customer: "luqiao", site: "bridge", serials: "2009218 2303552", silent: "1308126 1905077", work: digging},
	{model: "BE215", customer: "xiangnan", site: "pit", serials: "2208641", work: mining},
	{model: "BE365", customer: "xiangnan", site: "pit", serials: "2010045 2107133 2402266", silent: "1806019", work: mining},
	{model: "BE365", customer: "yuelu", site: "xiangjiang", serials: "2206081", silent: "1704058", work: digging},
	{model: "BE365", customer: "luqiao", site: "bridge", serials: "2111174 2305097", work: digging, format: ThingsBoard},
	{model: "KF132", customer: "hejin", site: "plant", serials: "2100134 2300417", silent: "1500096", work: allDay, format: Telegraf},
	{model: "KF132", customer: "shengda", site: "quarry", serials: "2000218 2200351", silent: "1600185", work: twoShift, format: Telegraf},
	{model: "KF132", customer: "luqiao", site: "bridge", serials: "2200408 2400062", work: twoShift},
	{model: "KF132", customer: "xiangnan", site: "pit", serials: "1900377", work: allDay},
	{model: "GS500", customer: "dayaoshan", site: "tunnel", serials: "2000163 2200095", work: prime, format: LineProtocol},
	{model: "GS500", customer: "xiangnan", site: "pit", serials: "1900248 2300131", work: prime, format: LineProtocol},
	{model: "GS500", customer: "minxin", site: "road", serials: "2100307", silent: "1600074", work: siteGen},
	{model: "GS500", customer: "luqiao", site: "bridge", serials: "2200216", work: siteGen},
}

// prefixes and names of serial numbers by model.
var prefixes = map[string]struct{ serial, name, nameEN string }{
	"BC5430THB-56": {"BC56T", "56 米泵车", "56 m pump truck"},
	"BC5230THB-37": {"BC37T", "37 米泵车", "37 m pump truck"},
	"BE215":        {"BE21N", "21 吨挖掘机", "21 t excavator"},
	"BE365":        {"BE36N", "36 吨挖掘机", "36 t excavator"},
	"KF132":        {"KF13A", "螺杆空压机", "Screw compressor"},
	"GS500":        {"GS50D", "500 kW 发电机组", "500 kW genset"},
}

// DemoFleet is the demo's fleet: the six machines of its first screen, then the
// others, some without a device. Its history begins at start and is Days long.
func DemoFleet(start time.Time) []Machine {
	list := leads(start)
	for _, l := range lots {
		for serial := range strings.FieldsSeq(l.serials) {
			list = append(list, l.machine(start, serial, true))
		}
		for serial := range strings.FieldsSeq(l.silent) {
			list = append(list, l.machine(start, serial, false))
		}
	}
	told := faults(start)
	for i := range list {
		list[i].Faults = told[list[i].Key]
		delete(told, list[i].Key)
	}
	return list
}

// machine invents what a serial number does not say.
func (l *lot) machine(start time.Time, serial string, device bool) Machine {
	is := prefixes[l.model]
	key := is.serial + serial
	seed := named(7, key)
	built := builtOn(l.model, serial, seed)
	handed := built.AddDate(0, 0, 20+int(90*uniform(seed, 1, 0)))
	end := start.AddDate(0, 0, Days)
	years := end.Sub(handed).Hours() / 24 / 365
	m := Machine{
		Key: key, Name: is.name + " " + serial[len(serial)-4:], NameEN: is.nameEN + " " + serial[len(serial)-4:],
		Model: l.model, Customer: l.customer, Site: l.site, HasDevice: device,
		BuiltOn: built, HandedOver: handed, WarrantyMonths: 12, WarrantyHours: 2000,
		Hours: rounded(years*(1300+900*uniform(seed, 2, 0)), 1), MeterAt: end,
		Status: "working", Format: l.format, Work: l.work,
	}
	if m.Format == "" {
		m.Format = OwnJSON
	}
	if strings.HasPrefix(l.model, "BC") {
		m.Volume = rounded(m.Hours*(30+10*uniform(seed, 3, 0)), 10)
		m.Plate = plate(seed)
	}
	if device {
		m.Gaps = valleys(start, seed)
	}
	return m
}

// plate invents a number plate of Hunan.
func plate(seed uint64) string {
	return fmt.Sprintf("湘%c·%c%04d", "ADBL"[hash(seed, 4, 0)%4], "ABCEFGHJK"[hash(seed, 5, 0)%9], hash(seed, 6, 0)%10_000)
}

// builtOn reads a serial number's year and, where there is one, month.
func builtOn(model, serial string, seed uint64) time.Time {
	var year, month int
	if _, err := fmt.Sscanf(serial, "%2d%2d", &year, &month); err != nil {
		year = 20
	}
	if month == 0 || month > 12 || model == "KF132" || model == "GS500" {
		month = 1 + int(hash(seed, 7, 0)%12)
	}
	return time.Date(2000+year, time.Month(month), 1+int(hash(seed, 8, 0)%27), 0, 0, 0, 0, time.UTC)
}

// valleys are the short times without coverage that every site has.
func valleys(start time.Time, seed uint64) []Gap {
	var gaps []Gap
	for day := range int64(120) {
		if uniform(seed, 9, day) > 0.06 {
			continue
		}
		from := start.AddDate(0, 0, int(day)).Add(time.Duration(86400*uniform(seed, 10, day)) * time.Second)
		gaps = append(gaps, Gap{Kind: NoCoverage, From: from, To: from.Add(time.Duration(20+160*uniform(seed, 11, day)) * time.Minute)})
	}
	return gaps
}
