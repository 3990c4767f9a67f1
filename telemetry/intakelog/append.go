package intakelog

import (
	"context"
	"fmt"
	"time"
)

// batch is what one commit makes durable, and who wants to know.
type batch struct {
	first  LSN
	count  int
	frames []byte
	places []place // where some frames start in frames, for the index
	waits  []wait
}

type wait struct {
	lsn  LSN
	done func(LSN, error)
}

func (b *batch) add(seed uint32, lsn LSN, r *Record, done func(LSN, error)) {
	if b.count == 0 {
		b.first = lsn
	}
	at := int64(len(b.frames))
	if n := len(b.places); n == 0 || at-b.places[n-1].offset >= indexEvery {
		b.places = append(b.places, place{lsn, at})
	}
	b.frames = appendFrame(b.frames, seed, lsn, r)
	b.count++
	if done != nil {
		b.waits = append(b.waits, wait{lsn, done})
	}
}

// reset empties a batch and keeps its memory, unless a flood has blown it up.
func (b *batch) reset() {
	clear(b.waits)
	b.count, b.frames, b.places, b.waits = 0, b.frames[:0], b.places[:0], b.waits[:0]
	if cap(b.frames) > pendingBytes+MaxRecordBytes {
		b.frames = nil
	}
}

func (b *batch) tell(err error) {
	for _, w := range b.waits {
		w.done(w.lsn, err)
	}
}

// Append takes a record; done, unless nil, is told when it is durable or that it
// cannot be made so. The calls come one after the other in the order of the log,
// from a goroutine on which all others wait: done must not block. The payload
// may be changed as soon as Append has returned.
//
// An error means that the record was not taken and done will not be called.
func (l *Log) Append(r Record, done func(LSN, error)) error {
	return l.append(context.Background(), &r, done)
}

// AppendWait appends a record and returns its position when it is durable. When
// ctx ends first, the record may become durable all the same.
func (l *Log) AppendWait(ctx context.Context, r Record) (LSN, error) {
	type outcome struct {
		lsn LSN
		err error
	}
	settled := make(chan outcome, 1)
	if err := l.append(ctx, &r, func(lsn LSN, err error) { settled <- outcome{lsn, err} }); err != nil {
		return 0, err
	}
	select {
	case o := <-settled:
		return o.lsn, o.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (l *Log) append(ctx context.Context, r *Record, done func(LSN, error)) error {
	size, err := frameSize(r)
	if r.Wall.IsZero() {
		r.Wall = l.options.Wall()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		err = l.admit(ctx, size)
	}
	if err != nil {
		l.counts.Refused++
		return err
	}
	before := len(l.pending.frames)
	l.pending.add(l.seed, l.next, r, done)
	l.next++
	l.counts.Appended++
	if enough := l.options.CommitBytes; before == 0 || before < enough && len(l.pending.frames) >= enough {
		signal(l.work)
	}
	return nil
}

// admit says whether a record of a size is taken, and waits, with mu given up
// meanwhile, until there is room among what waits for the disk.
func (l *Log) admit(ctx context.Context, size int) error {
	if err := l.refuses(int64(size)); err != nil || l.roomFor(size) {
		return err
	}
	patience := time.NewTimer(pendingWait)
	defer patience.Stop()
	for !l.roomFor(size) {
		room := l.drained
		var err error
		l.mu.Unlock()
		select {
		case <-room:
		case <-patience.C:
			err = ErrBusy
		case <-ctx.Done():
			err = ctx.Err()
		}
		l.mu.Lock()
		if err == nil {
			err = l.refuses(int64(size))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) roomFor(size int) bool {
	waiting := len(l.pending.frames)
	return waiting == 0 || waiting+size <= pendingBytes
}

// refuses says why a record of a size would not be taken now. A log that was
// full takes nothing until there is room worth mentioning, so that senders find
// either an open log or a closed one.
func (l *Log) refuses(size int64) error {
	room := l.options.MaxBytes - l.bytes - l.inflight - int64(len(l.pending.frames))
	switch {
	case l.closed:
		return ErrClosed
	case l.failure != nil:
		return l.failure
	case l.full && room >= min(1<<20, l.options.MaxBytes/16):
		l.full = false
		l.pause(false)
	case size > room && !l.full:
		l.full = true
		l.pause(true)
		l.options.Log.Error("the intake log is full; nothing is acknowledged until its readers catch up",
			"bytes", l.bytes, "max_bytes", l.options.MaxBytes)
		signal(l.tidy)
	}
	if l.full || size > room {
		return fmt.Errorf("%w: %d of %d bytes", ErrFull, l.bytes, l.options.MaxBytes)
	}
	return nil
}

// pause counts for how long nothing is acknowledged.
func (l *Log) pause(on bool) {
	now := l.options.Wall()
	if !l.pausedAt.IsZero() {
		l.paused += max(now.Sub(l.pausedAt), 0)
		l.pausedAt = time.Time{}
	}
	if on {
		l.pausedAt = now
	}
}
