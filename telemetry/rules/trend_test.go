package rules

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
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

// stopping is a machine with a limit of 80 that stops by itself at 95.
func stopping() *Machine {
	limit, stop := 80.0, 95.0
	rule := Rule{ID: "hot", Kind: "threshold", Signal: "heat", Severity: Warning, StopAt: &stop, Above: &limit}
	return New("M1", &Pack{Model: "m", Signals: []SignalSpec{{Name: "heat", Role: Condition}}, Rules: []Rule{rule}})
}

func TestThreshold_SaysWhenTheMachineStops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		heat func(hour float64) float64
		days float64 // at the end; 0 = no estimate
	}{
		"it rises to 82 by a quarter of a degree an hour": {func(hour float64) float64 { return 70 + hour/4 }, 13.0 * 4 / 24},
		"it falls": {func(hour float64) float64 { return 90 - hour/10 }, 0},
		"it stays": {func(float64) float64 { return 85 }, 0},
	} {
		m, noise := stopping(), rand.New(rand.NewPCG(3, 3))
		for minute := range 48 * 60 {
			if minute == 1000 { // a restart in between
				again := stopping()
				if err := again.Restore(again.pack, m.Snapshot(nil)); err != nil {
					t.Fatal(err)
				}
				m = again
			}
			heat := c.heat(float64(minute)/60) + 0.2*noise.NormFloat64()
			m.Observe(observation.Observation{Machine: "M1", At: traceStart.Add(time.Duration(minute) * time.Minute), Values: []observation.Value{{Signal: "heat", Value: heat}}})
		}
		m.Flush()
		open := m.Open()
		if len(open) != 1 {
			t.Errorf("%s: %d findings", name, len(open))
			continue
		}
		days := open[0].Evidence.DaysToLimit
		if (days != nil) != (c.days > 0) || days != nil && (days[0] > 1.05*c.days || days[1] < 0.95*c.days) {
			t.Errorf("%s: days to the stop %v, true are %.2f", name, days, c.days)
		}
	}
}
