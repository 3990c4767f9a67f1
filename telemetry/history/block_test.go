package history

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// same compares bit for bit, so that -0 is not 0.
func same(a, b *block) bool {
	if !reflect.DeepEqual(a.ats, b.ats) || !reflect.DeepEqual(a.qualities, b.qualities) || len(a.columns) != len(b.columns) {
		return false
	}
	for i := range a.columns {
		for k := range a.columns[i] {
			if math.Float64bits(a.columns[i][k]) != math.Float64bits(b.columns[i][k]) {
				return false
			}
		}
	}
	return true
}

func TestBlock_ComesBackBitForBit(t *testing.T) {
	t.Parallel()
	codec := newBlockCodec()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		b := &block{ats: make([]int64, n)}
		at := rapid.Int64Range(-1<<52, 1<<52).Draw(t, "first")
		for i := range b.ats {
			b.ats[i] = at
			at += rapid.SampledFrom([]int64{1, 60_000_000, 60_000_001, 86_400_000_000}).Draw(t, "step")
		}
		numbers := rapid.SampledFrom([]*rapid.Generator[float64]{
			rapid.Float64(),
			rapid.Map(rapid.IntRange(-5_000, 5_000), func(n int) float64 { return float64(n) / 100 }),
			rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, 0.1, math.MaxFloat64, math.SmallestNonzeroFloat64, 1 << 53, 1<<53 + 2, -9007199254740993, 1e22}),
		}).Draw(t, "numbers")
		for range rapid.IntRange(1, blockColumns).Draw(t, "columns") {
			b.columns = append(b.columns, rapid.SliceOfN(numbers, n, n).Draw(t, "column"))
		}
		if rapid.Bool().Draw(t, "doubted") {
			b.qualities = rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "qualities")
		}
		got, err := codec.decode(codec.encode(b))
		if err != nil || !same(got, b) {
			t.Fatalf("%v, %v\n%v\n%v", err, b.ats, b.columns, got)
		}
	})
}

func FuzzBlock_RefusesWhatItDidNotWrite(f *testing.F) {
	codec := newBlockCodec()
	f.Add(codec.encode(&block{ats: []int64{1, 2, 4}, columns: [][]float64{{1, 2, 3}}, qualities: []byte{0, 1, 0}}))
	f.Add([]byte{blockVersion})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := codec.decode(data)
		if err != nil {
			return
		}
		if again, err := codec.decode(codec.encode(b)); err != nil || !same(again, b) {
			t.Fatalf("%v: %v is not %v", err, again, b)
		}
	})
}

// TestBlock_IsSmall holds what the size of the history stands on: a day of a
// sensor with one decimal at one minute.
func TestBlock_IsSmall(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // a test's numbers
	b, noise := &block{columns: [][]float64{nil}}, &block{columns: [][]float64{nil}}
	level := 600.0
	for i := range 1_440 {
		level += math.Round(random.NormFloat64() * 3)
		b.ats, noise.ats = append(b.ats, int64(i)*60_000_000), append(noise.ats, int64(i)*60_000_000)
		b.columns[0] = append(b.columns[0], level/10)
		noise.columns[0] = append(noise.columns[0], random.Float64()*100)
	}
	if size := len(newBlockCodec().encode(b)); size > 2*1_440 {
		t.Errorf("a day of a sensor is %d bytes", size)
	}
	if size := len(newBlockCodec().encode(noise)); size > 9*1_440 {
		t.Errorf("a day of pure noise is %d bytes", size)
	}
}
