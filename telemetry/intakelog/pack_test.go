package intakelog

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// noise is a message that nothing can compress, among others too large for a block.
func noise(n int) Record {
	r := message(n)
	random := rand.New(rand.NewPCG(uint64(n), 5)) //nolint:gosec // small
	r.Payload = make([]byte, random.IntN(2_000))
	if n%400 == 0 {
		r.Payload = make([]byte, 3*blockBytes)
	}
	for i := range r.Payload {
		r.Payload[i] = byte(random.Uint32()) //nolint:gosec // that is meant
	}
	return r
}

func TestLog_GivesBackWhatItHasCompressed(t *testing.T) {
	t.Parallel()
	const messages = 1_500
	for name, make := range map[string]func(int) Record{"text": message, "noise": noise} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent [messages + 1]Record
			for n := range sent {
				sent[n] = make(n)
			}
			dir, d := t.TempDir(), newDisk(1)
			o := Options{SegmentBytes: 300 << 10, MaxBytes: 64 << 20, CommitDelay: -1, Plain: true, PackAfter: -1, FS: d}
			if name == "text" {
				o.SegmentBytes = 16 << 10
			}
			l := open(t, dir, o)
			for n := 1; n <= messages; n++ {
				if _, err := l.AppendWait(t.Context(), sent[n]); err != nil {
					t.Fatal(err)
				}
			}
			before := l.Stats()
			for more := true; more; {
				var err error
				if more, err = l.packNext(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			after := l.Stats()
			t.Logf("%d segments, %d of them packed: %d bytes are %d", after.Segments, after.Packed, before.Bytes, after.Bytes)
			if after.Packed != after.Segments-2 || name == "text" && after.Bytes > before.Bytes/3 || name == "noise" && after.Bytes > before.Bytes+before.Bytes/100 {
				t.Errorf("%+v, before %+v", after, before)
			}
			for range 2 {
				check := func(after LSN) {
					for i, r := range readAllOf(t, l, after) {
						want := sent[r.LSN]
						if r.LSN != after+LSN(i)+1 || string(r.Payload) != string(want.Payload) || r.Topic != want.Topic {
							t.Fatalf("after %d: record %d is at %d", after, i, r.LSN)
						}
					}
				}
				for from := LSN(0); from < messages; from += 211 {
					check(from)
				}
				if all := readAllOf(t, l, 0); len(all) != messages || len(l.Damage()) > 0 {
					t.Fatalf("%d records, damage %+v", len(all), l.Damage())
				}
				size := int64(0)
				names := segmentNames(d)
				for _, name := range names {
					size += d.sizeOf(name)
				}
				if s := l.Stats(); s.Bytes != size || len(names) != s.Segments {
					t.Fatalf("%d bytes in %d files are said to be %+v", size, len(names), s)
				}
				closeLog(t, l)
				l = open(t, dir, o)
			}
			l.Release("history", messages)
			l.Release("rules", messages)
			await(t, func() bool { return l.Stats().Segments == 1 })
			closeLog(t, l)
		})
	}
}

// Readers of every pace go on while segments are compressed under them.
func TestLog_ReadersDoNotNoticeThatSegmentsAreCompressed(t *testing.T) {
	t.Parallel()
	const messages = 8_000
	l := open(t, t.TempDir(), Options{SegmentBytes: 64 << 10, MaxBytes: 64 << 20, PackAfter: -1})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; n <= messages; n++ {
			if err := l.Append(message(n), nil); err != nil {
				t.Error(err)
				return
			}
			if n%400 == 0 {
				if _, err := l.Read(t.Context(), LSN(n-1), 1, nil); err != nil { // it is durable
					t.Error(err)
				}
			}
		}
	})
	for pace := range 4 {
		wg.Go(func() {
			var after LSN
			for after < messages {
				got, err := l.Read(t.Context(), after, 1+pace*50, nil)
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range got {
					if after++; r.LSN != after || string(r.Payload) != payload(int(after)) { //nolint:gosec // small
						t.Errorf("record %d is %d", after, r.LSN)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	await(t, func() bool { s := l.Stats(); return s.Packed == s.Segments-2 })
	if all := readAllOf(t, l, 0); len(all) != messages || len(l.Damage()) > 0 {
		t.Fatalf("%d records, damage %+v", len(all), l.Damage())
	}
	closeLog(t, l)
}

func TestLog_CompressesNothingThatIsAboutToGo(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	o := brisk(nil)
	o.Wall, o.PackAfter = func() time.Time { return now }, time.Minute
	l := open(t, t.TempDir(), o)
	fill(t, l, 1, 500)
	l.Release("history", 499)
	if s, _ := l.packable(); s != nil {
		t.Errorf("%s was sealed a moment ago", s.name)
	}
	l.mu.Lock()
	now = now.Add(time.Minute)
	l.mu.Unlock()
	s, _ := l.packable()
	if s == nil {
		t.Fatal("the rules need all of it for long")
	}
	l.mu.Lock()
	s.readers--
	l.mu.Unlock()
	l.mu.Lock()
	l.consumers["rules"], l.known["rules"] = 499, true
	l.mu.Unlock()
	if s, _ := l.packable(); s != nil {
		t.Errorf("%s is packed and deleted", s.name)
	}
}

func TestLog_SaysHowLongRecordsWait(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0).UTC()
	o := brisk(nil)
	o.Wall = func() time.Time { return now }
	l := open(t, t.TempDir(), o)
	want := func(at time.Time) {
		t.Helper()
		if got, err := l.Waiting(t.Context()); err != nil || !got.Equal(at) {
			t.Fatalf("waiting since %s, %v; want %s", got, err, at)
		}
	}
	want(time.Time{})
	for n := range 100 {
		r := message(n)
		r.Wall = now.Add(time.Duration(n) * time.Second)
		if _, err := l.AppendWait(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	want(now)
	l.Release("history", 60)
	want(now)
	l.Release("rules", 40)
	want(now.Add(40 * time.Second))
	l.Release("history", 100)
	l.Release("rules", 100)
	want(time.Time{})
	if s := fmt.Sprint(l.Stats().Full, l.Stats().Paused); s != "false 0s" {
		t.Error(s)
	}
}
