package intakelog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// A frame is, little-endian:
//
//	 0  4  marker, to find the next frame behind a damaged one
//	 4  4  length of the body
//	 8  4  CRC32C over length, LSN and body, seeded with the log's id
//	12  8  LSN
//	20     body: kind, flags, source code, source length (1 each), device length,
//	       topic length (2 each), received, wall (8 each, Unix ns), source,
//	       device, topic, payload
const (
	frameHead = 20
	bodyHead  = 24
	minFrame  = frameHead + bodyHead

	// MaxRecordBytes bounds the body of one record.
	MaxRecordBytes = 1 << 20
)

const (
	flagDup      = 1
	flagRetained = 2
	flagWill     = 4
)

const noTime = math.MinInt64 // how the zero time is stored

//nolint:gochecknoglobals // constants of the format that Go cannot declare as such
var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	marker     = [4]byte{0xF3, '3', 'S', 0x1C}
	// sources are stored as their place in this list; add at the end only.
	sources = [...]string{"", "embedded", "external", "http", "replay", "clock"}
)

func sourceCode(name string) byte {
	for code := 1; code < len(sources); code++ {
		if sources[code] == name {
			return byte(code)
		}
	}
	return 0
}

// frameSize checks a record and returns how many bytes its frame takes.
func frameSize(r *Record) (int, error) {
	body := bodyHead + len(r.Source) + len(r.Device) + len(r.Topic) + len(r.Payload)
	switch {
	case len(r.Source) > math.MaxUint8, len(r.Device) > math.MaxUint16, len(r.Topic) > math.MaxUint16:
		return 0, fmt.Errorf("%w: source, device or topic is too long", ErrTooLarge)
	case body > MaxRecordBytes:
		return 0, fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, body, MaxRecordBytes)
	}
	if sourceCode(r.Source) != 0 {
		body -= len(r.Source)
	}
	return frameHead + body, nil
}

// appendFrame appends the frame of a record that frameSize has checked.
func appendFrame(b []byte, seed uint32, lsn LSN, r *Record) []byte {
	start := len(b)
	b = append(b, marker[:]...)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // length and CRC come last
	b = binary.LittleEndian.AppendUint64(b, uint64(lsn))
	var flags byte
	if r.Dup {
		flags |= flagDup
	}
	if r.Retained {
		flags |= flagRetained
	}
	if r.Will {
		flags |= flagWill
	}
	code, source := sourceCode(r.Source), r.Source
	if code != 0 {
		source = ""
	}
	b = append(b, byte(r.Kind), flags, code, byte(len(source)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.Device))) //nolint:gosec // checked by frameSize
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.Topic)))  //nolint:gosec // checked by frameSize
	b = binary.LittleEndian.AppendUint64(b, uint64(toNanos(r.Received)))
	b = binary.LittleEndian.AppendUint64(b, uint64(toNanos(r.Wall)))
	b = append(b, source...)
	b = append(b, r.Device...)
	b = append(b, r.Topic...)
	b = append(b, r.Payload...)
	frame := b[start:]
	binary.LittleEndian.PutUint32(frame[4:], uint32(len(frame)-frameHead)) //nolint:gosec // checked by frameSize
	binary.LittleEndian.PutUint32(frame[8:], frameCRC(seed, frame))
	return b
}

func frameCRC(seed uint32, frame []byte) uint32 {
	return crc32.Update(crc32.Update(seed, castagnoli, frame[4:8]), castagnoli, frame[12:])
}

// verdict is what the bytes at some place turned out to be.
type verdict int

const (
	whole verdict = iota // a frame
	short                // the start of what may be a frame, cut off by the end of the bytes
	wrong                // no frame of this log
)

// checkFrame says what b starts with, and how long that is: for a short frame,
// how many bytes it would take. The LSN must be in [from, below).
func checkFrame(b []byte, seed uint32, from, below LSN) (lsn LSN, size int, v verdict) {
	if len(b) < frameHead {
		return 0, frameHead, short
	}
	body := binary.LittleEndian.Uint32(b[4:])
	lsn = LSN(binary.LittleEndian.Uint64(b[12:]))
	if [4]byte(b[:4]) != marker || body < bodyHead || body > MaxRecordBytes || lsn < from || lsn >= below {
		return 0, 0, wrong
	}
	size = frameHead + int(body)
	if len(b) < size {
		return lsn, size, short
	}
	if frameCRC(seed, b[:size]) != binary.LittleEndian.Uint32(b[8:]) || !bodyFits(b[frameHead:size]) {
		return lsn, size, wrong
	}
	return lsn, size, whole
}

func bodyFits(body []byte) bool {
	names := int(body[3]) + int(binary.LittleEndian.Uint16(body[4:])) + int(binary.LittleEndian.Uint16(body[6:]))
	return int(body[2]) < len(sources) && bodyHead+names <= len(body)
}

// decodeFrame reads a frame that checkFrame has found whole. The payload shares
// the frame's memory; intern gives the strings.
func decodeFrame(frame []byte, intern func([]byte) string) Record {
	body := frame[frameHead:]
	r := Record{
		LSN:      LSN(binary.LittleEndian.Uint64(frame[12:])),
		Kind:     Kind(body[0]),
		Dup:      body[1]&flagDup != 0,
		Retained: body[1]&flagRetained != 0,
		Will:     body[1]&flagWill != 0,
		Source:   sources[body[2]],
		Received: fromNanos(int64(binary.LittleEndian.Uint64(body[8:]))),  //nolint:gosec // stored from an int64
		Wall:     fromNanos(int64(binary.LittleEndian.Uint64(body[16:]))), //nolint:gosec // stored from an int64
	}
	cut := func(n int) []byte {
		part := body[:n:n]
		body = body[n:]
		return part
	}
	device, topic := int(binary.LittleEndian.Uint16(body[4:])), int(binary.LittleEndian.Uint16(body[6:]))
	source := int(body[3])
	cut(bodyHead)
	if source > 0 {
		r.Source = intern(cut(source))
	}
	r.Device, r.Topic = intern(cut(device)), intern(cut(topic))
	r.Payload = cut(len(body))
	return r
}

func toNanos(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return t.UnixNano()
}

func fromNanos(ns int64) time.Time {
	if ns == noTime {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
