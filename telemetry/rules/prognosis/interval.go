package prognosis

import (
	"math"
	"slices"
)

// Coverage is how often what truly remains is to lie in an interval.
const Coverage = 0.8

// bands are the parts of what can be said that have an interval of their own.
const bands = 8

// leastInBand is how many lives must have been in a band; else all rows speak for it.
const leastInBand = 5

// margins are how far what truly remained was from what was said, by band of it.
type margins struct{ low, high [bands]float64 }

// said is what a forest said of a row of a life that it had not seen.
type said struct {
	remaining float64
	rest      float64 // what truly remained, less that
	life      int32
	byAge     float64 // error of the median life less the age
}

// measureMargins takes the quantiles of the rests in each band. It is conformal
// prediction with lives in place of rows, which hang together: with few lives the
// quantiles are further out (Lei 2018; Barber 2021 for the mean over folds).
func measureMargins(list []said, most float64) margins {
	var m margins
	for b := range bands {
		within := list
		if own := inBand(list, b, most); lives(own) >= leastInBand {
			within = own
		}
		rests := make([]float64, len(within))
		for i, s := range within {
			rests[i] = s.rest
		}
		slices.Sort(rests)
		n := float64(lives(within))
		share := math.Min(1, math.Ceil((n+1)*(1+Coverage)/2)/n)
		last := float64(len(rests) - 1)
		m.low[b] = math.Min(0, rests[int(math.Floor((1-share)*last))])
		m.high[b] = math.Max(0, rests[int(math.Ceil(share*last))])
	}
	return m
}

func inBand(list []said, band int, most float64) []said {
	var own []said
	for _, s := range list {
		if bandOf(s.remaining, most) == band {
			own = append(own, s)
		}
	}
	return own
}

func bandOf(remaining, most float64) int {
	return max(0, min(bands-1, int(bands*remaining/most)))
}

func lives(list []said) int {
	seen := map[int32]bool{}
	for _, s := range list {
		seen[s.life] = true
	}
	return len(seen)
}

// around is the interval of what is said, between 0 and most. Between the middles of
// two bands the margins lie between theirs.
func (m *margins) around(remaining, most float64) (low, high float64) {
	at := math.Max(0, math.Min(bands-1, bands*remaining/most-0.5))
	b := min(int(at), bands-2)
	share := at - float64(b)
	low = remaining + m.low[b] + share*(m.low[b+1]-m.low[b])
	high = remaining + m.high[b] + share*(m.high[b+1]-m.high[b])
	return math.Max(0, low), math.Min(most, high)
}
