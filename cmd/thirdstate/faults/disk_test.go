package faults

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
)

// small has one part of a plant live on a disk of its own, as large as size says.
// Who makes disks is root; hence these tests have a long form only, and
// TestLog_WorksThroughAFullDisk fills a disk of its own making in the short one.
func small(part, size string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if !strings.HasSuffix(dir, "/"+part) {
			return
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0711,size="+size); err != nil {
			t.Fatalf("make a small disk (which needs root): %v", err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
}

// fill fills the disk of a part, and returns what makes room again.
func (p *plant) fill(part string) (free func()) {
	p.Helper()
	name := filepath.Join(p.dir, part, "ballast")
	f, err := os.Create(name)
	p.must(err)
	p.Cleanup(func() { f.Close() })
	for piece := make([]byte, 1<<20); len(piece) > 0; {
		if _, err := f.Write(piece); errors.Is(err, syscall.ENOSPC) {
			piece = piece[:len(piece)/2]
		} else {
			p.must(err)
		}
	}
	return func() { p.must(os.Remove(name)); p.must(f.Truncate(0)) }
}

// refill fills what has become free since: whoever deletes gives room.
func (p *plant) refill(part string) {
	p.Helper()
	f, err := os.OpenFile(filepath.Join(p.dir, part, "ballast"), os.O_WRONLY|os.O_APPEND, 0o600)
	p.must(err)
	defer f.Close()
	for piece := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(piece)
	}
}

// F10: the disk of the intake log is full for a minute.
func TestF10_TheDiskOfTheLogIsFull(t *testing.T) {
	if !longform.Asked() {
		return
	}
	t.Parallel()
	l := load{machines: 200, lanes: 8, perSecond: 10_000, horizon: 300}
	p := build(t, plan{influx: true, machines: l.machines, folder: small("intake", "64m"), args: []string{"--log-limit", "60MiB"}})
	f := p.talk(l)
	p.hears(f, l.perSecond)
	free := p.fill("data/intake")
	p.until("nothing is acknowledged", func() bool {
		p.refill("data/intake")
		from := f.heard()
		p.lasts(time.Second)
		return f.heard() == from
	})
	if status, _ := p.get("/readyz", nil); status != http.StatusServiceUnavailable {
		t.Errorf("ready with a full disk: %d", status)
	}
	full := f.heard()
	for range 60 {
		p.refill("data/intake")
		p.lasts(time.Second)
	}
	meanwhile := f.heard() - full
	free()
	from, at := time.Now(), f.heard()
	p.until("messages are acknowledged again", func() bool { return f.heard() > at })
	again := time.Since(from)
	p.judge(f)
	t.Logf("%d acknowledged before it was full, %d while it was, again %v after there was room", full, meanwhile, again.Round(time.Millisecond))
	if again > 5*time.Second {
		t.Errorf("again after %v, want 5 s", again)
	}
}

// F11: the disk of PostgreSQL is full.
func TestF11_TheDiskOfPostgreSQLIsFull(t *testing.T) {
	if !longform.Asked() {
		return
	}
	t.Parallel()
	l := l1()
	p := build(t, plan{machines: l.machines, folder: small("postgres", "400m")})
	p.fullFor(p.talk(l), "postgres", func() {})
}

// F12: the disk of InfluxDB is full.
func TestF12_TheDiskOfInfluxDBIsFull(t *testing.T) {
	if !longform.Asked() {
		return
	}
	t.Parallel()
	l := l1()
	p := build(t, plan{influx: true, machines: l.machines, folder: small("influx", "256m")})
	p.fullFor(p.talk(l), "influx", func() { // InfluxDB 1.8 writes nothing more until it is started again
		p.must(p.influx.End(syscall.SIGTERM))
		p.must(p.influx.Begin(p.Context()))
	})
}

// fullFor has the disk of a part full for a minute after the program has noticed it;
// mend is what somebody must do beside making room.
func (p *plant) fullFor(f *fleet, part string, mend func()) {
	p.Helper()
	p.hears(f, 5*f.perSecond)
	from := f.now()
	free := p.fill(part)
	var said struct {
		Checks []struct {
			Name, Detail string
			OK           bool
		}
	}
	p.until("the program says so", func() bool { p.refill(part); return p.said503("/readyz", &said) })
	p.lasts(time.Minute)
	free()
	mend()
	room := time.Now()
	p.until("the program is ready again", p.ready)
	p.until("the history has caught up", p.caughtUp)
	p.Logf("caught up %v after there was room; meanwhile it said %+v", time.Since(room).Round(time.Millisecond), said.Checks)
	to := f.now()
	p.judge(f)
	p.tell(f, from, to)
}

// said503 reads what a page says that is not well.
func (p *plant) said503(path string, out any) bool {
	p.Helper()
	answer, err := http.Get(fmt.Sprintf("http://%s%s", p.web, path))
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusServiceUnavailable && decode(answer.Body, out) == nil
}
