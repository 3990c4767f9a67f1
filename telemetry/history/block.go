package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/klauspost/compress/zstd"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// A block is a stretch of one signal of one machine: its instants, its values (of
// a roll-up: count, lowest, mean and highest) and their qualities. What comes out
// is what went in, bit for bit.
type block struct {
	ats       []int64     // microseconds since 1970, ascending
	columns   [][]float64 // each as long as ats
	qualities []byte      // nil: all are good
}

const (
	blockVersion  = 1
	blockValues   = 4_096   // of one block; a query for an hour should not read a week
	blockColumns  = 4       // at most
	blockBytes    = 1 << 20 // a block that was read from the database is not larger
	rawColumn     = 0xff    // values that no few decimals say
	mostDecimals  = 6
	exactIntegers = 1 << 53
)

var errBlock = errors.New("a block of the history cannot be read")

// blockCodec encodes and decodes blocks: instants as differences of differences,
// numbers with few decimals as differences of integers, others as what changed in
// each byte, and zstd over it. Safe for concurrent use.
type blockCodec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func newBlockCodec() *blockCodec {
	// Neither fails: the options are constants.
	e, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true), zstd.WithWindowSize(64<<10))
	d, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(blockBytes))
	return &blockCodec{encoder: e, decoder: d}
}

func (c *blockCodec) encode(b *block) []byte {
	plain := make([]byte, 0, 16+len(b.ats)*(1+4*len(b.columns)))
	plain = binary.AppendUvarint(plain, uint64(len(b.ats)))
	plain = append(plain, byte(len(b.columns)))
	last, step := int64(0), int64(0)
	for _, at := range b.ats {
		plain = binary.AppendVarint(plain, at-last-step)
		last, step = at, at-last
	}
	if b.qualities == nil {
		plain = append(plain, 0)
	} else {
		plain = append(append(plain, 1), b.qualities...)
	}
	for _, column := range b.columns {
		plain = appendColumn(plain, column)
	}
	return c.encoder.EncodeAll(plain, []byte{blockVersion})
}

var powers = [mostDecimals + 1]float64{1, 10, 100, 1e3, 1e4, 1e5, 1e6} //nolint:gochecknoglobals // a constant table

// appendColumn writes numbers as integers of the least decimal place that says all
// of them exactly, else byte by byte.
func appendColumn(out []byte, values []float64) []byte {
	for d, power := range powers {
		if !decimal(values, power) {
			continue
		}
		out = append(out, byte(d))
		last := int64(0)
		for _, v := range values {
			n := int64(math.Round(v * power))
			out = binary.AppendVarint(out, n-last)
			last = n
		}
		return out
	}
	out = append(out, rawColumn)
	from := len(out)
	out = append(out, make([]byte, 8*len(values))...)
	last := uint64(0)
	for i, v := range values {
		bits := math.Float64bits(v)
		for plane := range 8 {
			out[from+plane*len(values)+i] = byte((bits ^ last) >> (56 - 8*plane))
		}
		last = bits
	}
	return out
}

// decimal says whether every value comes back from its integer bit for bit.
func decimal(values []float64, power float64) bool {
	for _, v := range values {
		n := math.Round(v * power)
		if !(math.Abs(n) < exactIntegers) || math.Float64bits(float64(int64(n))/power) != math.Float64bits(v) {
			return false
		}
	}
	return true
}

// blockReader takes a plain block apart; after a fault it is at its end.
type blockReader struct {
	plain []byte
	bad   bool
}

func (r *blockReader) fail() {
	r.plain, r.bad = nil, true
}

func (r *blockReader) varint() int64 {
	v, n := binary.Varint(r.plain)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.plain = r.plain[n:]
	return v
}

func (r *blockReader) bytes(n int) []byte {
	if n > len(r.plain) {
		r.fail()
		return make([]byte, n)
	}
	b := r.plain[:n:n]
	r.plain = r.plain[n:]
	return b
}

// decode reads what encode wrote, of anything else an error.
func (c *blockCodec) decode(data []byte) (*block, error) {
	if len(data) == 0 || len(data) > blockBytes || data[0] != blockVersion {
		return nil, errBlock
	}
	plain, err := c.decoder.DecodeAll(data[1:], nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBlock, err)
	}
	count, n := binary.Uvarint(plain)
	if n <= 0 || count > blockValues || len(plain) == n {
		return nil, errBlock
	}
	r := &blockReader{plain: plain[n:]}
	b := &block{ats: make([]int64, count), columns: make([][]float64, r.bytes(1)[0])}
	if len(b.columns) > blockColumns {
		return nil, errBlock
	}
	last, step := int64(0), int64(0)
	for i := range b.ats {
		step += r.varint()
		last += step
		b.ats[i] = last
	}
	if r.bytes(1)[0] != 0 {
		b.qualities = r.bytes(len(b.ats))
	}
	for i := range b.columns {
		b.columns[i] = r.column(len(b.ats))
	}
	if r.bad || len(r.plain) > 0 {
		return nil, errBlock
	}
	return b, nil
}

func (r *blockReader) column(n int) []float64 {
	values := make([]float64, n)
	mode := r.bytes(1)[0]
	if int(mode) <= mostDecimals {
		last := int64(0)
		for i := range values {
			last += r.varint()
			values[i] = float64(last) / powers[mode]
		}
		return values
	}
	if mode != rawColumn {
		r.fail()
		return values
	}
	planes := r.bytes(8 * n)
	last := uint64(0)
	for i := range values {
		bits := uint64(0)
		for plane := range 8 {
			bits = bits<<8 | uint64(planes[plane*n+i])
		}
		last ^= bits
		values[i] = math.Float64frombits(last)
	}
	return values
}

// quality of value i.
func (b *block) quality(i int) observation.Quality {
	if b.qualities == nil {
		return observation.Good
	}
	return observation.Quality(b.qualities[i])
}

// cut is the part [from, to) of a block, by index; it shares memory with it.
func (b *block) cut(from, to int) *block {
	out := &block{ats: b.ats[from:to], columns: make([][]float64, len(b.columns))}
	for i, column := range b.columns {
		out.columns[i] = column[from:to]
	}
	if b.qualities != nil {
		out.qualities = b.qualities[from:to]
	}
	return out
}
