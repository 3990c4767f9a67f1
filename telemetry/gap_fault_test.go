package telemetry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/intake"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/publish"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

// What a broker may keep over a kill -9. The first is Mosquitto as it is set up
// when only persistence is switched on.
var persistences = []struct{ name, config string }{
	{"persistence with its defaults", "listener %s 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\n"},
	{"autosave_on_changes", "listener %s 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\nautosave_on_changes true\nautosave_interval 1\n"},
}

// counters are devices that number what they publish, and a ledger of what the
// broker has truly acknowledged to each.
type counters struct {
	publishers []*publish.Publisher
	running    sync.WaitGroup
	stop       chan struct{}
	mu         sync.Mutex
	acked      map[string]bool // "machine seq"
	sent       []int           // by device
}

func startCounters(t *testing.T, address string, devices, perSecond int) *counters {
	t.Helper()
	c := &counters{stop: make(chan struct{}), acked: map[string]bool{}, sent: make([]int, devices), publishers: make([]*publish.Publisher, devices)}
	for n := range devices {
		p, err := publish.Dial(t.Context(), "mqtt://"+address, publish.Options{ClientID: fmt.Sprintf("device-%d", n), OnAck: func(topic string, payload []byte) {
			_, rest, _ := strings.Cut(string(payload), `"seq":`)
			seq, _, _ := strings.Cut(rest, ",")
			c.mu.Lock()
			c.acked[strings.Split(topic, "/")[1]+" "+seq] = true
			c.mu.Unlock()
		}})
		if err != nil {
			t.Fatal(err)
		}
		c.publishers[n] = p
		c.running.Go(func() {
			tick := time.NewTicker(time.Second / time.Duration(perSecond/devices))
			defer tick.Stop()
			for {
				select {
				case <-c.stop:
					return
				case <-tick.C:
				}
				if err := c.say(t.Context(), n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return c
}

func (c *counters) say(ctx context.Context, n int) error {
	seq := c.sent[n]
	c.sent[n]++
	at := start.Add(time.Duration(seq) * time.Second)
	return c.publishers[n].Publish(ctx, fmt.Sprintf("fleet/GAP%d/telemetry", n), []byte(telemetry(at, "b", seq, fmt.Sprintf(`"a":%d`, seq))))
}

// finish lets every device say one thing more, by which what it has lost shows.
func (c *counters) finish(t *testing.T) {
	t.Helper()
	close(c.stop)
	c.running.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 2*telemetrytest.Patience)
	defer cancel()
	for n, p := range c.publishers {
		if err := errors.Join(p.Flush(ctx), c.say(ctx, n), p.Flush(ctx), p.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// lastWords are the newest message of each, as "machine seq".
func (c *counters) lastWords() (keys []string) {
	for n, sent := range c.sent {
		keys = append(keys, fmt.Sprintf("GAP%d %d", n, sent-1))
	}
	return keys
}

// F03: Mosquitto is killed again and again while devices publish. What it had
// acknowledged and lost is named, number by number, and nothing else is.
func TestGaps_NameAllThatAKilledBrokerHasLost(t *testing.T) {
	t.Parallel()
	kills := longform.Choose(3, 10)
	for _, kept := range persistences {
		t.Run(kept.name, func(t *testing.T) {
			t.Parallel()
			nameWhatIsLost(t, kept.config, kills)
		})
	}
}

func nameWhatIsLost(t *testing.T, config string, kills int) {
	const devices = 4
	w, dir, address, random := newWorks(t), t.TempDir(), telemetrytest.SpareAddress(t), rand.New(rand.NewPCG(3, 3))
	for n := range devices {
		addMachine(t, w.pool, fmt.Sprintf("GAP%d", n))
	}
	m := telemetrytest.LaunchMosquitto(t, dir, address, config)
	x, stop := readBroker(t, intake.ExternalConfig{URL: "mqtt://" + address, Topics: []string{"fleet/#"}, Log: w.log})
	c := startCounters(t, address, devices, 1000)
	slowest := time.Duration(0)
	for range kills {
		telemetrytest.Awhile(random)
		m.Kill()
		telemetrytest.Eventually(t, func() bool { return !x.Connected() })
		m = telemetrytest.LaunchMosquitto(t, dir, address, config)
		began := time.Now()
		telemetrytest.Eventually(t, x.Connected)
		slowest = max(slowest, time.Since(began))
	}
	c.finish(t)
	telemetrytest.Eventually(t, func() bool { // the last word of each has come
		log := heardOf(t, w.log)
		return !slices.ContainsFunc(c.lastWords(), func(key string) bool { return !log[key] })
	})
	stop()
	w.run(t, historyRun{})
	named := w.named(t)
	lost, acked := 0, len(c.acked)
	log := heardOf(t, w.log)
	for key := range c.acked {
		if !log[key] {
			lost++
			if !named[key] {
				t.Errorf("%s was acknowledged and lost, and is not named", key)
			}
		}
	}
	for key := range named {
		if log[key] {
			t.Errorf("%s is named as lost and came", key)
		}
	}
	t.Logf("%d kills of the broker, %d messages acknowledged, %d lost by it, %d named; read again %v after it was back at the latest", kills, acked, lost, len(named), slowest)
	if lost == 0 && strings.Contains(t.Name(), "defaults") || acked < 500 {
		t.Errorf("%d of %d messages were lost: this test shows nothing", lost, acked)
	}
	if slowest > 2*time.Second {
		t.Errorf("read again after %v, want at most 2 s", slowest)
	}
}

// heardOf lists what is in the log, as "machine seq".
func heardOf(t *testing.T, log *intakelog.Log) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	_, last := log.Bounds()
	for after := intakelog.LSN(0); after < last; {
		got, err := log.Read(t.Context(), after, 1024, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range got {
			_, rest, _ := strings.Cut(string(r.Payload), `"seq":`)
			seq, _, _ := strings.Cut(rest, ",")
			found[strings.Split(r.Topic, "/")[1]+" "+seq] = true
			after = r.LSN
		}
	}
	return found
}

// named lists the numbers that the ledger says have not come.
func (w *works) named(t *testing.T) map[string]bool {
	t.Helper()
	named := map[string]bool{}
	for f := (GapFilter{State: "open", Limit: 100}); ; {
		var page machines.Page[SequenceGap]
		do(t, w.pool, func(tx pgx.Tx) (err error) {
			page, err = SequenceGaps(t.Context(), tx, f)
			return err
		})
		for _, g := range page.Items {
			for seq := g.From; seq <= g.To; seq++ {
				named[g.Machine+" "+strconv.FormatInt(seq, 10)] = true
			}
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return named
		}
	}
}
