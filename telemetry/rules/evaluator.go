package rules

import "time"

// State is what an evaluator makes of one row or tick.
type State uint8

// The states.
const (
	Nothing State = iota // not concerned: the row has none of the rule's signals, or the rule still learns
	Outside              // the machine is outside the rule's regime: time stands still
	Calm                 // within normal
	Doubt                // between release and limit: neither opens nor closes a finding
	Trouble              // beyond the limit
)

// Judgement is an evaluator's answer. Nearness is the distance to the limit, 0 at
// normal and 1 at the limit. Until is set where the trouble is known to have
// ended already. Noted is trouble that is only worth a note: something is new, and
// nothing says that it is a fault.
type Judgement struct {
	State    State
	Nearness float64
	Until    time.Time
	Noted    bool
	Why      string // a finding closes at this row, "" = Cleared
}

// An Evaluator watches one rule's signals on one machine. It must be
// deterministic: the same rows and ticks, in order, give the same judgements.
// How long trouble and calm must last is no business of its own: Dwell decides.
type Evaluator interface {
	Observe(row *Row) Judgement
	Tick(at time.Time, excused bool) Judgement // event time, never the wall clock
	Evidence(e *Evidence)                      // fills in what it knows
	Snapshot(dst []byte) []byte
	Restore(version int, b []byte) error
}

// Kind is one way of looking at signals.
type Kind struct {
	Name    string
	Summary string
	New     func(r *Rule, numbers Numbers) Evaluator
	Needs   []string // settings without which it cannot work
	Takes   []string // further settings that it knows
	sensor  bool     // judges the sensor, and so goes first
	patient bool     // a gap in the data does not interrupt its trouble

	limit     bool // a fixed limit: looked at in late data too
	part      bool // can be a part of a combined rule
	lenient   bool // goes on without a signal whose sensor is at fault
	remembers bool // judges by what it was told, in rows that say nothing of it too
}

// Numbers gives the number under which a row holds a signal.
type Numbers func(signal string) int

// Kinds lists every evaluator in the order shown to rule authors. Add yours here.
var Kinds = []Kind{
	{
		Name: "threshold", Summary: "value beyond a limit for a while", New: newThreshold, limit: true, part: true,
		Needs: []string{"signal"}, Takes: []string{"expr", "unit", "minus", "above", "below", "release", "stop_at"},
	},
	{
		Name: "zones", Summary: "vibration in a zone of ISO 20816, or of your own", New: newZones, limit: true, part: true,
		Needs: []string{"signal"}, Takes: []string{"standard", "limits", "zone", "release", "stop_at"},
	},
	{
		Name: "cleanliness", Summary: "more particles in the oil than its ISO 4406 code allows", New: newCleanliness, part: true,
		Needs: []string{"signals", "target"}, Takes: []string{"excess"},
	},
	{
		Name: "deviation", Summary: "value away from this machine's own normal in the same circumstances", New: newDeviation, patient: true, part: true,
		Needs: []string{"signal", "min_effect"}, Takes: []string{"expr", "unit", "minus", "context", "learn", "smooth", "sigma", "direction", "stop_at"},
	},
	{
		Name: "sisters", Summary: "value away from where the machines of its kind have gone", New: newSisters, patient: true,
		Needs: []string{"signal", "min_effect"}, Takes: []string{"expr", "unit", "minus", "context", "learn", "smooth", "sigma", "direction", "stop_at"},
	},
	{
		Name: "rate", Summary: "value rising or falling too fast", New: newRate, part: true,
		Needs: []string{"signal", "per_hour", "window"}, Takes: []string{"expr", "unit", "minus", "stop_at"},
	},
	{
		Name: "silence", Summary: "no data though the machine should be on", New: newSilence,
		Needs: []string{"after"}, Takes: []string{"signal"},
	},
	{
		Name: "stuck", Summary: "sensor frozen, or out of what is physically possible", New: newStuck, sensor: true,
		Needs: []string{"signal"}, Takes: []string{"after", "tolerance"},
	},
	{
		Name: "sensors", Summary: "a signal is out or frozen while the machine's others go on; needs no settings", New: newSensors, sensor: true,
		Takes: []string{"after", "learn"},
	},
	{
		Name: "lamp", Summary: "a trouble code has a lamp on: dtc.red_stop, or dtc.warning_lamp", New: newLamp, part: true, remembers: true,
		Needs: []string{"signal"},
	},
	{
		Name: "codes", Summary: "trouble codes that came so often within a window", New: newCodes, part: true, remembers: true,
		Needs: []string{"codes", "count", "window"},
	},
	{
		Name: "precursors", Summary: "trouble codes after which machines of the fleet have failed", New: newPrecursors, remembers: true,
		Needs: []string{"signs", "window"},
	},
	{
		Name: "expression", Summary: "a condition written as a formula", New: newExpression, part: true,
		Needs: []string{"expr"}, Takes: []string{"signal"},
	},
	{
		Name: "combined", Summary: "several conditions at once: all, any, not", New: newCombined, lenient: true,
		Needs: []string{"when"},
	},
	{
		Name: "watcher", Summary: "several signals away from their own normal; needs no settings", New: newWatching, patient: true, lenient: true,
		Takes: []string{"signals", "context", "learn", "smooth"},
	},
}

func kindOf(name string) *Kind {
	for i := range Kinds {
		if Kinds[i].Name == name {
			return &Kinds[i]
		}
	}
	return nil
}
