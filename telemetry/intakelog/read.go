package intakelog

import (
	"context"
	"fmt"
	"sort"
)

const (
	readBytes   = 4 << 20 // a read ends behind this many payload bytes
	keptCursors = 16
	keptNames   = 4_096 // topics and devices whose strings a cursor shares
)

// cursor is a place between two records and what was read ahead of it.
type cursor struct {
	s      *segment
	window window
	offset int64
	next   LSN // expected at offset
	end    int64
	below  LSN // first record of the next segment, or the first that is not durable
	names  map[string]string
	places []place // found on the way, for the index
}

// Read waits until there is a durable record after the given one and returns it
// and those behind it in order, at most limit, appended to buf[:0]. After a
// record that is older than the log it starts with the oldest.
func (l *Log) Read(ctx context.Context, after LSN, limit int, buf []Record) ([]Record, error) {
	buf, limit = buf[:0], max(limit, 1)
	for {
		c, grown, err := l.place(after)
		if err != nil {
			return nil, err
		}
		if c != nil {
			buf, err = l.readOn(c, after, limit, buf)
			if err != nil || len(buf) > 0 {
				return buf, err
			}
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// place returns a cursor for the record after the given one, and with it a hold
// on its segment, or nil when there is none yet.
func (l *Log) place(after LSN) (*cursor, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, nil, ErrClosed
	}
	if l.durable <= after {
		return nil, l.grown, nil
	}
	c := l.cursors[after]
	delete(l.cursors, after)
	if c == nil || c.s.gone {
		c = &cursor{names: map[string]string{}}
		i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].first > after+1 })
		c.enter(l, max(i-1, 0), after+1)
	} else {
		c.enter(l, l.indexOf(c.s), 0)
	}
	return c, l.grown, nil
}

func (l *Log) indexOf(s *segment) int {
	return sort.Search(len(l.segments), func(i int) bool { return l.segments[i].first >= s.first })
}

// enter holds segment i and brings the cursor's idea of it up to date; seek,
// unless 0, is the record to look for in it.
func (c *cursor) enter(l *Log, i int, seek LSN) {
	c.s = l.segments[i]
	c.s.readers++
	if seek != 0 {
		at := c.s.seek(seek)
		c.offset, c.next = at.offset, at.lsn
		c.window = window{file: c.s.file, seed: l.seed}
	}
	c.end, c.below = c.s.size, l.durable+1
	if i+1 < len(l.segments) {
		c.below = l.segments[i+1].first
	}
	c.window.end = c.end
}

// leave gives the segment back and adds to its index.
func (c *cursor) leave() {
	for _, p := range c.places {
		c.s.note(p)
	}
	c.places = c.places[:0]
	if c.s.readers--; c.s.gone && c.s.readers == 0 {
		_ = c.s.file.Close()
	}
}

// readOn reads with a cursor that place has given, and keeps it for the next read.
func (l *Log) readOn(c *cursor, after LSN, limit int, buf []Record) ([]Record, error) {
	size := 0
	var err error
	for len(buf) < limit && size < readBytes {
		var r Record
		var ok bool
		if r, ok, err = l.step(c); err != nil {
			break
		}
		if !ok {
			if !l.advance(c) {
				break
			}
			continue
		}
		if r.LSN > after {
			buf = append(buf, r)
			size += len(r.Payload)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.leave()
	if err != nil {
		return nil, err
	}
	if n := len(buf); n > 0 {
		after = buf[n-1].LSN
	}
	if len(l.cursors) >= keptCursors {
		for old := range l.cursors {
			delete(l.cursors, old)
			break
		}
	}
	l.cursors[after] = c
	return buf, nil
}

// step returns the next record of the cursor's segment; false at its end.
func (l *Log) step(c *cursor) (Record, bool, error) {
	if c.next < c.below && c.offset < c.end {
		frame, lsn, at, err := c.window.follow(c.offset, c.next, c.below)
		if err != nil {
			return Record{}, false, fmt.Errorf("read segment %s: %w", c.s.name, err)
		}
		if frame != nil {
			l.pass(c, lsn, at, int64(len(frame)))
			return decodeFrame(frame, c.intern), true, nil
		}
	}
	if c.next < c.below {
		l.hurt(c.s, Damage{Offset: c.offset, Bytes: c.end - c.offset, From: c.next, To: c.below - 1, Reason: "missing"})
		c.next = c.below
	}
	c.offset = c.end
	return Record{}, false, nil
}

// pass moves a cursor behind the frame of a record.
func (l *Log) pass(c *cursor, lsn LSN, at, size int64) {
	if at > c.offset {
		l.hurt(c.s, Damage{Offset: c.offset, Bytes: at - c.offset, From: c.next, To: lsn - 1, Reason: "unreadable"})
	}
	if n := len(c.places); n == 0 || at-c.places[n-1].offset >= indexEvery {
		c.places = append(c.places, place{lsn, at})
	}
	c.offset, c.next = at+size, lsn+1
}

// advance moves to the next segment; false where there is none.
func (l *Log) advance(c *cursor) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].first > c.s.first })
	if i == len(l.segments) {
		return false
	}
	c.leave()
	c.enter(l, i, l.segments[i].first)
	return true
}

// intern gives equal names one string; senders use few.
func (c *cursor) intern(b []byte) string {
	if s, ok := c.names[string(b)]; ok {
		return s
	}
	if len(c.names) >= keptNames {
		clear(c.names)
	}
	s := string(b)
	c.names[s] = s
	return s
}
