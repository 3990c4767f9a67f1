package statistics

import (
	"math"
	"slices"
)

// Median sorts v and gives its middle; 0 for none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Spread is the robust standard deviation of v around its median: 1.4826 MAD, or
// the plain one where more than half of the values are (nearly) equal.
func Spread(v []float64) (middle, sigma float64) {
	if len(v) == 0 {
		return 0, 0
	}
	away := slices.Clone(v)
	middle = Median(away)
	mean, square := 0.0, 0.0
	for i, x := range v {
		away[i] = math.Abs(x - middle)
		mean += x
	}
	mean /= float64(len(v))
	for _, x := range v {
		square += (x - mean) * (x - mean)
	}
	plain := math.Sqrt(square / float64(len(v)))
	sigma = 1.4826 * Median(away)
	if sigma < 0.3*plain {
		sigma = plain
	}
	return middle, sigma
}
