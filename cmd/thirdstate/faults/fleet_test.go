package faults

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

func key(machine int) string { return fmt.Sprintf("FAULT%03d", machine) }

// load is how much a fleet says: machines that say five values each, over lanes
// connections, perSecond messages in all, each machine at least horizon of them.
type load struct{ machines, lanes, perSecond, horizon int }

// l1 is the load of the catalogue; its short form has the same machines do less.
func l1() load {
	return longform.Choose(load{machines: 12, lanes: 4, perSecond: 240, horizon: 140}, load{machines: 200, lanes: 8, perSecond: 2_000, horizon: 300})
}

// word is one message in the ledger.
type word struct {
	at, took time.Duration // since the fleet began; took is 0 until it is acknowledged
	ts       int64         // its own time, in milliseconds
}

// fleet says numbered things whatever becomes of the program, and keeps a ledger of
// what was acknowledged on the wire.
type fleet struct {
	load
	t       *testing.T
	clock   time.Time // of the program when the fleet began; its machines' clocks are right
	speed   int       // of it
	senders []*publish.Publisher
	running sync.WaitGroup
	stop    chan struct{}
	from    time.Time

	mu    sync.Mutex
	words [][]word // by machine; sequence numbers begin with 1
	acked int
	most  time.Duration // that an acknowledgement took
}

// talk has a fleet talk to a plant.
func (p *plant) talk(l load) *fleet {
	p.Helper()
	f := &fleet{load: l, t: p.T, stop: make(chan struct{}), words: make([][]word, l.machines), speed: p.speed}
	f.clock, f.from = p.clock(), time.Now()
	for n := range l.lanes {
		s, err := publish.Dial(p.Context(), "mqtt://"+p.mqtt, publish.Options{ClientID: fmt.Sprintf("sender-%d", n), InFlight: 1_024, OnAck: f.note})
		p.must(err)
		f.t.Cleanup(func() { _ = s.Close() }) // of a test that has failed; else it is closed already
		f.senders = append(f.senders, s)
		f.running.Go(func() { f.speak(n, s) })
	}
	return f
}

// note writes an acknowledgement into the ledger.
func (f *fleet) note(topic string, payload []byte) {
	_, rest, _ := strings.Cut(topic, "FAULT")
	number, _, _ := strings.Cut(rest, "/")
	machine, err := strconv.Atoi(number)
	_, rest, _ = strings.Cut(string(payload), `"seq":`)
	number, _, _ = strings.Cut(rest, ",")
	seq, err2 := strconv.Atoi(number)
	if errors.Join(err, err2) != nil {
		f.t.Errorf("%s was acknowledged", payload)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &f.words[machine][seq-1]
	w.took = max(f.now()-w.at, 1)
	f.most = max(f.most, w.took)
	f.acked++
}

func (f *fleet) speak(n int, s *publish.Publisher) {
	const tick = 10 * time.Millisecond
	clock := time.NewTicker(tick)
	defer clock.Stop()
	mine := (f.machines - n + f.lanes - 1) / f.lanes
	due, said := 0.0, 0
	for {
		select {
		case <-f.stop:
			if said >= mine*f.horizon {
				return
			}
		default:
		}
		<-clock.C
		for due += float64(f.perSecond) / float64(f.lanes) * tick.Seconds(); due >= 1; due-- {
			if err := f.say(s, n+said%mine*f.lanes); err != nil {
				f.t.Error(err)
				return
			}
			said++
		}
	}
}

// faultAt is the number of the message from which on a machine's oil pressure is low; 0 = it is well.
func (f *fleet) faultAt(machine int) int {
	if machine%3 == 0 {
		return 20 + machine*37%(f.horizon/3)
	}
	return 0
}

func (f *fleet) say(s *publish.Publisher, machine int) error {
	f.mu.Lock()
	w := word{at: f.now()}
	w.ts = f.clock.Add(w.at * time.Duration(f.speed)).UnixMilli()
	words := f.words[machine]
	if n := len(words); n > 0 {
		w.ts = max(w.ts, words[n-1].ts+1)
	}
	f.words[machine] = append(words, w)
	seq := len(f.words[machine])
	f.mu.Unlock()
	pressure := 4.2
	if from := f.faultAt(machine); from > 0 && seq >= from {
		pressure = 1.4
	}
	return s.Publish(f.t.Context(), "fleet/"+key(machine)+"/telemetry",
		fmt.Appendf(nil, `{"seq":%[1]d,"boot":"b","ts":%[2]d,"values":{"seq":%[1]d,"running":1,"power":%[3]d.5,"coolant_temp":%[4]d,"oil_pressure":%[5]g}}`, seq, w.ts, 200+seq%9, 80+seq%5, pressure+float64(seq%3)/10))
}

// heard is how many messages are acknowledged so far.
func (f *fleet) heard() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.acked
}

// hears waits until n more are.
func (p *plant) hears(f *fleet, n int) {
	p.Helper()
	from := f.heard()
	p.until(fmt.Sprintf("%d more messages are acknowledged", n), func() bool { return f.heard() >= from+n })
}

// now is the fleet's own time.
func (f *fleet) now() time.Duration { return time.Since(f.from) }

// slowest says how long acknowledgements of what was said in a span took: 99 of 100, and all.
func (f *fleet) slowest(from, to time.Duration) (p99, most time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var took []time.Duration
	for _, words := range f.words {
		for _, w := range words {
			if w.at >= from && w.at < to {
				if w.took == 0 {
					return math.MaxInt64, math.MaxInt64
				}
				took = append(took, w.took)
			}
		}
	}
	if len(took) == 0 {
		return math.MaxInt64, math.MaxInt64
	}
	slices.Sort(took)
	return took[len(took)*99/100], took[len(took)-1]
}

// finish lets everybody finish speaking and waits until all is acknowledged.
func (f *fleet) finish() (acked int, resent uint64) {
	f.t.Helper()
	close(f.stop)
	f.running.Wait()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience())
	defer cancel()
	for _, s := range f.senders {
		if err := errors.Join(s.Flush(ctx), s.Close()); err != nil {
			f.t.Fatal(err)
		}
		resent += s.Resent()
	}
	return f.heard(), resent
}
