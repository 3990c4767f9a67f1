// Package scoring judges what a detector has said against what is known to have
// happened. It is written from the published definitions, knows rows and episodes
// only, and must not know how a detector works or where the rows came from.
package scoring

// Episode is an alarm that was on in the rows [Open, Close).
type Episode struct{ Open, Close int }

// Event is something that a detector should have found. An episode that opens in
// the rows [From, To] finds it; the lead is the number of rows from there to At.
// For a failure, From is At minus the longest and To is At minus the shortest lead
// that counts; for a labelled span, From and To are its ends, and At is To.
type Event struct{ From, To, At int }

// Record is one machine's rows [First, End), what happened in them and what the
// detector said of them. Events and episodes are in order and do not overlap.
type Record struct {
	First, End int
	Hours      float64 // that these rows span, where they have a time
	Events     []Event
	Episodes   []Episode
	Named      int // place of the event's root among the causes that the first episode that found it opened with; 0 = it was not named
}

// Merge makes one episode of those that are less than gap rows apart: an alarm that
// comes back at once is still the same alarm.
func Merge(episodes []Episode, gap int) []Episode {
	var merged []Episode
	for _, e := range episodes {
		if n := len(merged); n > 0 && e.Open-merged[n-1].Close < gap {
			merged[n-1].Close = max(merged[n-1].Close, e.Close)
			continue
		}
		merged = append(merged, e)
	}
	return merged
}

// overlap is how many rows two spans [a, b) and [c, d) share.
func overlap(a, b, c, d int) int { return max(0, min(b, d)-max(a, c)) }
