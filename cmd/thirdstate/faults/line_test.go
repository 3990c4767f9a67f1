package faults

import (
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/stand"
	"github.com/thirdstate/thirdstate/internal/longform"
)

// F14: the line between the program and Mosquitto is bad in every way, again and again.
func TestF14_TheLineToMosquittoIsBad(t *testing.T) {
	t.Parallel()
	random, l := seeded(t), l1()
	p := build(t, plan{external: true, lines: true, machines: l.machines})
	f := p.talk(l)
	p.hears(f, l.perSecond)
	kinds := []struct {
		name string
		do   func()
	}{
		{"down", func() { p.toBroker.Down(true) }},
		{"swallows", func() { p.toBroker.Make(stand.Trouble{LoseUp: true, LoseDown: true}) }},
		{"swallows one way", func() { p.toBroker.Make(stand.Trouble{LoseUp: true}) }},
		{"reset", func() { p.toBroker.Cut(true) }},
		{"2 s late", func() { p.toBroker.Make(stand.Trouble{Latency: 2 * time.Second}) }},
		{"8 KB/s", func() { p.toBroker.Make(stand.Trouble{Rate: 8 << 10}) }},
		{"in slices", func() { p.toBroker.Make(stand.Trouble{Slice: 1 + random.IntN(7)}) }},
	}
	times := longform.Choose(1, 20)
	for range times {
		for _, kind := range kinds {
			kind.do()
			p.lasts(longform.Choose(300*time.Millisecond, time.Duration(1+random.IntN(3))*time.Second))
			p.toBroker.Make(stand.Trouble{})
			p.toBroker.Down(false)
			if !p.ready() { // what was swallowed comes again with a new connection only
				p.toBroker.Cut(false)
			}
			p.until("the program is connected: "+kind.name, p.ready)
		}
	}
	p.toBroker.Cut(false) // what it has acknowledged in vain
	p.judge(f)
	t.Logf("%d kinds, %d times each, %d connections", len(kinds), times, p.toBroker.Connections())
}

// F17: the line to PostgreSQL is cut in the middle of what is written, so that nobody
// knows whether a transaction was committed. Each machine that fails has one case.
func TestF17_TheLineToPostgreSQLIsCut(t *testing.T) {
	t.Parallel()
	random := seeded(t)
	l := longform.Choose(l1(), load{machines: 1_500, lanes: 8, perSecond: 1_500, horizon: 240})
	p := build(t, plan{influx: true, lines: true, machines: l.machines})
	f := p.talk(l)
	times := longform.Choose(8, 500)
	for range times {
		before, at := p.toPostgres.Connections(), p.figures()["thirdstate_rules_lsn"]
		p.toPostgres.Make(stand.Trouble{Limit: 1 + random.Int64N(32<<10)})
		p.until("the line is cut and laid again", func() bool { return p.toPostgres.Connections() > before })
		p.toPostgres.Make(stand.Trouble{})
		p.until("the rules go on", func() bool { return p.figures()["thirdstate_rules_lsn"] > at })
	}
	v := p.judge(f)
	t.Logf("%d cuts, %d cases", times, v.findings)
}
