package machines

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

const (
	reopenWithin  = 24 * time.Hour   // the same code within this is the same record
	missedPeriods = 3                // after which a code is taken as cleared
	longestPause  = 15 * time.Minute // between two reports that still tell how often there is one
	statedPeriod  = time.Minute      // a period of this or more is believed before it was seen
)

// TroubleBook holds the codes of some machines while reports are written into it,
// in the order in which they came. Event time decides: what comes twice changes
// nothing, and what comes late neither opens nor clears a code.
type TroubleBook struct {
	codes   map[uuid.UUID][]*troubleEntry // of a machine, oldest first
	sources map[troubleUnit]*troubleSource
	changed []TroubleChange
	dropped int
}

// maxCodes bounds the different codes of one machine: a control unit has hundreds,
// a broken sender makes up millions.
const maxCodes = 2_000

// TroubleChange is a code that became active or cleared.
type TroubleChange struct {
	MachineID uuid.UUID
	At        time.Time
	Code      TroubleCode
}

type troubleEntry struct {
	TroubleCode
	dirty bool
}

// troubleUnit is one control unit of a machine; address -1 is none.
type troubleUnit struct {
	machine  uuid.UUID
	protocol string
	address  int
}

// troubleSource is when a unit was heard.
type troubleSource struct {
	heardAt, wholeAt time.Time
	spacing, period  time.Duration
	dirty            bool
}

func unitOf(machine uuid.UUID, protocol string, address *int) troubleUnit {
	u := troubleUnit{machine, protocol, -1}
	if address != nil {
		u.address = *address
	}
	return u
}

// Report writes one report into the book, and says whether it is the newest of its
// control unit.
func (b *TroubleBook) Report(r TroubleReport, id func() uuid.UUID) (news bool) {
	unit := unitOf(r.MachineID, r.Protocol, r.SourceAddress)
	s := b.sources[unit]
	if s == nil {
		s = &troubleSource{}
		b.sources[unit] = s
	}
	for i := range r.Codes {
		b.code(unit, s, r, &r.Codes[i], id)
	}
	if r.Previous {
		return false // DM2 is sent when it is asked for, and says nothing of now
	}
	if r.Whole {
		b.clearMissing(unit, r)
	}
	news = r.At.After(s.heardAt)
	s.hear(r)
	return news
}

func (s *troubleSource) hear(r TroubleReport) {
	if r.Whole && r.At.After(s.wholeAt) {
		s.wholeAt, s.dirty = r.At, true
	}
	if !r.At.After(s.heardAt) {
		return
	}
	if gap := r.At.Sub(s.heardAt); !s.heardAt.IsZero() && gap <= longestPause {
		s.spacing = gap
	}
	s.heardAt, s.period, s.dirty = r.At, r.Period, true
}

// newest is the newest record of a code.
func (b *TroubleBook) newest(unit troubleUnit, code string) *troubleEntry {
	list := b.codes[unit.machine]
	for i := len(list) - 1; i >= 0; i-- {
		if e := list[i]; e.Code == code && unitOf(e.MachineID, e.Protocol, e.SourceAddress) == unit {
			return e
		}
	}
	return nil
}

func (b *TroubleBook) code(unit troubleUnit, s *troubleSource, r TroubleReport, c *ReportedCode, id func() uuid.UUID) {
	e := b.newest(unit, c.Code)
	switch {
	case r.Previous:
		b.before(unit, e, r, c, id)
	case !c.On:
		if e != nil && e.Active() && !r.At.Before(e.LastSeenAt) {
			b.clear(e, r.At)
		}
	case e == nil, !e.Active() && r.At.Sub(*e.ClearedAt) >= reopenWithin:
		b.open(unit, s, r, c, id)
	case e.Active():
		e.see(r, c)
	case r.At.After(*e.ClearedAt):
		e.ClearedAt = nil
		e.Occurrences++
		e.see(r, c)
		e.dirty = true
		b.changed = append(b.changed, TroubleChange{e.MachineID, r.At, e.TroubleCode})
	default: // late
		e.see(r, c)
	}
}

// see notes that a code is still there.
func (e *troubleEntry) see(r TroubleReport, c *ReportedCode) {
	if first := began(r, c); first.Before(e.FirstSeenAt) && e.FirstSeenAt.Sub(first) < reopenWithin {
		e.FirstSeenAt, e.dirty = first, true
	}
	if !r.At.After(e.LastSeenAt) {
		return
	}
	e.LastSeenAt, e.dirty = r.At, true
	e.MIL, e.RedStop, e.AmberWarning, e.Protect, e.Severity = c.MIL, c.RedStop, c.AmberWarning, c.Protect, c.Severity
	if c.UnitCount != nil {
		e.UnitCount = c.UnitCount
	}
}

// began is when the sender says that a code did. What lies before there were such
// machines is a clock that was lost, and nothing that the database has to hold.
func began(r TroubleReport, c *ReportedCode) time.Time {
	if c.Since.Unix() >= 0 && c.Since.Before(r.At) {
		return c.Since
	}
	return r.At
}

func (b *TroubleBook) open(unit troubleUnit, s *troubleSource, r TroubleReport, c *ReportedCode, id func() uuid.UUID) {
	e := b.add(unit, r, c, id)
	if e == nil {
		return
	}
	if r.At.Before(s.wholeAt) { // a later list without it has been seen already
		at := s.wholeAt
		e.ClearedAt = &at
		return
	}
	b.changed = append(b.changed, TroubleChange{e.MachineID, r.At, e.TroubleCode})
}

// add makes a record; nil when the machine has too many.
func (b *TroubleBook) add(unit troubleUnit, r TroubleReport, c *ReportedCode, id func() uuid.UUID) *troubleEntry {
	if len(b.codes[unit.machine]) >= maxCodes {
		b.dropped++
		return nil
	}
	e := &troubleEntry{TroubleCode: c.TroubleCode, dirty: true}
	e.ID, e.MachineID, e.Protocol, e.SourceAddress = id(), r.MachineID, r.Protocol, r.SourceAddress
	e.Occurrences, e.FirstSeenAt, e.LastSeenAt, e.ClearedAt = 1, began(r, c), r.At, nil
	b.codes[unit.machine] = append(b.codes[unit.machine], e)
	return e
}

// before notes that a code was active before, as the unit remembers it.
func (b *TroubleBook) before(unit troubleUnit, e *troubleEntry, r TroubleReport, c *ReportedCode, id func() uuid.UUID) {
	if e == nil {
		if e = b.add(unit, r, c, id); e == nil {
			return
		}
		at := r.At
		e.ClearedAt = &at
	}
	if !e.Previous {
		e.Previous, e.dirty = true, true
	}
	if c.UnitCount != nil && (e.UnitCount == nil || *e.UnitCount != *c.UnitCount) {
		e.UnitCount, e.dirty = c.UnitCount, true
	}
}

func (b *TroubleBook) clearMissing(unit troubleUnit, r TroubleReport) {
	for _, e := range b.codes[unit.machine] {
		if !e.Active() || !r.At.After(e.LastSeenAt) || unitOf(e.MachineID, e.Protocol, e.SourceAddress) != unit {
			continue
		}
		if !slices.ContainsFunc(r.Codes, func(c ReportedCode) bool { return c.Code == e.Code && c.On }) {
			b.clear(e, r.At)
		}
	}
}

func (b *TroubleBook) clear(e *troubleEntry, at time.Time) {
	e.ClearedAt, e.dirty = &at, true
	b.changed = append(b.changed, TroubleChange{e.MachineID, at, e.TroubleCode})
}

// Heard says that a machine went on at an instant: codes of which three reports
// are missing by then have cleared. A machine that says nothing at all clears none.
func (b *TroubleBook) Heard(machine uuid.UUID, at time.Time) {
	for _, e := range b.codes[machine] {
		if !e.Active() {
			continue
		}
		s := b.sources[unitOf(machine, e.Protocol, e.SourceAddress)]
		if s == nil || s.period == 0 || s.period < statedPeriod && s.spacing == 0 {
			continue
		}
		if due := e.LastSeenAt.Add(missedPeriods * max(s.period, s.spacing)); at.After(due) {
			b.clear(e, due)
		}
	}
}

// Dropped is how many codes were not taken because a machine has too many.
func (b *TroubleBook) Dropped() int { return b.dropped }

// Changes lists what became active or cleared since the book was loaded, in order.
func (b *TroubleBook) Changes() []TroubleChange { return b.changed }

// ActiveOf lists what is active at a machine now.
func (b *TroubleBook) ActiveOf(machine uuid.UUID) (list []TroubleCode) {
	for _, e := range b.codes[machine] {
		if e.Active() {
			list = append(list, e.TroubleCode)
		}
	}
	return list
}
