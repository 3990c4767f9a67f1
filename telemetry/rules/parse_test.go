package rules

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func example(t testing.TB) *Pack {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "packs", "concrete-pump.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse("concrete-pump.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParse_ReadsTheExamplePack(t *testing.T) {
	t.Parallel()
	p := example(t)
	if p.Model != "BC5430THB-56" || p.Lateness != time.Second || len(p.Signals) != 11 || len(p.Rules) != 15 {
		t.Fatalf("pack %+v", p)
	}
	kinds := map[string]bool{}
	for _, r := range p.Rules {
		kinds[r.Kind] = true
	}
	if len(kinds) != len(Kinds) {
		t.Errorf("the example shows kinds %v, want one rule of each of %d kinds", kinds, len(Kinds))
	}
	r, ok := p.Rule("oil-running-hot")
	if !ok || *r.StopAt != 85 || r.Regime["pump_pressure"] != (Range{80, 400}) || r.Learn.For != 20*time.Hour ||
		r.Verify != (Repair{1.5, 6}) || r.Direction != Up || r.Causes[1].ZH != "风扇马达内泄" {
		t.Errorf("rule %+v", r)
	}
}

func TestParse_NamesEveryFaultWithItsPlaceAndTheNearestName(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/packs/bad/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d bad packs, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse("pack.yaml", text)
			var faults Errors
			if !errors.As(err, &faults) {
				t.Fatalf("error %v, want Errors", err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(file, ".yaml") + ".want")
			if err != nil {
				t.Fatal(err)
			}
			if got := faults.Error() + "\n"; got != string(want) {
				t.Errorf("faults\n%swant\n%s", got, want)
			}
		})
	}
}

func TestParse_RefusesHostileTexts(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nmodel: *c\n"
	for name, text := range map[string]string{
		"too big":          "model: " + strings.Repeat("x", maxPack),
		"deep lists":       "model: " + strings.Repeat("[", 100_000),
		"deep maps":        strings.Repeat("{a: ", 10_000),
		"deep dashes":      strings.Repeat("- ", 10_000) + "a",
		"deep indentation": deepIndentation(3_000),
		"alias bomb":       bomb,
		"zero byte":        "model: \x00",
		"empty":            "",
		"only a comment":   "# nothing",
		"two documents":    "model: a\n---\nmodel: b\n",
		"a list":           "- 1\n- 2\n",
		"a tab":            "\tmodel: x",
		"open quote":       "model: \"x",
		"a tag":            "model: !!binary aGVsbG8=\nsignals: {}\nrules: []",
	} {
		var faults Errors
		if p, err := Parse("pack.yaml", []byte(text)); !errors.As(err, &faults) || p != nil || len(faults) == 0 {
			t.Errorf("%s: pack %v, error %v", name, p, err)
		} else if len(err.Error()) > 20_000 {
			t.Errorf("%s: error of %d bytes", name, len(err.Error()))
		}
	}
}

func deepIndentation(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
		if b.Len() > maxPack {
			break
		}
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/packs/*.yaml")
	bad, _ := filepath.Glob("testdata/packs/bad/*.yaml")
	for _, file := range append(files, bad...) {
		if text, err := os.ReadFile(file); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse("f", text)
		if (p == nil) == (err == nil) {
			t.Fatalf("pack %v and error %v", p, err)
		}
		if p != nil {
			New("m", p)
		}
	})
}

func TestRuleHash_ChangesWithWhatIsFoundAndNotWithItsWords(t *testing.T) {
	t.Parallel()
	p := example(t)
	r := p.Rules[0]
	before := r.Hash()
	r.Title, r.Causes, r.PFDays = "another", nil, 3
	if r.Hash() != before {
		t.Error("a new title restarts the rule")
	}
	r.MinEffect++
	if r.Hash() == before {
		t.Error("a new limit does not restart the rule")
	}
}
