package dispatch

import "math"

const (
	earthKM     = 6371.0
	detour      = 1.3  // road over straight line
	speedKMH    = 45.0 // of a service van, all roads together
	travelScale = 45.0 // minutes after which half of the points for travel are gone
)

// travel gives road distance and driving time between two points: the great
// circle (haversine) times a detour factor, at a van's mean speed.
func travel(lat1, lon1, lat2, lon2 float64) (km float64, minutes int) {
	const degree = math.Pi / 180
	dLat, dLon := (lat2-lat1)*degree, (lon2-lon1)*degree
	h := math.Pow(math.Sin(dLat/2), 2) + math.Cos(lat1*degree)*math.Cos(lat2*degree)*math.Pow(math.Sin(dLon/2), 2)
	km = 2 * earthKM * math.Asin(math.Min(1, math.Sqrt(h))) * detour
	return round(km), int(math.Round(km / speedKMH * 60))
}

func round(v float64) float64 { return math.Round(v*10) / 10 }
