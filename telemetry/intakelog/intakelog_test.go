package intakelog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// brisk commits at once and begins a segment often.
func brisk(fs FS) Options {
	return Options{SegmentBytes: 4 << 10, MaxBytes: 1 << 20, CommitDelay: -1, ReserveBytes: 8 << 10, Plain: true, PackAfter: -1, FS: fs}
}

func open(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func payload(n int) string { return fmt.Sprintf("message %d %s", n, strings.Repeat("x", n%97)) }

func message(n int) Record {
	return Record{Kind: Message, Source: "embedded", Device: "pump-1", Topic: "fleet/pump-1/telemetry",
		Received: time.Unix(1_700_000_000, int64(n)).UTC(), Dup: n%7 == 0, Payload: []byte(payload(n))}
}

// fill appends messages from to to-1 and waits for each.
func fill(t testing.TB, l *Log, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if _, err := l.AppendWait(t.Context(), message(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// readAllOf reads what is durable now.
func readAllOf(t testing.TB, l *Log, after LSN) []Record {
	t.Helper()
	_, last := l.Bounds()
	var all []Record
	for after < last {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		got, err := l.Read(ctx, after, 100, nil)
		cancel()
		if err != nil {
			t.Fatalf("read after %d of %d: %v", after, last, err)
		}
		all = append(all, got...)
		after = got[len(got)-1].LSN
	}
	return all
}

func same(t testing.TB, got Record, n int) {
	t.Helper()
	want := message(n)
	if string(got.Payload) != string(want.Payload) || got.Topic != want.Topic || got.Device != want.Device || got.Source != want.Source ||
		got.Kind != want.Kind || got.Dup != want.Dup || !got.Received.Equal(want.Received) {
		t.Fatalf("record %d is %+v, want %+v", got.LSN, got, want)
	}
}

func TestLog_GivesBackWhatWasAppended(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wall := time.Unix(1_800_000_000, 5).UTC()
	l := open(t, dir, Options{SegmentBytes: 4 << 10, CommitDelay: -1, Wall: func() time.Time { return wall }})
	fill(t, l, 1, 200)
	odd := Record{Kind: Cohort, Source: "a source of its own", Wall: wall.Add(time.Hour)}
	lsn, err := l.AppendWait(t.Context(), odd)
	if err != nil || lsn != 200 {
		t.Fatalf("appended at %d: %v", lsn, err)
	}
	id := l.ID()
	for run := range 2 {
		all := readAllOf(t, l, 0)
		if len(all) != 200 {
			t.Fatalf("run %d: %d records, want 200", run, len(all))
		}
		for i, r := range all[:199] {
			if r.LSN != LSN(i+1) || !r.Wall.Equal(wall) {
				t.Fatalf("record %d is at %d, written %s", i+1, r.LSN, r.Wall)
			}
			same(t, r, i+1)
		}
		if r := all[199]; r.Source != odd.Source || r.Kind != Cohort || !r.Received.IsZero() || !r.Wall.Equal(odd.Wall) || len(r.Payload) != 0 {
			t.Fatalf("the odd record is %+v", r)
		}
		if first, last := l.Bounds(); first != 1 || last != 200 {
			t.Fatalf("bounds %d to %d", first, last)
		}
		closeLog(t, l)
		l = open(t, dir, Options{SegmentBytes: 4 << 10, CommitDelay: -1})
		if l.ID() != id {
			t.Fatal("the id has changed")
		}
	}
	if len(l.Damage()) != 0 || l.Stats().Segments < 4 {
		t.Fatalf("damage %v, %d segments", l.Damage(), l.Stats().Segments)
	}
}

func TestLog_ReadersFollowManyWriters(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 500
	l := open(t, t.TempDir(), Options{SegmentBytes: 16 << 10})
	var wg sync.WaitGroup
	told := make([]LSN, 0, writers*each) // by the committer alone
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				r := Record{Kind: Message, Topic: fmt.Sprint(w), Payload: fmt.Append(nil, i)}
				if err := l.Append(r, func(lsn LSN, err error) {
					if err != nil {
						t.Error(err)
					}
					told = append(told, lsn)
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			next := map[string]int{}
			var after LSN
			for after < writers*each {
				got, err := l.Read(t.Context(), after, 64, nil)
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range got {
					after++
					if r.LSN != after || string(r.Payload) != fmt.Sprint(next[r.Topic]) {
						t.Errorf("record %d of writer %s is %s at %d", next[r.Topic], r.Topic, r.Payload, r.LSN)
					}
					next[r.Topic]++
				}
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	for i, lsn := range told {
		if lsn != LSN(i+1) {
			t.Fatalf("told of %d as number %d", lsn, i+1)
		}
	}
	if s := l.Stats(); len(told) != writers*each || s.Synced != writers*each || s.Syncs >= s.Synced {
		t.Fatalf("told of %d records; %+v", len(told), s)
	}
}

func TestLog_AnswersWhatItDoesNotTake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("opened twice: %v", err)
	}
	if err := l.Append(Record{Payload: make([]byte, MaxRecordBytes)}, nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Read(ended, 0, 1, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("read with nothing there: %v", err)
	}
	waiting := make(chan error)
	go func() {
		_, err := l.Read(context.Background(), 0, 1, nil)
		waiting <- err
	}()
	closeLog(t, l)
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("read of a closed log: %v", err)
	}
	if err := l.Append(Record{}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("append to a closed log: %v", err)
	}
}

func TestLog_KeepsSegmentsUntilEveryConsumerHasPassed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir, brisk(nil))
	fill(t, l, 1, 500)
	whole := l.Stats().Segments
	l.Release("history", 499)
	if l.deletable() != nil || l.Stats().Segments != whole {
		t.Fatal("deleted before the rules have said a word")
	}
	l.Release("rules", 250)
	await(t, func() bool { return l.deletable() == nil && l.Stats().Segments < whole })
	first, _ := l.Bounds()
	if first < 150 || first > 251 {
		t.Fatalf("the log begins with %d after 250 was released", first)
	}
	if got := readAllOf(t, l, 250); len(got) != 249 {
		t.Fatalf("%d records after 250, want 249", len(got))
	}
	if got := readAllOf(t, l, 3); got[0].LSN != first {
		t.Fatalf("reading from 3 begins with %d, want the oldest, %d", got[0].LSN, first)
	}
	l.Release("rules", 499)
	await(t, func() bool { return l.Stats().Segments == 1 }) // the one written to stays
	closeLog(t, l)
	l = open(t, dir, brisk(nil))
	if lsn, err := l.AppendWait(t.Context(), message(500)); err != nil || lsn != 500 {
		t.Fatalf("appended at %d: %v", lsn, err)
	}
}

func TestLog_KeepsConsumedSegmentsForAWhile(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	o := brisk(nil)
	o.Retain, o.Wall, o.Consumers = time.Hour, func() time.Time { return now }, []string{"only"}
	l := open(t, t.TempDir(), o)
	fill(t, l, 1, 300)
	l.Release("only", 299)
	if l.deletable() != nil {
		t.Fatal("something of the last hour may be deleted")
	}
	fill(t, l, 300, 4000) // more than a quarter of the log's bound
	l.Release("only", 3999)
	await(t, func() bool { return l.deletable() == nil })
	if s := l.Stats(); s.Bytes > s.MaxBytes/4+2*o.SegmentBytes || s.Bytes < s.MaxBytes/8 {
		t.Fatalf("%d of %d bytes kept, want about a quarter", s.Bytes, s.MaxBytes)
	}
}

func TestLog_FullRefusesAndForgetsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := brisk(nil)
	o.MaxBytes = 64 << 10
	l := open(t, dir, o)
	taken := 0
	var err error
	for err == nil {
		if _, err = l.AppendWait(t.Context(), message(taken+1)); err == nil {
			taken++
		}
	}
	if !errors.Is(err, ErrFull) || !errors.Is(l.Err(), ErrFull) {
		t.Fatalf("after %d records: %v, %v", taken, err, l.Err())
	}
	if s := l.Stats(); s.Bytes > s.MaxBytes {
		t.Fatalf("%d bytes, at most %d", s.Bytes, s.MaxBytes)
	}
	if got := len(readAllOf(t, l, 0)); got != taken {
		t.Fatalf("%d records of %d", got, taken)
	}
	l.Release("history", LSN(taken))
	l.Release("rules", LSN(taken))
	await(t, func() bool { return l.Err() == nil })
	if lsn, err := l.AppendWait(t.Context(), message(taken+1)); err != nil || lsn != LSN(taken+1) {
		t.Fatalf("appended at %d: %v", lsn, err)
	}
}

func TestLog_FullInOneSegmentOpensAgainWhenItIsConsumed(t *testing.T) {
	t.Parallel()
	o := brisk(nil)
	o.MaxBytes, o.CommitDelay = 64<<10, 2*time.Millisecond
	l := open(t, t.TempDir(), o)
	large := message(1)
	large.Payload = make([]byte, 60<<10) // more than a segment should have
	for range 5 {
		lsn, err := l.AppendWait(t.Context(), large)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Append(large, nil); !errors.Is(err, ErrFull) {
			t.Fatalf("the log has room for more: %v", err)
		}
		l.Release("history", lsn)
		l.Release("rules", lsn)
		await(t, func() bool { return l.Err() == nil })
	}
}

func TestLog_FullAndConsumedBeforeARestartOpensAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := brisk(nil)
	o.MaxBytes, o.Retain = 64<<10, time.Hour
	l := open(t, dir, o)
	n := LSN(0)
	for {
		lsn, err := l.AppendWait(t.Context(), message(1))
		if err != nil {
			break
		}
		n = lsn
	}
	l.mu.Lock()
	l.consumers["history"], l.consumers["rules"], l.unsaved = n, n, true // as if there had been no time to delete
	l.mu.Unlock()
	closeLog(t, l)
	l = open(t, dir, o) // no consumer has anything to say: there is nothing new for them
	await(t, func() bool { _, err := l.AppendWait(t.Context(), message(1)); return err == nil })
}

func TestLog_NeverGivesAPositionThatAReaderHasSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir, Options{CommitDelay: -1})
	fill(t, l, 1, 11)
	l.Release("history", 10)
	closeLog(t, l)
	name := filepath.Join(dir, segmentName(1, 0, segmentSuffix))
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, info.Size()/2); err != nil { // as no disk should
		t.Fatal(err)
	}
	l = open(t, dir, Options{CommitDelay: -1})
	if lsn, err := l.AppendWait(t.Context(), message(11)); err != nil || lsn <= 10 {
		t.Fatalf("appended at %d: %v", lsn, err)
	}
	if got := readAllOf(t, l, 10); len(got) != 1 {
		t.Fatalf("the reader at 10 got %d records, want the new one", len(got))
	}
	if len(l.Damage()) == 0 {
		t.Error("no word of what is gone")
	}
}

func await(t testing.TB, condition func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain")
		}
	}
}
