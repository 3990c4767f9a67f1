package intakelog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	consumersFile  = "consumers"
	maxSmallFile   = 64 << 10
	housekeepEvery = time.Second
)

// Release says that a consumer no longer needs the records up to and including
// one. A segment is deleted when all of Options.Consumers have passed it; until a
// consumer has spoken for the first time since Open nothing is deleted, unless
// the log is full and what the consumer said in an earlier run allows it.
func (l *Log) Release(consumer string, upTo LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if upTo >= l.next {
		l.skipTo(upTo + 1)
	}
	if at, found := l.consumers[consumer]; found && l.known[consumer] {
		upTo = max(upTo, at)
	}
	l.unsaved = l.unsaved || l.consumers[consumer] != upTo
	l.consumers[consumer], l.known[consumer] = upTo, true
	if l.full || len(l.segments) > 1 && l.segments[1].first <= upTo+1 {
		signal(l.tidy)
	}
}

// Place is what a consumer has said last, in this run or an earlier one, a second
// before a kill at most; 0 when nothing is known of it.
func (l *Log) Place(consumer string) LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.consumers[consumer]
}

// skipTo leaves positions out which a consumer has seen and the log has lost:
// a record that got one of them would never be read by it.
func (l *Log) skipTo(next LSN) {
	l.options.Log.Error("a reader has seen records that the intake log no longer has", "last", uint64(l.next-1), "seen", uint64(next-1))
	if l.pending.count == 0 && l.inflight == 0 {
		l.damage = append(l.damage, Damage{From: l.next, To: next - 1, Reason: "seen by a reader and gone"})
		l.next = next
	}
}

// housekeep deletes what nobody needs and saves how far the consumers are.
func (l *Log) housekeep(ctx context.Context) {
	tick := time.NewTicker(housekeepEvery)
	defer tick.Stop()
	l.fillReserve()
	for {
		save := false
		select {
		case <-l.tidy:
		case <-tick.C:
			save = true
			l.fs.refill()
			l.fillReserve()
		case <-ctx.Done():
			return
		}
		if err := l.tidyUp(save); err != nil {
			l.options.Log.Warn("housekeeping of the intake log failed, trying again", "error", err)
		}
		if l.stuck() {
			signal(l.work)
		}
	}
}

// tidyUp deletes the segments that may go, the oldest first: each is gone for
// good before the next one, so that a crash leaves no hole.
func (l *Log) tidyUp(save bool) error {
	for {
		victim := l.deletable()
		if victim == nil {
			break
		}
		if err := l.saveConsumers(); err != nil {
			return err
		}
		if err := l.delete(victim); err != nil {
			return fmt.Errorf("delete segment: %w", err)
		}
	}
	if save {
		return l.saveConsumers()
	}
	return nil
}

// delete takes the oldest segment away; the packer, which may have it in hand,
// finds it gone.
func (l *Log) delete(victim *segment) error {
	l.filing.Lock()
	defer l.filing.Unlock()
	l.mu.Lock()
	if l.segments[0] != victim { // it was packed meanwhile: next time
		l.mu.Unlock()
		return nil
	}
	l.mu.Unlock()
	if err := l.discard(victim); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l.mu.Lock()
	l.segments = append(l.segments[:0:0], l.segments[1:]...)
	l.bytes -= victim.size
	l.drop(victim)
	l.mu.Unlock()
	return l.fs.SyncDir()
}

// deletable returns the oldest segment if it may go; the newest never does.
func (l *Log) deletable() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	passed := l.passed()
	if len(l.segments) < 2 || l.segments[1].first > passed+1 {
		return nil
	}
	if l.full || l.options.Retain <= 0 || l.options.Wall().Sub(l.segments[1].created) >= l.options.Retain {
		return l.segments[0]
	}
	var kept int64
	for i := 1; i < len(l.segments) && l.segments[i].first <= passed+1; i++ {
		kept += l.segments[i-1].size
	}
	if kept > l.options.MaxBytes/4 {
		return l.segments[0]
	}
	return nil
}

// passed is the last record that no consumer needs.
func (l *Log) passed() LSN {
	least := LSN(math.MaxInt64)
	for _, name := range l.options.Consumers {
		at := l.consumers[name]
		if !l.known[name] && !l.full {
			at = 0
		}
		least = min(least, at)
	}
	return least
}

func (l *Log) saveConsumers() error {
	l.mu.Lock()
	written, closed := l.durable, l.settled
	if !l.unsaved && written == l.saved && !closed {
		l.mu.Unlock()
		return nil
	}
	l.unsaved = false
	content := encodeConsumers(l.id[:], l.consumers, written, closed)
	l.mu.Unlock()
	err := l.small(func() error { return replace(l.fs, consumersFile, content) })
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.unsaved = true
		return fmt.Errorf("save the places of the consumers: %w", err)
	}
	l.saved = written
	return nil
}

// Beside the consumers stands how far the log itself was, so that segments that
// are gone are missed: exactly where it was closed, else about a second ago.
const (
	writtenName = "*written"
	closedName  = "*closed"
	doubt       = 1 << 20 // records that may have come after the last save before a kill
)

// encodeConsumers gives the log's id, a line a consumer, and a CRC over both.
func encodeConsumers(id []byte, consumers map[string]LSN, written LSN, closed bool) []byte {
	b := bytes.NewBuffer(append([]byte(nil), id...))
	name := writtenName
	if closed {
		name = closedName
	}
	fmt.Fprintf(b, "%d %s\n", written, name)
	for name, at := range consumers {
		fmt.Fprintf(b, "%d %s\n", at, strings.ReplaceAll(name, "\n", " "))
	}
	return binary.LittleEndian.AppendUint32(b.Bytes(), crc32.Checksum(b.Bytes(), castagnoli))
}

// places are what the consumers file says of the last run.
type places struct {
	found    bool // the log has existed
	closed   bool // and was closed properly
	furthest LSN  // that anybody has seen
	passed   LSN  // by every consumer that is there and has ever spoken
}

// loadConsumers reads what saveConsumers wrote for this log; anything else is
// as good as nothing.
func (l *Log) loadConsumers() (p places) {
	content, err := readAll(l.fs, consumersFile, maxSmallFile)
	n := len(content) - 4
	if err != nil || n < len(l.id) || crc32.Checksum(content[:n], castagnoli) != binary.LittleEndian.Uint32(content[n:]) ||
		!bytes.Equal(content[:len(l.id)], l.id[:]) {
		return p
	}
	p.found = true
	for line := range strings.Lines(string(content[len(l.id):n])) {
		number, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		at, err := strconv.ParseUint(number, 10, 63)
		if err != nil {
			continue
		}
		p.furthest = max(p.furthest, LSN(at))
		switch name {
		case closedName:
			p.closed = true
		case writtenName:
		default:
			l.consumers[name] = LSN(at)
		}
	}
	var spoken []LSN
	for _, name := range l.options.Consumers {
		if at, has := l.consumers[name]; has {
			spoken = append(spoken, at)
		}
	}
	if len(spoken) > 0 {
		p.passed = slices.Min(spoken)
	}
	return p
}
