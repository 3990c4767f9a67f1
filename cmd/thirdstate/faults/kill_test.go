package faults

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
)

// seeded is the chance of one test; its seed is in the test's output.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// F01: the program is killed again and again while devices speak to it.
func TestF01_TheProgramIsKilled(t *testing.T) {
	killed(t, plan{})
}

// F02: the same with devices that speak to Mosquitto.
func TestF02_TheProgramIsKilledBehindMosquitto(t *testing.T) {
	killed(t, plan{external: true, influx: true})
}

func killed(t *testing.T, c plan) {
	t.Parallel()
	random, l := seeded(t), l1()
	c.machines = l.machines
	p := build(t, c)
	f := p.talk(l)
	times := longform.Choose(3, 50)
	for range times {
		p.hears(f, 1+random.IntN(longform.Choose(l.perSecond, 20*l.perSecond)))
		p.kill()
	}
	p.judge(f)
	slices.Sort(p.starts)
	half, most := p.starts[len(p.starts)/2], p.starts[len(p.starts)-1]
	t.Logf("%d kills in %v; ready within %v, half of the times within %v", times, f.now().Round(time.Second), most.Round(time.Millisecond), half.Round(time.Millisecond))
	if longform.Asked() && half > 2*time.Second {
		t.Errorf("ready after %v half of the times, want 2 s", half)
	}
}
