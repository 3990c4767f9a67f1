package faults

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
)

// F04: InfluxDB is killed again and again, and once what it had not yet moved from its
// write-ahead log is taken away too, which no client can see.
func TestF04_InfluxDBIsKilled(t *testing.T) {
	t.Parallel()
	random, l := seeded(t), l1()
	p := build(t, plan{influx: true, forgets: true, machines: l.machines})
	f := p.talk(l)
	times := longform.Choose(2, 20)
	for n := range times {
		p.hears(f, 1+random.IntN(longform.Choose(l.perSecond, 8*l.perSecond)))
		p.killInflux(n == times/2)
	}
	before := p.figures()["thirdstate_history_lsn"]
	from := time.Now()
	v := p.judge(f)
	t.Logf("%d kills, one of them with the loss of the write-ahead log; %.0f records behind at the end, all in place %v later", times, float64(v.acked)-before, time.Since(from).Round(time.Millisecond))
}

// killInflux kills InfluxDB and starts it again, without its write-ahead log if need be.
func (p *plant) killInflux(forgetful bool) {
	p.Helper()
	p.must(p.influx.End(syscall.SIGKILL))
	if forgetful {
		p.must(os.RemoveAll(filepath.Join(p.dir, "influx", "wal")))
		p.must(p.influx.TakeFlux()) // what is lost is found with it
	}
	p.must(p.influx.Begin(p.Context()))
}

// F05: the server of the records is killed, one of its sessions is, and it is stopped
// at once, while people use the API.
func TestF05_PostgreSQLIsKilled(t *testing.T) {
	t.Parallel()
	random, l := seeded(t), l1()
	p := build(t, plan{alone: true, machines: l.machines})
	f := p.talk(l)
	u := p.use(longform.Choose(4, 20))
	times := longform.Choose(1, 20)
	for range times {
		for _, kill := range []func(){p.killPostmaster, p.killSession, p.stopPostgresAtOnce} {
			p.hears(f, 1+random.IntN(l.perSecond))
			from := f.heard()
			kill()
			p.until("messages are acknowledged all the while", func() bool { return f.heard() > from })
			p.until("PostgreSQL is back", func() bool { return p.ask(`SELECT 1`, []any{new(int)}, func() {}) == nil })
			u.answersNow()
			p.until("the API answers again", u.answersNow)
		}
	}
	u.leave()
	p.judge(f)
	_, most := f.slowest(0, f.now())
	t.Logf("%d times each; the slowest acknowledgement took %v; %d users were answered %v", times, most, u.n, u.answers)
	for status, n := range u.answers {
		if n > 0 && status != http.StatusOK && status != http.StatusServiceUnavailable {
			t.Errorf("%d answers of %d", n, status)
		}
	}
	if u.answers[http.StatusOK] == 0 || u.answers[http.StatusServiceUnavailable] == 0 || u.mute > 0 {
		t.Errorf("answers %v, %d of 503 without Retry-After", u.answers, u.mute)
	}
}

// postmaster is the server's process; it may be on its way back from the last blow.
func (p *plant) postmaster() (pid int) {
	p.Helper()
	p.until("PostgreSQL runs", func() bool {
		pid = p.cluster.PID()
		return pid > 1 // 0 would be ourselves
	})
	return pid
}

func (p *plant) killPostmaster() { p.must(syscall.Kill(p.postmaster(), syscall.SIGKILL)) }

func (p *plant) stopPostgresAtOnce() { p.must(syscall.Kill(p.postmaster(), syscall.SIGQUIT)) }

const sessionSQL = `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY backend_start LIMIT 1`

func (p *plant) killSession() {
	p.Helper()
	var session int
	p.until("somebody has a session", func() bool {
		return p.ask(sessionSQL, []any{&session}, func() {}) == nil && session != 0
	})
	p.must(syscall.Kill(session, syscall.SIGKILL))
}

// users ask the API without a pause.
type users struct {
	n       int
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	answers map[int]int // by status; 0 = no answer
	mute    int         // 503 that do not say when to come again
	since   map[int]int // since answersNow was asked last
}

func (p *plant) use(n int) *users {
	ctx, cancel := context.WithCancel(p.Context())
	u := &users{n: n, cancel: cancel, answers: map[int]int{}, since: map[int]int{}}
	pages := []string{"/api/v1/machines", "/api/v1/cases", "/api/v1/findings", "/api/v1/work-orders"}
	for i := range n {
		u.running.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				status, header := p.get(pages[i%len(pages)], nil)
				u.note(status, header)
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	p.Cleanup(u.leave)
	return u
}

func (u *users) note(status int, header http.Header) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answers[status]++
	u.since[status]++
	if status == http.StatusServiceUnavailable && header.Get("Retry-After") == "" {
		u.mute++
	}
}

// answersNow says whether somebody was answered since the last time, and nobody in vain.
func (u *users) answersNow() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	well := u.since[http.StatusOK] > 0 && len(u.since) == 1
	clear(u.since)
	return well
}

func (u *users) leave() {
	u.cancel()
	u.running.Wait()
}
