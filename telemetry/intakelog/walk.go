package intakelog

import "github.com/klauspost/compress/zstd"

// walk goes through the records of one segment in their order, over whatever
// cannot be read.
type walk struct {
	s        *segment
	hurt     func(*segment, Damage)
	window   window
	offset   int64 // of the next frame, or of the next block of a packed segment
	next     LSN   // expected there
	end      int64
	below    LSN  // first record of the next segment, or the first that is not durable
	quiet    bool // what is missing at the end is no damage
	unzip    *zstd.Decoder
	block    []byte  // unpacked frames that were not given yet
	blockEnd LSN     // the record after the last of block
	places   []place // found on the way, for the index
}

// walkFrom begins at a place of a segment whose file is open.
func (l *Log) walkFrom(s *segment, file File, at place, end int64, below LSN) walk {
	return walk{s: s, hurt: l.hurt, unzip: l.unzip, offset: at.offset, next: at.lsn, end: end, below: below,
		window: window{surface: surface{file: file, tries: readTries}, unit: s.unit(), seed: l.seed, end: end}}
}

// frame returns the frame of the next record; nil at the end of the segment,
// whose missing records are then listed.
func (w *walk) frame() (frame []byte, lsn LSN) {
	for w.next < w.below {
		if len(w.block) > 0 {
			if frame, lsn = w.unpacked(); frame != nil {
				return frame, lsn
			}
			continue
		}
		if w.offset >= w.end {
			break
		}
		unit, lsn, at := w.window.follow(w.offset, w.next, w.below)
		if unit == nil {
			break
		}
		if at > w.offset || lsn > w.next {
			w.lose(Damage{Offset: w.offset, Bytes: at - w.offset, From: w.next, To: lsn - 1, Reason: "unreadable"})
		}
		w.note(place{lsn, at})
		w.offset, w.next = at+int64(len(unit)), lsn+1
		if !w.s.packed {
			return unit, lsn
		}
		w.unpack(unit, lsn, at)
	}
	if w.quiet {
		return nil, 0
	}
	if w.next < w.below {
		w.lose(Damage{Offset: w.offset, Bytes: w.end - w.offset, From: w.next, To: w.below - 1, Reason: "missing"})
		w.next = w.below
	}
	w.offset = w.end
	return nil, 0
}

// unpacked returns the next frame of the block at hand; nil where that is at its end.
func (w *walk) unpacked() ([]byte, LSN) {
	lsn, size, v := checkFrame(w.block, w.window.seed, w.next, w.blockEnd)
	if v != whole { // its CRC was right: it was packed like this
		w.block = nil
		w.lose(Damage{Offset: w.offset, From: w.next, To: w.blockEnd - 1, Reason: "unreadable in a whole block"})
		w.next = w.blockEnd
		return nil, 0
	}
	frame := w.block[:size:size]
	w.block, w.next = w.block[size:], lsn+1
	return frame, lsn
}

// unpack takes a whole block in hand.
func (w *walk) unpack(unit []byte, first LSN, at int64) {
	w.next, w.blockEnd = first, first+blockCount(unit)
	frames, err := unpackBlock(w.unzip, unit)
	if err != nil {
		w.lose(Damage{Offset: at, Bytes: int64(len(unit)), From: first, To: w.blockEnd - 1, Reason: err.Error()})
		w.next = w.blockEnd
		return
	}
	w.block = frames
}

// lose lists a damage, with what the disk said where that was the reason.
func (w *walk) lose(d Damage) {
	if err := w.window.failed; err != nil {
		d.Reason += ": " + err.Error()
		d.disk = true
	}
	w.hurt(w.s, d)
}

func (w *walk) note(p place) {
	if n := len(w.places); n == 0 || p.offset-w.places[n-1].offset >= indexEvery {
		w.places = append(w.places, p)
	}
}
