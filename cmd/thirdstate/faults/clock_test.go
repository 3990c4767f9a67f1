package faults

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/longform"
)

// F18: the server's clock is wrong by an hour or a day, either way, from one life of
// the program to the next. Its own clock never goes back, and nobody is taken for ill.
func TestF18_TheServersClockJumps(t *testing.T) {
	t.Parallel()
	l := l1()
	p := build(t, plan{influx: true, machines: l.machines})
	f := p.talk(l)
	for range longform.Choose(1, 3) {
		for _, by := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
			p.hears(f, longform.Choose(l.perSecond/2, 10*l.perSecond))
			before := p.figures()["thirdstate_clock_seconds"]
			p.hears(f, l.machines) // the log knows that much of the time
			p.must(p.program.End(syscall.SIGKILL))
			p.jump(by)
			p.begin()
			if now := p.figures()["thirdstate_clock_seconds"]; now < before {
				t.Errorf("the program's clock went back from %.0f to %.0f when the server's jumped by %v", before, now, by)
			}
		}
	}
	p.judge(f)
}

// jump makes the server's clock seem to have jumped while the program was away: what
// it remembers of the wall is what it would remember then.
func (p *plant) jump(by time.Duration) {
	p.Helper()
	conn, err := pgx.Connect(p.Context(), p.records)
	p.must(err)
	defer conn.Close(p.Context())
	_, err = conn.Exec(p.Context(), `SELECT set_config('app.scope', 'all', false)`)
	p.must(err)
	wall := by / time.Duration(p.speed) // the program's clock runs faster than the wall
	_, err = conn.Exec(p.Context(), `UPDATE program_clock SET wall_at = wall_at - $1::interval`, fmt.Sprintf("%d milliseconds", wall.Milliseconds()))
	p.must(err)
}
