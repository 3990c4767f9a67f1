package detection

import (
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
)

// comparison is what a runner knows of machines beside one another. At a point of the
// grid it works out how the machines of each model stand and has that written to the
// log; what the log says of it is told to them with the tick after it, so that it
// does not matter in which order rows came around it.
type comparison struct {
	tell  func(*sisters.Cohort)
	made  []*sisters.Cohort // of this batch, for the log
	heard []*sisters.Cohort // in the log since the last tick
	told  []ToldCohort      // to the machines, of this batch
}

// ToldCohort is a cohort and the tick with which machines were told of it.
type ToldCohort struct {
	*sisters.Cohort
	Told time.Time
}

// hear takes a cohort out of the log.
func (c *comparison) hear(kin *telemetry.LocatedCohort, log *slog.Logger) {
	cohort, err := sisters.Decode(kin.Payload)
	if err != nil {
		log.Error("a record of how machines stand to one another makes no sense", "lsn", kin.LSN, "error", err)
		return
	}
	c.heard = append(c.heard, cohort)
}

// waiting is what a snapshot keeps of it.
func (c *comparison) waiting() (list [][]byte) {
	for _, cohort := range c.heard {
		if b, err := cohort.Encode(); err == nil {
			list = append(list, b)
		}
	}
	return list
}

func (c *comparison) resume(waiting [][]byte) {
	c.heard = nil
	for _, b := range waiting {
		if cohort, err := sisters.Decode(b); err == nil {
			c.heard = append(c.heard, cohort)
		}
	}
}

// compare tells the machines what the log said since the tick before, and where the
// grid has a point works out how they stand now.
func (r *Runner) compare(lsn intakelog.LSN, at time.Time, keys []string) (found []rules.Finding) {
	due := r.sisters.tell != nil && lsn > r.pos.LSN && sisters.Due(r.ticked, at.UnixNano())
	if !due && len(r.sisters.heard) == 0 {
		return nil
	}
	of := map[string][]*watched{}
	for _, key := range keys {
		if w := r.watched[key]; w.Pack != "" {
			of[w.Pack] = append(of[w.Pack], w)
		}
	}
	for _, cohort := range r.sisters.heard {
		for _, w := range of[cohort.Of] {
			crash := formats.Contain(func() { found = append(found, w.rules.Beside(cohort, at)...) })
			if crash != nil {
				r.fail(w, lsn, crash)
			}
		}
		r.sisters.told = append(r.sisters.told, ToldCohort{cohort, at})
	}
	r.sisters.heard = nil
	if due {
		for _, kind := range slices.Sorted(maps.Keys(of)) {
			r.muster(kind, at, of[kind])
		}
	}
	return found
}

// muster works out how the machines of a model stand.
func (r *Runner) muster(kind string, at time.Time, list []*watched) {
	if len(list) < sisters.Least {
		return
	}
	var census sisters.Census
	var stands []sisters.Standing
	for _, w := range list {
		stands = w.rules.Standings(at, stands[:0])
		if census.Add(stands); census.Full() {
			break
		}
	}
	if cohort := census.Cohort(kind, at); cohort != nil {
		r.sisters.made = append(r.sisters.made, cohort)
	}
}

// tellCohorts hands what was worked out to whoever writes it to the log.
func (r *Runner) tellCohorts() {
	r.mu.Lock()
	made := r.sisters.made
	r.sisters.made = nil
	r.mu.Unlock()
	for _, cohort := range made {
		r.sisters.tell(cohort)
	}
}
