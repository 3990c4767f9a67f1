package rules

import (
	"math"
	"time"
)

// Change is what happened to a finding.
type Change string

// The changes. An episode is identified by machine, component, rule and OpenedAt.
const (
	Opened  Change = "opened"
	Updated Change = "updated"
	Closed  Change = "closed"
)

// Why a finding closed.
const (
	Cleared              = "cleared"
	Accepted             = "accepted" // it has not grown for very long, and is what is normal now
	RuleChanged          = "rule_changed"
	RestartedAfterRepair = "restarted_after_repair"
)

// Finding is evidence that a machine is degraded or faulty, or the news that it
// no longer is.
type Finding struct {
	Change      Change
	Machine     string // key
	Rule        string
	RuleHash    string
	Component   string
	FailureMode string
	Severity    Severity  // Info where something is new and nothing says that it is a fault; it may rise
	OpenedAt    time.Time // event time
	At          time.Time // event time of this change
	CloseReason string    // Cleared, Accepted, RuleChanged or RestartedAfterRepair; "" while open
	Evidence    Evidence
	Propose     bool // came from late data: may be proposed, must not be dispatched
}

// Evidence is what left its normal, since when, by how much and against what.
// Values are in the signal's unit.
type Evidence struct {
	Kind        string      `json:"kind"`
	Signal      string      `json:"signal"`
	Unit        string      `json:"unit"`
	Since       time.Time   `json:"since"` // onset
	Until       time.Time   `json:"until"` // last row looked at: the window of the finding is Since to Until
	Observed    float64     `json:"observed"`
	Normal      float64     `json:"normal"` // what would be normal in the same circumstances
	Low         float64     `json:"low"`    // normal band
	High        float64     `json:"high"`
	Deviation   float64     `json:"deviation"`             // observed - normal, smoothed where the rule smooths
	Limit       float64     `json:"limit"`                 // smallest deviation that would have been flagged; for a threshold the limit itself
	Sigma       float64     `json:"sigma"`                 // learnt spread of a single value around normal; 0 = nothing learnt
	PerDay      float64     `json:"perDay"`                // trend of the deviation since the onset; 0 = none that can be told from noise
	DaysToLimit *[2]float64 `json:"daysToLimit,omitempty"` // 80 % interval until StopAt is reached; nil = no estimate
	StopAt      *float64    `json:"stopAt,omitempty"`
	Regime      string      `json:"regime,omitempty"` // in which circumstances, as "signal low..high"
	RegimeRows  int         `json:"regimeRows"`       // rows seen in the regime, run-in included
	Causes      []Cause     `json:"causes,omitempty"` // signals by earliest departure
	Model       *Model      `json:"model,omitempty"`  // what "normal" was computed with
	Expr        string      `json:"expr,omitempty"`   // what was judged in place of the signal
	Sign        string      `json:"sign,omitempty"`   // stuck, sensors: "frozen", "implausible" or "absent"; zones: the zone; cleanliness: the ISO 4406 code
	Unless      *Unless     `json:"unless,omitempty"` // counterfactual; nil = no single value says it

	// SisterPercentile is the share, 0 to 100, of machines of its kind whose signal is
	// less far from their own normal; nil = unknown, as of a machine with fewer than four sisters.
	SisterPercentile *float64 `json:"sisterPercentile,omitempty"`
	Sisters          *Sisters `json:"sisters,omitempty"` // nil = as above
}

// Sisters is how the machines of its kind stand with the signal of a finding.
type Sisters struct {
	Machines int     `json:"machines"`        // that are ranked, this one included: at work now or within the last week
	AtWork   int     `json:"atWork"`          // of them at the same time as this one; 0 = too few, and nothing is known of what follows
	Middle   float64 `json:"middle"`          // median of the distances of those from their own normal, in the signal's unit
	Moved    bool    `json:"moved,omitempty"` // that is beyond their spread: most of them have gone that way
	Distance float64 `json:"distance"`        // of this machine from that, in the spread (1.4826 MAD) of theirs or, if that is more, in its own
}

// Unless is a counterfactual: the finding would not have been opened had the signal
// stayed Below, or above, Value, in the signal's unit, the machine's other signals
// and circumstances being what they were.
type Unless struct {
	Signal string  `json:"signal"`
	Below  bool    `json:"below"` // else above
	Value  float64 `json:"value"`
}

// NearSisters is how many spreads from the middle a machine is still one of its sisters.
const NearSisters = 2.0

// Alike says whether most sisters have gone the same way, about as far: more than half are
// farther from their own normal than their spread, and the machine is near their middle.
func (s *Sisters) Alike() bool { return s.Moved && math.Abs(s.Distance) < NearSisters }

// unless derives the counterfactual from the limits of what is judged by one value, or
// by its distance from normal; a watcher, which adds up, says its own.
func (e *Evidence) unless() {
	if e.Signal == "" || e.Expr != "" || e.Deviation == 0 || e.Limit == 0 {
		return
	}
	switch e.Kind {
	case "threshold", "zones":
		e.Unless = &Unless{e.Signal, e.Deviation > 0, e.Limit}
	case "deviation", "sisters":
		e.Unless = &Unless{e.Signal, e.Deviation > 0, e.Normal + math.Copysign(e.Limit, e.Deviation)}
	}
}

// about says what a rule judges.
func (e *Evidence) about(r *Rule) {
	e.Signal = r.Signal
	if r.Expr != "" && r.Kind != "expression" { // which shows its signal
		e.Expr, e.Unit = r.Expr, r.Unit
	}
}

// bound makes every number one that JSON can say; an open side becomes 0.
func (e *Evidence) bound() {
	for _, v := range []*float64{
		&e.Observed, &e.Normal, &e.Low, &e.High, &e.Deviation, &e.Limit, &e.Sigma, &e.PerDay,
	} {
		if !(math.Abs(*v) < 1e300) {
			*v = 0
		}
	}
	if s := e.Sisters; s != nil && !(math.Abs(s.Middle) < 1e300 && math.Abs(s.Distance) < 1e300) {
		e.Sisters = nil
	}
	if d := e.DaysToLimit; d != nil && !(d[0] < 1e6 && d[1] < 1e6) {
		e.DaysToLimit = nil
	}
}

// maxCauses of a finding are told.
const maxCauses = 8

// Cause is one signal's part in a finding; shares add up to 1.
type Cause struct {
	Signal string    `json:"signal"`
	Share  float64   `json:"share"`
	Since  time.Time `json:"since,omitzero"` // when it departed from its normal; zero = not told apart
	Away   float64   `json:"away,omitempty"` // how far it is from its normal, smoothed, in standard deviations of a single value; 0 = not told
}

// Model is a frozen baseline: normal = Level + sum of Slope x (context - Mean).
type Model struct {
	Level float64 `json:"level"`
	Terms []Term  `json:"terms,omitempty"`
}

// Term is one context signal of a Model; Slope is in units of the judged signal
// per unit of the context signal.
type Term struct {
	Signal string  `json:"signal"`
	Mean   float64 `json:"mean"`
	Slope  float64 `json:"slope"`
}

// Contributor is what one signal under one rule takes off the health score of 100 points.
type Contributor struct {
	Signal string  `json:"signal"`
	Rule   string  `json:"rule"`
	By     string  `json:"by"`     // what for: one of ByStrain, ByNovelty ...
	Weight float64 `json:"weight"` // points at the limit
	Loss   float64 `json:"loss"`   // points now
}

// Verdict says whether a repair has brought a signal back to its own normal.
type Verdict struct {
	Passed      bool
	Enough      bool    // the machine has run long enough in the regime
	Deviation   float64 // that remains
	Limit       float64 // that is allowed
	RegimeHours float64
	NeededHours float64
}
