package intakelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

// A block of a packed segment is, little-endian:
//
//	 0  4  marker, to find the next block behind a damaged one
//	 4  4  length of the body
//	 8  4  CRC32C over all but marker and CRC, seeded with the log's id
//	12  8  LSN of the first record
//	20  4  records
//	24  4  length of the body's frames when they are unpacked
//	28  1  how the body is packed: 0 not at all, 1 zstd
//	29  3  zero
//	32     body: the frames of consecutive records, as they were
const (
	blockHead  = 32
	blockBytes = 64 << 10 // frames in a block, or a single larger one: what a flipped bit costs

	maxBlockFrames = blockBytes + frameHead + MaxRecordBytes
)

const (
	stored     = 0
	compressed = 1
)

//nolint:gochecknoglobals // a constant of the format that Go cannot declare as such
var blockMarker = [4]byte{0xF4, '3', 'Z', 0x1C}

var errBlock = errors.New("its length is not what its head says")

// appendBlock appends the block of count consecutive frames.
func appendBlock(b []byte, zip *zstd.Encoder, seed uint32, first LSN, count int, frames []byte) []byte {
	start := len(b)
	b = append(b, blockMarker[:]...)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // length and CRC come last
	b = binary.LittleEndian.AppendUint64(b, uint64(first))
	b = binary.LittleEndian.AppendUint32(b, uint32(count))       //nolint:gosec // a frame takes bytes
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frames))) //nolint:gosec // at most maxBlockFrames
	b = append(b, compressed, 0, 0, 0)
	if b = zip.EncodeAll(frames, b); len(b)-start-blockHead >= len(frames) {
		b = append(b[:start+blockHead], frames...)
		b[start+28] = stored
	}
	block := b[start:]
	binary.LittleEndian.PutUint32(block[4:], uint32(len(block)-blockHead)) //nolint:gosec // at most maxBlockFrames
	binary.LittleEndian.PutUint32(block[8:], frameCRC(seed, block))
	return b
}

// checkBlock says of a block what checkFrame says of a frame.
func checkBlock(b []byte, seed uint32, from, below LSN) (lsn LSN, size int, v verdict) {
	if len(b) < blockHead {
		return 0, blockHead, short
	}
	body, count, frames := binary.LittleEndian.Uint32(b[4:]), blockCount(b), binary.LittleEndian.Uint32(b[24:])
	lsn = LSN(binary.LittleEndian.Uint64(b[12:]))
	if [4]byte(b[:4]) != blockMarker || body > maxBlockFrames || frames > maxBlockFrames || b[28] > compressed ||
		lsn < from || lsn >= below || count == 0 || uint64(count)*minFrame > uint64(frames) || below-lsn < count {
		return 0, 0, wrong
	}
	size = blockHead + int(body)
	switch {
	case len(b) < size:
		return lsn, size, short
	case crc32.Update(crc32.Update(seed, castagnoli, b[4:8]), castagnoli, b[12:size]) != binary.LittleEndian.Uint32(b[8:]):
		return lsn, size, wrong
	}
	return lsn, size, whole
}

func blockCount(block []byte) LSN { return LSN(binary.LittleEndian.Uint32(block[20:])) }

// unpackBlock returns the frames of a block that checkBlock has found whole, in
// memory of their own.
func unpackBlock(unzip *zstd.Decoder, block []byte) (frames []byte, err error) {
	size := int(binary.LittleEndian.Uint32(block[24:]))
	if block[28] == stored {
		frames = block[blockHead:]
	} else if frames, err = unzip.DecodeAll(block[blockHead:], make([]byte, 0, size)); err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if len(frames) != size {
		return nil, errBlock
	}
	return frames, nil
}
