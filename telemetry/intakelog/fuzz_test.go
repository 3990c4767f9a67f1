package intakelog

import (
	"bytes"
	"context"
	"testing"
)

// Whatever stands in a segment, the log opens, takes records and gives them back.
func FuzzLogRecovery(f *testing.F) {
	dir := f.TempDir()
	whole := sample(f, dir, 20, brisk(nil), false)
	last := segmentNames(whole)[0]
	f.Add(uint16(60), []byte{0xF3, '3', 'S', 0x1C, 0xFF, 0xFF, 0, 0})
	f.Add(uint16(0), []byte("3SINTAKE"))
	f.Add(uint16(1000), whole.names[last].data[segmentHead:])
	f.Fuzz(func(t *testing.T, at uint16, garbage []byte) {
		d := whole.clone()
		node := d.names[last]
		copy(node.data[int(at)%len(node.data):], garbage)
		if len(garbage) > 0 && garbage[0]&1 == 1 {
			node.data = append(node.data, garbage...)
		}
		l := open(t, t.TempDir(), brisk(d))
		lsn, err := l.AppendWait(context.Background(), message(77))
		if err != nil {
			t.Fatal(err)
		}
		all := readAllOf(t, l, 0)
		if r := all[len(all)-1]; r.LSN != lsn {
			t.Fatalf("the last record is %d, appended was %d", r.LSN, lsn)
		}
		same(t, all[len(all)-1], 77)
		closeLog(t, l)
	})
}

// The same of a packed segment between others; what comes behind it is whole.
func FuzzPackedSegment(f *testing.F) {
	dir := f.TempDir()
	const messages = 150
	whole := sample(f, dir, messages, brisk(nil), true)
	names := segmentNames(whole)
	end := parseSegmentName(names[2]).first
	f.Add(uint16(60), []byte{0xF4, '3', 'Z', 0x1C, 0xFF, 0xFF, 0, 0})
	f.Add(uint16(segmentHead+28), []byte{1, 0, 0, 0, 0x28, 0xB5, 0x2F, 0xFD})
	f.Add(uint16(0), []byte("3SINTAKE"))
	f.Add(uint16(70), whole.names[names[0]].data[segmentHead:])
	f.Fuzz(func(t *testing.T, at uint16, garbage []byte) {
		d := whole.clone()
		node := d.names[names[1]]
		copy(node.data[int(at)%len(node.data):], garbage)
		if len(garbage) > 0 && garbage[0]&1 == 1 {
			node.data = append(node.data, garbage...)
		}
		l := open(t, t.TempDir(), brisk(d))
		for _, r := range readAllOf(t, l, 0) {
			if r.LSN < parseSegmentName(names[1]).first || r.LSN >= end {
				same(t, r, int(r.LSN)) //nolint:gosec // small
			}
		}
		if got := len(readAllOf(t, l, end-1)); got != messages+1-int(end) { //nolint:gosec // small
			t.Fatalf("%d records behind the damaged segment", got)
		}
		closeLog(t, l)
	})
}

// What is whole can be decoded, and encoded again to the same bytes.
func FuzzFrame(f *testing.F) {
	const seed = 7
	for n := range 5 {
		r := message(n)
		f.Add(appendFrame(nil, seed, 3, &r)[frameHead:], uint64(3))
	}
	f.Add(make([]byte, bodyHead), uint64(1))
	f.Fuzz(func(t *testing.T, body []byte, lsn uint64) {
		frame := resealed(seed, LSN(lsn), body)
		if _, _, v := checkFrame(frame, seed, 0, LSN(lsn)); v == whole {
			t.Fatal("a frame is taken for one that should not be here")
		}
		got, size, v := checkFrame(frame, seed, 0, LSN(lsn)+1)
		if v != whole {
			return
		}
		if size != len(frame) || got != LSN(lsn) {
			t.Fatalf("%d of %d bytes, record %d", size, len(frame), got)
		}
		r := decodeFrame(frame, func(b []byte) string { return string(b) })
		if size, err := frameSize(&r); err != nil || size > len(frame) {
			t.Fatalf("%d bytes, were %d: %v", size, len(frame), err)
		}
		again := appendFrame(nil, seed, r.LSN, &r)
		second := decodeFrame(again, func(b []byte) string { return string(b) })
		if r.Topic != second.Topic || r.Device != second.Device || r.Source != second.Source || r.Kind != second.Kind || r.Dup != second.Dup ||
			!r.Wall.Equal(second.Wall) || !r.Received.Equal(second.Received) || !bytes.Equal(r.Payload, second.Payload) {
			t.Fatalf("%+v became %+v", r, second)
		}
	})
}

// resealed gives any body the head of a frame with a right CRC.
func resealed(seed uint32, lsn LSN, body []byte) []byte {
	r := Record{}
	frame := appendFrame(nil, seed, lsn, &r)[:frameHead]
	frame = append(frame, body...)
	seal(seed, frame)
	return frame
}

// Whatever a block holds whose CRC is right, it gives frames or an error.
func FuzzBlock(f *testing.F) {
	const seed = 7
	unzip, err := newUnzip()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(unzip.Close)
	f.Add([]byte{0x28, 0xB5, 0x2F, 0xFD, 4, 0, 1, 0, 0}, uint32(1), uint32(100), byte(1))
	f.Add(bytes.Repeat([]byte{1}, minFrame), uint32(1), uint32(minFrame), byte(0))
	f.Fuzz(func(t *testing.T, body []byte, count, size uint32, how byte) {
		block := append(make([]byte, blockHead), body...)
		copy(block, blockMarker[:])
		block[12], block[28] = 1, how
		putUint32(block[20:], count)
		putUint32(block[24:], size)
		seal(seed, block)
		if _, _, v := checkBlock(block, seed, 0, 1<<40); v != whole {
			return
		}
		frames, err := unpackBlock(unzip, block)
		if err == nil && len(frames) != int(size) {
			t.Fatalf("%d bytes of frames, not %d", len(frames), size)
		}
		w := walk{s: &segment{packed: true}, block: frames, next: 1, below: 1 << 40, blockEnd: 1 + LSN(count), hurt: func(*segment, Damage) {}}
		w.window.seed = seed
		for len(w.block) > 0 {
			w.unpacked()
		}
	})
}

func seal(seed uint32, b []byte) {
	putUint32(b[4:], uint32(len(b)-headOf(b))) //nolint:gosec // small
	putUint32(b[8:], frameCRC(seed, b))
}

func headOf(b []byte) int {
	if bytes.HasPrefix(b, blockMarker[:]) {
		return blockHead
	}
	return frameHead
}

func putUint32(b []byte, n uint32) {
	b[0], b[1], b[2], b[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
}
