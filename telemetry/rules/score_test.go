package rules

import (
	"math"
	"math/rand/v2"
	"testing"
)

// evident says what it is told to say.
type evident struct {
	Evaluator
	says Evidence
}

func (e *evident) Evidence(to *Evidence) {
	to.Signal, to.Causes, to.DaysToLimit = e.says.Signal, e.says.Causes, e.says.DaysToLimit
}

// scored is a machine with some rules in some state.
func scored(random *rand.Rand) *Machine {
	m := New("M1", nil)
	m.slots = nil
	for _, severity := range []Severity{Info, Advice, Warning, Alarm}[:1+random.IntN(4)] {
		s := slot{rule: &Rule{ID: string(severity), Severity: severity}, kind: &Kinds[random.IntN(len(Kinds))]}
		s.nearness, s.dwell.open = 2*random.Float64(), random.IntN(2) == 0
		e := &evident{says: Evidence{Signal: "heat"}}
		for _, name := range []string{"a", "b", "c", "d", "e", "f"}[:random.IntN(7)] {
			e.says.Causes = append(e.says.Causes, Cause{Signal: name, Share: random.Float64()})
		}
		if random.IntN(2) == 0 {
			e.says.DaysToLimit = &[2]float64{120 * random.Float64(), 200}
		}
		s.eval = e
		m.slots = append(m.slots, s)
	}
	return m
}

func TestScore_IsNeverBetterForMoreOfAnything(t *testing.T) {
	t.Parallel()
	worsen := map[string]func(*slot){
		"nearer to its limit": func(s *slot) { s.nearness += 0.2 },
		"a finding opens":     func(s *slot) { s.dwell.open = true },
		"a note becomes one":  func(s *slot) { s.rule = &Rule{ID: s.rule.ID, Severity: Alarm}; s.noted = false },
		"the stop is nearer": func(s *slot) {
			if e := s.eval.(*evident); e.says.DaysToLimit != nil {
				e.says.DaysToLimit = &[2]float64{e.says.DaysToLimit[0] / 2, e.says.DaysToLimit[1]}
			}
		},
	}
	for seed := range uint64(500) {
		for what, worse := range worsen {
			m := scored(rand.New(rand.NewPCG(seed, 4)))
			before, _ := m.Score()
			worse(&m.slots[len(m.slots)-1])
			if after, _ := m.Score(); after > before+1e-9 {
				t.Fatalf("seed %d, %s: the score goes from %v to %v", seed, what, before, after)
			}
		}
	}
}

func TestScore_IsWhatItsContributorsLeave(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		score, contributors := scored(rand.New(rand.NewPCG(seed, 4))).Score()
		lost, last := 0.0, math.Inf(1)
		for _, c := range contributors {
			if c.Loss > last || !(c.Loss > 0) || c.Weight < 0.79*c.Loss/1.5 || c.Signal == "" || c.By == "" {
				t.Fatalf("seed %d: %+v", seed, contributors)
			}
			lost, last = lost+c.Loss, c.Loss
		}
		if math.Abs(score-math.Max(0, 100-lost)) > 1e-9 {
			t.Fatalf("seed %d: score %v, lost %v", seed, score, lost)
		}
	}
}

func TestScore_OfAMachineThatIsWellIs100(t *testing.T) {
	t.Parallel()
	if score, contributors := New("M1", nil).Score(); score != 100 || len(contributors) != 0 {
		t.Errorf("%v, %v", score, contributors)
	}
}

func TestScore_TakesTheTrendInWhereTheMachineWillStop(t *testing.T) {
	t.Parallel()
	for days, want := range map[float64]float64{200: 0, 90: 0, 48.5: 10, 7: 20, 0: 20} {
		if got := trendWeight * urgent(days); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v days: %v, want %v", days, got, want)
		}
	}
}
