package rules

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
)

// benchPack has ten signals and a rule of every kind that looks at values.
const benchPack = `model: bench
signals:
  s0: {unit: "1", role: context}
  s1: {unit: "1", role: context}
  s2: {unit: "1"}
  s3: {unit: "1"}
  s4: {unit: "1"}
  s5: {unit: "1"}
  s6: {unit: "1"}
  s7: {unit: "1"}
  s8: {unit: "1"}
  s9: {unit: "1"}
rules:
  - {id: hot, kind: threshold, signal: s2, above: 1000000.0, hold: 10m, title: hot, title_zh: 热}
  - {id: drift, kind: deviation, signal: s3, context: [s0, s1], min_effect: 1000000.0, learn: 50h, title: drift, title_zh: 漂移}
  - {id: drift2, kind: deviation, signal: s4, context: [s0], min_effect: 1000000.0, learn: 50h, title: drift, title_zh: 漂移}
  - {id: steep, kind: rate, signal: s5, per_hour: {above: 1000000.0}, window: 1h, title: steep, title_zh: 陡}
  - {id: frozen, kind: stuck, signal: s6, after: 100h, tolerance: 0, title: frozen, title_zh: 卡滞}
  - {id: silent, kind: silence, after: 2h, title: silent, title_zh: 失联}
`

// BenchmarkMachine_Observe is one observation of ten signals through the engine
// of one machine; ns/signal is what one value costs.
func BenchmarkMachine_Observe(b *testing.B) {
	pack, err := Parse("bench.yaml", []byte(benchPack))
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		pack    *Pack
		sisters bool
	}{{"pack", pack, false}, {"watcher", nil, false}, {"sisters", nil, true}} {
		b.Run(c.name, func(b *testing.B) {
			m := New("bench", c.pack)
			o := observation.Observation{Machine: "bench", At: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
			for i := range 10 {
				o.Values = append(o.Values, observation.Value{Signal: fmt.Sprintf("s%d", i)})
			}
			cohort := &sisters.Cohort{}
			step := func(n int) {
				o.At = o.At.Add(10 * time.Second)
				if c.sisters && sisters.Due(o.At.Add(-10*time.Second).UnixNano(), o.At.UnixNano()) {
					if len(cohort.Points) == 0 {
						cohort = besideMany(m, o.At)
					}
					cohort.At = o.At
					m.Beside(cohort, o.At)
				}
				for i := range o.Values { // no two values are equal, none leaves its band
					o.Values[i].Value = 50 + math.Mod(float64(n)*0.61803398875*float64(i+1), 1)
				}
				for _, f := range m.Observe(o) {
					if f.Severity != Info { // rows by the million hold something new
						b.Fatalf("found %+v in data without a fault", f)
					}
				}
			}
			for n := range 20_000 { // past the run-in
				step(n)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				step(20_000 + n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/signal")
		})
	}
}

// besideMany is the cohort of seven machines that are where this one is.
func besideMany(m *Machine, at time.Time) *sisters.Cohort {
	var census sisters.Census
	for range 7 {
		census.Add(m.Standings(at, nil))
	}
	if c := census.Cohort("bench", at); c != nil {
		return c
	}
	return &sisters.Cohort{At: at}
}

// languageMachine is a machine that says four signals and a trouble code each ten
// seconds; step lets it say them once more.
func languageMachine(pack *Pack) (*Machine, func()) {
	m := New("bench", pack)
	o := observation.Observation{Machine: "bench", At: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	for i := range 4 {
		o.Values = append(o.Values, observation.Value{Signal: fmt.Sprintf("s%d", i)})
	}
	o.Values = append(o.Values, observation.Value{Signal: "dtc.spn100.fmi1"})
	n := 0
	return m, func() {
		n++
		o.At = o.At.Add(10 * time.Second)
		for i := range 4 {
			o.Values[i].Value = 2 + math.Mod(float64(n)*0.61803398875*float64(i+1), 1)
		}
		m.Observe(o)
	}
}
