package silence

import (
	"encoding/binary"
	"errors"
	"slices"
)

const snapshotVersion = 1

// causes are stored by their place.
var causes = [...]Cause{Unknown, Off, NoCoverage} //nolint:gochecknoglobals // never written

// Snapshot appends the watch to b. One that is restored from it goes on exactly as
// this one would.
func (w *Watch) Snapshot(b []byte) []byte {
	b = append(b, snapshotVersion, w.rhythm.gaps, byte(w.leave), bit(w.spoke))
	for _, v := range []int64{w.last, w.heard, w.excused, w.rhythm.mean, w.rhythm.pause, w.hour, int64(w.week.known), int64(len(w.spells))} {
		b = binary.AppendVarint(b, v)
	}
	b = append(b, w.week.used[:]...)
	for _, s := range w.spells {
		for _, v := range []int64{s.since, s.noticed, s.until, s.first, s.proof} {
			b = binary.AppendVarint(b, v)
		}
		b = append(b, byte(s.Words), byte(s.Leave), byte(s.Together), bit(s.Ended), bit(s.Missed), bit(s.Backlog), byte(slices.Index(causes[:], s.thought)))
	}
	return b
}

func bit(on bool) byte {
	if on {
		return 1
	}
	return 0
}

var errCut = errors.New("the snapshot of a machine's silence is cut or of another version")

// Restore replaces the watch by what a snapshot holds; after an error it is as it was.
func (w *Watch) Restore(b []byte) error {
	r := reader{b: b}
	var n Watch
	version := r.byte()
	n.rhythm.gaps, n.leave, n.spoke = r.byte(), Leave(r.byte()), r.byte() == 1
	n.last, n.heard, n.excused, n.rhythm.mean, n.rhythm.pause, n.hour = r.int(), r.int(), r.int(), r.int(), r.int(), r.int()
	n.week.known = uint16(min(max(r.int(), 0), twoWeeks)) //nolint:gosec // bounded
	count := r.int()
	copy(n.week.used[:], r.take(len(n.week.used)))
	if count < 0 || count > keptSpells {
		return errCut
	}
	for range count {
		s := spell{since: r.int(), noticed: r.int(), until: r.int(), first: r.int(), proof: r.int()}
		s.Evidence = Evidence{Words: Words(r.byte()), Leave: Leave(r.byte()), Together: Together(r.byte()), Ended: r.byte() == 1, Missed: r.byte() == 1, Backlog: r.byte() == 1}
		if c := int(r.byte()); c < len(causes) {
			s.thought = causes[c]
		} else {
			r.cut = true
		}
		n.spells = append(n.spells, s)
	}
	if version != snapshotVersion || r.cut || len(r.b) > 0 {
		return errCut
	}
	*w = n
	return nil
}

// reader takes a snapshot apart; after its end it gives nothing.
type reader struct {
	b   []byte
	cut bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.cut, r.b = true, nil
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte { return r.take(1)[0] }

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.cut, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}
