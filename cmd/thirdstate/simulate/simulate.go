// Package simulate is a fleet that does not exist: concrete pump trucks,
// excavators, screw compressors and gensets that work in shifts, wait for the
// mixer, stand in the rain, warm up and cool down, and now and then begin to
// fail in ways that the trade knows. Each fault has a label, so that what
// detection finds can be judged.
//
// What a machine says is a function of the seed, the machine, the instant and
// the repairs so far: it can be asked in any order and gives the same again.
// The package also plays recorded files (Replay). It knows no broker.
package simulate

import "time"

// Days is how long the demo's history is.
const Days = 30

// Local is the time zone of the sites.
var Local = time.FixedZone("CST", 8*3600)

// Machine is one machine of a fleet: what the machine file says of it and how it
// is worked.
type Machine struct {
	Key            string // serial number; names the topic
	Name           string
	NameEN         string
	Plate          string
	Model          string // names the rule pack
	Customer       string // code
	Site           string // code
	HasDevice      bool   // without one it says nothing
	BuiltOn        time.Time
	HandedOver     time.Time
	WarrantyMonths int
	WarrantyHours  int
	Hours          float64   // operating hours at MeterAt
	Volume         float64   // pumped volume at MeterAt, m³
	MeterAt        time.Time // zero = at the start of the fleet
	Status         string    // operating status
	Note           string    // on it
	NoteEN         string
	Format         Format
	Work           Work
	Gaps           []Gap
	Faults         []Fault
}

// Model is a make and type of machine.
type Model struct {
	Name         string
	Kind         string // concrete_pump, excavator, compressor, genset
	Label        string
	LabelEN      string
	Manufacturer string
}

// Models lists the models of the demo's fleet.
func Models() []Model {
	const maker = "北辰 Beichen"
	return []Model{
		{"BC5430THB-56", "concrete_pump", "56 米混凝土泵车", "Truck-mounted concrete pump, 56 m", maker},
		{"BC5230THB-37", "concrete_pump", "37 米混凝土泵车", "Truck-mounted concrete pump, 37 m", maker},
		{"BE215", "excavator", "21 吨挖掘机", "Excavator, 21 t", maker},
		{"BE365", "excavator", "36 吨挖掘机", "Excavator, 36 t", maker},
		{"KF132", "compressor", "132 kW 螺杆空压机", "Screw compressor, 132 kW", maker},
		{"GS500", "genset", "500 kW 柴油发电机组", "Diesel genset, 500 kW", maker},
	}
}

// Format is the payload in which a machine's gateway speaks.
type Format string

// The formats.
const (
	OwnJSON      Format = "own_json"
	ThingsBoard  Format = "thingsboard_gateway"
	Telegraf     Format = "telegraf_json"
	LineProtocol Format = "line_protocol"
)

// GapKind is why a machine is not heard, or stands.
type GapKind string

// The kinds of gaps.
const (
	NoCoverage GapKind = "no_coverage"
	Locked     GapKind = "locked"    // by the lessor: it does not start
	SiteShut   GapKind = "site_shut" // nobody works
)

// Gap is a time in which a machine is not heard (no coverage) or does not work; a
// zero To means that it has not ended.
type Gap struct {
	Kind     GapKind
	From, To time.Time
}

// Lost says when in (from, to] a machine with telematics has lost its coverage.
func (m *Machine) Lost(from, to time.Time) (at time.Time, lost bool) {
	for _, g := range m.Gaps {
		if m.HasDevice && g.Kind == NoCoverage && g.From.After(from) && !g.From.After(to) {
			return g.From, true
		}
	}
	return time.Time{}, false
}

func (g *Gap) holds(at int64) bool {
	return at >= g.From.Unix() && (g.To.IsZero() || at < g.To.Unix())
}

// Fault is a labelled latent fault. Its effect grows from nothing at Onset to
// Reach at Failure, when the machine stops if nobody has done anything.
type Fault struct {
	ID        string
	Mode      string // failure mode under which it must be found
	Component string
	Onset     time.Time
	Failure   time.Time
	Reach     float64   // effect at Failure; its unit depends on the mode
	Shape     float64   // exponent of the growth, 0 = 1 (straight)
	Passes    time.Time // goes away by itself, as it was no fault: a grille that was covered
	Mild      bool      // the machine goes on beyond Failure
	Visits    []Visit   // that the demo's history plays, see Fleet.Repair; none = open at its end
	Story     string    // hero, late_visit, comeback, declined, false_alarm, yours or ""
}

// Visit is a completed work order about a fault.
type Visit struct {
	At      time.Time
	Quality float64 // 1 = good, 0.24 = a bad repair that takes a quarter of the effect away
}

// Label is a fault as detection is judged by it.
type Label struct {
	Machine string
	Model   string
	Fault
	RepairedAt time.Time // last good repair; zero = none
}
