package scoring

// phases are the places at which an alarm clock may start; a figure of it is the
// mean over all of them.
const phases = 20

// Clocks are the records as alarm clocks would have them, each as many episodes as
// the detector, equally far apart over all machines' rows one after the other, and as
// long as the detector's are on average. A detector that sees nothing in the signals
// is one of these.
func Clocks(records []Record) [][]Record {
	clocks := make([][]Record, phases)
	for i := range clocks {
		clocks[i] = clock(records, (float64(i)+0.5)/phases)
	}
	return clocks
}

func clock(records []Record, phase float64) []Record {
	rows, episodes, length := 0, 0, 0
	for _, r := range records {
		rows += r.End - r.First
		for _, e := range r.Episodes {
			if e.Open >= r.First && e.Open < r.End {
				episodes++
				length += min(e.Close, r.End) - e.Open
			}
		}
	}
	rung := silent(records)
	if episodes == 0 {
		return rung
	}
	step, mean := float64(rows)/float64(episodes), max(1, length/episodes)
	at, next := 0, phase*step
	for i := range rung {
		r := &rung[i]
		for ; int(next) < at+r.End-r.First; next += step {
			open := r.First + int(next) - at
			r.Episodes = append(r.Episodes, Episode{open, min(open+mean, r.End)})
		}
		r.Episodes = Merge(r.Episodes, 0)
		at += r.End - r.First
	}
	return rung
}

// Always are the records as a detector would have them that is in alarm from each
// machine's first row to its last.
func Always(records []Record) []Record {
	on := silent(records)
	for i := range on {
		on[i].Episodes = []Episode{{on[i].First, on[i].End}}
	}
	return on
}

func silent(records []Record) []Record {
	out := make([]Record, len(records))
	for i, r := range records {
		out[i] = Record{First: r.First, End: r.End, Hours: r.Hours, Events: r.Events}
	}
	return out
}
