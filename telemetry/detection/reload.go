package detection

import (
	"maps"
	"slices"

	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// Reload puts packs, keyed by their models, in the place of those that watch the
// fleet, between two batches. It is what a restart with other packs is: rules that are
// the same go on as they were; changed ones start anew and their open findings close
// with rules.RuleChanged at the machine's next word or tick. It says of how many
// machines the rules are others than before.
func (r *Runner) Reload(packs map[string]*rules.Pack) (changed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fleet.Use(packs)
	for _, key := range slices.Sorted(maps.Keys(r.watched)) {
		w := r.watched[key]
		pack := r.fleet.Pack(w.Watched)
		if hashOf(pack) == hashOf(w.pack) {
			continue
		}
		changed++
		w.pack = pack
		if err := w.rules.Restore(pack, w.rules.Snapshot(nil)); err != nil {
			r.log.Error("the rules of a machine begin anew under other packs", "machine", key, "error", err)
		}
	}
	if changed > 0 {
		r.renewed = true
	}
	return changed
}

func hashOf(p *rules.Pack) string {
	if p == nil {
		return ""
	}
	return p.Hash
}

// takeRenewed says once that a snapshot is due because the rules are others: after a
// kill it is then not begun from the old ones again.
func (r *Runner) takeRenewed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	renewed := r.renewed
	r.renewed = false
	return renewed
}
