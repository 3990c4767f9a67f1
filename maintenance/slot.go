package maintenance

import (
	"time"

	"github.com/thirdstate/thirdstate/machines"
)

// slotAhead is how long before a visit its time is agreed at the latest.
const slotAhead = 2 * time.Hour

// VisitChoices are the two next times at which a machine of a kind stands still
// and somebody may come: in the evening after work and in the morning before it.
func VisitChoices(now time.Time, kind string) []time.Time {
	morning := 7*time.Hour + 30*time.Minute
	if kind == "concrete_pump" { // leaves for the pour at six
		morning = 5*time.Hour + 30*time.Minute
	}
	evening := 19*time.Hour + 30*time.Minute
	local := now.In(zone)
	day := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, zone)
	var choices []time.Time
	for ; len(choices) < 2; day = day.AddDate(0, 0, 1) {
		for _, hour := range []time.Duration{morning, evening} {
			if at := day.Add(hour).UTC(); !at.Before(now.Add(slotAhead)) && len(choices) < 2 {
				choices = append(choices, at)
			}
		}
	}
	return choices
}

// SlotName says when a visit is: this evening, tomorrow morning, else its date,
// with the time.
func SlotName(now, at time.Time) machines.Text {
	local := at.In(zone)
	clock := local.Format("15:04")
	day, ok := nearDay(now, local)
	if !ok {
		return localTime(at)
	}
	return machines.Text{ZH: day.ZH + " " + clock, EN: day.EN + " " + clock}
}

// spokenSlot is SlotName without the time where the day is near.
func spokenSlot(now, at time.Time) machines.Text {
	if day, ok := nearDay(now, at.In(zone)); ok {
		return day
	}
	t := localTime(at)
	return machines.Text{ZH: t.ZH, EN: "on " + t.EN}
}

// nearDay names a part of today or tomorrow.
func nearDay(now, local time.Time) (machines.Text, bool) {
	today := now.In(zone)
	late := local.Hour() >= 17
	early := local.Hour() < 11
	switch {
	case sameDay(today, local) && late:
		return machines.Text{ZH: "今晚", EN: "tonight"}, true
	case sameDay(today, local) && early:
		return machines.Text{ZH: "今早", EN: "this morning"}, true
	case sameDay(today, local):
		return machines.Text{ZH: "今天", EN: "today"}, true
	case sameDay(today.AddDate(0, 0, 1), local) && late:
		return machines.Text{ZH: "明晚", EN: "tomorrow evening"}, true
	case sameDay(today.AddDate(0, 0, 1), local) && early:
		return machines.Text{ZH: "明早", EN: "tomorrow morning"}, true
	case sameDay(today.AddDate(0, 0, 1), local):
		return machines.Text{ZH: "明天", EN: "tomorrow"}, true
	}
	return machines.Text{}, false
}
