// Package detection runs the rules on the intake log: it feeds observations and
// ticks, in log order, to one rules.Machine per machine, turns what they find
// into findings of the machine file and remembers how far it is. It knows the
// database; the rules do not.
package detection

import (
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// Watched is what detection must know of a machine.
type Watched struct {
	ID   uuid.UUID
	Key  string
	Pack string // see PackOf; "" or one that is not there means the default watcher
}

// PackOf names the rule pack of a model: its own, or the one of its name.
func PackOf(m machines.Model) string {
	if m.Pack != "" {
		return m.Pack
	}
	return m.Name
}

// Fleet knows which pack watches a machine.
// Its packs are never written; Runner.Reload puts others in their place.
type Fleet struct {
	packs  atomic.Pointer[map[string]*rules.Pack]
	stages atomic.Pointer[map[RuleKey]machines.Stage]
	makers chan struct{} // who makes a bundle of evidence
}

// RuleKey names a rule by what it finds: its hash, which knows its model.
type RuleKey struct{ Rule, Hash string }

// NewFleet returns a fleet that is watched with the packs, keyed by their models.
func NewFleet(packs map[string]*rules.Pack) *Fleet {
	f := &Fleet{makers: make(chan struct{}, evidenceMakers)}
	f.Use(packs)
	f.SetStages(nil)
	return f
}

// Use puts packs in the place of those that watch the fleet, before there is a Runner.
func (f *Fleet) Use(packs map[string]*rules.Pack) { f.packs.Store(&packs) }

// SetStages says how loud rules may be; those that are not named are as loud as
// dispatch, and no gate holds them. The map is never written afterwards.
func (f *Fleet) SetStages(stages map[RuleKey]machines.Stage) { f.stages.Store(&stages) }

// Stages are those that SetStages was told last.
func (f *Fleet) Stages() map[RuleKey]machines.Stage { return *f.stages.Load() }

// shadowed says whether a rule takes nothing off the health score, because nobody is
// told what it finds.
func (f *Fleet) shadowed(rule, hash string) bool {
	stages := f.Stages()
	return len(stages) > 0 && stages[RuleKey{rule, hash}] == machines.Shadow
}

// Pack returns the rule pack of a machine, nil where the default watcher serves.
func (f *Fleet) Pack(w Watched) *rules.Pack { return f.Packs()[w.Pack] }

// Rule finds a rule by its id: of the machine's pack, or one that no pack holds.
func (f *Fleet) Rule(w Watched, id string) (*rules.Rule, bool) {
	if pack := f.Packs()[w.Pack]; pack != nil {
		if r, ok := pack.Rule(id); ok {
			return r, true
		}
	}
	r := rules.Builtin(id)
	return r, r != nil
}

// Packs lists the packs by name.
func (f *Fleet) Packs() map[string]*rules.Pack { return *f.packs.Load() }

func texts(list []rules.Text) []machines.Text {
	out := make([]machines.Text, 0, len(list))
	for _, t := range list {
		out = append(out, machines.Text{ZH: t.ZH, EN: t.EN})
	}
	return out
}
