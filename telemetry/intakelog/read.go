package intakelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"time"

	"github.com/thirdstate/thirdstate/internal/clock"
)

const (
	readBytes   = 4 << 20 // a read ends behind this many payload bytes
	keptCursors = 16
	keptNames   = 4_096 // topics and devices whose strings a cursor shares
)

// cursor is a place between two records and what was read ahead of it.
type cursor struct {
	walk
	names map[string]string
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
			buf, err = l.readOn(ctx, c, after, limit, buf)
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
	if c == nil || c.s.gone || c.window.file != c.s.file {
		names := map[string]string{}
		if c != nil {
			names = c.names
		}
		c = &cursor{names: names}
		i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].first > after+1 })
		l.enter(c, max(i-1, 0), after+1)
	} else {
		l.enter(c, l.indexOf(c.s), 0)
	}
	return c, l.grown, nil
}

func (l *Log) indexOf(s *segment) int {
	return sort.Search(len(l.segments), func(i int) bool { return l.segments[i].first >= s.first })
}

// enter holds segment i and brings the cursor's idea of it up to date; seek,
// unless 0, is the record to look for in it.
func (l *Log) enter(c *cursor, i int, seek LSN) {
	s := l.segments[i]
	s.readers++
	below := l.durable + 1
	if i+1 < len(l.segments) {
		below = l.segments[i+1].first
	}
	if seek != 0 {
		c.walk = l.walkFrom(s, s.file, s.seek(seek), s.size, below)
	}
	c.end, c.window.end, c.below = s.size, s.size, below
}

// leave gives the segment back and adds to its index.
func (l *Log) leave(c *cursor) {
	for _, p := range c.places {
		c.s.note(p)
	}
	c.places = c.places[:0]
	if c.s.readers--; c.s.gone {
		l.drop(c.s)
	}
}

// readOn reads with a cursor that place has given, and keeps it for the next read.
func (l *Log) readOn(ctx context.Context, c *cursor, after LSN, limit int, buf []Record) ([]Record, error) {
	size := 0
	var err error
	for len(buf) < limit && size < readBytes {
		if err = l.ready(ctx, c); err != nil {
			break
		}
		frame, lsn := c.frame()
		if frame == nil {
			if !l.advance(c) {
				break
			}
			continue
		}
		if lsn > after {
			buf = append(buf, decodeFrame(frame, c.intern))
			size += len(buf[len(buf)-1].Payload)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(c)
	if err != nil && len(buf) == 0 {
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

// ready sees to it that the file of the cursor's segment is open. One that
// cannot be opened, for another reason than a lack of descriptors, is lost.
func (l *Log) ready(ctx context.Context, c *cursor) error {
	wait := firstWait
	for try := 1; c.window.file == nil && c.next < c.below; try++ {
		f, err := l.fileOf(c.s)
		switch {
		case err == nil:
			c.window.file = f
			return nil
		case exhausted(err):
		case errors.Is(err, fs.ErrNotExist) && l.move(c):
			continue
		case errors.Is(err, fs.ErrNotExist) || try > readTries:
			l.hurt(c.s, Damage{From: c.next, To: c.below - 1, Reason: fmt.Sprintf("cannot be opened: %v", err), disk: true})
			c.next = c.below
			return nil
		}
		if err := clock.Rest(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, time.Second)
	}
	return nil
}

// move brings a cursor whose segment was deleted or packed to what is there
// instead; false where its segment should be there.
func (l *Log) move(c *cursor) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.s.gone {
		return false
	}
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].first > c.next })
	l.leave(c)
	l.enter(c, max(i-1, 0), c.next)
	return true
}

// advance moves to the next segment; false where there is none.
func (l *Log) advance(c *cursor) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].first > c.s.first })
	if i == len(l.segments) {
		return false
	}
	l.leave(c)
	l.enter(c, i, l.segments[i].first)
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
