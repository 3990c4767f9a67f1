package faults

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
)

// F06: InfluxDB does not answer, and does not end its connections either.
func TestF06_InfluxDBIsFrozen(t *testing.T) {
	t.Parallel()
	l := l1()
	p := build(t, plan{influx: true, machines: l.machines})
	f := p.talk(l)
	p.hears(f, l.perSecond)
	from := f.now()
	p.must(p.influx.Freeze())
	p.lasts(longform.Choose(2*time.Second, 2*time.Minute))
	p.hears(f, l.perSecond) // nobody waits for what is away
	p.must(p.influx.Thaw())
	thawed := time.Now()
	p.until("the history has caught up", p.caughtUp)
	drained := time.Since(thawed)
	to := f.now()
	p.judge(f)
	p.unhurt(f, from, to)
	t.Logf("caught up %v after it went on", drained.Round(time.Millisecond))
	if longform.Asked() && drained > time.Minute {
		t.Errorf("caught up after %v, want 60 s", drained)
	}
}

// caughtUp says whether the history is at most a second behind.
func (p *plant) caughtUp() bool {
	p.Helper()
	n := p.figures()
	return n["thirdstate_log_last_lsn"] > 0 && n["thirdstate_log_last_lsn"]-n["thirdstate_history_lsn"] < float64(l1().perSecond)
}

// tell says how long acknowledgements took in a span, 99 of 100 of them, and before it.
func (p *plant) tell(f *fleet, from, to time.Duration) (p99, before time.Duration) {
	p.Helper()
	before, _ = f.slowest(0, from)
	p99, most := f.slowest(from, to)
	p.Logf("acknowledged within %v (99 of 100), %v (all); before that within %v", p99, most, before)
	return p99, before
}

// unhurt holds acknowledgements to 50 ms, 99 of 100 of them, in a span, or on a busy
// machine to twice of what they took before; the short form says only how long they took.
func (p *plant) unhurt(f *fleet, from, to time.Duration) {
	p.Helper()
	p99, before := p.tell(f, from, to)
	if longform.Asked() && p99 > max(50*time.Millisecond, 2*before) {
		p.Errorf("99 of 100 are acknowledged within %v, before that within %v", p99, before)
	}
}

// F07: PostgreSQL does not answer, and does not end its connections either.
func TestF07_PostgreSQLIsFrozen(t *testing.T) {
	t.Parallel()
	l := l1()
	p := build(t, plan{influx: true, alone: true, machines: l.machines})
	f := p.talk(l)
	p.hears(f, l.perSecond)
	from := f.now()
	thaw := p.freezePostgres()
	p.lasts(longform.Choose(2*time.Second, time.Minute))
	p.hears(f, l.perSecond)
	thaw()
	thawed := time.Now()
	p.until("the rules have caught up", func() bool {
		n := p.figures()
		return n["thirdstate_log_last_lsn"] > 0 && n["thirdstate_log_last_lsn"]-n["thirdstate_rules_lsn"] < float64(l.perSecond)
	})
	lag := time.Since(thawed)
	to := f.now()
	p.judge(f)
	p.unhurt(f, from, to)
	t.Logf("the rules were less than a second behind %v after it went on", lag.Round(time.Millisecond))
	if longform.Asked() && lag > 10*time.Second {
		t.Errorf("evaluated %v after it went on, want 10 s", lag)
	}
}

// freezePostgres stops the server and all its sessions.
func (p *plant) freezePostgres() (thaw func()) {
	p.Helper()
	postmaster := p.postmaster()
	frozen := append([]int{postmaster}, children(postmaster)...)
	signal := func(s syscall.Signal) {
		for _, pid := range frozen {
			_ = syscall.Kill(pid, s) // a session may have ended
		}
	}
	signal(syscall.SIGSTOP)
	late := slices.DeleteFunc(children(postmaster), func(pid int) bool { return slices.Contains(frozen, pid) })
	frozen = append(frozen, late...) // that the server has made meanwhile
	signal(syscall.SIGSTOP)
	thaw = func() { signal(syscall.SIGCONT) }
	p.Cleanup(thaw)
	return thaw
}

// children are the processes that a process has started.
func children(of int) (list []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(of) {
			pid, err := strconv.Atoi(strings.Split(file, "/")[2])
			if err == nil {
				list = append(list, pid)
			}
		}
	}
	return list
}

// F08: Mosquitto stands still for longer than the keepalive.
func TestF08_MosquittoIsFrozen(t *testing.T) {
	t.Parallel()
	l := l1()
	p := build(t, plan{external: true, machines: l.machines})
	f := p.talk(l)
	p.hears(f, l.perSecond)
	p.must(p.broker.Freeze())
	p.lasts(longform.Choose(4*time.Second, time.Minute))
	p.must(p.broker.Thaw())
	thawed, from := time.Now(), p.figures()["thirdstate_log_last_lsn"]
	p.until("it is read again", func() bool { return p.ready() && p.figures()["thirdstate_log_last_lsn"] > from+1 })
	t.Logf("read again %v after it went on", time.Since(thawed).Round(time.Millisecond))
	if again := time.Since(thawed); longform.Asked() && again > 2*time.Second {
		t.Errorf("read again after %v, want 2 s", again)
	}
	p.judge(f)
}

// F09: the program stands still until every device has given it up.
func TestF09_TheProgramIsFrozen(t *testing.T) {
	t.Parallel()
	for name, external := range map[string]bool{"embedded": false, "behind Mosquitto": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := l1()
			p := build(t, plan{external: external, machines: l.machines})
			f := p.talk(l)
			p.hears(f, l.perSecond)
			p.must(p.program.Freeze())
			p.lasts(longform.Choose(3*time.Second, 90*time.Second))
			p.must(p.program.Thaw())
			p.judge(f)
		})
	}
}
