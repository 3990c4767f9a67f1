// Package j1939 reads what control units say on a CAN bus as SAE J1939 has it:
// frames, messages of several frames, diagnostic trouble codes and some common
// values. It is pure: no time but that of the frames, no machine, no message
// broker. Layouts are those of SAE J1939-21, -71 and -73.
package j1939

import "time"

// Parameter groups that the package knows by number.
const (
	PGNActive   = 65226 // DM1, active trouble codes
	PGNPrevious = 65227 // DM2, previously active trouble codes
	pgnConnect  = 60416 // TP.CM, announces a message of several frames
	pgnTransfer = 60160 // TP.DT, carries seven bytes of it
)

// Global is the destination of what is said to all.
const Global = 255

// Frame is one CAN frame with a 29-bit identifier.
type Frame struct {
	ID   uint32
	Data []byte    // 8 bytes at most
	At   time.Time // when the gateway heard it
}

// Header is what a 29-bit identifier says.
type Header struct {
	Priority    uint8
	PGN         uint32
	Source      uint8
	Destination uint8 // Global where the group has none
}

// Message is one parameter group as a control unit sent it, in one frame or in many.
type Message struct {
	Header
	Data []byte
	At   time.Time // of its last frame
}

// Head takes an identifier apart. PDU1 groups (PF below 240) carry their
// destination in the identifier, the others are for all.
func Head(id uint32) Header {
	h := Header{Priority: uint8(id >> 26 & 7), PGN: id >> 8 & 0x3FFFF, Source: uint8(id), Destination: Global} //nolint:gosec // cut to size
	if id>>16&0xFF < 240 {
		h.Destination = uint8(id >> 8) //nolint:gosec // cut to size
		h.PGN &^= 0xFF
	}
	return h
}

// Lamp is one of the four lamps in a trouble code message.
type Lamp uint8

// States of a lamp.
const (
	Off Lamp = iota
	On
	LampError
	LampUnknown
)

// Lit says whether the lamp is on.
func (l Lamp) Lit() bool { return l == On }

// Lamps are the lamps, and how each flashes: 0 slowly, 1 fast, 3 not at all.
type Lamps struct {
	MIL, RedStop, AmberWarning, Protect                     Lamp
	FlashMIL, FlashRedStop, FlashAmberWarning, FlashProtect uint8
}

// lamps reads the first two bytes of a trouble code message.
func lamps(on, flash byte) Lamps {
	return Lamps{
		MIL: Lamp(on >> 6), RedStop: Lamp(on >> 4 & 3), AmberWarning: Lamp(on >> 2 & 3), Protect: Lamp(on & 3),
		FlashMIL: flash >> 6, FlashRedStop: flash >> 4 & 3, FlashAmberWarning: flash >> 2 & 3, FlashProtect: flash & 3,
	}
}
