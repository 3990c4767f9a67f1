package detection

import "time"

// staleAfter is how long a rule may go without what it needs while its machine is
// watched.
const staleAfter = 24 * time.Hour

// costEvery is how many observations pass between two that are timed.
const costEvery = 512

// RuleRun is how a rule runs on the machines that it watches.
type RuleRun struct {
	Machines int       // that it watches
	Stale    int       // of them, those that have not said for a day what it needs
	Missing  string    // a signal that one of them has not said
	Newest   time.Time // event time of the newest row that it has seen
	RowNanos float64   // that all rules of its pack take for a row, sampled; 0 = not known yet
}

// Runs tells how each rule runs. It looks at every machine: ask it seldom.
func (r *Runner) Runs() map[RuleKey]RuleRun {
	r.mu.RLock()
	defer r.mu.RUnlock()
	runs := map[RuleKey]RuleRun{}
	for _, w := range r.watched {
		newest := w.rules.Newest()
		if newest.IsZero() {
			continue
		}
		now := newest
		if ticked := time.Unix(0, r.ticked); ticked.After(now) {
			now = ticked
		}
		w.rules.Watches(func(rule, hash string, heard time.Time, missing string) {
			run := runs[RuleKey{rule, hash}]
			run.Machines++
			run.RowNanos = r.costs[hashOf(w.pack)]
			if now.Sub(heard) > staleAfter {
				run.Stale++
				run.Missing = missing
			}
			if newest.After(run.Newest) {
				run.Newest = newest.UTC()
			}
			runs[RuleKey{rule, hash}] = run
		})
	}
	return runs
}

// timed notes what a row has cost the rules of a machine.
func (r *Runner) timed(w *watched, took time.Duration) {
	key := hashOf(w.pack)
	if before, known := r.costs[key]; known {
		r.costs[key] = before + (float64(took.Nanoseconds())-before)/16
		return
	}
	r.costs[key] = float64(took.Nanoseconds())
}
