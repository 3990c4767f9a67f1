package intakelog

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
)

// full says whether there is time for everything.
// ledger is what a sender and a reader know: which messages were acknowledged,
// and at which place; which records were read.
type ledger struct {
	acked    map[LSN]int
	seen     map[LSN]string
	released LSN
	troubles []error // of the packer
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
		from += some
		switch random.IntN(16) {
		case 0:
			k.released = max(k.released, last/2)
			l.Release("history", k.released)
			l.Release("rules", k.released)
		case 1:
			if _, err := l.packNext(context.Background()); err != nil && !errors.Is(err, errCrashed) {
				k.troubles = append(k.troubles, err)
			}
		}
	}
	return last
}

// check finds every acknowledged message that no reader has passed, as it was
// sent, and every record as it was read before.
func (k *ledger) check(t *testing.T, l *Log, what string) {
	t.Helper()
	found, places := map[LSN]bool{}, map[string]LSN{}
	var before LSN
	for name, at := range l.consumers {
		if at > k.released {
			t.Fatalf("%s: %s has released %d, not %d", what, name, k.released, at)
		}
	}
	for _, r := range readAllOf(t, l, k.released) {
		if r.LSN <= before {
			t.Fatalf("%s: record %d after %d", what, r.LSN, before)
		}
		before = r.LSN
		if first, twice := places[string(r.Payload)]; twice {
			t.Fatalf("%s: record %d is there again as %d", what, first, r.LSN)
		}
		places[string(r.Payload)] = r.LSN
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
