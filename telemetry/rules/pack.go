package rules

import "time"

// Role says what a signal is for.
type Role string

// The roles of a signal.
const (
	Condition Role = "condition" // tells how the machine is; watched
	Context   Role = "context"   // explains conditions: load, speed, ambient
	Ignore    Role = "ignore"    // stored, never judged
)

// SignalSpec describes one signal of a model.
type SignalSpec struct {
	Name    string
	Unit    string // UCUM
	Role    Role
	Low     *float64 // least plausible value, nil = none; beyond it the sensor is at fault, not the machine
	High    *float64 // greatest plausible value, nil = none
	Label   string
	LabelZH string
}

// Pack is the rules of one machine model. Make one with Parse; it is read-only
// afterwards and may be shared by all machines of the model.
type Pack struct {
	Model    string
	Name     string
	NameZH   string
	Lateness time.Duration // how late an observation may come and still be evaluated in its place
	Signals  []SignalSpec
	Rules    []Rule
	Hash     string // of the text
	Text     []byte `json:"-"` // that Parse read

	layout *layout
	lane   bool // of what came too late: limits alone
}

// Rule finds a rule by its id.
func (p *Pack) Rule(id string) (*Rule, bool) {
	for i := range p.Rules {
		if p.Rules[i].ID == id {
			return &p.Rules[i], true
		}
	}
	return nil, false
}

// Signal finds the description of a signal.
func (p *Pack) Signal(name string) (*SignalSpec, bool) {
	for i := range p.Signals {
		if p.Signals[i].Name == name {
			return &p.Signals[i], true
		}
	}
	return nil, false
}

// Lateness bounds; see README.md.
const (
	DefaultLateness = time.Second
	MaxLateness     = 15 * time.Minute
)
