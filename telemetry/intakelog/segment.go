package intakelog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	segmentMagic  = "3SINTAKE"
	framesVersion = 1
	blocksVersion = 2  // the same frames in compressed blocks
	segmentHead   = 48 // magic 8, version 4, reserved 4, id 16, created 8, reserved 4, CRC 4
	segmentSuffix = ".seg"
	packedSuffix  = ".segz"
	indexEvery    = 64 << 10
)

// place is where a record starts in its segment.
type place struct {
	lsn    LSN
	offset int64
}

// segment is one file of the log; Log.mu guards what changes.
type segment struct {
	first   LSN
	attempt int // a segment that was begun anew after its file failed has the same first
	packed  bool
	name    string
	created time.Time
	id      uuid.UUID // of the log, as its head says
	headOK  bool
	file    File    // nil = closed: opened by the next who reads
	size    int64   // durable bytes
	index   []place // sparse, ascending; what it lacks is found by reading on
	readers int
	gone    bool // deleted or replaced: the last reader closes the file
	sick    bool // the disk does not give all of it back
	plain   bool // not to be packed: it has damaged places

	allocated int64 // on the disk, by the committer
}

// unit is what the segment consists of.
func (s *segment) unit() unit {
	if s.packed {
		return unit{blockMarker, blockHead, checkBlock}
	}
	return unit{marker, frameHead, checkFrame}
}

func segmentName(first LSN, attempt int, suffix string) string {
	if attempt == 0 {
		return fmt.Sprintf("%020d%s", first, suffix)
	}
	return fmt.Sprintf("%020d.%d%s", first, attempt, suffix)
}

// parseSegmentName returns nil for any other file.
func parseSegmentName(name string) *segment {
	s := &segment{name: name}
	stem, found := strings.CutSuffix(name, segmentSuffix)
	if !found {
		if stem, s.packed = strings.CutSuffix(name, packedSuffix); !s.packed {
			return nil
		}
	}
	number, again, anew := strings.Cut(stem, ".")
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n == 0 || len(number) != 20 {
		return nil
	}
	if anew {
		if s.attempt, err = strconv.Atoi(again); err != nil || s.attempt < 1 {
			return nil
		}
	}
	s.first = LSN(n)
	return s
}

func appendSegmentHead(b []byte, version uint32, id uuid.UUID, created time.Time) []byte {
	start := len(b)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = append(b, 0, 0, 0, 0)
	b = append(b, id[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(created.UnixNano()))
	b = append(b, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// readHead reads who a segment belongs to; headOK stays false where the head is
// damaged, which the frames need not be.
func (s *segment) readHead(f File) {
	head := make([]byte, segmentHead)
	if n := (&surface{file: f, tries: openTries}).readAt(head, 0); n < segmentHead {
		return
	}
	want := uint32(framesVersion)
	if s.packed {
		want = blocksVersion
	}
	if crc32.Checksum(head[:segmentHead-4], castagnoli) != binary.LittleEndian.Uint32(head[segmentHead-4:]) ||
		string(head[:8]) != segmentMagic || binary.LittleEndian.Uint32(head[8:]) != want {
		return
	}
	copy(s.id[:], head[16:32])
	s.created = time.Unix(0, int64(binary.LittleEndian.Uint64(head[32:]))).UTC() //nolint:gosec // stored from an int64
	s.headOK = true
}

// seek returns the best known place at or before lsn.
func (s *segment) seek(lsn LSN) place {
	best := place{s.first, segmentHead}
	low, high := 0, len(s.index)
	for low < high {
		if mid := (low + high) / 2; s.index[mid].lsn <= lsn {
			best, low = s.index[mid], mid+1
		} else {
			high = mid
		}
	}
	return best
}

func (s *segment) note(p place) {
	if n := len(s.index); n == 0 || p.offset-s.index[n-1].offset >= indexEvery {
		s.index = append(s.index, p)
	}
}
