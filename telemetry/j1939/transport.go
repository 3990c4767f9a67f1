package j1939

import (
	"cmp"
	"slices"
	"time"
)

// Bounds of the transport protocol (SAE J1939-21, 5.10).
const (
	maxMessage  = 255 * 7                 // bytes
	maxSessions = 32                      // messages of one bus that are on their way at once
	maxPause    = 1250 * time.Millisecond // T2: longer between two frames, and the message is lost
)

const (
	controlRequest   = 16  // RTS: to one
	controlBroadcast = 32  // BAM: to all
	controlAbort     = 255 // either side gives up
)

// Assembler puts messages of several frames together, for one bus. The zero value
// is ready. It keeps 32 messages at most: the one that waits longest goes first.
type Assembler struct {
	sessions []session // oldest first
	lost     int
}

type session struct {
	source, destination uint8
	pgn                 uint32
	size                int
	missing             int // frames
	have                [4]uint64
	data                []byte
	last                time.Time
}

// Lost is how many messages were begun and never came to their end.
func (a *Assembler) Lost() int { return a.lost }

// Add takes a frame and gives the message that it completes, if it does. A frame
// that comes twice does no harm.
func (a *Assembler) Add(f Frame) (Message, bool) {
	h := Head(f.ID)
	if len(f.Data) > 8 {
		return Message{}, false
	}
	switch h.PGN {
	case pgnConnect:
		a.connect(h, f)
		return Message{}, false
	case pgnTransfer:
		return a.transfer(h, f)
	}
	return Message{Header: h, Data: f.Data, At: f.At}, true
}

// connect begins or ends a message. Answers of the receiving side (CTS, end of
// message) say nothing that the frames themselves do not.
func (a *Assembler) connect(h Header, f Frame) {
	if len(f.Data) != 8 {
		return
	}
	b := f.Data
	switch b[0] {
	case controlAbort: // of whichever side: sender and receiver are exchanged
		a.drop(h.Source, h.Destination)
		a.drop(h.Destination, h.Source)
		return
	case controlRequest, controlBroadcast:
	default:
		return
	}
	size, frames := int(b[1])|int(b[2])<<8, int(b[3])
	if size < 9 || size > maxMessage || frames != (size+6)/7 {
		return
	}
	a.drop(h.Source, h.Destination)
	if len(a.sessions) == maxSessions {
		a.sessions = slices.Delete(a.sessions, 0, 1)
		a.lost++
	}
	a.sessions = append(a.sessions, session{
		source: h.Source, destination: h.Destination, pgn: (uint32(b[5]) | uint32(b[6])<<8 | uint32(b[7])<<16) & 0x3FFFF,
		size: size, missing: frames, data: make([]byte, frames*7), last: f.At,
	})
}

func (a *Assembler) transfer(h Header, f Frame) (Message, bool) {
	i := a.find(h.Source, h.Destination)
	if i < 0 || len(f.Data) != 8 {
		return Message{}, false
	}
	s := &a.sessions[i]
	if f.At.Sub(s.last) > maxPause {
		a.drop(h.Source, h.Destination)
		return Message{}, false
	}
	n := int(f.Data[0]) - 1
	if n < 0 || n*7 >= len(s.data) {
		return Message{}, false
	}
	if bit := uint64(1) << (n % 64); s.have[n/64]&bit == 0 {
		s.have[n/64] |= bit
		s.missing--
		copy(s.data[n*7:], f.Data[1:])
	}
	if f.At.After(s.last) {
		s.last = f.At
	}
	if s.missing > 0 {
		return Message{}, false
	}
	m := Message{Header: Header{Priority: h.Priority, PGN: s.pgn, Source: h.Source, Destination: h.Destination}, Data: s.data[:s.size], At: s.last}
	a.sessions = slices.Delete(a.sessions, i, i+1)
	return m, true
}

func (a *Assembler) find(source, destination uint8) int {
	return slices.IndexFunc(a.sessions, func(s session) bool { return s.source == source && s.destination == destination })
}

func (a *Assembler) drop(source, destination uint8) {
	if i := a.find(source, destination); i >= 0 {
		a.sessions = slices.Delete(a.sessions, i, i+1)
		a.lost++
	}
}

// Split is the way back: the frames that carry a message to all, by BAM where it
// is longer than one frame, each a step after the one before. It serves
// simulators and tests.
func Split(m Message, step time.Duration) []Frame {
	id := func(pgn uint32) uint32 {
		return uint32(cmp.Or(m.Priority, 6))<<26 | pgn<<8 | uint32(m.Source)
	}
	if len(m.Data) <= 8 {
		return []Frame{{ID: id(m.PGN), Data: m.Data, At: m.At}}
	}
	size := min(len(m.Data), maxMessage)
	count := (size + 6) / 7
	announce := []byte{controlBroadcast, byte(size), byte(size >> 8), byte(count), 0xFF, byte(m.PGN), byte(m.PGN >> 8), byte(m.PGN >> 16)} //nolint:gosec // cut to size
	frames := []Frame{{ID: id(pgnConnect | Global), Data: announce, At: m.At}}
	for n := range count {
		data := []byte{byte(n + 1), 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
		copy(data[1:], m.Data[n*7:size])
		frames = append(frames, Frame{ID: id(pgnTransfer | Global), Data: data, At: m.At.Add(time.Duration(n+1) * step)})
	}
	return frames
}
