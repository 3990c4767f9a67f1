package intakelog

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/thirdstate/thirdstate/internal/longform"
)

// sample is a closed log with known messages; packed, all but its last two
// segments are.
func sample(t testing.TB, dir string, messages int, o Options, packed bool) *disk {
	d := newDisk(1)
	o.FS = d
	l := open(t, dir, o)
	fill(t, l, 1, messages+1)
	for more := packed; more; {
		var err error
		if more, err = l.packNext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	return d
}

func segmentNames(d *disk) []string {
	var names []string
	files, _ := d.List()
	for _, f := range files {
		if parseSegmentName(f.Name) != nil {
			names = append(names, f.Name)
		}
	}
	return names
}

// span is a frame or a block, and the records in it.
type span struct {
	end         int
	first, last LSN
}

// spans of a segment file; the first is its head, with no record.
func spans(name string, data []byte) []span {
	list := []span{{end: segmentHead, first: 1}}
	packed := parseSegmentName(name).packed
	for at := segmentHead; at < len(data); {
		body, first, size, count := int(binary.LittleEndian.Uint32(data[at+4:])), LSN(binary.LittleEndian.Uint64(data[at+12:])), frameHead, LSN(1)
		if packed {
			size, count = blockHead, blockCount(data[at:])
		}
		at += size + body
		list = append(list, span{at, first, first + count - 1})
	}
	return list
}

func around(list []span, at int) span {
	for _, s := range list {
		if at < s.end {
			return s
		}
	}
	return span{}
}

func TestLog_LosesOnlyTheRecordThatABitHasHit(t *testing.T) {
	t.Parallel()
	flips := longform.Choose(1_500, 10_000)
	flipBits(t, flips, sample(t, t.TempDir(), 150, brisk(nil), false))
}

func TestLog_LosesOnlyTheBlockThatABitHasHit(t *testing.T) {
	t.Parallel()
	flips := longform.Choose(700, 10_000)
	d := sample(t, t.TempDir(), 150, brisk(nil), true)
	if names := segmentNames(d); !parseSegmentName(names[0]).packed || len(names) < 4 {
		t.Fatalf("the segments are %v", names)
	}
	flipBits(t, flips, d)
}

func flipBits(t *testing.T, flips int, sound *disk) {
	const messages = 150
	dir := t.TempDir()
	names := segmentNames(sound)
	random := rand.New(rand.NewPCG(7, 7))
	for flip := range flips {
		d := sound.clone()
		name := names[random.IntN(len(names))]
		data := d.names[name].data
		at := random.IntN(len(data))
		hit := around(spans(name, data), at)
		data[at] ^= 1 << random.IntN(8)
		l, err := Open(dir, brisk(d))
		if err != nil {
			t.Fatalf("flip %d in %s at %d: %v", flip, name, at, err)
		}
		fill(t, l, messages+1, messages+2) // so that a lost tail is a hole between records
		found := map[string]bool{}
		for _, r := range readAllOf(t, l, 0) {
			if n := int(r.LSN); n <= messages { //nolint:gosec // small
				same(t, r, n)
			}
			found[string(r.Payload)] = true
		}
		for n := 1; n <= messages+1; n++ {
			if lost := LSN(n) >= hit.first && LSN(n) <= hit.last; found[payload(n)] == lost {
				t.Fatalf("flip %d in %s at %d hit records %d to %d; record %d found: %v", flip, name, at, hit.first, hit.last, n, lost)
			}
		}
		damage := l.Damage()
		if len(damage) == 0 || damage[0].Segment != name || hit.last != 0 && (damage[0].From > hit.first || damage[0].To < hit.last) ||
			int64(at) < damage[0].Offset || int64(at) >= damage[0].Offset+damage[0].Bytes {
			t.Fatalf("flip %d in %s at %d: damage of records %d to %d is listed as %+v", flip, name, at, hit.first, hit.last, damage)
		}
		if d.sizeOf(damage[0].Copy) != damage[0].Bytes {
			t.Fatalf("flip %d in %s at %d: the bytes are not kept: %+v", flip, name, at, damage)
		}
		closeLog(t, l)
	}
}

func TestLog_CutsATornTail(t *testing.T) {
	t.Parallel()
	step := longform.Choose(3, 1)
	cutTail(t, brisk(nil), 150, 64<<10, step) // all of the last segment
}

func TestLog_CutsTheLast64KiBAtEveryByte(t *testing.T) {
	t.Parallel()
	step := longform.Choose(499, 1)
	o := brisk(nil)
	o.SegmentBytes, o.MaxBytes = 128<<10, 16<<20
	cutTail(t, o, 800, 64<<10, step)
}

// cutTail cuts a log at every step of its last bytes.
func cutTail(t *testing.T, o Options, messages, tail, step int) {
	dir := t.TempDir()
	sound := sample(t, dir, messages, o, false)
	names := segmentNames(sound)
	last := names[len(names)-1]
	before := parseSegmentName(last).first
	list, length := spans(last, sound.names[last].data), len(sound.names[last].data)
	cuts := 0
	for size := length - 1; size >= max(length-tail, 0); size -= step {
		d := sound.clone()
		node := d.names[last]
		ends := around(list, size).first // the first record that is not whole
		node.data = node.data[:size:size]
		o.FS = d
		l, err := Open(dir, o)
		if err != nil {
			t.Fatalf("cut to %d bytes: %v", size, err)
		}
		want := int(max(ends, before)) - 1 //nolint:gosec // small
		got := readAllOf(t, l, 0)
		if len(got) != want {
			t.Fatalf("cut to %d bytes: %d records, want %d", size, len(got), want)
		}
		for i, r := range got {
			same(t, r, i+1)
		}
		if lsn, err := l.AppendWait(t.Context(), message(messages)); err != nil || lsn <= LSN(want) {
			t.Fatalf("cut to %d bytes: appended at %d: %v", size, lsn, err)
		}
		closeLog(t, l)
		l = open(t, dir, o)
		if again := len(readAllOf(t, l, LSN(want))); again != 1 {
			t.Fatalf("cut to %d bytes: %d records behind the cut after another start, want 1", size, again)
		}
		closeLog(t, l)
		cuts++
	}
	t.Logf("%d cuts", cuts)
	if want := min(tail, length) / step; cuts < want {
		t.Errorf("%d cuts, want %d", cuts, want)
	}
}

// What has been packed may be cut, too: it is a file like others.
func TestLog_LosesOnlyTheCutBlocksOfAPackedSegment(t *testing.T) {
	t.Parallel()
	const messages = 150
	dir := t.TempDir()
	sound := sample(t, dir, messages, brisk(nil), true)
	name := segmentNames(sound)[1]
	data := sound.names[name].data
	list := spans(name, data)
	for size := range len(data) {
		d := sound.clone()
		d.names[name].data = data[:size:size]
		l := open(t, dir, brisk(d))
		hit := around(list, size)
		found := map[LSN]bool{}
		for _, r := range readAllOf(t, l, 0) {
			found[r.LSN] = true
			same(t, r, int(r.LSN)) //nolint:gosec // small
		}
		first, end := max(hit.first, parseSegmentName(name).first), list[len(list)-1].last
		for n := LSN(1); n <= messages; n++ {
			if lost := n >= first && n <= end; found[n] == lost {
				t.Fatalf("cut to %d bytes: records %d to %d are lost; %d found: %v", size, first, end, n, found[n])
			}
		}
		if len(l.Damage()) == 0 && size > 0 {
			t.Fatalf("cut to %d bytes: no word of it", size)
		}
		closeLog(t, l)
	}
}
