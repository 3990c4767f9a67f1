package gate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/backtest"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

const packText = `model: TEST-1
name: A machine of the tests
name_zh: 测试机
signals:
  oil_temp:  {unit: Cel, plausible: [-45, 150], label: Oil temperature, label_zh: 油温}
  load:      {unit: "1", role: context, label: Load, label_zh: 负荷}
rules:
  - id: oil-hot
    kind: threshold
    component: cooler
    failure_mode: fouled_cooler
    title: Oil too hot
    title_zh: 油温过高
    severity: warning
    signal: oil_temp
    above: 90
`

const silentText = packText + `  - id: says-nothing
    kind: silence
    failure_mode: no_data
    title: No data
    title_zh: 无数据
    severity: warning
    after: 24h
`

func parsed(t testing.TB, text string) *rules.Pack {
	t.Helper()
	pack, err := rules.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return pack
}

func day(n float64) time.Time {
	return telemetrytest.Start.Add(time.Duration(n * 24 * float64(time.Hour)))
}

// plant writes the oil temperature of a machine, every two hours of its days, hot for
// six hours from each of some days on.
func plant(t testing.TB, store history.Store, m Machine, days int, hot ...float64) {
	t.Helper()
	var points []history.Point
	for row := range days*12 + 1 {
		at := day(float64(row) / 12)
		temp := 70 + 3*math.Sin(float64(row))
		for _, from := range hot {
			if since := at.Sub(day(from)); since >= 0 && since < 6*time.Hour {
				temp = 95 + math.Sin(float64(row))
			}
		}
		points = append(points, history.Point{Machine: m.Key, MachineNo: m.No, At: at,
			Values: []observation.Value{{Signal: "oil_temp", Value: temp}, {Signal: "load", Value: math.Cos(float64(row))}}})
	}
	if err := store.Write(telemetrytest.Program(t.Context()), points); err != nil {
		t.Fatal(err)
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) < 0.01) {
		t.Errorf("%s is %v, by hand %v", what, got, want)
	}
}

// Two machines of 100 days in a real history, with planted faults. By hand: flags at
// days 20, 45 and 84 of A and 95 of B. A's cooler failed on days 30 and 90, its
// bearing on day 50; B's cooler on days 40 and 99. A flag finds a fault within 30
// days after it; day 70 parts older from newer.
func TestJudge_NumbersAreThoseByHand(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	store := history.NewPostgres(pool)
	a, b, silent := Machine{Key: "A"}, Machine{Key: "B"}, Machine{Key: "C", No: 99, ID: uuid.New()}
	a.ID, a.No = telemetrytest.AddMachine(t, pool, "A")
	b.ID, b.No = telemetrytest.AddMachine(t, pool, "B")
	plant(t, store, a, 100, 20, 45, 84)
	plant(t, store, b, 100, 95)
	faults := []Fault{{a.ID, "fouled_cooler", day(30)}, {a.ID, "bearing", day(50)}, {a.ID, "fouled_cooler", day(90)}, {b.ID, "fouled_cooler", day(40)}, {b.ID, "fouled_cooler", day(99)},
		{b.ID, "fouled_cooler", day(-3)}} // before anything is stored
	got, err := Judge(telemetrytest.Program(t.Context()), Subject{Pack: parsed(t, packText)}, []Machine{a, b, silent}, day(200), faults, Standard, store.Rows)
	if err != nil {
		t.Fatal(err)
	}
	if got.Machines != 2 || got.Silent != 1 || got.Rows != 2*1201 || got.Unplaced != 1 || len(got.RuleTable) != 1 || got.RowNanos <= 0 {
		t.Fatalf("%+v", got)
	}
	all := got.Result.All
	if all.Faults != 5 || all.Recall.Part != 4 || all.Flags != 4 || all.Precision.Part != 4 || all.Hours != 12 {
		t.Errorf("all %+v", all)
	}
	near(t, "machine-days", all.Days, 200)
	near(t, "flags in 100 machine-days", all.Per100Days, 2)
	near(t, "median lead", float64(all.LeadMedian), 5*24) // of 10, 5, 6, none, 4 days
	near(t, "10th percentile of the lead", float64(all.LeadP10), 0)
	newer := got.Result.Newer
	if newer.Faults != 2 || newer.Recall.Part != 2 || newer.Flags != 2 || newer.Precision.Part != 2 {
		t.Errorf("newer %+v", newer)
	}
	near(t, "newer machine-days", newer.Days, 60)
	near(t, "newer precision, lower end", float64(newer.Precision.Low), 2/(2+1.959964*1.959964)) // Wilson of 2 of 2
	near(t, "newer median lead", float64(newer.LeadMedian), 5*24)                                // of 6 and 4 days
	rule := got.RuleTable[0]
	if rule.Rule != "oil-hot" || rule.Hash == "" || rule.Result.All.Faults != 4 || rule.Result.All.Recall.Part != 3 || rule.Result.All.Precision.Part != 3 {
		t.Errorf("the rule alone: %+v", rule)
	}
}

// What waits for nothing to happen is asked on the grid of the live engine.
func TestJudge_SilenceIsFoundInAGap(t *testing.T) {
	t.Parallel()
	var list []observation.Observation
	for _, h := range []int{0, 1, 2, 60, 61} {
		list = append(list, observation.Observation{At: day(0).Add(time.Duration(h) * time.Hour), Values: []observation.Value{{Signal: "oil_temp", Value: 70}}})
	}
	rows := func(_ context.Context, _ history.Ref, from, _ time.Time, _ int) ([]observation.Observation, error) {
		return list, nil
	}
	m := Machine{ID: uuid.New(), Key: "A", No: 1}
	got, err := Judge(t.Context(), Subject{Pack: parsed(t, silentText), Rule: "says-nothing"}, []Machine{m}, day(9), []Fault{{m.ID, "no_data", day(2)}}, Standard, rows)
	if err != nil || len(got.RuleTable) != 1 || got.Result.All.Flags != 1 || got.Result.All.Recall.Part != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	near(t, "lead", float64(got.Result.All.LeadMedian), 48-26-1.0/60) // silent since hour 2; after 24 h the next minute says so
}

func TestJudge_SaysWhatCannotBeJudged(t *testing.T) {
	t.Parallel()
	none := func(context.Context, history.Ref, time.Time, time.Time, int) ([]observation.Observation, error) {
		return nil, nil
	}
	m := []Machine{{Key: "A"}}
	if _, err := Judge(t.Context(), Subject{Pack: parsed(t, packText), Rule: "nothing"}, m, day(1), nil, Standard, none); problem.Of(err) != problem.NotFound {
		t.Errorf("an unknown rule: %v", err)
	}
	if _, err := Judge(t.Context(), Subject{}, m, day(1), nil, Standard, none); problem.Of(err) != problem.Conflict {
		t.Errorf("an empty history: %v", err)
	}
	one := func(context.Context, history.Ref, time.Time, time.Time, int) ([]observation.Observation, error) {
		return []observation.Observation{{At: day(0)}}, nil
	}
	if _, err := Judge(t.Context(), Subject{}, m, day(1), nil, backtest.Terms{}, one); problem.Of(err) != problem.Invalid {
		t.Errorf("terms that cannot be: %v", err)
	}
}

const besideText = `model: TEST-1
name: A machine of the tests
name_zh: 测试机
signals:
  oil_temp: {unit: Cel}
rules:
  - {id: warm, kind: deviation, title: Warm, title_zh: 热, signal: oil_temp, learn: 5d, smooth: 6h, min_effect: 4, hold: 6h}
  - {id: warmer, kind: sisters, title: Warmer than sisters, title_zh: 热于同型, signal: oil_temp, learn: 5d, smooth: 6h, min_effect: 4, hold: 6h}
`

// One of eight machines becomes warm on day 30, and all of them on day 45 by the weather:
// rules on the machine's own normal flag all, rules on sisters the one. Three sisters say
// nothing.
func TestJudge_ComparesMachinesWithTheirSisters(t *testing.T) {
	t.Parallel()
	rows := func(_ context.Context, m history.Ref, from, to time.Time, limit int) (list []observation.Observation, _ error) {
		for row := range 60 * 24 {
			at := day(float64(row) / 24)
			if at.Before(from) || !at.Before(to) || len(list) == limit {
				continue
			}
			temp := 60 + math.Sin(float64(row*m.No)) + 9*math.Max(0, math.Min(1, float64(row)/24-45))
			if m.Key == "M2" && row >= 30*24 {
				temp += 8
			}
			list = append(list, observation.Observation{At: at, Values: []observation.Value{{Signal: "oil_temp", Value: temp}}})
		}
		return list, nil
	}
	var all []Machine
	for i := range 8 {
		all = append(all, Machine{ID: uuid.New(), Key: string(rune('M')) + string(rune('1'+i)), No: i + 1})
	}
	faults := []Fault{{all[1].ID, "warmer", day(35)}}
	for _, c := range []struct{ machines, own, beside int }{{8, 8, 1}, {4, 4, 0}} {
		got, err := Judge(t.Context(), Subject{Pack: parsed(t, besideText)}, all[:c.machines], day(60), faults, Standard, rows)
		if err != nil || len(got.RuleTable) != 2 {
			t.Fatalf("%+v, %v", got, err)
		}
		if own, beside := got.RuleTable[0].Result.All, got.RuleTable[1].Result.All; own.Flags != c.own || beside.Flags != c.beside || beside.Recall.Part != c.beside {
			t.Errorf("of %d machines %d were flagged by themselves and %d beside their sisters, %d of them rightly: want %+v", c.machines, own.Flags, beside.Flags, beside.Recall.Part, c)
		}
		if got.Rows != int64(c.machines*60*24) {
			t.Errorf("%d rows", got.Rows)
		}
	}
}

// Sisters are of one model, as live: a heat wave at the site of one model's machines is
// not hidden, nor made a fault, by those of another elsewhere.
func TestJudge_SistersAreOfOneModel(t *testing.T) {
	t.Parallel()
	rows := func(_ context.Context, m history.Ref, from, to time.Time, limit int) (list []observation.Observation, _ error) {
		for row := range 30 * 96 {
			at := day(float64(row) / 96)
			if at.Before(from) || !at.Before(to) || len(list) == limit {
				continue
			}
			rng := rand.New(rand.NewPCG(uint64(row), uint64(m.No))) //nolint:gosec // small numbers
			temp := 60 + 0.3*rng.NormFloat64()
			if m.Key < "N" {
				temp += 2 * math.Max(0, math.Min(1, (float64(row)/96-20)/2))
			}
			list = append(list, observation.Observation{At: at, Values: []observation.Value{{Signal: "oil_temp", Value: temp}, {Signal: "flow", Value: 9 + 0.1*rng.NormFloat64()}}})
		}
		return list, nil
	}
	var all []Machine
	for i := range 6 {
		all = append(all, Machine{ID: uuid.New(), Key: fmt.Sprint("M", i), No: i, Model: "pump"}, Machine{ID: uuid.New(), Key: fmt.Sprint("N", i), No: 10 + i, Model: "crane"})
	}
	judge := func(list []Machine) int {
		got, err := Judge(t.Context(), Subject{Rule: rules.WatcherID}, list, day(30), nil, Standard, rows)
		if err != nil {
			t.Fatal(err)
		}
		return got.Result.All.Flags
	}
	if n := judge(all); n != 0 {
		t.Errorf("a heat wave of all pumps: %d flags, want notes", n)
	}
	for i := range all {
		all[i].Model = ""
	}
	if n := judge(all); n != 6 {
		t.Errorf("machines of no model have no sisters: %d flags, want those of 6 machines", n)
	}
}
