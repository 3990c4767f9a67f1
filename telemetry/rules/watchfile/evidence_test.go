package watchfile

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/bundle"
)

const hotPack = "model: m\nlateness: 5m\nsignals: {temp: {unit: Cel}}\nrules:\n- {id: hot, kind: threshold, title: Hot, title_zh: 热, signal: temp, above: 68, hold: 3m}\n"

// Each episode has a bundle, and the same engine finds it again: with the default
// watcher, with a pack, in wide and in long tables, early and long after the run-in.
func TestRun_EpisodesHaveEvidenceThatIsVerified(t *testing.T) {
	t.Parallel()
	pack, err := rules.Parse("p.yaml", []byte(hotPack))
	if err != nil {
		t.Fatal(err)
	}
	engines, err := os.ReadFile(examples + "cmapss-fd001.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		opts Options
	}{
		"watcher": {header + noisy(1000, 600, csvRow), Options{Context: []string{"load"}}},
		"late":    {header + noisy(4000, 3500, csvRow), Options{Context: []string{"load"}}},
		"long":    {longHeader + noisy(1000, 600, longRows("../7")), Options{Context: []string{"load"}}},
		"pack":    {header + noisy(1000, 600, csvRow), Options{Pack: pack}},
		"engines": {string(engines), Options{Time: "none", Group: "unit", Ignore: []string{"cycle", "altitude", "mach", "throttle"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var names []string
			var reports []bundle.Report
			c.opts.Bundle = func(name string, data []byte) error {
				r, err := bundle.Verify(data)
				names, reports = append(names, name), append(reports, r)
				return err
			}
			s, out := watch(t, c.text, c.opts)
			c.opts.Bundle = nil
			if _, without := watch(t, c.text, c.opts); without != out {
				t.Error("the output differs when evidence is kept")
			}
			if len(s.Episodes) == 0 || len(reports) != len(s.Episodes) {
				t.Fatalf("%d bundles of %d episodes", len(reports), len(s.Episodes))
			}
			for i, e := range s.Episodes {
				if r := reports[i]; r.Finding.Rule != e.Rule || r.Finding.Machine != e.Machine || !r.Finding.OpenedAt.Equal(e.OpenedAt) || r.Events > 1024 {
					t.Errorf("%+v\nis not %+v", r, e)
				}
				if stem, ok := strings.CutSuffix(names[i], ".zip"); !ok || strings.ContainsAny(stem, `/\.`) {
					t.Errorf("name %q", names[i])
				}
			}
		})
	}
}

func TestRun_EvidenceThatCannotBeWrittenEndsIt(t *testing.T) {
	t.Parallel()
	full := errors.New("disk is full")
	opts := Options{Context: []string{"load"}, Bundle: func(string, []byte) error { return full }}
	var out bytes.Buffer
	if _, err := Run(t.Context(), strings.NewReader(header+noisy(1000, 600, csvRow)), "a.csv", opts, &out); err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("error %v", err)
	}
}
