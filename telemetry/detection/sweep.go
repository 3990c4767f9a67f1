package detection

import (
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// Toward says how far machines have moved the way of a rule's confirmed finding, as the
// rules hold them now. Machines that have not learnt their normal yet are not in the answer.
func (r *Runner) Toward(keys []string, rule string, e rules.Evidence) map[string]rules.Suspect {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make(map[string]rules.Suspect, len(keys))
	for _, key := range keys {
		w := r.watched[key]
		if w == nil {
			continue
		}
		if score, inSigma, ok := w.rules.Toward(rule, e); ok {
			out[key] = rules.Suspect{Score: score, InSigma: inSigma}
		}
	}
	return out
}
