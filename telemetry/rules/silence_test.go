package rules

import (
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// A machine whose clock is two hours behind, or that brings what it has kept, is not
// silent while it speaks; it is when it says no more.
func TestSilence_WhoSpeaksOfLongAgoIsNotSilent(t *testing.T) {
	t.Parallel()
	pack := &Pack{Model: "m", Signals: []SignalSpec{{Name: "rpm"}}, Rules: []Rule{{ID: "no-data", Kind: "silence", After: 10 * time.Minute, Severity: Info}}}
	m := New("M1", pack)
	begun := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	var opened []time.Duration
	for minute := range 4 * 60 {
		now := time.Duration(minute) * time.Minute
		if minute%5 == 0 && minute < 120 {
			m.Observe(observation.Observation{At: begun.Add(now - 2*time.Hour), Values: []observation.Value{{Signal: "rpm", Value: 900}}})
		}
		for _, f := range m.Tick(begun.Add(now), false) {
			if f.Change == Opened {
				opened = append(opened, now)
			}
		}
	}
	if len(opened) != 1 || opened[0] < 125*time.Minute || opened[0] > 128*time.Minute {
		t.Errorf("silent after %v, want once, ten minutes after the last word at 1h55m", opened)
	}
}
