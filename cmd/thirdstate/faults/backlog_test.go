package faults

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// F13: what stores refuses for 12 s, with the program and the broker as they come.
func TestF13_InfluxDBRefuses(t *testing.T) {
	t.Parallel()
	l := longform.Choose(l1(), load{machines: 20, lanes: 4, perSecond: 1_000, horizon: 1_000})
	p := build(t, plan{influx: true, machines: l.machines})
	f := p.talk(l)
	p.hears(f, l.perSecond)
	p.must(p.influx.End(syscall.SIGTERM))
	p.lasts(longform.Choose(3*time.Second, 12*time.Second))
	p.must(p.influx.Begin(p.Context()))
	p.judge(f)
}

// F16: InfluxDB is away for ten minutes, three million messages long.
func TestF16_InfluxDBIsAwayForLong(t *testing.T) {
	t.Parallel()
	away := longform.Choose(4*time.Second, 10*time.Minute)
	l := longform.Choose(load{machines: 24, lanes: 4, perSecond: 240, horizon: 200}, load{machines: 500, lanes: 8, perSecond: 5_000, horizon: 600})
	p := build(t, plan{influx: true, machines: l.machines})
	f := p.talk(l)
	p.hears(f, l.perSecond)
	p.until("the history keeps up", p.caughtUp)
	empty := p.figures()
	p.must(p.influx.End(syscall.SIGTERM))
	p.lasts(away)
	n := p.figures()
	perMessage := (n["thirdstate_log_bytes"] - empty["thirdstate_log_bytes"]) / (n["thirdstate_log_last_lsn"] - empty["thirdstate_log_last_lsn"])
	waiting := n["thirdstate_log_last_lsn"] - n["thirdstate_history_lsn"]
	back := time.Now()
	p.must(p.influx.Begin(p.Context()))
	behind := 0.0
	p.until("the history has caught up", func() bool {
		n := p.figures()
		behind = max(behind, n["thirdstate_log_last_lsn"]-n["thirdstate_rules_lsn"])
		return p.caughtUp()
	})
	drained := time.Since(back)
	p.judge(f)
	lag := time.Duration(behind / float64(l.perSecond) * float64(time.Second))
	t.Logf("%.0f messages waited in %.0f bytes each of disk; stored %v after InfluxDB was back (%.0f points/s); the rules were at most %v behind meanwhile",
		waiting, perMessage, drained.Round(time.Millisecond), 5*waiting/drained.Seconds(), lag.Round(time.Millisecond))
	if longform.Asked() && perMessage > 120 {
		t.Errorf("%.0f bytes a message, want 120", perMessage)
	}
	if longform.Asked() && (drained > 5*time.Minute || lag > 5*time.Second) { // figures; the short form claims only that it catches up
		t.Errorf("drained after %v, want 5 min; the rules %v behind, want 5 s", drained, lag)
	}
}

// F41: machines come back with what they have kept for 24 hours, while others talk.
func TestF41_MachinesBringADayOfBacklog(t *testing.T) {
	t.Parallel()
	const hoard = 24 * 60 // a message a minute
	late := longform.Choose(3, 200)
	l := longform.Choose(l1(), load{machines: 40, lanes: 4, perSecond: 400, horizon: 200})
	p := build(t, plan{influx: true, machines: l.machines + late})
	f := p.talk(l)
	p.hears(f, l.perSecond)
	from := f.now()
	bring := make(chan error, late)
	began, used := time.Now(), p.program.Processor()
	for i := range late {
		go func() { bring <- p.bring(l.machines+i, hoard) }()
	}
	var seen pursuit
	for left := late; left > 0; {
		select {
		case err := <-bring:
			p.must(err)
			left--
		default:
		}
		seen.look(time.Since(began), p.figures())
	}
	took := time.Since(began)
	p.until("the rules have caught up", func() bool {
		n := p.figures()
		seen.look(time.Since(began), n)
		return n["thirdstate_log_last_lsn"]-n["thirdstate_rules_lsn"] < float64(l.perSecond)
	})
	used = p.program.Processor() - used
	to := f.now()
	f.finish()
	p.settle()
	if _, lost, wrong := p.compare(f); lost+wrong > 0 {
		t.Errorf("of the others %d are lost and %d wrong", lost, wrong)
	}
	stored := p.storedInInflux(l.machines + late)
	dropped := 0
	for i := range late {
		dropped += hoard - len(stored[l.machines+i])
	}
	p99, most := f.slowest(from, to)
	lag, behind := seen.slowest()
	t.Logf("%d machines brought %d messages in %v, %d dropped; a message was evaluated within %v of its acknowledgement, the rules were %.0f records behind at most; the others' were acknowledged within %v (99 of 100), %v (all); %v of a processor",
		late, late*hoard, took.Round(time.Millisecond), dropped, lag.Round(time.Millisecond), behind, p99, most, used)
	if dropped > 0 || longform.Asked() && lag > 5*time.Second {
		t.Errorf("%d dropped; a message was evaluated %v after its acknowledgement, want 5 s", dropped, lag)
	}
}

// pursuit is how the rules follow the log: both ends, each time one has looked.
type pursuit []struct {
	at          time.Duration
	last, rules float64
}

func (p *pursuit) look(at time.Duration, figures map[string]float64) {
	*p = append(*p, struct {
		at          time.Duration
		last, rules float64
	}{at, figures["thirdstate_log_last_lsn"], figures["thirdstate_rules_lsn"]})
}

// slowest is how long what was the log's end took to be evaluated, and the most records behind it.
func (p *pursuit) slowest() (lag time.Duration, behind float64) {
	for i, from := range *p {
		behind = max(behind, from.last-from.rules)
		for _, to := range (*p)[i:] {
			if to.rules >= from.last {
				lag = max(lag, to.at-from.at)
				break
			}
		}
	}
	return lag, behind
}

// bring has one machine say what it has kept, a message a minute until now.
func (p *plant) bring(machine, hoard int) error {
	s, err := publish.Dial(p.Context(), "mqtt://"+p.mqtt, publish.Options{ClientID: fmt.Sprintf("late-%d", machine)})
	if err != nil {
		return err
	}
	for seq := 1; seq <= hoard; seq++ {
		at := begun.Add(-time.Duration(hoard-seq) * time.Minute)
		payload := fmt.Appendf(nil, `{"seq":%[1]d,"boot":"b","ts":%[2]d,"values":{"seq":%[1]d,"running":1,"power":%[3]d.5,"coolant_temp":%[4]d,"oil_pressure":4.2}}`, seq, at.UnixMilli(), 200+seq%9, 80+seq%5)
		if err := s.Publish(p.Context(), "fleet/"+key(machine)+"/telemetry", payload); err != nil {
			return err
		}
	}
	if err := s.Flush(p.Context()); err != nil {
		return err
	}
	return s.Close()
}
