package bundle

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
)

// Bounds of a bundle.
const (
	MaxBytes  = 64 << 20
	maxEvents = 200_000
)

// Event is what a machine's rules were shown: an observation, a tick, or how the machine's
// sisters stood.
type Event struct {
	At      time.Time
	Tick    bool
	Excused bool // of a tick: the time before it was downtime
	Flags   observation.Flag
	Values  []observation.Value
	Cohort  *sisters.Cohort
}

func (e *Event) show(m *rules.Machine, machine string) []rules.Finding {
	if e.Tick {
		return m.Tick(e.At, e.Excused)
	}
	if e.Cohort != nil {
		return m.Beside(e.Cohort, e.At)
	}
	return m.Observe(observation.Observation{Machine: machine, At: e.At, Received: e.At, Flags: e.Flags, Values: e.Values})
}

// Bundle is a finding, as it was opened, with all that is needed to find it again.
type Bundle struct {
	Finding rules.Finding
	Pack    *rules.Pack // nil = the default watcher
	State   []byte      // of the machine's rules, before the first event
	Events  []Event     // the last one opens the finding
	Flushed bool        // or the end of the file does
}

// replay shows the events to a machine in the bundle's state. It returns the finding
// that opens when the bundle's does, and whether one of the rule is open at the end.
func (b *Bundle) replay(change func(*Event)) (found *rules.Finding, open bool, err error) {
	want := &b.Finding
	m, err := b.machine()
	if err != nil {
		return nil, false, err
	}
	look := func(list []rules.Finding) {
		for i := range list {
			if f := &list[i]; f.Change == rules.Opened && f.Rule == want.Rule && f.OpenedAt.Equal(want.OpenedAt) {
				found = f
			}
		}
	}
	for i := range b.Events {
		e := b.Events[i]
		if change != nil {
			change(&e)
		}
		look(e.show(m, want.Machine))
	}
	if b.Flushed {
		look(m.Flush())
	}
	open = slices.ContainsFunc(m.Open(), func(f rules.Finding) bool { return f.Rule == want.Rule })
	return found, open, nil
}

// machine is one in the bundle's state.
func (b *Bundle) machine() (*rules.Machine, error) {
	m := rules.New(b.Finding.Machine, b.Pack)
	return m, m.Restore(b.Pack, b.State)
}

// since is the bundle without the events before the first one of an instant: its state is
// the one behind them.
func (b *Bundle) since(at time.Time) (*Bundle, error) {
	m, err := b.machine()
	if err != nil {
		return nil, err
	}
	rest := *b
	for len(rest.Events) > 0 && rest.Events[0].At.Before(at) {
		rest.Events[0].show(m, b.Finding.Machine)
		rest.Events = rest.Events[1:]
	}
	rest.State = m.Snapshot(nil)
	return &rest, nil
}

// halvings is how often the counterfactual's interval is halved.
const halvings = 24

// Unless finds, by replaying, how far the finding's signal could have gone since the
// onset, everything else being what it was, without the finding being open at the end;
// nil where even its normal value would not have kept it from opening.
func (b *Bundle) Unless() (*rules.Unless, error) {
	e := &b.Finding.Evidence
	if e.Signal == "" || e.Deviation == 0 || e.Sign != "" {
		return nil, nil
	}
	below := e.Deviation > 0
	rest, err := b.since(e.Since) // what is before it stays as it was in each replay
	if err != nil {
		return nil, err
	}
	opens := func(limit float64) (bool, error) {
		_, open, err := rest.replay(func(ev *Event) {
			if !ev.At.Before(e.Since) {
				ev.clamp(e.Signal, limit, below)
			}
		})
		return open, err
	}
	good, bad := e.Normal, b.farthest(e.Signal, below)
	if e.Kind == "threshold" { // what is normal is the limit itself
		good = e.Limit - math.Copysign(math.Abs(e.Limit)+math.Abs(e.Deviation), e.Deviation)
	}
	if open, err := opens(good); open || err != nil {
		return nil, err
	}
	for range halvings {
		middle := good + (bad-good)/2
		open, err := opens(middle)
		if err != nil {
			return nil, err
		}
		if open {
			bad = middle
		} else {
			good = middle
		}
	}
	return &rules.Unless{Signal: e.Signal, Below: below, Value: good}, nil
}

// farthest is the greatest value of a signal in the window, or the least.
func (b *Bundle) farthest(signal string, below bool) float64 {
	far := b.Finding.Evidence.Observed
	for i := range b.Events {
		for _, v := range b.Events[i].Values {
			if v.Signal == signal && (below && v.Value > far || !below && v.Value < far) {
				far = v.Value
			}
		}
	}
	return far
}

func (e *Event) clamp(signal string, limit float64, below bool) {
	e.Values = slices.Clone(e.Values)
	for i := range e.Values {
		v := &e.Values[i]
		switch {
		case v.Signal != signal:
		case below:
			v.Value = math.Min(v.Value, limit)
		default:
			v.Value = math.Max(v.Value, limit)
		}
	}
}

// check says whether the finding follows from the rest.
func (b *Bundle) check() error {
	found, _, err := b.replay(nil)
	if err != nil {
		return fmt.Errorf("%s: %w", stateFile, err)
	}
	if found == nil {
		return fmt.Errorf("the rule %s opens nothing at %s: the finding does not follow from the observations", b.Finding.Rule, b.Finding.OpenedAt.Format(time.RFC3339Nano))
	}
	want := b.Finding
	if name, got, said := differ(*found, want); name != "" {
		return fmt.Errorf("%s: %s is recomputed as %s, the bundle says %s", findingFile, name, got, said)
	}
	return nil
}
