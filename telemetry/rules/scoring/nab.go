package scoring

import "math"

// Profile weighs what the Numenta Anomaly Benchmark counts.
type Profile struct{ TP, FP, FN float64 }

// The profiles of the benchmark (Lavin and Ahmad 2015).
//
//nolint:gochecknoglobals // never written
var (
	Standard = Profile{TP: 1, FP: 0.11, FN: 1}
	LowFP    = Profile{TP: 1, FP: 0.22, FN: 1}
	LowFN    = Profile{TP: 1, FP: 0.11, FN: 2}
)

// Probation is how many rows at a file's begin the benchmark does not score.
func Probation(rows int) int { return int(0.15 * float64(min(rows, 5000))) }

// NAB is the benchmark's normalised score: 0 for a detector that says nothing, 100
// for one that says each anomaly in the first row of its window and nothing else. The
// opening of an episode is a detection, the rows after it are not.
func NAB(records []Record, p Profile) float64 {
	raw, events := 0.0, 0
	for _, r := range records {
		raw += p.raw(r)
		events += len(r.Events)
	}
	null, perfect := -p.FN*float64(events), p.TP*float64(events)
	return 100 * (raw - null) / (perfect - null)
}

func (p Profile) raw(r Record) float64 {
	sum := 0.0
	for _, v := range r.Events {
		best := -p.FN
		for _, e := range r.Episodes {
			if e.Open >= r.First && v.finds(e) {
				place := -float64(v.To-e.Open+1) / float64(v.To-v.From+1)
				best = math.Max(best, p.TP*sigmoid(place)/sigmoid(-1))
			}
		}
		sum += best
	}
	for _, e := range r.Episodes {
		if e.Open >= r.First && e.Open < r.End {
			sum += p.FP * past(r.Events, e.Open)
		}
	}
	return sum
}

// past is what a detection costs: less, the closer it follows a window; nothing in one.
func past(events []Event, row int) float64 {
	place := 3.0
	for _, v := range events {
		switch {
		case row >= v.From && row <= v.To:
			return 0
		case row > v.To:
			place = float64(row-v.To) / float64(v.To-v.From)
		}
	}
	return sigmoid(place)
}

// sigmoid is near 1 at a window's left edge (-1), 0 at its right edge, -1 well behind it.
func sigmoid(place float64) float64 {
	if place >= 3 {
		return -1
	}
	return 2/(1+math.Exp(5*place)) - 1
}
