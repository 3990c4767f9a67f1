package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/statistics"
)

// Severity says how urgent a finding is.
type Severity string

// The severities, least first. Info is noted on the machine file and opens no case.
const (
	Info    Severity = "info"
	Advice  Severity = "advice"
	Warning Severity = "warning"
	Alarm   Severity = "alarm"
)

// Severities lists all of them, least first.
var Severities = []Severity{Info, Advice, Warning, Alarm}

// Text is a text in both languages.
type Text struct {
	EN string `json:"en"`
	ZH string `json:"zh"`
}

// Direction is the side to which a signal goes wrong.
type Direction string

// The directions.
const (
	Up   Direction = "up"
	Down Direction = "down"
	Both Direction = "both"
)

// Range is a closed interval in a signal's unit.
type Range struct{ Low, High float64 }

// Span is a length of a run-in, or of a memory.
type Span = statistics.Span

// Repair says when a repair is taken as verified: MaxEffect is the deviation, in
// the signal's unit, that may remain; RegimeHours is how long the machine must
// have run in the rule's regime before anything is said.
type Repair struct {
	MaxEffect   float64
	RegimeHours float64
}

// Rule is one rule of a pack. Which of the settings count depends on its Kind;
// README.md lists them.
type Rule struct {
	ID          string // unique in its pack
	Model       string // the pack's
	Kind        string // name of one of Kinds
	Component   string // the component that is suspected, "" = the machine
	FailureMode string // code as in ISO 14224, or one of our own
	Title       string
	TitleZH     string
	Severity    Severity

	Signal    string           // the signal that is judged; with Expr the one that stands for it
	Expr      string           `json:",omitempty"` // threshold, rate, deviation, expression: is judged in place of the signal
	Unit      string           `json:",omitempty"` // of Expr, UCUM
	Minus     []string         // signals that are subtracted from it first
	Context   []string         // deviation, watcher: signals that explain it (load, ambient); regressed out
	Signals   []string         // watcher: signals that are watched, empty = all conditions
	Regime    map[string]Range // the rule looks at rows only where all these are inside
	Hold      time.Duration    // trouble that must last before a finding opens
	Clear     time.Duration    // calm that must last before it closes
	Above     *float64         // threshold
	Below     *float64         // threshold
	Release   *float64         // threshold: value at which calm begins; default the limit itself
	PerHour   Range            // rate: slope that is still well, in units per hour
	Window    time.Duration    // rate: over which the slope is taken
	After     time.Duration    // silence, stuck: how long nothing comes, or nothing moves
	Tolerance float64          // stuck: movement that still counts as none

	Learn     Span       // deviation, watcher: the run-in
	Smooth    Span       // deviation, watcher: time constant of the control statistic
	Sigma     float64    // deviation, watcher: limit in standard deviations of the control statistic
	MinEffect float64    // deviation: least deviation that matters, in the signal's unit
	Direction Direction  // deviation
	Standard  string     `json:",omitempty"` // zones: where its limits come from, such as iso20816-3/2/rigid
	Zone      string     `json:",omitempty"` // zones: the first one that is trouble
	Limits    [3]float64 `json:",omitzero"`  // zones: where B, C and D begin; cleanliness: greatest counts; in the signals' units
	Target    []int      `json:",omitempty"` // cleanliness: ISO 4406 codes, coarsest counts first; -1 = not looked at
	Excess    int        `json:",omitempty"` // cleanliness: codes above the target that are trouble
	Codes     []string   `json:",omitempty"` // codes: which trouble codes, "dtc.spn110.*" = all that begin so
	Count     int        `json:",omitempty"` // codes: times within Window that are trouble
	Signs     []Sign     `json:",omitempty"` // precursors
	When      *Clause    `json:",omitempty"` // combined

	StopAt *float64 // value at which the machine stops by itself; the trend is told against it

	ISO14224    string `json:",omitempty"` // failure mode of ISO 14224, one of FailureModes; "" = none given
	FirstChecks []Text
	Causes      []Text
	Skills      []string
	Parts       []string
	PFDays      float64 // typical days from detectable to failed (P-F interval)
	Verify      Repair

	formula *formula // of Expr
}

// Hash is a content hash of all that decides what the rule finds: a new title or
// another first check does not restart a rule.
func (r *Rule) Hash() string {
	c := *r
	c.Title, c.TitleZH, c.FirstChecks, c.Causes, c.Skills, c.Parts = "", "", nil, nil, nil, nil
	c.PFDays, c.Verify, c.StopAt, c.ISO14224 = 0, Repair{}, nil, ""
	text, err := json.Marshal(&c)
	if err != nil { // NaN and infinity, which Parse refuses
		text = fmt.Appendf(nil, "%+v", c)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
