package formats

import (
	"math"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// Bounds of device time. The unit of a number is told by its size.
const (
	aheadLimit   = 2 * time.Minute
	oldestSecond = 946_684_800   // 2000-01-01
	newestSecond = 4_102_444_800 // 2100-01-01
	oldestBehind = 400 * 24 * time.Hour
)

// placeTime decides the event time of a reading. A device clock that is more
// than two minutes ahead is not believed: the receive time is used and flagged.
func placeTime(device, received time.Time) (time.Time, observation.Flag, *Fault) {
	switch sec := device.Unix(); {
	case sec < oldestSecond:
		return time.Time{}, 0, &Fault{Reason: TimePast, Detail: "time " + device.UTC().Format(time.RFC3339) + " is before 2000"}
	case sec >= newestSecond:
		return time.Time{}, 0, &Fault{Reason: TimeUnit, Detail: "time is after 2100 in every unit that its size allows"}
	case device.Sub(received) > aheadLimit:
		return received.UTC(), observation.ClockAhead, nil
	case received.Sub(device) > oldestBehind:
		return time.Time{}, 0, &Fault{Reason: TimePast, Detail: "time " + device.UTC().Format(time.RFC3339) + " is more than 400 days before it was received"}
	}
	return device.UTC().Truncate(time.Microsecond), 0, nil
}

// moment is a time as a sender wrote it: an instant, or what a clock on the wall
// showed, kept as if it were UTC.
type moment struct {
	time.Time
	wall bool
}

// place gives a reading its time.
func (r *Reading) place(at moment, received time.Time) (fault *Fault) {
	if !at.wall {
		r.At, r.Flags, fault = placeTime(at.Time, received)
		return fault
	}
	// No zone is further than 14 hours from UTC; which one it is, the site will say.
	if at.Unix() < oldestSecond || at.Unix() >= newestSecond || received.Sub(at.Time) > oldestBehind+14*time.Hour {
		_, _, fault = placeTime(at.Time, received)
		return fault
	}
	r.Clock = at.Time
	return nil
}

// InZone gives a reading whose sender named no zone its time by the zone of the
// machine's site. Without one the receive time stays, flagged as such. Of an hour
// that the clock showed twice it is the later that is not in the future.
func (r *Reading) InZone(zone *time.Location, received time.Time) {
	if r.Clock.IsZero() || zone == nil {
		return
	}
	c := r.Clock
	at := time.Date(c.Year(), c.Month(), c.Day(), c.Hour(), c.Minute(), c.Second(), c.Nanosecond(), zone)
	if again := at.Add(time.Hour); sameClock(at, again) && again.Sub(received) <= aheadLimit {
		at = again
	} else if once := at.Add(-time.Hour); sameClock(at, once) && at.Sub(received) > aheadLimit {
		at = once
	}
	if at, flags, fault := placeTime(at, received); fault == nil {
		r.At, r.Flags = at, flags
	}
}

func sameClock(a, b time.Time) bool {
	return a.Hour() == b.Hour() && a.Minute() == b.Minute() && a.Day() == b.Day()
}

// wallClocks are the ways to write a time without a zone. A fraction of the
// second is read with each.
//
//nolint:gochecknoglobals // a list, never written
var wallClocks = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006/01/02 15:04:05", "2006-01-02T15:04"}

// zonedClocks are the ways to write one with a zone that RFC 3339 does not know.
//
//nolint:gochecknoglobals // a list, never written
var zonedClocks = []string{"2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z0700"}

// textTime reads a time in a text: RFC 3339, and where local is true also its near
// relatives and a clock on the wall.
func textTime(text []byte, local bool) (t moment, ok bool) {
	if t.UnmarshalText(text) == nil {
		return t, true
	}
	if !local || len(text) > 40 {
		return t, false
	}
	for i, layouts := range [...][]string{zonedClocks, wallClocks} {
		for _, layout := range layouts {
			if at, err := time.Parse(layout, string(text)); err == nil {
				return moment{at, i == 1}, true
			}
		}
	}
	return t, false
}

// PlaceTime decides the event time of what a device says: formats whose messages
// depend on earlier ones are read elsewhere, and have the same idea of time.
func PlaceTime(device, received time.Time) (time.Time, observation.Flag, *Fault) {
	return placeTime(device, received)
}

// numberTime reads a Unix time by its size: below 1e11 it is seconds, below 1e14
// milliseconds, below 1e17 microseconds, else nanoseconds.
func numberTime(n numeral, text []byte) (time.Time, *Fault) {
	if n.negative {
		return time.Time{}, &Fault{Reason: TimePast, Detail: "time is before 1970"}
	}
	if n.integer && !n.cut && n.digits <= math.MaxInt64 {
		return wholeTime(int64(n.digits)), nil
	}
	v, why := n.value(text)
	if n.integer || why != "" || v >= 1e17 {
		return time.Time{}, &Fault{Reason: TimeUnit, Detail: "time is larger than nanoseconds of this century"}
	}
	switch {
	case v < 1e11:
		sec, frac := math.Modf(v)
		return time.Unix(int64(sec), int64(math.Round(frac*1e6))*1000), nil
	case v < 1e14:
		return time.UnixMicro(int64(math.Round(v * 1e3))), nil
	}
	return time.UnixMicro(int64(math.Round(v))), nil
}

func wholeTime(v int64) time.Time {
	switch {
	case v < 1e11:
		return time.Unix(v, 0)
	case v < 1e14:
		return time.UnixMilli(v)
	case v < 1e17:
		return time.UnixMicro(v)
	}
	return time.Unix(0, v)
}

// timeValue reads a JSON time: a number by its size or an RFC 3339 text, where
// local is true also one without a zone or a number in a text. Null is no time.
func (s *jsonScanner) timeValue(local bool) (t moment, ok bool, fault *Fault) {
	switch c := s.peek(); {
	case c == '-' || c >= '0' && c <= '9':
		return s.timeNumber()
	case c == '"':
		return s.timeText(local)
	case c == 'n':
		s.literal()
		return t, false, nil
	}
	f := s.at(s.pos, TimeFormat, "expected a number or an RFC 3339 text")
	s.skip()
	return t, false, &f
}

func (s *jsonScanner) timeText(local bool) (t moment, ok bool, fault *Fault) {
	start := s.pos
	text, good := s.text()
	if !good || !s.count() {
		return t, false, nil
	}
	if local && len(text) > 0 && scanNumeral(text).size == len(text) {
		if t, ok, fault = timeOf(text); fault != nil {
			f := s.at(start, fault.Reason, fault.Detail)
			return t, false, &f
		}
		return t, ok, nil
	}
	if t, ok = textTime(text, local); !ok {
		f := s.at(start, TimeFormat, "expected RFC 3339"+zoneAsked(local)+", as 2026-03-01T07:55:00Z,")
		return t, false, &f
	}
	return t, true, nil
}

func zoneAsked(local bool) string {
	if local {
		return ""
	}
	return " with a zone"
}

func (s *jsonScanner) timeNumber() (t moment, ok bool, fault *Fault) {
	start := s.pos
	n := scanNumeral(s.b[start:])
	if n.size == 0 || !s.ends(start+n.size) {
		s.pastWord()
		f := s.at(start, TimeFormat, "expected a number")
		return t, false, &f
	}
	s.pos += n.size
	s.count()
	if t.Time, fault = numberTime(n, s.b[start:]); fault != nil {
		f := s.at(start, fault.Reason, fault.Detail)
		return t, false, &f
	}
	return t, true, nil
}
