package silence

import "time"

// How long a machine may say nothing before that is a silence.
const (
	leastPatience = 15 * time.Minute
	mostPatience  = 72 * time.Hour   // longer than a weekend
	longestPause  = 40 * time.Minute // that is learnt: a machine at rest may speak once an hour
	fewGaps       = 2                // known before its rhythm is
)

// rhythm is how often a machine speaks: the mean distance of its messages, and the
// longest one of late.
type rhythm struct {
	mean, pause int64 // ns
	gaps        uint8 // seen so far, at most fewGaps
}

func (r *rhythm) learn(gap int64) {
	if r.gaps < fewGaps {
		r.gaps++
	}
	if r.mean == 0 {
		r.mean = gap
	} else {
		r.mean += (min(gap, 8*r.mean) - r.mean) / 16 // one night does not make it slow
	}
	r.pause = max(min(gap, int64(longestPause)), r.pause-r.pause/64)
}

// patience is three of its pauses or ten of its usual distances, whichever is more.
func (r *rhythm) patience() int64 {
	if r.gaps < fewGaps {
		return int64(mostPatience)
	}
	return min(max(int64(leastPatience), 3*r.pause, 10*r.mean), int64(mostPatience))
}

// week is at which hours of the week, in UTC, a machine is in use.
type week struct {
	used  [168]uint8 // share of the weeks of late, 255 = all
	known uint16     // hours learnt so far, at most twoWeeks
}

const (
	twoWeeks   = 2 * 168
	mostlyUsed = 90 // of 255: in both of two weeks, or in most of more
	hardlyUsed = 40
)

// hourOf is the hour of the week, from Thursday 00:00 UTC as Unix time begins.
func hourOf(at int64) int {
	return int(at / int64(time.Hour) % 168)
}

func (w *week) learn(hour int, used bool) {
	if used {
		w.used[hour] += (255 - w.used[hour]) / 4
	} else {
		w.used[hour] -= w.used[hour] / 4
	}
	w.known = min(w.known+1, twoWeeks)
}

// usual says whether a machine is in use in an hour of most weeks.
func (w *week) usual(hour int) bool {
	return w.known == twoWeeks && w.used[(hour+168)%168] >= mostlyUsed
}

// ended says whether a machine that was heard last at an instant has come to the end
// of its usual hours by now.
func (w *week) ended(last, now int64) bool {
	before := hourOf(last)
	return w.known == twoWeeks && (w.usual(before) || w.usual(before-1)) && w.used[hourOf(now)] < hardlyUsed
}
