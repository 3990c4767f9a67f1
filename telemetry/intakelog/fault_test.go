package intakelog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// ledger is what a sender and a reader know: which messages were acknowledged,
// and at which place; which records were read.
type ledger struct {
	acked    map[LSN]int
	seen     map[LSN]string
	released LSN
}

func newLedger() *ledger { return &ledger{acked: map[LSN]int{}, seen: map[LSN]string{}} }

// work appends messages until the log refuses, with several in the air at a
// time, and lets the readers pass now and then.
func (k *ledger) work(l *Log, from, to int, random *rand.Rand) (last LSN) {
	type outcome struct {
		lsn LSN
		n   int
		err error
	}
	for from < to {
		some := min(1+random.IntN(4), to-from)
		settled := make(chan outcome, some)
		taken := 0
		for i := range some {
			n := from + i
			if l.Append(message(n), func(lsn LSN, err error) { settled <- outcome{lsn, n, err} }) == nil {
				taken++
			}
		}
		for range taken {
			o := <-settled
			if o.err != nil {
				return last
			}
			k.acked[o.lsn], last = o.n, o.lsn
		}
		if taken < some {
			return last
		}
		if from += some; random.IntN(12) == 0 {
			k.released = max(k.released, last/2)
			l.Release("history", k.released)
			l.Release("rules", k.released)
		}
	}
	return last
}

// check finds every acknowledged message that no reader has passed, as it was
// sent, and every record as it was read before.
func (k *ledger) check(t *testing.T, l *Log, what string) {
	t.Helper()
	found := map[LSN]bool{}
	var before LSN
	for _, r := range readAllOf(t, l, k.released) {
		if r.LSN <= before {
			t.Fatalf("%s: record %d after %d", what, r.LSN, before)
		}
		before = r.LSN
		found[r.LSN] = true
		if was, seen := k.seen[r.LSN]; seen && was != string(r.Payload) {
			t.Fatalf("%s: record %d was %q and is %q", what, r.LSN, was, r.Payload)
		}
		k.seen[r.LSN] = string(r.Payload)
		if n, acked := k.acked[r.LSN]; acked {
			same(t, r, n)
		}
	}
	for lsn := range k.seen {
		if lsn > k.released && !found[lsn] {
			t.Fatalf("%s: record %d was read and is gone", what, lsn)
		}
	}
	for lsn, n := range k.acked {
		if lsn > k.released && !found[lsn] {
			t.Fatalf("%s: message %d was acknowledged at %d and is lost", what, n, lsn)
		}
	}
}

// Power goes at every operation on the disk, and again while the log recovers.
func TestLog_LosesNothingWhereverThePowerGoes(t *testing.T) {
	t.Parallel()
	const messages, rounds = 160, 20
	dir := t.TempDir()
	points := 0
	for round := range uint64(rounds) {
		for at := 1; ; at++ {
			d := newDisk(round)
			d.crashAt = at
			seed := round<<32 + uint64(at) //nolint:gosec // small
			k := newLedger()
			l, err := Open(dir, brisk(d))
			if err == nil {
				k.work(l, 0, messages, rand.New(rand.NewPCG(round, 2)))
				_ = l.Close()
			}
			points++
			survive(t, k, dir, d, seed)
			if err == nil && d.ops < at {
				break // the work ended before the power did
			}
		}
	}
	t.Logf("%d points", points)
	if points < 3000 {
		t.Errorf("only %d points", points)
	}
}

// survive opens what a crash has left, with power going once more on the way.
func survive(t *testing.T, k *ledger, dir string, d *disk, seed uint64) {
	t.Helper()
	what := fmt.Sprintf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	if random.IntN(3) == 0 {
		d = d.kill(seed)
	} else {
		d = d.crash(seed)
	}
	d.crashAt = 1 + random.IntN(12)
	if l, err := Open(dir, brisk(d)); err == nil {
		k.check(t, l, what+", first start")
		k.work(l, 1000, 1010, random)
		_ = l.Close()
	}
	d = d.crash(seed + 1)
	l, err := Open(dir, brisk(d))
	if err != nil {
		t.Fatalf("%s: does not open: %v", what, err)
	}
	k.check(t, l, what)
	k.work(l, 2000, 2010, random)
	k.check(t, l, what+", after more")
	closeLog(t, l)
}

// Each sync fails once with each error; then the power goes, so that what was
// not synced is gone.
func TestLog_AcknowledgesNothingThatASyncHasRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, refusal := range []error{syscall.EIO, syscall.ENOSPC} {
		for length := 1; length <= 2; length++ { // one refused sync is survived, two stop the log
			for at := 1; ; at++ {
				d := newDisk(uint64(at)) //nolint:gosec // small
				d.refuse = func(sync int) error {
					if sync >= at && sync < at+length {
						return refusal
					}
					return nil
				}
				k := newLedger()
				what := fmt.Sprintf("%v at sync %d, %d times", refusal, at, length)
				l, err := Open(dir, brisk(d))
				if err == nil {
					k.work(l, 0, 100, rand.New(rand.NewPCG(1, 2)))
					k.check(t, l, what)
					if length == 1 && len(k.acked) != 100 {
						t.Fatalf("%s: %d of 100 messages taken: %v", what, len(k.acked), l.Err())
					}
					_ = l.Close()
				}
				d.crashAt = d.ops + 1
				survive(t, k, dir, d, uint64(at)) //nolint:gosec // small
				if d.syncs < at {
					break
				}
			}
		}
	}
}

func TestLog_WritesAgainWhenTheDiskDoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(1)
		l := open(t, dir, brisk(d))
		fill(t, l, 1, 50)
		d.mu.Lock()
		d.write = func(int64) error { return syscall.ENOSPC }
		d.mu.Unlock()
		if _, err := l.AppendWait(t.Context(), message(50)); !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("on a full disk: %v", err)
		}
		if err := l.Append(message(50), nil); !errors.Is(err, ErrFull) || !errors.Is(l.Err(), ErrFull) {
			t.Fatalf("after that: %v", err)
		}
		if got := readAllOf(t, l, 0); len(got) != 49 {
			t.Fatalf("%d records can be read meanwhile, want 49", len(got))
		}
		d.mu.Lock()
		d.write = nil
		d.mu.Unlock()
		time.Sleep(2 * retryEvery)
		fill(t, l, 50, 100)
		for i, r := range readAllOf(t, l, 0) {
			if r.LSN != LSN(i+1) {
				t.Fatalf("record %d is at %d", i+1, r.LSN)
			}
			same(t, r, i+1)
		}
	})
}

// sample is a closed log with known messages, its places known.
func sample(t testing.TB, dir string, messages int) *disk {
	d := newDisk(1)
	l := open(t, dir, brisk(d))
	fill(t, l, 1, messages+1)
	closeLog(t, l)
	return d
}

func segmentNames(d *disk) []string {
	var names []string
	files, _ := d.List()
	for _, f := range files {
		if _, _, ok := parseSegmentName(f.Name); ok {
			names = append(names, f.Name)
		}
	}
	return names
}

// frameAround returns the record whose frame covers a byte of a segment, 0 for
// its head.
func frameAround(t *testing.T, data []byte, at int) LSN {
	t.Helper()
	offset := segmentHead
	for offset < len(data) && at >= segmentHead {
		lsn := LSN(data[offset+12]) | LSN(data[offset+13])<<8
		size := frameHead + int(data[offset+4]) + int(data[offset+5])<<8
		if at < offset+size {
			return lsn
		}
		offset += size
	}
	return 0
}

func TestLog_LosesOnlyTheRecordThatABitHasHit(t *testing.T) {
	t.Parallel()
	const messages = 150
	dir := t.TempDir()
	whole := sample(t, dir, messages)
	names := segmentNames(whole)
	random := rand.New(rand.NewPCG(7, 7))
	for flip := range 5000 {
		d := whole.clone()
		name := names[random.IntN(len(names))]
		data := d.names[name].data
		at := random.IntN(len(data))
		hit := frameAround(t, data, at)
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
			if found[payload(n)] == (LSN(n) == hit) {
				t.Fatalf("flip %d in %s at %d hit record %d; record %d found: %v", flip, name, at, hit, n, found[payload(n)])
			}
		}
		if damage := l.Damage(); len(damage) == 0 || hit != 0 && (damage[0].From > hit || damage[0].To < hit) {
			t.Fatalf("flip %d in %s at %d: damage of record %d is listed as %+v", flip, name, at, hit, damage)
		}
		closeLog(t, l)
	}
}

func TestLog_CutsATornTailAtEveryByte(t *testing.T) {
	t.Parallel()
	const messages = 150
	dir := t.TempDir()
	whole := sample(t, dir, messages)
	names := segmentNames(whole)
	last := names[len(names)-1]
	before, _, _ := parseSegmentName(last)
	for size := range len(whole.names[last].data) {
		d := whole.clone()
		node := d.names[last]
		ends := frameAround(t, node.data, size) // the first record that is not whole
		node.data = node.data[:size:size]
		l, err := Open(dir, brisk(d))
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
		l = open(t, dir, brisk(d))
		if again := readAllOf(t, l, 0); len(again) != want+1 {
			t.Fatalf("cut to %d bytes: %d records after another start, want %d", size, len(again), want+1)
		}
		closeLog(t, l)
	}
}

// Whatever stands in a segment, the log opens, takes records and gives them back.
func FuzzLogRecovery(f *testing.F) {
	dir := f.TempDir()
	whole := sample(f, dir, 20)
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

func BenchmarkAppend(b *testing.B) {
	l := open(b, b.TempDir(), Options{})
	r := message(50)
	b.SetBytes(int64(len(r.Payload)))
	b.ReportAllocs()
	settled := make(chan struct{})
	left := b.N
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			err := l.Append(r, func(_ LSN, err error) {
				if err != nil {
					b.Error(err)
				}
				if left--; left == 0 {
					close(settled)
				}
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
	<-settled
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(l.Stats().Syncs)/b.Elapsed().Seconds(), "syncs/s")
}
