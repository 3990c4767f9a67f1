package intakelog

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/google/uuid"
)

const (
	identityFile = "identity"
	freshSuffix  = ".new" // of a file that is being written
)

// restore finds out what the log holds. Only the last segment is read: the ones
// before it were complete when it was begun, and damage in them is found by the
// reader who comes by.
func (l *Log) restore() error {
	files, err := l.fs.List()
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	found := l.findSegments(files)
	known, err := l.identify(found)
	if err != nil {
		return err
	}
	l.segments = l.sortOut(found)
	l.limit(files)
	places := l.loadConsumers()
	if len(l.segments) == 0 {
		if known && !places.found { // nobody knows how far it was
			if err := l.rename(nil); err != nil {
				return err
			}
		}
		return l.create(places)
	}
	for _, s := range l.segments {
		l.bytes += s.size
	}
	if err := l.restoreLast(); err != nil {
		return err
	}
	l.missing(places)
	last := l.segments[len(l.segments)-1]
	if l.next == l.durable+1 && last.headOK && last.file != nil && !last.packed && !last.sick && last.size < l.options.SegmentBytes {
		l.writer, l.tip = last, l.next
	}
	if err := l.fs.SyncDir(); err != nil {
		return fmt.Errorf("make the folder durable: %w", err)
	}
	return nil
}

// findSegments reads the head of every segment, in the order of the log, and
// removes what a crash has left. Of several attempts at the same segment only the
// last can hold durable records; of one that is there both plain and packed, the
// plain one is the original.
func (l *Log) findSegments(files []Entry) []*segment {
	var found, kept []*segment
	for _, f := range files {
		if s := parseSegmentName(f.Name); s != nil {
			s.size = f.Size
			found = append(found, s)
		} else if strings.HasSuffix(f.Name, packedSuffix+freshSuffix) {
			_ = l.fs.Remove(f.Name)
		}
	}
	slices.SortFunc(found, func(a, b *segment) int {
		if order := cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.attempt, b.attempt)); order != 0 || a.packed == b.packed {
			return order
		}
		if a.packed {
			return -1
		}
		return 1
	})
	for i, s := range found {
		if i+1 < len(found) && found[i+1].first == s.first {
			_ = l.fs.Remove(s.name)
			continue
		}
		l.begun, l.attempt = s.first, s.attempt
		if f, err := l.fs.Open(s.name, false); err == nil {
			s.readHead(f)
			_ = f.Close()
		}
		kept = append(kept, s)
	}
	return kept
}

// identify reads the log's id from its own file, or else from a segment; known
// says that it was the former.
func (l *Log) identify(found []*segment) (known bool, err error) {
	content, err := readAll(l.fs, identityFile, maxSmallFile)
	n := len(content) - 4
	if err == nil && n == len(l.id) && crc32.Checksum(content[:n], castagnoli) == binary.LittleEndian.Uint32(content[n:]) {
		l.id = uuid.UUID(content[:n])
		l.seed = seedOf(l.id)
		return true, nil
	}
	return false, l.rename(found)
}

// rename gives the log the id of its segments, or a new one.
func (l *Log) rename(found []*segment) (err error) {
	if i := slices.IndexFunc(found, func(s *segment) bool { return s.headOK }); i >= 0 {
		l.id = found[i].id
	} else if l.id, err = uuid.NewRandom(); err != nil {
		return fmt.Errorf("make an id: %w", err)
	}
	l.seed = seedOf(l.id)
	err = l.small(func() error {
		return replace(l.fs, identityFile, binary.LittleEndian.AppendUint32(l.id[:len(l.id):len(l.id)], l.seed))
	})
	if err != nil && len(found) == 0 {
		return fmt.Errorf("write the log's id: %w", err)
	}
	return nil
}

// sortOut sets aside files that are not this log's, and a last segment whose
// making was cut off. A damaged head costs nothing: each frame knows its log.
func (l *Log) sortOut(found []*segment) []*segment {
	var ours []*segment
	for i, s := range found {
		foreign := s.headOK && s.id != l.id
		stump := !s.headOK && s.size < segmentHead+minFrame
		if foreign || stump {
			l.setAside(s, foreign)
			continue
		}
		if !s.headOK {
			s.created = l.options.Wall()
			if i+1 < len(found) && found[i+1].headOK {
				s.created = found[i+1].created
			}
			l.hurt(s, Damage{Bytes: segmentHead, From: 1, Reason: "head unreadable"})
		}
		ours = append(ours, s)
	}
	return ours
}

func (l *Log) setAside(s *segment, foreign bool) {
	if !foreign {
		_ = l.fs.Remove(s.name)
		return
	}
	away := path.Join(corruptDir, s.name)
	err := l.fs.Rename(s.name, away)
	l.options.Log.Error("a segment belongs to another intake log and was set aside", "segment", s.name, "log", s.id, "to", away, "error", err)
	l.damage = append(l.damage, Damage{Segment: s.name, Bytes: s.size, From: 1, Reason: "of another log", Copy: away})
}

// create begins a log, or goes on with one of which no segment is left, at a
// place behind all that it can have held.
func (l *Log) create(places places) error {
	l.next = 1
	if places.found {
		l.next = places.furthest + 1
		if !places.closed {
			l.next += doubt
		}
		l.options.Log.Error("the segments of the intake log are gone; it goes on behind what it can have held",
			"log", l.id, "passed", uint64(places.passed), "next", uint64(l.next))
		l.damage = append(l.damage, Damage{From: places.passed + 1, To: l.next - 1, Reason: "all segments missing"})
	}
	l.durable = l.next - 1
	s, err := l.begin(l.next)
	if err != nil {
		return err
	}
	l.adopt(s)
	return l.saveConsumers()
}

// missing lists what was deleted by hand before and behind the segments, and
// gives no position again that a reader can have seen.
func (l *Log) missing(p places) {
	if !p.found {
		return
	}
	if first := l.segments[0].first; p.passed+1 < first {
		l.options.Log.Error("the oldest segments of the intake log are gone", "from_lsn", uint64(p.passed+1), "to_lsn", uint64(first-1))
		l.damage = append(l.damage, Damage{From: p.passed + 1, To: first - 1, Reason: "oldest segments missing"})
	}
	if p.furthest >= l.next {
		next := p.furthest + 1
		if !p.closed {
			next += doubt
		}
		l.options.Log.Error("the newest records of the intake log are gone", "from_lsn", uint64(l.next), "to_lsn", uint64(next-1))
		l.damage = append(l.damage, Damage{From: l.next, To: next - 1, Reason: "newest records missing"})
		l.next = next
	}
}

// restoreLast reads the last segment, cuts what a crash has left unfinished, and
// makes durable what was written but perhaps not synced.
func (l *Log) restoreLast() error {
	n := len(l.segments) - 1
	s := l.segments[n]
	offset, next := l.scan(s, math.MaxInt64)
	l.durable, l.next = next-1, next
	if s.file == nil || s.sick {
		l.next = l.lose(s, offset, LSN(l.options.SegmentBytes+pendingBytes)/minFrame) //nolint:gosec // not negative
	} else {
		if offset < s.size {
			l.cut(s, offset)
		}
		if err := s.file.Sync(); err != nil {
			return fmt.Errorf("make segment %s durable: %w", s.name, err)
		}
	}
	for i := n; i > 0 && l.durable+1 == l.segments[i].first; i-- { // it has no record; the one before may end early
		_, next = l.scan(l.segments[i-1], l.segments[i].first)
		l.durable = next - 1
	}
	return nil
}

// scan reads a segment and returns where its last record ends and which one
// would come next.
func (l *Log) scan(s *segment, below LSN) (offset int64, next LSN) {
	offset, next = segmentHead, s.first
	f, err := l.fileOf(s)
	if err != nil {
		return offset, next
	}
	w := l.walkFrom(s, f, place{s.first, segmentHead}, s.size, below)
	w.quiet, w.window.tries = true, openTries
	for {
		frame, lsn := w.frame()
		if frame == nil {
			break
		}
		offset, next = w.offset, lsn+1
	}
	for _, p := range w.places {
		s.note(p)
	}
	if w.window.failed != nil {
		s.sick = true
	}
	return offset, next
}

// lose leaves a last segment as it is that the disk does not give back. As many
// positions are left out as it can have held.
func (l *Log) lose(s *segment, offset int64, records LSN) (next LSN) {
	next = l.next + records
	l.hurt(s, Damage{Offset: offset, Bytes: s.size - offset, From: l.next, To: next - 1, Reason: "cannot be read", disk: true})
	return next
}

// cut removes the tail of the last segment. When it looks like a write that a
// kill has cut off, nothing of it was acknowledged. Otherwise the disk may have
// damaged what readers have seen: as many positions are left out as it can have held.
func (l *Log) cut(s *segment, offset int64) {
	size := s.size - offset
	lost := LSN(size / minFrame) //nolint:gosec // not negative
	if s.packed {
		lost = LSN(l.options.SegmentBytes / minFrame) //nolint:gosec // not negative
	}
	w := l.walkFrom(s, s.file, place{l.next, offset}, s.size, l.next+1)
	if _, _, v := w.window.unitAt(offset, l.next, l.next+1); v == short && s.size%pageBytes == 0 {
		lost = 0
	}
	l.hurt(s, Damage{Offset: offset, Bytes: size, From: l.next, To: l.next + lost - 1, Reason: "torn tail"})
	l.next += lost
	if s.packed {
		return
	}
	if err := s.file.Truncate(offset); err != nil {
		l.options.Log.Warn("the torn tail of the intake log stays", "segment", s.name, "error", err)
		return
	}
	l.bytes -= size
	s.size = offset
}
