package intakelog

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"path"
	"slices"

	"github.com/google/uuid"
)

const identityFile = "identity"

// restore finds out what the log holds. Only the last segment is read: the ones
// before it were complete when it was begun, and damage in them is found by the
// reader who comes by.
func (l *Log) restore() error {
	files, err := l.fs.List()
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	found, err := l.openSegments(files)
	if err != nil {
		return err
	}
	if err := l.identify(found); err != nil {
		return err
	}
	found = l.sortOut(found)
	l.limit(found)
	if len(found) == 0 {
		return l.create()
	}
	l.segments = found
	for _, s := range found {
		l.bytes += s.size
	}
	last := found[len(found)-1]
	if err := l.restoreLast(found); err != nil {
		return err
	}
	if furthest := l.loadConsumers(); furthest >= l.next {
		l.skipTo(furthest + 1)
	}
	if l.next == l.durable+1 && last.headOK && last.size < l.options.SegmentBytes {
		l.writer, l.tip = last, l.next
	}
	if err := l.fs.SyncDir(); err != nil {
		return fmt.Errorf("make the folder durable: %w", err)
	}
	return nil
}

// openSegments opens every segment file, in the order of the log. Of several
// attempts at the same segment only the last can hold durable records.
func (l *Log) openSegments(files []Entry) ([]*segment, error) {
	var found []*segment
	for _, f := range files {
		if first, attempt, ok := parseSegmentName(f.Name); ok {
			found = append(found, &segment{first: first, attempt: attempt, name: f.Name, size: f.Size})
		}
	}
	slices.SortFunc(found, func(a, b *segment) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.attempt, b.attempt))
	})
	var kept []*segment
	for i, s := range found {
		if i+1 < len(found) && found[i+1].first == s.first {
			_ = l.fs.Remove(s.name)
			continue
		}
		l.begun, l.attempt = s.first, s.attempt
		file, err := l.fs.Open(s.name, false)
		if err != nil {
			return nil, fmt.Errorf("open segment: %w", err)
		}
		s.file = file
		kept = append(kept, s)
		l.segments = kept // so that they are closed when something fails
	}
	return kept, nil
}

// identify reads the log's id from its own file, or else from a segment; a log
// without records gets a new one.
func (l *Log) identify(found []*segment) error {
	var ids []uuid.UUID
	for _, s := range found {
		s.id, s.created, s.headOK = readSegmentHead(s.file)
		if s.headOK {
			ids = append(ids, s.id)
		}
	}
	content, err := readAll(l.fs, identityFile, maxSmallFile)
	n := len(content) - 4
	switch {
	case len(found) > 0 && err == nil && n == len(l.id) && crc32.Checksum(content[:n], castagnoli) == binary.LittleEndian.Uint32(content[n:]):
		l.id = uuid.UUID(content[:n])
		l.seed = seedOf(l.id)
		return nil
	case len(ids) > 0:
		l.id = ids[0]
	default:
		if l.id, err = uuid.NewRandom(); err != nil {
			return fmt.Errorf("make an id: %w", err)
		}
	}
	l.seed = seedOf(l.id)
	if err := replace(l.fs, identityFile, binary.LittleEndian.AppendUint32(l.id[:len(l.id):len(l.id)], seedOf(l.id))); err != nil && len(found) == 0 {
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
	s.gone = true
	_ = s.file.Close()
	if !foreign {
		_ = l.fs.Remove(s.name)
		return
	}
	away := path.Join(corruptDir, s.name)
	err := l.fs.Rename(s.name, away)
	l.options.Log.Error("a segment belongs to another intake log and was set aside", "segment", s.name, "log", s.id, "to", away, "error", err)
	l.damage = append(l.damage, Damage{Segment: s.name, Bytes: s.size, From: 1, Reason: "of another log", Copy: away})
}

// limit decides how large the log may grow, and how large its segments.
func (l *Log) limit(found []*segment) {
	o := &l.options
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
		if free, err := freeBytes(l.dir); err == nil {
			for _, s := range found {
				free += s.size
			}
			o.MaxBytes = min(o.MaxBytes, free/5)
		}
	}
	o.SegmentBytes = max(min(o.SegmentBytes, o.MaxBytes/8), minSegmentBytes)
}

func (l *Log) create() error {
	l.segments = nil
	furthest := l.loadConsumers() // of an id that was just made: nothing
	l.next = max(1, furthest+1)
	l.durable = l.next - 1
	s, err := l.begin(l.next)
	if err != nil {
		return err
	}
	l.adopt(s)
	return nil
}

// restoreLast reads the last segment, cuts what a crash has left unfinished, and
// makes durable what was written but perhaps not synced.
func (l *Log) restoreLast(found []*segment) error {
	s := found[len(found)-1]
	offset, next, err := l.scan(s, math.MaxInt64)
	if err != nil {
		return err
	}
	l.durable, l.next = next-1, next
	if offset < s.size {
		l.cut(s, offset)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("make segment %s durable: %w", s.name, err)
	}
	for i := len(found) - 1; i > 0 && l.durable+1 == found[i].first; i-- { // it has no record; the one before may end early
		if _, next, err = l.scan(found[i-1], found[i].first); err != nil {
			return err
		}
		l.durable = next - 1
	}
	return nil
}

// scan reads a segment and returns where its last record ends and which one
// would come next.
func (l *Log) scan(s *segment, below LSN) (offset int64, next LSN, err error) {
	w := window{file: s.file, seed: l.seed, end: s.size}
	offset, next = segmentHead, s.first
	for offset < s.size && next < below {
		frame, lsn, at, err := w.follow(offset, next, below)
		if err != nil {
			return 0, 0, fmt.Errorf("read segment %s: %w", s.name, err)
		}
		if frame == nil {
			break
		}
		if at > offset {
			l.hurt(s, Damage{Offset: offset, Bytes: at - offset, From: next, To: lsn - 1, Reason: "unreadable"})
		}
		s.note(place{lsn, at})
		offset, next = at+int64(len(frame)), lsn+1
	}
	return offset, next, nil
}

// pageBytes is where a system stops writing when the process is killed meanwhile.
const pageBytes = 4 << 10

// cut removes the tail of the last segment. When it looks like a write that a
// kill has cut off, nothing of it was acknowledged. Otherwise the disk may have
// damaged what readers have seen: as many positions are left out as it can have held.
func (l *Log) cut(s *segment, offset int64) {
	size := s.size - offset
	lost := LSN(size / minFrame) //nolint:gosec // not negative
	w := window{file: s.file, seed: l.seed, end: s.size}
	if _, _, v, err := w.frameAt(offset, l.next, l.next+1); err == nil && v == short && s.size%pageBytes == 0 {
		lost = 0
	}
	l.hurt(s, Damage{Offset: offset, Bytes: size, From: l.next, To: l.next + lost - 1, Reason: "torn tail"})
	if err := s.file.Truncate(offset); err != nil {
		l.options.Log.Warn("the torn tail of the intake log stays", "segment", s.name, "error", err)
	} else {
		l.bytes -= size
		s.size = offset
	}
	l.next += lost
}
