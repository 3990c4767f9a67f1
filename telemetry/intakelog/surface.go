package intakelog

import (
	"errors"
	"io"
	"time"
)

const (
	readTries   = 6 // of a segment in all, before the places that fail are given up: 3 s
	openTries   = 2 // the same while the log opens: 0.15 s
	firstWait   = 50 * time.Millisecond
	maxBadPages = 64 // of a segment, before the rest of it is given up: a dying disk takes seconds for each
	pageBytes   = 4 << 10
)

// surface reads a file of which the disk may not give everything back. A read
// that fails is tried again for a while, once for the whole file; after that
// the pages that fail are zeros, which no frame and no block is.
type surface struct {
	file   File
	tries  int           // left
	wait   time.Duration // before the next one
	failed error         // what the disk said last
	bad    int           // pages
}

// readAt is like ReadAt and has no error but the end: what it gives less than
// was asked for is behind the end, or given up.
func (s *surface) readAt(p []byte, offset int64) int {
	n, err := s.file.ReadAt(p, offset)
	for ; failed(err) && s.tries > 0; s.tries-- {
		s.wait = max(2*s.wait, firstWait)
		time.Sleep(s.wait)
		n, err = s.file.ReadAt(p, offset)
	}
	if !failed(err) {
		return n
	}
	for n = 0; n < len(p); {
		size := min(pageBytes-int((offset+int64(n))%pageBytes), len(p)-n)
		page := p[n : n+size]
		got, err := s.file.ReadAt(page, offset+int64(n))
		switch {
		case failed(err) && s.bad == maxBadPages:
			return n
		case failed(err):
			clear(page)
			s.failed = err
			s.bad++
		case got < size:
			return n + got
		}
		n += size
	}
	return n
}

func failed(err error) bool { return err != nil && !errors.Is(err, io.EOF) }
