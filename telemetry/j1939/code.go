package j1939

import (
	"errors"
	"fmt"
)

// NoCount is the occurrence count that a control unit does not keep.
const NoCount = 127

// maxCodes is what fits into the longest message of several frames.
const maxCodes = (maxMessage - 2) / 4

// Conversion says how the suspect parameter number lies in the four bytes of a
// code. Version4 is said by the code itself (its CM bit is 0); a code whose CM
// bit is 1 has one of the three older layouts and does not say which.
type Conversion uint8

// The layouts. Unstated means Version4 where the CM bit is 0 and Version3, which
// has the same order of bytes, where it is 1.
const (
	Unstated Conversion = iota
	Version1            // most significant bits first
	Version2            // the two upper bytes exchanged
	Version3            // least significant bits first
	Version4            // least significant bits first, CM bit 0
)

// Code is one diagnostic trouble code.
type Code struct {
	SPN   uint32 // suspect parameter number, 19 bits
	FMI   uint8  // failure mode identifier, 0 to 31
	Count uint8  // times it has occurred, NoCount where it is not kept
	CM    uint8  // conversion method bit
}

// Report is what DM1 or DM2 says: all codes of one control unit and its lamps.
type Report struct {
	Source uint8
	Active bool // DM1; otherwise DM2, previously active
	Lamps  Lamps
	Codes  []Code // none means that there is no fault
}

// What is wrong with a trouble code message.
var (
	ErrShort  = errors.New("a trouble code message has at least 6 bytes")
	ErrLong   = errors.New("a trouble code message has at most 1785 bytes")
	ErrBroken = errors.New("bytes are left over behind the last trouble code")
)

// ReadReport reads a DM1 or DM2. Padding (all ones) and "no fault" (SPN 0, FMI 0)
// are no codes; a code that stands twice counts once.
func ReadReport(m Message, older Conversion) (Report, error) {
	r := Report{Source: m.Source, Active: m.PGN == PGNActive}
	switch {
	case m.PGN != PGNActive && m.PGN != PGNPrevious:
		return r, fmt.Errorf("parameter group %d holds no trouble codes", m.PGN)
	case len(m.Data) < 6:
		return r, ErrShort
	case len(m.Data) > maxMessage:
		return r, ErrLong
	}
	r.Lamps = lamps(m.Data[0], m.Data[1])
	rest := m.Data[2:]
	for ; len(rest) >= 4; rest = rest[4:] {
		code, ok := readCode([4]byte(rest), older)
		if ok && !r.holds(code) && len(r.Codes) < maxCodes {
			r.Codes = append(r.Codes, code)
		}
	}
	for _, b := range rest {
		if b != 0xFF {
			return r, ErrBroken
		}
	}
	return r, nil
}

func (r *Report) holds(c Code) bool {
	for _, known := range r.Codes {
		if known.SPN == c.SPN && known.FMI == c.FMI {
			return true
		}
	}
	return false
}

// readCode says ok = false for padding and for "no fault".
func readCode(b [4]byte, older Conversion) (c Code, ok bool) {
	if b == [4]byte{0xFF, 0xFF, 0xFF, 0xFF} {
		return c, false
	}
	c = Code{FMI: b[2] & 31, Count: b[3] & 127, CM: b[3] >> 7}
	if c.CM == 0 {
		older = Version4
	}
	c.SPN = older.number(uint32(b[0]), uint32(b[1]), uint32(b[2]>>5))
	return c, c.SPN != 0 || c.FMI != 0
}

// number puts the suspect parameter number together.
func (v Conversion) number(first, second, third uint32) uint32 {
	switch v {
	case Version1:
		return first<<11 | second<<3 | third
	case Version2:
		return second<<11 | first<<3 | third
	case Version3, Version4, Unstated:
	}
	return first | second<<8 | third<<16
}

// Severity is how urgent a code is.
type Severity string

// Severities of codes; Advice is the third state: out of normal, still running.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
	Advice   Severity = "advice"
)

// SeverityOf follows the lamps first, because the control unit knows its engine,
// then the failure mode.
func SeverityOf(fmi uint8, l Lamps) Severity {
	switch {
	case l.RedStop.Lit(), fmi <= 1:
		return Critical
	case fmi == 15, fmi == 17:
		return Advice
	}
	return Warning
}

// Key names a code within its control unit, as in SPN110-FMI0.
func Key(spn uint32, fmi uint8) string { return fmt.Sprintf("SPN%d-FMI%d", spn, fmi) }
