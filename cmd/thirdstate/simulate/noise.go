package simulate

import "math"

// Random numbers here are hashes: of the seed, of what is asked and of when. So
// they need no state and come out the same in any order.

// mix spreads the bits of a number (splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hash(seed uint64, stream uint64, index int64) uint64 {
	return mix(mix(seed^stream*0xd1342543de82ef95) ^ uint64(index)) //nolint:gosec // bits, not a number
}

// uniform gives a number from 0 to 1.
func uniform(seed, stream uint64, index int64) float64 {
	return float64(hash(seed, stream, index)>>11) / (1 << 53)
}

// gauss gives a nearly normal number of mean 0 and spread 1: a sum of four uniform ones.
func gauss(seed, stream uint64, index int64) float64 {
	h := hash(seed, stream, index)
	sum := float64(h&0xffff) + float64(h>>16&0xffff) + float64(h>>32&0xffff) + float64(h>>48)
	return (sum/0x1p16 - 2) * math.Sqrt(3)
}

// wander is a number of mean 0 and spread about 1 that moves smoothly from one
// random value to the next every step seconds.
func wander(seed, stream uint64, at, step int64) float64 {
	i := floorDiv(at, step)
	f := float64(at-i*step) / float64(step)
	f = f * f * (3 - 2*f)
	return 1.2 * (gauss(seed, stream, i)*(1-f) + gauss(seed, stream, i+1)*f)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
