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

// timeValue reads a JSON time: a number by its size or an RFC 3339 text with a
// zone. Null is no time.
func (s *jsonScanner) timeValue() (t time.Time, ok bool, fault *Fault) {
	switch c := s.peek(); {
	case c == '-' || c >= '0' && c <= '9':
		return s.timeNumber()
	case c == '"':
		start := s.pos
		text, good := s.text()
		if !good || !s.count() {
			return t, false, nil
		}
		if err := t.UnmarshalText(text); err != nil {
			f := s.at(start, TimeFormat, "expected RFC 3339 with a zone, as 2026-03-01T07:55:00Z,")
			return t, false, &f
		}
		return t, true, nil
	case c == 'n':
		s.literal()
		return t, false, nil
	}
	f := s.at(s.pos, TimeFormat, "expected a number or an RFC 3339 text")
	s.skip()
	return t, false, &f
}

func (s *jsonScanner) timeNumber() (time.Time, bool, *Fault) {
	start := s.pos
	n := scanNumeral(s.b[start:])
	if n.size == 0 || !s.ends(start+n.size) {
		s.pastWord()
		f := s.at(start, TimeFormat, "expected a number")
		return time.Time{}, false, &f
	}
	s.pos += n.size
	s.count()
	t, fault := numberTime(n, s.b[start:])
	if fault != nil {
		f := s.at(start, fault.Reason, fault.Detail)
		return t, false, &f
	}
	return t, true, nil
}
