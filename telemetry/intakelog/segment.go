package intakelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	segmentMagic   = "3SINTAKE"
	segmentVersion = 1
	segmentHead    = 48 // magic 8, version 4, reserved 4, id 16, created 8, reserved 4, CRC 4
	segmentSuffix  = ".seg"
	indexEvery     = 64 << 10
	chunkBytes     = 256 << 10
)

// place is where a record starts in its segment.
type place struct {
	lsn    LSN
	offset int64
}

// segment is one file of the log. Everything but file is guarded by Log.mu.
type segment struct {
	first   LSN
	attempt int // a segment that was begun anew after its file failed has the same first
	name    string
	created time.Time
	file    File
	size    int64   // durable bytes
	index   []place // sparse, ascending; what it lacks is found by reading on
	readers int
	id      uuid.UUID // of the log, as its head says
	headOK  bool
	gone    bool // deleted: the last reader closes the file
}

func segmentName(first LSN, attempt int) string {
	if attempt == 0 {
		return fmt.Sprintf("%020d%s", first, segmentSuffix)
	}
	return fmt.Sprintf("%020d.%d%s", first, attempt, segmentSuffix)
}

func parseSegmentName(name string) (first LSN, attempt int, ok bool) {
	stem, found := strings.CutSuffix(name, segmentSuffix)
	if !found {
		return 0, 0, false
	}
	number, again, anew := strings.Cut(stem, ".")
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n == 0 || len(number) != 20 {
		return 0, 0, false
	}
	if anew {
		if attempt, err = strconv.Atoi(again); err != nil || attempt < 1 {
			return 0, 0, false
		}
	}
	return LSN(n), attempt, true
}

func appendSegmentHead(b []byte, id uuid.UUID, created time.Time) []byte {
	start := len(b)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, segmentVersion)
	b = append(b, 0, 0, 0, 0)
	b = append(b, id[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(created.UnixNano()))
	b = append(b, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// readSegmentHead reads who a segment belongs to; ok is false where the head is
// damaged, which the frames need not be.
func readSegmentHead(f io.ReaderAt) (id uuid.UUID, created time.Time, ok bool) {
	head := make([]byte, segmentHead)
	if n, _ := f.ReadAt(head, 0); n < segmentHead {
		return id, created, false
	}
	if crc32.Checksum(head[:segmentHead-4], castagnoli) != binary.LittleEndian.Uint32(head[segmentHead-4:]) ||
		string(head[:8]) != segmentMagic || binary.LittleEndian.Uint32(head[8:]) != segmentVersion {
		return id, created, false
	}
	copy(id[:], head[16:32])
	return id, time.Unix(0, int64(binary.LittleEndian.Uint64(head[32:]))).UTC(), true //nolint:gosec // stored from an int64
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

// window reads one segment from front to back through a chunk of memory. The
// chunk is fresh whenever it is filled, so that records may share it.
type window struct {
	file  File
	seed  uint32
	end   int64 // nothing behind this is read
	at    int64 // of chunk[0]
	chunk []byte
}

// bytesAt returns at least n bytes from offset on, fewer only at the end.
func (w *window) bytesAt(offset int64, n int) ([]byte, error) {
	have := w.at + int64(len(w.chunk)) - offset
	if offset >= w.at && (have >= int64(n) || have >= w.end-offset) && have >= 0 {
		return w.chunk[offset-w.at:], nil
	}
	size := min(max(int64(n), chunkBytes), w.end-offset)
	if size <= 0 {
		return nil, nil
	}
	fresh := make([]byte, size)
	got, err := w.file.ReadAt(fresh, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	w.at, w.chunk = offset, fresh[:got]
	if int64(got) < size {
		w.end = offset + int64(got) // the file is shorter than it was said to be
	}
	return w.chunk, nil
}

// frameAt returns the frame at offset when it is whole.
func (w *window) frameAt(offset int64, from, below LSN) (frame []byte, lsn LSN, v verdict, err error) {
	b, err := w.bytesAt(offset, frameHead)
	if err != nil {
		return nil, 0, wrong, err
	}
	lsn, size, v := checkFrame(b, w.seed, from, below)
	if v == short && len(b) >= frameHead {
		if b, err = w.bytesAt(offset, size); err != nil {
			return nil, 0, wrong, err
		}
		lsn, size, v = checkFrame(b, w.seed, from, below)
	}
	if v == whole {
		frame = b[:size:size]
	}
	return frame, lsn, v, nil
}

// follow returns the first whole frame at or behind offset, and where it is; nil
// where there is none.
func (w *window) follow(offset int64, from, below LSN) (frame []byte, lsn LSN, at int64, err error) {
	frame, lsn, v, err := w.frameAt(offset, from, below)
	if err != nil || v == whole {
		return frame, lsn, offset, err
	}
	at, found, err := w.nextFrame(offset, from, below)
	if err != nil || !found {
		return nil, 0, at, err
	}
	frame, lsn, _, err = w.frameAt(at, from, below)
	return frame, lsn, at, err
}

// nextFrame searches the next whole frame behind offset; at the end there is none.
func (w *window) nextFrame(offset int64, from, below LSN) (int64, bool, error) {
	for offset++; offset < w.end; {
		b, err := w.bytesAt(offset, frameHead)
		if err != nil {
			return 0, false, err
		}
		if len(b) < frameHead {
			return w.end, false, nil
		}
		skip := bytes.Index(b, marker[:])
		if skip < 0 {
			offset += int64(len(b) - len(marker) + 1) // a marker may lie across the edge
			continue
		}
		offset += int64(skip)
		if _, _, v, err := w.frameAt(offset, from, below); err != nil || v == whole {
			return offset, err == nil, err
		}
		offset++
	}
	return w.end, false, nil
}
