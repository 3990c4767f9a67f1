package prognosis

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// worn is a fleet whose machines fail at a wear of 1. Wear shows in two of four signals;
// with settings, levels jump with the work that is done.
func worn(seed uint64, machines int, settings bool) []Life {
	n := rand.New(rand.NewPCG(seed, 3))
	lives := make([]Life, machines)
	for i := range lives {
		lives[i].Machine = fmt.Sprint(i + 1)
		from, rate := 40+60*n.Float64(), 0.008+0.008*n.Float64()
		for age, wear := 1.0, 0.0; wear < 1; age++ {
			wear = math.Max(0, (age-from)*rate)
			work := 0.0
			if settings {
				work = float64(n.IntN(3)) * 20
			}
			v := []float64{
				600 + work + 3*wear*wear + 0.3*n.NormFloat64(), 50 - work/10 - 2*wear + 0.2*n.NormFloat64(),
				7 + n.NormFloat64(), 100,
			}
			if settings {
				v = append(v, work)
			}
			lives[i].Rows = append(lives[i].Rows, Row{Age: age, Values: v})
		}
	}
	return lives
}

func names(settings bool) Options {
	o := Options{Signals: []string{"heat", "flow", "noise", "constant"}}
	if settings {
		o.Contexts = []string{"work"}
	}
	return o
}

// plain and settled are trained once; nobody changes them.
var (
	plain   = sync.OnceValues(func() (*Model, error) { return Train(worn(1, 30, false), names(false)) })
	settled = sync.OnceValues(func() (*Model, error) { return Train(worn(1, 30, true), names(true)) })
)

func trained(t testing.TB, settings bool) *Model {
	t.Helper()
	model := plain
	if settings {
		model = settled
	}
	m, err := model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// judge follows machines that the model has not seen: error, that of their mean life less
// their age, and how often the truth lay in the interval.
func judge(m *Model, lives []Life) (rmse, byAge, covered float64) {
	n := 0.0
	for i := range lives {
		f := m.Follow()
		for j := range lives[i].Rows {
			r := &lives[i].Rows[j]
			e, ok := f.Observe(r)
			if !ok {
				continue
			}
			left := math.Min(m.Cap, lives[i].last()-r.Age)
			rmse += (e.Remaining - left) * (e.Remaining - left)
			byAge += math.Pow(clamp(m.Typical-r.Age, m.Cap)-left, 2)
			if left >= e.Low-1e-6 && left <= e.High+1e-6 {
				covered++
			}
			n++
		}
	}
	return math.Sqrt(rmse / n), math.Sqrt(byAge / n), covered / n
}

func TestModel_KnowsTheLifeOfMachinesThatItHasNotSeen(t *testing.T) {
	t.Parallel()
	for _, settings := range []bool{false, true} {
		m := trained(t, settings)
		rmse, byAge, covered := judge(m, worn(2, 30, settings))
		if 3*rmse > 2*byAge || covered < Coverage-0.1 {
			t.Errorf("settings %v: error %.1f of %.1f, beside %.1f without a look at a signal; covered %.2f", settings, rmse, m.Cap, byAge, covered)
		}
		if math.Abs(m.Accuracy.RMSE-rmse) > 0.4*rmse || m.Accuracy.Covered < Coverage-0.1 {
			t.Errorf("settings %v: it says of itself %+v, and the error is %.1f", settings, m.Accuracy, rmse)
		}
	}
}

func TestTrain_TheSameLivesGiveTheSameModel(t *testing.T) {
	t.Parallel()
	again, err := Train(worn(1, 30, true), names(true))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Encode(), trained(t, true).Encode()) {
		t.Error("two trainings on the same lives differ")
	}
}

func TestModel_GoesThroughBytesUnchanged(t *testing.T) {
	t.Parallel()
	for _, settings := range []bool{false, true} {
		m := trained(t, settings)
		b := m.Encode()
		again, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.Encode(), b) || again.Hash() != m.Hash() || len(b) > 130<<10 {
			t.Errorf("%d bytes, hash %s then %s", len(b), m.Hash(), again.Hash())
		}
		if !reflect.DeepEqual(said3(m, worn(5, 1, settings)[0]), said3(again, worn(5, 1, settings)[0])) {
			t.Error("what was read says something else than what was written")
		}
	}
}

// said3 is all that is said of a life.
func said3(m *Model, l Life) []Estimate {
	var list []Estimate
	f := m.Follow()
	for j := range l.Rows {
		e, _ := f.Observe(&l.Rows[j])
		list = append(list, e)
	}
	return list
}

func TestFollower_SaysOfAPrefixWhatItSaysWhenTheRestFollows(t *testing.T) {
	t.Parallel()
	m, life := trained(t, true), worn(6, 1, true)[0]
	whole := said3(m, life)
	for cut := range life.Rows {
		part := said3(m, Life{Rows: life.Rows[:cut]})
		if len(part) > 0 && !reflect.DeepEqual(part, whole[:cut]) {
			t.Fatalf("after %d rows", cut)
		}
	}
}

func TestFollower_GoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	m, life := trained(t, true), worn(6, 1, true)[0]
	whole, f := said3(m, life), m.Follow()
	for j := range life.Rows {
		restarted := m.Follow()
		if err := restarted.Restore(f.Snapshot(nil)); err != nil {
			t.Fatal(err)
		}
		f = restarted
		if e, _ := f.Observe(&life.Rows[j]); e != whole[j] {
			t.Fatalf("row %d: %v, without a restart %v", j+1, e, whole[j])
		}
	}
	if err := m.Follow().Restore(f.Snapshot(nil)[1:]); err == nil {
		t.Error("a cut state was taken")
	}
}

func TestFollower_IntervalHoldsWhatItSaysAndEndsAtTheCap(t *testing.T) {
	t.Parallel()
	m := trained(t, false)
	for _, e := range said3(m, worn(7, 1, false)[0])[int(m.memory.fast):] {
		if !(0 <= e.Low && e.Low <= e.Remaining && e.Remaining <= e.High && e.High <= m.Cap) || e.More != (e.High >= m.Cap*(1-1e-9)) {
			t.Fatalf("%+v, cap %v", e, m.Cap)
		}
	}
}

func TestFollower_SaysNothingWhereNothingWasLearnt(t *testing.T) {
	t.Parallel()
	m, f := trained(t, true), trained(t, true).Follow()
	life := worn(8, 1, true)[0]
	for j := range life.Rows {
		f.Observe(&life.Rows[j])
	}
	before := f.Snapshot(nil)
	for _, work := range []float64{70, math.NaN()} {
		if e, ok := f.Observe(&Row{Age: 5, Values: []float64{1, 2, 3, 4, work}}); ok {
			t.Errorf("at work of %v it says %v", work, e)
		}
	}
	if !bytes.Equal(before, f.Snapshot(nil)) {
		t.Error("rows of unknown circumstances were learnt from")
	}
	nothing := filled(5, math.NaN())
	nothing[4] = 20
	if e, ok := f.Observe(&Row{Age: 200, Values: nothing}); !ok || e.Remaining > m.Cap {
		t.Errorf("of a row without values it says %v, %v", e, ok)
	}
}

func TestFollower_AllocatesNothing(t *testing.T) {
	m, life := trained(t, true), worn(6, 1, true)[0]
	f := m.Follow()
	j := 0
	if n := testing.AllocsPerRun(100, func() { f.Observe(&life.Rows[j]); j++ }); n > 0 {
		t.Errorf("%v allocations a row", n)
	}
}

func TestTrain_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	short := worn(1, 12, false)
	short[3].Rows = short[3].Rows[:4]
	back := worn(1, 12, false)
	back[2].Rows[9].Age = 1
	still := worn(1, 12, false)
	each(still, func(r *Row) { copy(r.Values, []float64{1, 2, 3, 4}) })
	for want, c := range map[string]struct {
		lives []Life
		opts  Options
	}{
		"9 machines":        {worn(1, 9, false), names(false)},
		"machine 4: 4 row":  {short, names(false)},
		"machine 3: row 10": {back, names(false)},
		"0 signals":         {worn(1, 12, false), Options{}},
		"cap of -1":         {worn(1, 12, false), Options{Signals: names(false).Signals, Cap: -1}},
		"no signal moves":   {still, names(false)},
	} {
		if _, err := Train(c.lives, c.opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

func TestDecode_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	whole := trained(t, false).Encode()
	turn := func(at int) []byte {
		b := bytes.Clone(whole)
		b[at] ^= 4
		return b
	}
	for want, b := range map[string][]byte{
		"not a model": []byte("a,b\n1,2\n"), "is cut": whole[:header-1], "format": turn(len(magic)),
		"hash": turn(len(whole) - 1), "hash says": whole[:len(whole)-9], "larger": append(bytes.Clone(whole), make([]byte, MaxBytes)...),
	} {
		if _, err := Decode(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

// FuzzDecode: whatever is read can be followed to its end, and is written as it was read.
func FuzzDecode(f *testing.F) {
	for _, settings := range []bool{false, true} {
		m, err := Decode(trained(f, settings).Encode()) // a copy
		if err != nil {
			f.Fatal(err)
		}
		m.known.forests, m.late = m.known.forests[:1], head{}
		m.known.forests[0].trees = m.known.forests[0].trees[:3]
		f.Add(m.content())
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		r := &reader{b: content}
		m := r.model()
		if r.bad || len(r.b) > 0 {
			return
		}
		follower := m.Follow()
		values := make([]float64, len(m.Signals)+len(m.Contexts))
		for i := range 40 {
			for j := range values {
				values[j] = float64(i*j%7) * 1e3
			}
			follower.Observe(&Row{Age: float64(i), Values: values})
		}
		again, err := Decode(m.Encode())
		if err != nil || !bytes.Equal(again.content(), m.content()) {
			t.Errorf("read again: %v", err)
		}
	})
}

func BenchmarkFollower_Observe(b *testing.B) {
	m, life := trained(b, true), worn(6, 1, true)[0]
	f := m.Follow()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f.Observe(&life.Rows[i%len(life.Rows)])
	}
}

func BenchmarkTrain(b *testing.B) {
	lives := worn(1, 30, true)
	for b.Loop() {
		if _, err := Train(lives, names(true)); err != nil {
			b.Fatal(err)
		}
	}
}

// Of a machine that wears in a way that no machine of the fleet did, nothing is said; of
// those that wear as it did, it is.
func TestFollower_SaysNothingOfAWearThatItHasNotSeen(t *testing.T) {
	t.Parallel()
	m := trained(t, false)
	n := rand.New(rand.NewPCG(4, 3))
	said, rows := 0, 0
	for _, l := range worn(3, 20, false) {
		f := m.Follow()
		for j := range l.Rows {
			if f.Observe(&l.Rows[j]); f.Why() == Unlike {
				said++
			}
			rows++
		}
	}
	if said*100 > rows {
		t.Errorf("%d of %d rows of machines of the fleet's kind are called unlike it", said, rows)
	}
	for i := range 10 {
		f, life := m.Follow(), worn(uint64(20+i), 1, false)[0]
		for j := range life.Rows { // its heat rises and its flow too, which went down
			heat := 3 * float64(j) / float64(len(life.Rows))
			life.Rows[j].Values = []float64{600 + heat + 0.3*n.NormFloat64(), 50 + 2*heat/3 + 0.2*n.NormFloat64(), 7 + n.NormFloat64(), 100}
			f.Observe(&life.Rows[j])
		}
		if f.Why() != Unlike {
			t.Errorf("machine %d: %q at the end of another wear", i, f.Why())
		}
	}
}

// A machine that is heard first in the middle of its life is asked of what was learnt of
// such ones, with an interval that is as wide as it must be.
func TestFollower_KnowsMachinesThatItHearsInTheMiddle(t *testing.T) {
	t.Parallel()
	m := trained(t, false)
	if !(m.Late.RMSE > m.Accuracy.RMSE && m.Late.RMSE < 0.8*m.Late.ByAge) || m.Late.Covered < Coverage-0.05 {
		t.Errorf("heard late: %+v, from new: %+v", m.Late, m.Accuracy)
	}
	var fleet []Life
	for _, l := range worn(2, 30, false) {
		for j := range l.Rows {
			if l.Rows[j].Age > m.Typical/2 {
				fleet = append(fleet, Life{l.Machine, l.Rows[j:]})
				break
			}
		}
	}
	rmse, byAge, covered := judge(m, fleet)
	if rmse > 0.8*byAge || covered < Coverage-0.1 {
		t.Errorf("error %.1f beside %.1f, covered %.2f; it says of itself %+v", rmse, byAge, covered, m.Late)
	}
	f := m.Follow()
	for j := range fleet[0].Rows {
		f.Observe(&fleet[0].Rows[j])
	}
	if f.FromNew() {
		t.Error("it is taken to be followed from new")
	}
}

func TestFollower_SaysNothingWhereSignalsAreMissing(t *testing.T) {
	t.Parallel()
	m, life := trained(t, false), worn(8, 1, false)[0]
	f := m.Follow()
	for j := range life.Rows {
		if j > 60 {
			life.Rows[j].Values[0], life.Rows[j].Values[1] = math.NaN(), math.NaN()
		}
		f.Observe(&life.Rows[j])
	}
	if f.Why() != Missing {
		t.Errorf("two of four signals are gone: %q", f.Why())
	}
}
