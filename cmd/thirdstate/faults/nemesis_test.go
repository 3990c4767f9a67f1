package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/cmd/thirdstate/stand"
	"github.com/thirdstate/thirdstate/internal/longform"
)

// blow is one thing that the nemesis does.
type blow struct {
	name     string
	external bool // needs Mosquitto
	strike   func(p *plant, random *rand.Rand)
}

const forgetting = "InfluxDB is killed and forgets"

// blows is all that she may do; the order is hers.
func blows() []blow {
	pause := func(p *plant, random *rand.Rand) {
		p.Helper()
		p.lasts(time.Duration(random.Int64N(int64(longform.Choose(time.Second, 10*time.Second)))))
	}
	line := func(p *plant, random *rand.Rand, l *stand.Line) {
		kinds := []stand.Trouble{{LoseUp: true, LoseDown: true}, {LoseUp: true}, {LoseDown: true}, {Latency: 2 * time.Second}, {Rate: 8 << 10}, {Slice: 7}, {Limit: 1 + random.Int64N(1<<14)}}
		l.Make(kinds[random.IntN(len(kinds))])
		pause(p, random)
		l.Make(stand.Trouble{})
		l.Cut(random.IntN(2) == 0)
	}
	return []blow{
		{"the program is killed", false, func(p *plant, _ *rand.Rand) {
			p.must(p.program.End(syscall.SIGKILL))
			p.must(p.program.Start()) // into whatever else is broken
		}},
		{"the program is frozen", false, func(p *plant, random *rand.Rand) {
			if p.program.Freeze() != nil { // it has ended, see plague
				return
			}
			pause(p, random)
			p.must(p.program.Thaw())
		}},
		{"InfluxDB is killed", false, func(p *plant, _ *rand.Rand) { p.killInflux(false) }},
		{forgetting, false, func(p *plant, _ *rand.Rand) { p.killInflux(true) }},
		{"InfluxDB is frozen", false, func(p *plant, random *rand.Rand) {
			p.must(p.influx.Freeze())
			pause(p, random)
			p.must(p.influx.Thaw())
		}},
		{"InfluxDB is away", false, func(p *plant, random *rand.Rand) {
			p.must(p.influx.End(syscall.SIGTERM))
			pause(p, random)
			p.must(p.influx.Begin(p.Context()))
		}},
		{"PostgreSQL is killed", false, func(p *plant, _ *rand.Rand) { p.killPostmaster() }},
		{"a session of PostgreSQL is killed", false, func(p *plant, _ *rand.Rand) { p.killSession() }},
		{"PostgreSQL is stopped at once", false, func(p *plant, _ *rand.Rand) { p.stopPostgresAtOnce() }},
		{"PostgreSQL is frozen", false, func(p *plant, random *rand.Rand) {
			thaw := p.freezePostgres()
			pause(p, random)
			thaw()
		}},
		{"the line to PostgreSQL is bad", false, func(p *plant, random *rand.Rand) { line(p, random, p.toPostgres) }},
		{"the line to InfluxDB is bad", false, func(p *plant, random *rand.Rand) { line(p, random, p.toInflux) }},
		{"the line to Mosquitto is bad", true, func(p *plant, random *rand.Rand) { line(p, random, p.toBroker) }},
		{"Mosquitto is frozen", true, func(p *plant, random *rand.Rand) {
			p.must(p.broker.Freeze())
			pause(p, random)
			p.must(p.broker.Thaw())
		}},
	}
}

// F36: everything at once, by chance. The identity holds and nothing is lost.
func TestF36_Nemesis(t *testing.T) {
	t.Parallel()
	for _, external := range []bool{false, true} {
		t.Run(map[bool]string{false: "embedded", true: "behind Mosquitto"}[external], func(t *testing.T) {
			t.Parallel()
			l := l1()
			// Ten seconds of a frozen Mosquitto, which nobody can notice, must not be ten minutes of silence.
			// In the short form one of the two forgets: InfluxDB that tells what it has takes seconds to start.
			p := build(t, plan{influx: true, forgets: !external || longform.Asked(), external: external, lines: true, alone: true, machines: l.machines, speed: longform.Choose(60, 10)})
			p.plague(p.talk(l), seeded(t), nemesisLasts(t))
		})
	}
}

// nemesisLasts is 30 minutes in the long form, or what NEMESIS says.
func nemesisLasts(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("NEMESIS")
	if text == "" {
		return longform.Choose(15*time.Second, 30*time.Minute)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (p *plant) plague(f *fleet, random *rand.Rand, lasts time.Duration) {
	p.Helper()
	list := slices.DeleteFunc(blows(), func(b blow) bool { return b.external && !p.external || b.name == forgetting && !p.forgets })
	struck, tried := map[string]int{}, 0
	for n := 0; f.now() < lasts; n++ {
		if n%len(list) == 0 { // so that all have their turn
			random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		b := list[n%len(list)]
		if b.strike(p, random); !p.program.Runs() { // it does not start without its database; whoever looks after it tries again
			tried++
			p.must(p.program.End(syscall.SIGKILL))
			p.must(p.program.Start())
		}
		struck[b.name]++
		p.lasts(time.Duration(random.Int64N(int64(longform.Choose(time.Second, 5*time.Second)))))
	}
	if p.toPostgres.Make(stand.Trouble{}); !p.program.Runs() {
		p.must(p.program.End(syscall.SIGKILL))
		p.must(p.program.Start())
	}
	v := p.judge(f)
	text, times := strings.Builder{}, 0
	for _, name := range slices.Sorted(maps.Keys(struck)) {
		fmt.Fprintf(&text, "\n%4d × %s", struck[name], name)
		times += struck[name]
	}
	_, most := f.slowest(0, f.now())
	p.Logf("%d blows of %d kinds and %d starts in vain in %v, %d messages, %d lost, the slowest acknowledgement %v:%s", times, len(struck), tried, f.now().Round(time.Second), v.acked, v.lost, most.Round(time.Millisecond), text.String())
}
