package intakelog

import (
	"context"
	"errors"
	"time"
)

// Stats are figures of one log since it was opened.
type Stats struct {
	Bytes, MaxBytes int64 // on disk, and how many may be
	Segments        int
	Packed          int    // segments that are compressed
	Reserve         int64  // bytes kept free for cursors
	Appended        uint64 // records taken
	Synced          uint64 // records made durable
	Syncs           uint64 // commits
	Refused         uint64 // records not taken, or taken and not made durable
	Oldest          time.Time
	Full            bool          // refusing because there is no room
	Paused          time.Duration // for how long nothing was acknowledged, in all
}

// Stats returns the log's figures.
func (l *Log) Stats() Stats {
	reserve := l.reserve.bytes()
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.refuses(0)
	s := l.counts
	s.Bytes, s.MaxBytes, s.Segments, s.Reserve = l.bytes, l.options.MaxBytes, len(l.segments), reserve
	s.Oldest = l.segments[0].created
	s.Full, s.Paused = errors.Is(err, ErrFull), l.paused
	if !l.pausedAt.IsZero() {
		s.Paused += max(l.options.Wall().Sub(l.pausedAt), 0)
	}
	for _, segment := range l.segments {
		if segment.packed {
			s.Packed++
		}
	}
	return s
}

// SizeAfter is the size of the files that hold records after the given one, in bytes.
func (l *Log) SizeAfter(lsn LSN) (size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lsn >= l.durable {
		return 0
	}
	for i, s := range l.segments {
		if i+1 == len(l.segments) || l.segments[i+1].first > lsn+1 {
			size += s.size
		}
	}
	return size
}

// Waiting is when the oldest record was written that a consumer still needs; zero
// when nothing waits.
func (l *Log) Waiting(ctx context.Context) (time.Time, error) {
	l.mu.Lock()
	passed, durable := l.passed(), l.durable
	l.mu.Unlock()
	if passed >= durable {
		return time.Time{}, nil
	}
	found, err := l.Read(ctx, passed, 1, nil)
	if err != nil {
		return time.Time{}, err
	}
	return found[0].Wall, nil
}
