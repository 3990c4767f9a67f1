package rules

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// along adds a line with noise, one stretch a value.
func along(l *trend, from, stretches int, value func(i int) float64) {
	for i := from; i < from+stretches; i++ {
		l.add(epochNS+int64(i)*l.width, value(i))
	}
}

const epochNS = int64(1_780_000_000_000_000_000)

func TestTrend_FindsALineAndHowSureItIs(t *testing.T) {
	t.Parallel()
	perStretch := 0.5
	l := trend{width: int64(time.Hour)}
	noise := rand.New(rand.NewPCG(1, 2))
	along(&l, 0, 100, func(i int) float64 { return 600 + perStretch*float64(i) + noise.NormFloat64() })
	slope, se, ok := l.perDay()
	if !ok || math.Abs(slope-24*perStretch) > 3*se || se > 0.5 || se < 0.05 {
		t.Errorf("slope %v a day, se %v, %v", slope, se, ok)
	}
}

func TestTrend_ForgetsWhatWasLongAgo(t *testing.T) {
	t.Parallel()
	l := trend{width: int64(time.Hour)}
	along(&l, 0, 1000, func(int) float64 { return 70 })
	along(&l, 1000, 400, func(i int) float64 { return 70 + 0.1*float64(i-1000) })
	if slope, _, ok := l.perDay(); !ok || math.Abs(slope-2.4) > 0.5 {
		t.Errorf("slope %v a day, %v", slope, ok)
	}
}

func TestTrend_SaysNothingOfNoiseOrOfAFewStretches(t *testing.T) {
	t.Parallel()
	told := 0
	for seed := range uint64(200) {
		noise := rand.New(rand.NewPCG(seed, 5))
		l := trend{width: int64(time.Hour)}
		along(&l, 0, 60, func(int) float64 { return noise.NormFloat64() })
		if _, _, ok := l.perDay(); ok {
			told++
		}
	}
	if told > 20 { // two standard errors: one in twenty
		t.Errorf("a slope is told of %d of 200 runs of noise", told)
	}
	l := trend{width: int64(time.Hour)}
	along(&l, 0, trendLeast, func(i int) float64 { return float64(i) }) // the last one is not closed
	if _, _, ok := l.perDay(); ok {
		t.Error("a slope is told of five stretches")
	}
}

func TestDaysTo_HoldsTheTruth(t *testing.T) {
	t.Parallel()
	held, all := 0, 0
	stop := 100.0
	for seed := range uint64(300) {
		noise := rand.New(rand.NewPCG(seed, 9))
		l := trend{width: int64(time.Hour)}
		along(&l, 0, 80, func(i int) float64 { return 40 + 0.25*float64(i) + 3*noise.NormFloat64() })
		slope, se, ok := l.perDay()
		if !ok {
			continue
		}
		all++
		// At 79 h it is 59.75: 161 h, or 6.708 days, remain.
		if days := daysTo(&stop, 59.75, slope, z80*se); days != nil && days[0] <= 161.0/24 && days[1] >= 161.0/24 {
			held++
		}
	}
	if share := float64(held) / float64(all); all < 290 || share < 0.72 || share > 0.88 {
		t.Errorf("the 80 %% interval holds the truth in %d of %d", held, all)
	}
}
