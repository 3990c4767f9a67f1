package simulate

import "math"

// Times of work are counted in slots of a quarter of an hour, in local time.
const (
	slotSeconds = 900
	slotsPerDay = 96
	yearSeconds = 31_556_952 // 365.2425 days
	dayStart    = 26         // 06:30: a night shift belongs to the day before
)

// Work is how a machine is worked: from when to when, how often and how hard.
type Work struct {
	From, To  int     // slots of a day; To may be beyond midnight
	BreakFrom int     // slots without work, as at noon
	BreakTo   int     //
	Days      float64 // share of days with work
	RainStops float64 // share of rainy days without work
	Night     float64 // share of days with a night shift, 21:30 to 05:45
	NightFrom int     // day of the fleet from which every night is worked, 0 = none
	Duty      float64 // share of slots under load; the rest waits, idling
	Low, High float64 // load from 0 to 1
}

// streams of random numbers of one machine.
const (
	streamDay uint64 = iota + 1
	streamStart
	streamEnd
	streamNight
	streamDuty
	streamLoad
	streamPour
	streamRain
	streamWeather
	streamSelf
	streamNoise  = 100
	streamWander = 200
)

// slot is what a machine does for a quarter of an hour.
type slot struct {
	on   bool
	load float64 // 0 = idling
}

// localSlot is the number of local slots since 1970, and the local day.
func localSlot(at int64) (index, day int64, of int) {
	local := at + 8*3600
	index = floorDiv(local, slotSeconds)
	day = floorDiv(index, slotsPerDay)
	return index, day, int(index - day*slotsPerDay)
}

// memo remembers what was computed of a slot: a temperature asks for the same
// twelve hours again and again.
type memo struct {
	index int64
	slot  slot
	air   float64 // at its begin
}

const memos = 128

// slotAt gives a slot by number, with the air at its begin.
func (u *unit) slotAt(index int64) *memo {
	m := &u.memos[index&(memos-1)]
	if m.index != index {
		at := index * slotSeconds
		*m = memo{index, u.compute(at), u.ambient(at)}
	}
	return m
}

// slot tells what the machine does in the quarter of an hour that holds an instant.
func (u *unit) slot(at int64) slot { return u.slotAt(floorDiv(at, slotSeconds)).slot }

func (u *unit) compute(at int64) slot {
	index, day, of := localSlot(at)
	if of < dayStart {
		day, of = day-1, of+slotsPerDay
	}
	if !u.working(day, of) || u.stands(at) || u.down(at) {
		return slot{}
	}
	w := &u.Work
	if uniform(u.seed, streamDuty, index) >= w.Duty {
		return slot{on: true}
	}
	// Each pour, pit or shift has its own load, and each slot strays from it.
	level := 0.5 + 0.28*wander(u.seed, streamPour, at, 3*3600) + 0.08*gauss(u.seed, streamLoad, index)
	level = math.Max(0, math.Min(1, level))
	return slot{true, w.Low + (w.High-w.Low)*level}
}

// stands says whether the machine is locked or its site is shut.
func (u *unit) stands(at int64) bool {
	for i := range u.Gaps {
		if g := &u.Gaps[i]; g.Kind != NoCoverage && g.holds(at) {
			return true
		}
	}
	return false
}

// working says whether a slot of a day (from 06:30 to 06:30) is worked.
func (u *unit) working(day int64, of int) bool {
	w := &u.Work
	if w.From == 0 && w.To == slotsPerDay { // round the clock
		return true
	}
	if of >= 86 || of < dayStart { // 21:30
		night := uniform(u.seed, streamNight, day) < w.Night && !u.rainStops(day)
		if w.NightFrom > 0 && day >= u.day0+int64(w.NightFrom) {
			night = true
		}
		if night && of >= 86 && of < slotsPerDay+23 {
			return true
		}
	}
	if uniform(u.seed, streamDay, day) >= w.Days || u.rainStops(day) {
		return false
	}
	from := w.From + int(4*uniform(u.seed, streamStart, day)) - 1
	to := w.To + int(7*uniform(u.seed, streamEnd, day)) - 4
	return of >= from && of < to && (of < w.BreakFrom || of >= w.BreakTo)
}

func (u *unit) rainStops(day int64) bool {
	return u.rain(day) && uniform(u.seed, streamRain, day) < u.Work.RainStops
}

// rain falls on a site, not on a machine.
func (u *unit) rain(day int64) bool { return uniform(u.site, streamRain, day) < 0.22 }

// ambient is the site's air temperature: season, weather, time of day.
func (u *unit) ambient(at int64) float64 {
	_, day, _ := localSlot(at)
	local := at + 8*3600
	season := 17.5 - 11.5*math.Cos(2*math.Pi*float64(local%yearSeconds-20*86400)/yearSeconds)
	weather := 2.4 * wander(u.site, streamWeather, at, 3*86400)
	daily := 4.5 * math.Cos(2*math.Pi*float64(local%86400-15*3600)/86400)
	if u.rain(day) {
		weather, daily = weather-2.5, daily*0.4
	}
	return season + weather + daily
}
