package intakelog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
)

// Power goes at every operation on the disk, and again while the log recovers.
func TestLog_LosesNothingWhereverThePowerGoes(t *testing.T) {
	t.Parallel()
	const messages = 160
	rounds, least := uint64(6), 1_000
	if longform.Asked() {
		rounds, least = 120, 20_000
	}
	dir := t.TempDir()
	points, packed := 0, 0
	for round := range rounds {
		for at := 1; ; at++ {
			d := newDisk(round)
			d.crashAt = at
			seed := round<<32 + uint64(at) //nolint:gosec // small
			k := newLedger()
			l, err := Open(dir, brisk(d))
			if err == nil {
				k.work(l, 0, messages, rand.New(rand.NewPCG(round, 2)))
				packed += l.Stats().Packed
				_ = l.Close()
			}
			points++
			survive(t, k, dir, d, seed)
			if err == nil && d.ops < at {
				break // the work ended before the power did
			}
		}
	}
	t.Logf("%d points, %d segments packed by then", points, packed)
	if points < least || packed == 0 {
		t.Errorf("only %d points, %d segments packed", points, packed)
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
	for _, d := range l.Damage() {
		if d.Segment == "" {
			t.Fatalf("%s: files are missed that power cannot take: %+v", what, d)
		}
	}
	if len(k.troubles) > 0 {
		t.Fatalf("%s: %v", what, k.troubles)
	}
	closeLog(t, l)
}

// Each sync and each write fails once with each error; then the power goes, so
// that what was not synced is gone.
func TestLog_AcknowledgesNothingThatASyncHasRefused(t *testing.T) {
	t.Parallel()
	refused(t, func(d *disk, refuse func(int) error) { d.refuse = refuse }, func(d *disk) int { return d.syncs })
}

func TestLog_AcknowledgesNothingThatAWriteHasRefused(t *testing.T) {
	t.Parallel()
	refused(t, func(d *disk, refuse func(int) error) { d.refuseW = refuse }, func(d *disk) int { return d.writes })
}

func refused(t *testing.T, set func(*disk, func(int) error), count func(*disk) int) {
	dir := t.TempDir()
	step := longform.Choose(3, 1)
	for _, refusal := range []error{syscall.EIO, syscall.ENOSPC} {
		for length := 1; length <= 2; length++ { // one refused sync is survived, two stop the log
			for at := 1; ; at += step {
				d := newDisk(uint64(at)) //nolint:gosec // small
				set(d, func(n int) error {
					if n >= at && n < at+length {
						return refusal
					}
					return nil
				})
				k := newLedger()
				what := fmt.Sprintf("%v at %d, %d times", refusal, at, length)
				l, err := Open(dir, brisk(d))
				if err == nil {
					k.work(l, 0, 100, rand.New(rand.NewPCG(1, 2)))
					for range 3 { // whatever is refused while a segment is packed costs nothing
						_, _ = l.packNext(t.Context())
					}
					k.troubles = nil
					k.check(t, l, what)
					if length == 1 && len(k.acked) != 100 {
						t.Fatalf("%s: %d of 100 messages taken: %v", what, len(k.acked), l.Err())
					}
					_ = l.Close()
				}
				d.crashAt = d.ops + 1
				survive(t, k, dir, d, uint64(at)) //nolint:gosec // small
				if count(d) < at {
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
