package rules

import (
	"math"
	"slices"
	"strings"
	"testing"
)

var formulaNames = []string{"a", "b", "c", "dtc.red_stop", "x-1", "压力"}

// formulaValues is a=6, b=4, of c nothing is known.
func formulaValues(f *formula) *[maxList]float64 {
	var values [maxList]float64
	for i, s := range f.signals {
		values[i] = map[string]float64{"a": 6, "b": 4, "c": math.NaN(), "dtc.red_stop": 1, "x-1": 7, "压力": 8}[s]
	}
	return &values
}

func TestFormula_Computes(t *testing.T) {
	t.Parallel()
	unknown := math.NaN()
	for text, want := range map[string]float64{
		"a + b * 2": 14, "(a + b) * 2": 20, "-a ** 2": -36, "a ^ 2": 36, "a % b": 2, "a / b": 1.5, "a - b - 1": 1,
		"abs(b - a)": 2, "min(a, b)": 4, "max(a, b, 9)": 9, "clamp(a, 1, 5)": 5, "clamp(a, 5, 1)": unknown,
		"floor(a / b)": 1, "ceil(a / b)": 2, "round(a / b)": 2, "sqrt(a - 2 )": 2, "sqrt(-a)": unknown,
		"exp(ln(a))": math.Exp(math.Log(6)), "log10(a * 0 + 100)": 2, "ln(a - 6)": unknown, "exp(a * 1000)": unknown,
		"a / 0": unknown, "a % 0": unknown, "c": unknown, "c + 1": unknown, "max(a, c)": unknown,
		"a > b": 1, "a < b": 0, "a >= 6": 1, "a <= 5": 0, "a == 6": 1, "a != 6": 0, "1 < b < a": 1, "a > c": unknown,
		"a > 1 and b > 1": 1, "a > 1 && b > 9": 0, "a > 9 || b > 1": 1, "not (a > 1)": 0, "!(a > 9)": 1,
		"c > 1 and a > 9": 0, "c > 1 and a > 1": unknown, "c > 1 or a > 1": 1, "c > 1 or a > 9": unknown, "not (c > 1)": unknown,
		"known(c)": 0, "known(a)": 1, "c ?? a": 6, "b ?? a": 4, "a > b ? a : b": 6, "c > 1 ? a : b": unknown, "known(c) ? c : b": 4,
		"dtc.red_stop > 0": 1, `value("x-1") + 1`: 8, "压力 * 2": 16, "(a > 1) == (b > 1)": 1,
	} {
		f, faults := compile(text, formulaNames)
		if len(faults) > 0 {
			t.Errorf("%s: %v", text, faults)
			continue
		}
		if got := f.run(formulaValues(f)); got != want && !(got != got && want != want) {
			t.Errorf("%s = %g, want %g", text, got, want)
		}
	}
}

func FuzzFormula(f *testing.F) {
	for _, text := range []string{"a + b > 1", "known(c) ? c : b", "a?.b[1:2]", "let x = 1; x", "min(a, b, c)", strings.Repeat("(", 200), "a |", "#", "a not in b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > maxFormula {
			return
		}
		program, faults := compile(text, formulaNames)
		if (program == nil) == (len(faults) == 0) {
			t.Fatalf("program %v and faults %v", program, faults)
		}
		if program == nil {
			return
		}
		values := formulaValues(program)
		got := program.run(values)
		if math.IsInf(got, 0) || program.boolean && got != 0 && got != 1 && got == got {
			t.Fatalf("%s = %g, boolean %v", text, got, program.boolean)
		}
		if again := program.run(values); math.Float64bits(again) != math.Float64bits(got) && got == got {
			t.Fatalf("%s = %g and %g", text, got, again)
		}
	})
}

// TestStandards_AreInOrder holds what the evaluators rely on.
func TestStandards_AreInOrder(t *testing.T) {
	t.Parallel()
	for _, z := range vibrationZones {
		if !(0 < z.begin[0] && z.begin[0] < z.begin[1] && z.begin[1] < z.begin[2]) {
			t.Errorf("zones of %s do not rise", z.name)
		}
	}
	if len(particles) != 29 || !slices.IsSorted(particles[:]) {
		t.Errorf("%d codes of particles", len(particles))
	}
	for count, want := range map[float64]int{0: 0, 0.01: 0, 1.28: 7, 1.3: 7, 1.31: 8, 2500: 18, 2501: 19, 640: 16, 80: 13, 3e6: 29} {
		if got := cleanlinessCode(count); got != want {
			t.Errorf("code of %g particles is %d, want %d", count, got, want)
		}
	}
	codes := failureModes()
	if !slices.IsSorted(codes) || len(slices.Compact(slices.Clone(codes))) != len(codes) {
		t.Error("failure modes are not in order, or doubled")
	}
	for _, m := range FailureModes {
		if len(m.Code) != 3 || m.Name.EN == "" || m.Name.ZH == "" {
			t.Errorf("failure mode %+v", m)
		}
	}
}

// languagePack has a rule of each kind that looks at several things at once.
const languagePack = `model: bench
signals: {s0: {unit: "1"}, s1: {unit: mm/s}, s2: {unit: /mL}, s3: {unit: /mL}}
conditions: {fast: {any: [{signal: s0, above: 1000000.0}, {expr: s1 > 1000000.0}]}}
rules:
  - {id: formula, kind: expression, expr: "s0 / max(s1, 1) + sqrt(s2) > 1000000.0 and s3 > 0", title: t, title_zh: 题}
  - {id: ratio, kind: threshold, expr: s0 / s1, above: 1000000.0, title: t, title_zh: 题}
  - {id: zone, kind: zones, signal: s1, standard: iso10816-1/class-4, zone: D, regime: {s0: [0, 1]}, title: t, title_zh: 题}
  - {id: dirt, kind: cleanliness, signals: [s2, s3], target: 20/20, title: t, title_zh: 题}
  - {id: code, kind: codes, codes: ["dtc.*"], count: 3, window: 1h, title: t, title_zh: 题}
  - {id: both, kind: combined, when: {all: [{is: fast}, {not: {signal: s2, above: 1, hold: 1m}}, {kind: rate, signal: s3, per_hour: {above: 1000000.0}, window: 1h}]}, title: t, title_zh: 题}
`

func TestLanguage_AllocatesNothing(t *testing.T) {
	pack, err := Parse("language.yaml", []byte(languagePack))
	if err != nil {
		t.Fatal(err)
	}
	m, step := languageMachine(pack)
	for range 5_000 {
		step()
	}
	if n := testing.AllocsPerRun(2_000, func() { step() }); n != 0 {
		t.Errorf("%g allocations an observation of a warm machine", n)
	}
	if open := m.Open(); len(open) != 0 {
		t.Errorf("found %+v", open)
	}
}

func BenchmarkLanguage_Observe(b *testing.B) {
	pack, err := Parse("language.yaml", []byte(languagePack))
	if err != nil {
		b.Fatal(err)
	}
	for _, rule := range pack.Rules {
		one := *pack
		one.Rules, one.layout = []Rule{rule}, nil
		one.layout = newLayout(&one)
		b.Run(rule.Kind+"/"+rule.ID, func(b *testing.B) {
			_, step := languageMachine(&one)
			for range 5_000 {
				step()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				step()
			}
		})
	}
}
