package intakelog

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/thirdstate/thirdstate/internal/clock"
)

const (
	packEvery = 5 * time.Second // for those that have become old enough
	packShare = 4               // the packer works a quarter of the time, unless the log is half full
	packStint = 5 * time.Millisecond
	packSync  = 1 << 20 // so that the sync of a commit never has more than this of ours to wait for
)

var errPlain = errors.New("it has damaged places and stays as it is")

// packLoop compresses sealed segments that wait for long, the oldest first. The
// one that was sealed last is left alone: whoever keeps up is reading it.
func (l *Log) packLoop(ctx context.Context) {
	retry := time.NewTicker(packEvery)
	defer retry.Stop()
	for {
		select {
		case <-l.sealed:
		case <-retry.C:
		case <-ctx.Done():
			return
		}
		for {
			did, err := l.packNext(ctx)
			if err != nil && ctx.Err() == nil {
				l.options.Log.Warn("a segment of the intake log was not compressed, trying again in a minute", "error", err)
				_ = clock.Rest(ctx, time.Minute)
			}
			if !did || err != nil {
				break
			}
		}
	}
}

// packNext packs one segment; false where there is none that should be.
func (l *Log) packNext(ctx context.Context) (bool, error) {
	s, below := l.packable()
	if s == nil {
		return false, nil
	}
	packed, err := l.pack(ctx, s, below)
	l.mu.Lock()
	if s.readers--; s.gone {
		l.drop(s)
	}
	l.mu.Unlock()
	if errors.Is(err, errPlain) {
		return true, nil // and it is listed
	}
	if err == nil {
		err = l.install(s, packed)
	}
	if err != nil {
		return true, fmt.Errorf("compress segment %s: %w", s.name, err)
	}
	return true, nil
}

// packable returns the oldest segment to be packed, held, and the first record
// of the next.
func (l *Log) packable() (*segment, LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	passed, old := l.passed(), l.options.Wall().Add(-l.options.PackAfter)
	for i := 0; i+2 < len(l.segments); i++ {
		s, below := l.segments[i], l.segments[i+1].first
		if s.packed || s.plain || below <= passed+1 && l.options.Retain <= 0 {
			continue
		}
		if l.options.PackAfter > 0 && l.bytes <= l.options.MaxBytes/2 && l.segments[i+1].created.After(old) {
			break
		}
		s.readers++
		return s, below
	}
	return nil, 0
}

// packing is one segment on its way into blocks.
type packing struct {
	log     *Log
	to      *segment
	file    File
	zip     *zstd.Encoder
	frames  []byte
	first   LSN
	count   int
	records LSN
	sum     uint32 // CRC of all frames
	out     []byte
}

// pack writes the packed twin of a segment under a name of its own, and reads it
// back.
func (l *Log) pack(ctx context.Context, s *segment, below LSN) (to *segment, err error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(blockBytes), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	p := &packing{log: l, zip: zip, to: &segment{first: s.first, attempt: s.attempt, packed: true, created: s.created, id: l.id, headOK: true,
		name: segmentName(s.first, s.attempt, packedSuffix)}}
	fresh := p.to.name + freshSuffix
	_ = l.fs.Remove(fresh) // left by a failure
	if p.file, err = l.fs.Open(fresh, true); err != nil {
		return nil, err
	}
	defer func() {
		if err = errors.Join(err, p.file.Close()); err != nil {
			_ = l.fs.Remove(fresh)
		}
	}()
	if err := p.fill(ctx, s, below); err != nil {
		return nil, err
	}
	return p.to, p.verify(below)
}

// fill packs all frames.
func (p *packing) fill(ctx context.Context, s *segment, below LSN) error {
	f, err := p.log.fileOf(s)
	if err != nil {
		return err
	}
	w := p.log.walkFrom(s, f, place{s.first, segmentHead}, s.size, below)
	p.out = appendSegmentHead(p.out, blocksVersion, p.log.id, s.created)
	since := time.Now()
	for {
		frame, lsn := w.frame()
		if n := len(p.frames); n > 0 && (frame == nil || n+len(frame) > blockBytes || lsn != p.first+LSN(p.count)) { //nolint:gosec // a count
			if err := p.flush(ctx, &since); err != nil {
				return err
			}
		}
		if p.log.isPlain(s) {
			return errPlain
		}
		if frame == nil {
			return p.write(true)
		}
		if p.count == 0 {
			p.first = lsn
		}
		p.frames, p.count = append(p.frames, frame...), p.count+1
	}
}

func (l *Log) isPlain(s *segment) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.plain
}

// flush ends a block, and rests for longer than it took.
func (p *packing) flush(ctx context.Context, since *time.Time) error {
	p.to.note(place{p.first, p.to.size + int64(len(p.out))})
	p.out = appendBlock(p.out, p.zip, p.log.seed, p.first, p.count, p.frames)
	p.sum = crc32.Update(p.sum, castagnoli, p.frames)
	p.records += LSN(p.count) //nolint:gosec // a count
	p.frames, p.count = p.frames[:0], 0
	err := p.write(false)
	if spent := time.Since(*since); err == nil && spent >= packStint {
		if !p.log.pressed() {
			err = clock.Rest(ctx, (packShare-1)*spent)
		}
		*since = time.Now()
	}
	return errors.Join(err, ctx.Err())
}

func (l *Log) pressed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes > l.options.MaxBytes/2
}

// write gives finished blocks to the disk, a little at a time.
func (p *packing) write(end bool) error {
	if !end && len(p.out) < packSync {
		return nil
	}
	if err := write(p.file, p.out); err != nil {
		return err
	}
	p.to.size += int64(len(p.out))
	p.out = p.out[:0]
	return nil
}

// verify reads back what will replace an original.
func (p *packing) verify(below LSN) error {
	w := p.log.walkFrom(p.to, p.file, place{p.to.first, segmentHead}, p.to.size, below)
	var wrong error
	w.hurt = func(_ *segment, d Damage) { wrong = fmt.Errorf("read back at %d: %s", d.Offset, d.Reason) }
	var records LSN
	var sum uint32
	for {
		frame, _ := w.frame()
		if frame == nil {
			break
		}
		records++
		sum = crc32.Update(sum, castagnoli, frame)
	}
	if wrong == nil && (records != p.records || sum != p.sum) {
		wrong = fmt.Errorf("read back %d of %d records", records, p.records)
	}
	return wrong
}

// install puts the packed twin in a segment's place. Until the new name is
// durable the original stays; where both are found, the original counts.
func (l *Log) install(s, packed *segment) error {
	l.filing.Lock()
	defer l.filing.Unlock()
	fresh := packed.name + freshSuffix
	l.mu.Lock()
	there := slices.Contains(l.segments, s)
	l.mu.Unlock()
	if !there { // deleted meanwhile
		return l.fs.Remove(fresh)
	}
	if err := l.fs.Rename(fresh, packed.name); err != nil {
		return err
	}
	if err := l.fs.SyncDir(); err != nil {
		_ = l.fs.Remove(packed.name)
		return err
	}
	l.mu.Lock()
	l.segments = slices.Clone(l.segments) // readers search it by first, which stays
	l.segments[slices.Index(l.segments, s)] = packed
	l.bytes += packed.size - s.size
	l.drop(s)
	l.mu.Unlock()
	if err := l.fs.Remove(s.name); err != nil {
		return err
	}
	return l.fs.SyncDir()
}

func newUnzip() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxBlockFrames), zstd.IgnoreChecksum(true))
}
