package intakelog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// unreadable answers EIO for a part of one file.
func unreadable(name string, from, to int) func(string, int, int) error {
	return func(file string, offset, size int) error {
		if file == name && offset < to && offset+size > from {
			return syscall.EIO
		}
		return nil
	}
}

// A page of an old segment cannot be read, ever: the reader goes on behind it.
func TestLog_ReadsOnBehindAPageThatTheDiskDoesNotGiveBack(t *testing.T) {
	t.Parallel()
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("packed=%v", packed), func(t *testing.T) {
			t.Parallel()
			const messages = 400
			o := brisk(nil)
			o.SegmentBytes = 16 << 10
			dir := t.TempDir()
			d := sample(t, dir, messages, o, packed)
			name := segmentNames(d)[1]
			from, to := pageBytes, 2*pageBytes
			if packed {
				from, to = 0, pageBytes // it is no larger
			}
			d.bad = unreadable(name, from, to)
			lost := map[LSN]bool{}
			at := 0
			for _, s := range spans(name, d.names[name].data) {
				for lsn := s.first; at < to && s.end > from && lsn <= s.last; lsn++ {
					lost[lsn] = true
				}
				at = s.end
			}
			synctest.Test(t, func(t *testing.T) {
				o.FS = d
				l := open(t, dir, o)
				found := map[LSN]bool{}
				began := time.Now()
				for _, r := range readAllOf(t, l, 0) {
					same(t, r, int(r.LSN)) //nolint:gosec // small
					found[r.LSN] = true
				}
				for n := LSN(1); n <= messages; n++ {
					if found[n] == lost[n] {
						t.Fatalf("record %d lost: %v, found: %v", n, lost[n], found[n])
					}
				}
				if took := time.Since(began); took < time.Second || took > 10*time.Second {
					t.Errorf("the reader was held for %s", took)
				}
				damage := l.Damage()
				if len(damage) == 0 || damage[0].Segment != name || !strings.Contains(damage[len(damage)-1].Reason, "input/output error") {
					t.Fatalf("listed is %+v", damage)
				}
				l.Release("history", messages)
				l.Release("rules", messages)
				time.Sleep(2 * housekeepEvery)
				if d.sizeOf(damage[len(damage)-1].Copy) == 0 || d.sizeOf(name) != 0 {
					t.Errorf("the segment is not kept as %s", damage[len(damage)-1].Copy)
				}
				closeLog(t, l)
			})
		})
	}
}

func TestLog_WaitsForADiskThatComesBack(t *testing.T) {
	t.Parallel()
	const messages = 150
	dir := t.TempDir()
	d := sample(t, dir, messages, brisk(nil), false)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := open(t, dir, brisk(d))
		d.bad = func(string, int, int) error {
			if time.Since(began) < 2*time.Second {
				return syscall.EIO
			}
			return nil
		}
		if got := readAllOf(t, l, 0); len(got) != messages || len(l.Damage()) > 0 {
			t.Fatalf("%d of %d records, damage %+v", len(got), messages, l.Damage())
		}
		closeLog(t, l)
	})
}

// A segment that cannot be opened or read at all, wherever it is, costs its own
// records; the log starts and takes new ones.
func TestLog_StartsWithoutASegmentThatCannotBeRead(t *testing.T) {
	t.Parallel()
	const messages = 150
	dir := t.TempDir()
	sound := sample(t, dir, messages, brisk(nil), false)
	names := segmentNames(sound)
	for i, name := range names {
		for _, opens := range []bool{true, false} {
			d := sound.clone()
			d.bad = unreadable(name, 0, 1<<30)
			if !opens {
				d.closed = name
			}
			synctest.Test(t, func(t *testing.T) {
				l := open(t, dir, brisk(d))
				lsn, err := l.AppendWait(t.Context(), message(messages+1))
				if err != nil || lsn <= messages {
					t.Fatalf("%s, opens: %v: appended at %d: %v", name, opens, lsn, err)
				}
				all := readAllOf(t, l, 0)
				first, below := parseSegmentName(name).first, LSN(messages+1)
				if i+1 < len(names) {
					below = parseSegmentName(names[i+1]).first
				}
				if want := messages + 1 - int(below-first); len(all) != want || all[len(all)-1].LSN != lsn { //nolint:gosec // small
					t.Fatalf("%s, opens: %v: %d records, want %d", name, opens, len(all), want)
				}
				damage := l.Damage()
				if len(damage) == 0 || damage[len(damage)-1].From > first || damage[len(damage)-1].To < below-1 {
					t.Fatalf("%s, opens: %v: listed is %+v", name, opens, damage)
				}
				closeLog(t, l)
			})
		}
	}
}

// Segments are deleted by hand: that is said, and no position is given again.
func TestLog_MissesSegmentsThatSomebodyHasDeleted(t *testing.T) {
	t.Parallel()
	const messages = 150
	for _, killed := range []bool{false, true} {
		for what, gone := range map[string]func(i, n int) bool{
			"all":    func(int, int) bool { return true },
			"oldest": func(i, _ int) bool { return i < 2 },
			"middle": func(i, _ int) bool { return i == 2 },
			"newest": func(i, n int) bool { return i >= n-2 },
		} {
			t.Run(fmt.Sprintf("%s, killed=%v", what, killed), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				l := open(t, dir, brisk(nil))
				id := l.ID()
				fill(t, l, 1, messages+1)
				l.Release("history", 20)
				l.Release("rules", 20)
				await(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return !l.unsaved && l.saved == messages })
				if killed {
					saved, err := os.ReadFile(filepath.Join(dir, consumersFile))
					if err != nil {
						t.Fatal(err)
					}
					closeLog(t, l)
					if err := os.WriteFile(filepath.Join(dir, consumersFile), saved, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				closeLog(t, l)
				names, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
				for i, name := range names {
					if gone(i, len(names)) {
						if err := os.Remove(name); err != nil {
							t.Fatal(err)
						}
					}
				}
				l = open(t, dir, brisk(nil))
				if l.ID() != id {
					t.Fatal("it is another log")
				}
				lsn, err := l.AppendWait(t.Context(), message(messages+1))
				if err != nil || lsn <= messages || !killed && lsn != messages+1 {
					t.Fatalf("appended at %d: %v", lsn, err)
				}
				all := readAllOf(t, l, 20)
				if last := all[len(all)-1]; last.LSN != lsn {
					t.Fatalf("the last record is %d, not %d", last.LSN, lsn)
				}
				if d := l.Damage(); len(d) != 1 || !strings.Contains(d[0].Reason, "missing") || d[0].To < d[0].From {
					t.Fatalf("listed is %+v", d)
				}
				closeLog(t, l)
			})
		}
	}
}

// The disk is full, of our records or of somebody else's files: nothing is
// acknowledged, the consumers' places are saved all the same, and soon after
// there is room again the log goes on.
func TestLog_WorksThroughAFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(1)
		d.room = 200 << 10
		o := brisk(d)
		o.CommitBytes = 4 << 10
		l := open(t, dir, o)
		time.Sleep(housekeepEvery) // for the reserve
		taken := 0
		var err error
		for err == nil && taken < 10_000 {
			if _, err = l.AppendWait(t.Context(), message(taken+1)); err == nil {
				taken++
			}
		}
		if !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) || taken < 500 {
			t.Fatalf("after %d records: %v", taken, err)
		}
		d.mu.Lock()
		d.room = d.used() // somebody else takes the rest
		d.mu.Unlock()
		l.Release("history", 40)
		time.Sleep(3 * housekeepEvery)
		if at := savedPlace(t, d, dir, "history"); at != 40 {
			t.Fatalf("the saved place is %d, not 40", at)
		}
		if s := l.Stats(); !s.Full || s.Paused < 3*housekeepEvery || s.Reserve >= 8<<10 {
			t.Fatalf("%+v", s)
		}
		l.Release("history", LSN(taken/2))
		l.Release("rules", LSN(taken/2))
		began := time.Now()
		for n := taken + 1; ; n++ {
			if lsn, err := l.AppendWait(t.Context(), message(n)); err == nil {
				if taken = n; lsn <= LSN(taken)/2 {
					t.Fatalf("appended at %d", lsn)
				}
				break
			}
			if time.Sleep(100 * time.Millisecond); time.Since(began) > 5*time.Second {
				t.Fatalf("there is room, and the log says %v", l.Err())
			}
		}
		if s := l.Stats(); s.Full || s.Bytes+s.Reserve > d.room {
			t.Fatalf("%+v", s)
		}
		closeLog(t, l)
	})
}

// savedPlace is how far a consumer is, as the next process finds it.
func savedPlace(t *testing.T, d *disk, dir, consumer string) LSN {
	t.Helper()
	next, err := Open(filepath.Join(dir, "next"), brisk(d.clone()))
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	return next.consumers[consumer]
}

const scarce = "INTAKELOG_SCARCE"

// TestLog_KeepsItsDescriptors runs itself in a process that may open few files
// and has used them all up before the log needs more.
func TestLog_KeepsItsDescriptors(t *testing.T) {
	if dir := os.Getenv(scarce); dir != "" {
		workWithoutDescriptors(t, dir)
		return
	}
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, program, "-test.run", "^TestLog_KeepsItsDescriptors$")
	child.Env = append(os.Environ(), scarce+"="+t.TempDir())
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func workWithoutDescriptors(t *testing.T, dir string) {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 64, Max: 64}); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir, brisk(nil))
	fill(t, l, 1, 3_000)
	if n := l.Stats().Segments; n < 100 {
		t.Fatalf("only %d segments", n)
	}
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = f.Close() })
	}
	// Whoever had them does not give them back: what follows goes with those in hand.
	fill(t, l, 3_000, 3_100)
	if all := readAllOf(t, l, 0); len(all) != 3_099 || len(l.Damage()) > 0 {
		t.Fatalf("%d records, damage %+v", len(all), l.Damage())
	}
	l.Release("history", 3_000)
	l.Release("rules", 3_000)
	await(t, func() bool { return l.Stats().Segments < 10 })
	closeLog(t, l)
}

// Where nothing says how far a log was, its id is not used again: somebody may
// have a place in it.
func TestLog_IsAnotherOneWhenNothingIsKnownOfIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir, brisk(nil))
	id := l.ID()
	fill(t, l, 1, 10)
	closeLog(t, l)
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range files {
		if filepath.Base(name) != identityFile {
			_ = os.Remove(name) // the folder corrupt stays
		}
	}
	l = open(t, dir, brisk(nil))
	if lsn, err := l.AppendWait(t.Context(), message(1)); err != nil || lsn != 1 || l.ID() == id {
		t.Fatalf("appended at %d of %s: %v", lsn, l.ID(), err)
	}
	closeLog(t, l)
}
