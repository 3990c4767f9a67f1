package detection

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
)

// besidePack judges the oil of a machine by its own normal, and beside its sisters.
const besidePack = `model: TEST-1
name: A machine of the tests
name_zh: 测试机
lateness: 1m
signals:
  oil_temp: {unit: Cel, plausible: [-45, 150], label: Oil temperature, label_zh: 油温}
rules:
  - {id: warm, kind: deviation, title: Warm, title_zh: 热, signal: oil_temp, learn: 100 rows, smooth: 10m, min_effect: 4, hold: 20m}
  - {id: warmer, kind: sisters, title: Warmer than sisters, title_zh: 热于同型, signal: oil_temp, learn: 100 rows, smooth: 10m, min_effect: 4, hold: 20m}
`

// sisterKeys are eight machines of one model; the first four are in every test.
var sisterKeys = []string{"M1", "M2", "M3", "M4", "M5", "M6", "M7", "M8"}

// fleet is a log of a fleet's life that the rules follow as it is written, stopped and
// begun again each quarter of an hour; temperature is what a machine says in a minute, NaN
// for nothing.
func besides(t *testing.T, keys []string, minutes int, temperature func(key string, minute int) float64) (w *works, live *job, last intakelog.LSN) {
	t.Helper()
	w = newWorks(t, intakelog.Options{})
	pack, err := rules.Parse("test.yaml", []byte(besidePack))
	if err != nil {
		t.Fatal(err)
	}
	w.fleet = NewFleet(map[string]*rules.Pack{pack.Model: pack})
	w.as(w.pool, func(tx pgx.Tx) error {
		models, err := machines.Models(t.Context(), tx)
		for _, key := range keys[min(4, len(keys)):] {
			if err == nil {
				_, err = machines.AddMachine(t.Context(), tx, start, identity.Principal{Name: "赵敏", Role: identity.ServiceManager},
					machines.Machine{Manufacturer: "Acme", Serial: key, HasDevice: true, ModelID: &models[0].ID})
			}
		}
		return err
	})
	live = w.newJob(t)
	live.commit, live.tell = live.accept, CohortsTo(w.log, w.clock, w.logger())
	random := rand.New(rand.NewPCG(5, 5))
	for i := range minutes {
		w.clock.AdvanceTo(start.Add(time.Duration(i)*time.Minute + time.Second))
		for _, key := range keys {
			if v := temperature(key, i) + random.Float64(); !math.IsNaN(v) {
				w.say(key, fmt.Sprintf(`{"ts":%d,"values":{"oil_temp":%.3f}}`, start.Add(time.Duration(i)*time.Minute).UnixMilli(), v))
			}
		}
		if err := w.ticker().Write(t.Context(), w.clock.Now(), w.clock.Now().Add(-TickEvery), w.clock.Now()); err != nil {
			t.Fatal(err)
		}
		if i%15 == 0 || i == minutes-1 {
			_, last = w.log.Bounds()
			live.run(last, i%2 == 1)
		}
	}
	return w, live, last
}

// opened lists who had a rule open, with the evidence.
func (l *ledger) opened(t *testing.T, rule string) map[string]rules.Evidence {
	t.Helper()
	list := map[string]rules.Evidence{}
	for _, o := range l.outcomes {
		for _, c := range o.Changes {
			if c.Finding.Rule == rule && c.Change == machines.FindingOpened {
				var e rules.Evidence
				if err := json.Unmarshal(c.Finding.Evidence, &e); err != nil {
					t.Fatal(err)
				}
				list[c.Finding.MachineID.String()] = e
			}
		}
	}
	return list
}

// drift is a fleet of which M2 becomes warm, and later all do.
func drift(key string, minute int) float64 {
	t := 60.0
	if key == "M2" && minute >= 200 {
		t += 8
	}
	return t + 9*max(0, min(1, float64(minute-320)/30))
}

// TestRunner_FindsTheOneThatLeavesItsSisters has one of eight machines become warmer, and
// then all of them by the weather; and the log tells the same again however it is read.
func TestRunner_FindsTheOneThatLeavesItsSisters(t *testing.T) {
	t.Parallel()
	w, live, last := besides(t, sisterKeys, 480, drift)
	if own := live.ledger.opened(t, "warm"); len(own) != 8 {
		t.Errorf("%d machines are warmer than by themselves, all of 8 are", len(own))
	}
	beside := live.ledger.opened(t, "warmer")
	if len(beside) != 1 {
		t.Fatalf("%d machines have left their sisters, not one: %+v", len(beside), beside)
	}
	for id, e := range beside {
		if s := e.Sisters; s == nil || s.Machines != 8 || e.SisterPercentile == nil || *e.SisterPercentile != 100 || s.Distance < 5 || s.Middle > 1 {
			t.Errorf("machine %s: %+v", id, e)
		}
	}
	var kept []ToldCohort
	w.as(w.pool, func(tx pgx.Tx) (err error) {
		kept, err = Cohorts(t.Context(), tx, "TEST-1", w.clock.Now())
		return err
	})
	if len(kept) < 20 || kept[len(kept)-1].Points[0].Machines != 8 || !kept[1].At.Before(kept[1].Told) {
		t.Errorf("%d cohorts are kept: %+v", len(kept), kept[max(0, len(kept)-1):])
	}
	want := live.ledger.findings(t)
	whole := w.newJob(t)
	whole.run(last, false)
	same(t, whole.ledger.findings(t), want)
	for _, s := range stops[:4] {
		j := w.newJob(t)
		s.stop(j, last/2)
		j.run(last, false)
		same(t, j.ledger.findings(t), want)
	}
}

// With three sisters nothing is said of them, and the rule on them finds nothing.
func TestRunner_ThreeSistersAreTooFew(t *testing.T) {
	t.Parallel()
	_, live, last := besides(t, sisterKeys[:4], 300, drift)
	if n := live.ledger.changes("warmer", machines.FindingOpened); n != 0 {
		t.Errorf("%d findings", n)
	}
	if n := live.ledger.changes("warm", machines.FindingOpened); n != 1 {
		t.Errorf("%d machines are warm, one is", n)
	}
	if ticks := intakelog.LSN(300 * 5); last > ticks {
		t.Errorf("%d records of %d: somebody wrote more than the machines and the clock", last, ticks)
	}
}

// One that works when the others rest is ranked with how they were, and what they have in
// common now is not known.
func TestRunner_RanksOneThatWorksAloneWithThoseThatRest(t *testing.T) {
	t.Parallel()
	_, live, _ := besides(t, sisterKeys, 330, func(key string, minute int) float64 {
		if key != "M2" && minute >= 160 {
			return math.NaN()
		}
		return drift(key, minute-40)
	})
	if n := live.ledger.changes("warmer", machines.FindingOpened); n != 0 {
		t.Errorf("%d findings of a rule on sisters at work", n)
	}
	found := live.ledger.opened(t, "warm")
	if len(found) != 1 {
		t.Fatalf("%d machines are warm, one is", len(found))
	}
	for _, e := range found {
		if s := e.Sisters; s == nil || *s != (rules.Sisters{Machines: 8}) || e.SisterPercentile == nil || *e.SisterPercentile != 100 {
			t.Errorf("%+v", e)
		}
	}
}

// What makes no sense in the log stops nobody.
func TestRunner_PassesCohortsThatItCannotRead(t *testing.T) {
	t.Parallel()
	w := newWorks(t, intakelog.Options{})
	for _, payload := range []string{"", "null", "{}", `{"version":2,"of":"TEST-1"}`, `{"version":1,"of":"TEST-1","at":"2026-03-02T06:00:00Z","points":[{"machines":4}]}`,
		`{"version":1,"of":"TEST-1","at":"2026-03-02T06:00:00Z","points":[{"rule":"b","machines":5},{"rule":"a","machines":5}]}`, strings.Repeat("x", sisters.MaxBytes+1)} {
		if err := w.log.Append(intakelog.Record{Kind: intakelog.Cohort, Source: "rules", Received: start, Payload: []byte(payload)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.say("M1", `{"values":{"oil_temp":60}}`)
	if err := w.ticker().Write(t.Context(), start, start, start.Add(TickEvery)); err != nil {
		t.Fatal(err)
	}
	_, last := w.log.Bounds()
	j := w.newJob(t)
	j.run(last, false)
	if n := len(j.ledger.outcomes); n == 0 || len(j.ledger.outcomes[0].Seen) != 1 {
		t.Errorf("%+v", j.ledger.outcomes)
	}
}
