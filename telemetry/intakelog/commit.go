package intakelog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// commitLoop is the only writer of records: many of them share one sync.
func (l *Log) commitLoop(ctx context.Context) {
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	company := time.NewTimer(time.Hour)
	defer company.Stop()
	for {
		select {
		case <-l.work:
			l.gather(ctx, company)
			l.commit()
		case <-retry.C:
			l.revive()
		case <-ctx.Done():
			l.commit() // what was appended before Close
			return
		}
	}
}

// gather gives other records a moment to join the commit.
func (l *Log) gather(ctx context.Context, company *time.Timer) {
	if l.options.CommitDelay == 0 {
		return
	}
	company.Reset(l.options.CommitDelay)
	for l.waiting() < l.options.CommitBytes {
		select {
		case <-l.work: // perhaps there is enough now
		case <-company.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (l *Log) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pending.frames)
}

func (l *Log) commit() {
	b := l.take()
	if b.count == 0 {
		l.turnOver()
		return
	}
	s, err := l.store(b)
	if err != nil {
		l.fail(b, err)
		return
	}
	l.mu.Lock()
	l.adopt(s)
	for _, p := range b.places {
		s.note(place{p.lsn, s.size + p.offset})
	}
	s.size += int64(len(b.frames))
	l.bytes, l.inflight = l.bytes+int64(len(b.frames)), 0
	l.durable = b.first + LSN(b.count) - 1 //nolint:gosec // a count
	l.tip = l.durable + 1
	l.counts.Synced += uint64(b.count) //nolint:gosec // a count
	l.counts.Syncs++
	l.wake(&l.grown)
	l.mu.Unlock()
	b.tell(nil)
	b.reset()
}

// take gives what is pending to the committer; what is appended from now on
// goes to the other buffer.
func (l *Log) take() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending, l.spare = l.spare, l.pending
	l.inflight = int64(len(l.spare.frames))
	l.wake(&l.drained)
	return &l.spare
}

// store writes a batch and syncs it. After an error nobody knows what the file
// holds, and a second sync of it may succeed without having written anything:
// the batch, which is still in memory, goes to a new segment, once.
func (l *Log) store(b *batch) (*segment, error) {
	s := l.writer
	if s != nil && (b.first != l.tip || s.size > segmentHead && s.size+int64(len(b.frames)) > l.options.SegmentBytes) {
		l.abandon(s)
		s = nil
	}
	var errs error
	for range 2 {
		var err error
		if s == nil {
			s, err = l.begin(b.first)
		}
		if err == nil {
			l.allocate(s, int64(len(b.frames)))
			if err = write(s.file, b.frames); err == nil {
				return s, nil
			}
			l.options.Log.Error("write to the intake log failed", "segment", s.name, "error", err)
			_ = s.file.Truncate(s.size) // else a next process may find the bytes in memory and take them for safe
			l.abandon(s)
		}
		errs, s = errors.Join(errs, err), nil
	}
	return nil, errs
}

func write(f File, frames []byte) error {
	if _, err := f.Write(frames); err != nil {
		return err
	}
	return f.Sync()
}

// begin makes the file of a new segment and sees to it that it is found again.
func (l *Log) begin(first LSN) (*segment, error) {
	if first == l.begun {
		l.attempt++
	} else {
		l.begun, l.attempt = first, 0
	}
	created := l.options.Wall()
	s := &segment{first: first, attempt: l.attempt, name: segmentName(first, l.attempt, segmentSuffix), created: created, id: l.id, headOK: true, size: segmentHead}
	f, err := l.fs.Open(s.name, true)
	if err != nil {
		return nil, fmt.Errorf("begin segment %s: %w", s.name, err)
	}
	s.file = f
	if err = write(f, appendSegmentHead(nil, framesVersion, l.id, created)); err == nil {
		err = l.fs.SyncDir()
	}
	if err != nil {
		_ = f.Close()
		_ = l.fs.Remove(s.name)
		return nil, fmt.Errorf("begin segment %s: %w", s.name, err)
	}
	l.writer, l.tip = s, first
	return s, nil
}

// allocate asks the disk for room ahead, so that a commit has less to change on
// it and a file lies in one piece. A disk that cannot is written to all the same.
func (l *Log) allocate(s *segment, more int64) {
	need := s.size + more
	a, can := s.file.(allocator)
	if !can || need <= s.allocated {
		return
	}
	from, to := max(s.allocated, s.size), max(need, min(need+allocateAhead, l.options.SegmentBytes))
	if a.Allocate(from, to-from, true) == nil {
		s.allocated = to
	}
}

// abandon ends writing to a segment; one that holds no record goes.
func (l *Log) abandon(s *segment) {
	l.writer = nil
	if s.allocated > s.size {
		_ = s.file.Truncate(s.size) // gives the room back
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isLast(s) {
		if !slices.Contains(l.opened, s) {
			l.shelve(s, s.file)
		}
		return
	}
	l.drop(s)
	_ = l.fs.Remove(s.name)
}

// stuck says whether a full log has nothing left that anybody needs, and yet
// nothing to delete, because all of it is in the segment that is written to.
func (l *Log) stuck() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.segments[len(l.segments)-1]
	return l.full && l.failure == nil && l.pending.count == 0 && last.size > segmentHead && l.passed() >= l.durable
}

// turnOver begins a segment so that the last one of a stuck log can be deleted.
func (l *Log) turnOver() {
	if !l.stuck() {
		return
	}
	l.mu.Lock()
	next := l.next
	l.mu.Unlock()
	if l.writer != nil {
		l.abandon(l.writer)
	}
	s, err := l.begin(next)
	if err != nil {
		l.options.Log.Warn("no new segment of the full intake log could be begun, trying again", "error", err)
		return
	}
	l.mu.Lock()
	l.adopt(s)
	l.mu.Unlock()
	signal(l.tidy)
}

// adopt lists a segment that now holds durable records. An empty one with the
// same first record was never read from and gives way.
func (l *Log) adopt(s *segment) {
	if l.isLast(s) {
		return
	}
	n := len(l.segments)
	if n > 0 && l.segments[n-1].first == s.first {
		old := l.segments[n-1]
		l.bytes -= old.size
		l.drop(old)
		l.segments = l.segments[:n-1]
	}
	l.segments = append(l.segments, s)
	l.bytes += s.size
	signal(l.sealed)
}

// fail tells everybody who waits that his record is not safe, and refuses new
// ones until revive has found a file to write to. The positions are given again:
// nobody has seen them.
func (l *Log) fail(b *batch, err error) {
	kind := ErrFailed
	if noRoom(err) {
		kind = ErrFull
	}
	l.mu.Lock()
	later := l.pending
	l.pending = batch{}
	l.failure = fmt.Errorf("%w: %w", kind, err)
	l.pause(true)
	refusal := l.failure
	l.inflight, l.next = 0, b.first
	l.counts.Refused += uint64(b.count + later.count) //nolint:gosec // counts
	l.wake(&l.drained)
	l.mu.Unlock()
	l.options.Log.Error("the intake log cannot write; nothing is acknowledged", "error", err)
	b.tell(refusal)
	later.tell(refusal)
	b.reset()
}

// revive tries whether a failed log can write again.
func (l *Log) revive() {
	l.mu.Lock()
	failure, next := l.failure, l.next
	l.mu.Unlock()
	if failure == nil {
		return
	}
	if errors.Is(failure, ErrFull) {
		if free, err := l.fs.Free(); err == nil && free < int64(2*l.options.CommitBytes)+l.lent() {
			return
		}
	}
	if _, err := l.begin(next); err != nil {
		return
	}
	l.mu.Lock()
	l.failure = nil
	l.pause(l.full)
	l.mu.Unlock()
	l.options.Log.Info("the intake log can write again")
}
