package datasets

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/thirdstate/thirdstate/telemetry/rules"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

// figures are those of the fixture.
var figures = sync.OnceValues(func() (Result, error) { return Measure(context.Background(), fixture()) })

func measured(t *testing.T, fsys fs.FS) Result {
	t.Helper()
	result, err := Measure(t.Context(), fsys)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// said is all that the watcher writes about a text, a line a row.
func said(t *testing.T, r run, text string) string {
	t.Helper()
	var out bytes.Buffer
	opts := r.opts
	opts.Format = watchfile.NDJSON
	if _, err := watchfile.Run(t.Context(), strings.NewReader(text), r.name, opts, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func text(t *testing.T, r run) string {
	t.Helper()
	f, err := r.open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// runs are those of all families in a folder.
func runs(t *testing.T, fsys fs.FS) []run {
	t.Helper()
	d, err := look(fsys)
	if err != nil {
		t.Fatal(err)
	}
	var all []run
	for _, f := range families() {
		sets, err := f.find(d)
		if err != nil {
			t.Fatal(err)
		}
		if len(sets) == 0 {
			t.Errorf("the fixture has nothing of family %s", f.name)
		}
		for _, s := range sets {
			if len(s.runs) == 0 && s.judge == nil {
				t.Errorf("%s has nothing to judge", s.name)
			}
			all = append(all, s.runs...)
		}
	}
	return all
}

func TestWatcher_SaysOfAPrefixWhatItSaysWhenTheRestFollows(t *testing.T) {
	t.Parallel()
	all := runs(t, fixture())
	if dir := os.Getenv("DETECTION_DATA"); dir != "" { // the real ones, which are not in this repository
		all = append(all, runs(t, os.DirFS(dir))...)
	}
	for _, r := range all {
		whole := text(t, r)
		lines := strings.SplitAfter(whole, "\n")
		full := said(t, r, whole)
		for _, share := range []int{4, 8} {
			prefix := strings.Join(lines[:len(lines)*share/10], "")
			if got := said(t, r, prefix); !strings.HasPrefix(full, got) || strings.Count(got, "\n") < len(lines)/4 {
				t.Errorf("%s: of the first %d0 %% of the rows it says something else than when the rest follows", r.name, share)
			}
		}
	}
}

func TestWatcher_SeesNoLabelAndNoFileName(t *testing.T) {
	t.Parallel()
	plain := fixture()
	turned := fstest.MapFS{}
	for name, f := range plain {
		turned[name] = f
	}
	delete(turned, "pump/one.csv.gz")
	swap := strings.NewReplacer(";1.0;0.0\n", ";0.0;1.0\n", ";0.0;0.0\n", ";1.0;0.0\n")
	turned["pump/anomaly-free.csv.gz"] = &fstest.MapFile{Data: zipped(swap.Replace(pump(1, true)))}
	of := func(fsys fs.FS, name string) string {
		for _, r := range runs(t, fsys) {
			if r.name == name {
				return said(t, r, text(t, r))
			}
		}
		t.Fatalf("%s is in no set", name)
		return ""
	}
	if of(plain, "pump/one.csv.gz") != of(turned, "pump/anomaly-free.csv.gz") {
		t.Error("the watcher says something else when labels and file name are others")
	}
}

func TestMeasure_FindsWhatIsPlainAndBeatsTheClock(t *testing.T) {
	t.Parallel()
	result, err := figures()
	if err != nil {
		t.Fatal(err)
	}
	again := measured(t, fixture())
	if fmt.Sprint(result) != fmt.Sprint(again) { // what has no value is not equal to itself
		t.Errorf("first %v, then %v", result, again)
	}
	if len(result.Missing)+len(result.Unknown) != 0 {
		t.Errorf("missing %q, unknown %q", result.Missing, result.Unknown)
	}
	lines := map[string]Line{}
	for _, l := range result.Lines {
		lines[l.Set+": "+l.Figure] = l
	}
	for name, least := range map[string]float64{
		"SKAB, 4 channels: F1":                                     0.7,
		"SKAB, thermal channels explain: F1":                       0.7,
		"C-MAPSS FD001: engines warned 150 to 20 flights ahead, %": 100,
		"NAB, 1 files: score, standard":                            80,
		"TEP without faults 3, 9, 15: faults found, %":             100,
		"TEP, 1 faults with a known root: root named first, %":     100,
		"BATADAL: attacks found, %":                                100,
		"FEMTO: bearings warned 2 h to 10 min ahead, %":            100,
		"IMS test2: failed bearings warned 120 to 32 h ahead, %":   100,
		"IMS test2: a failed bearing opens first, %":               100,
		"SMAP-like, 1 channels: event F1":                          1,
		"event log: failures announced 24 h to 1 h ahead, %":       95,
		"event log: precision of episodes, %":                      95,
	} {
		l, known := lines[name]
		if !known || l.Watcher < least || l.Watcher < 1.1*l.Clock || l.Watcher < 1.1*l.Always {
			t.Errorf("%s is %.2f, want %.2f; clock %.2f, always %.2f", name, l.Watcher, least, l.Clock, l.Always)
		}
	}
	for _, l := range result.Lives {
		if strings.Contains(l.Figure, "RMSE") && !(l.Watcher < 0.5*l.Clock && l.Watcher < 0.5*l.Always) {
			t.Errorf("%s: %s is %.1f, mean life less age %.1f, constant %.1f", l.Set, l.Figure, l.Watcher, l.Clock, l.Always)
		}
	}
	if len(result.Lives) == 0 {
		t.Error("remaining life was not measured")
	}
	// 100 of the 300 judged rows are labelled: always is 2*100/(2*100+200).
	if l := lines["SKAB, 4 channels: F1"]; l.Always != 0.5 {
		t.Errorf("always in alarm has F1 %v, want 0.5", l.Always)
	}
}

func TestMeasure_NamesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	result := measured(t, fstest.MapFS{"a/b.csv": {Data: []byte("time,x\n1,2\n")}})
	if len(result.Lines) != 0 || len(result.Missing) != len(families()) || !slices.Equal(result.Unknown, []string{"a"}) {
		t.Errorf("%d figures, missing %q, unknown %q", len(result.Lines), result.Missing, result.Unknown)
	}
}

func TestMeasure_SaysInOneLineWhatIsWrongWithAFile(t *testing.T) {
	t.Parallel()
	whole := zipped(pump(1, true))
	for name, data := range map[string][]byte{
		"cut.csv.gz":  whole[:len(whole)/2],
		"text.csv.gz": []byte("no gzip at all"),
		"short.csv":   []byte("datetime;Flow;anomaly;changepoint\n2020-03-09 10:00:00;1\n2020-03-09 10:00:01;1\n"),
		"rows.csv":    []byte("datetime;Flow;anomaly;changepoint\n"),
	} {
		_, err := Measure(t.Context(), fstest.MapFS{name: {Data: data}})
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLine_SaysHowMuchIsMissing(t *testing.T) {
	t.Parallel()
	got := [][]string{
		Line{Watcher: 0.5, Goal: 0.75, aim: atLeast}.cells()[6:],
		Line{Watcher: 12, Goal: 12, aim: atMost}.cells()[6:],
		Line{Watcher: 15, Goal: 12, aim: atMost}.cells()[6:],
		Line{Watcher: 15}.cells()[6:],
	}
	want := [][]string{{">= 0.75", "0.250"}, {"<= 12", "met"}, {"<= 12", "3.00"}, {"-", "-"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("cells %v, want %v", got, want)
	}
}

// What is said of the newer half until an instant is the same when the rest of the log follows,
// and the rule is learnt from the older half alone.
func TestEvents_SeeNoFutureAndNoFailureOfTheJudgedHalf(t *testing.T) {
	t.Parallel()
	d, err := look(fixture())
	if err != nil {
		t.Fatal(err)
	}
	codes, err := d.events("log/errors.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	failures, err := d.events("log/failures.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	half := codes[len(codes)/2].At
	pack, err := learnPack(codes, failures, half, false)
	if err != nil {
		t.Fatal(err)
	}
	older := slices.DeleteFunc(slices.Clone(failures), func(f rules.CodeSeen) bool { return !f.At.Before(half) })
	if again, err := learnPack(codes, older, half, false); err != nil || again.Hash != pack.Hash {
		t.Errorf("without the failures to come it learns another rule: %v", err)
	}
	cut := codes[len(codes)*8/10].At
	prefix := slices.DeleteFunc(slices.Clone(codes), func(c rules.CodeSeen) bool { return !c.At.Before(cut) })
	for machine := range eventTruth(codes, failures, half, cut) {
		var opened [2][]int
		for i, log := range [][]rules.CodeSeen{prefix, codes} {
			for _, e := range announce(machine, pack, log, half, codes[len(codes)-1].At) {
				if e.Open < hoursSince(half, cut) {
					opened[i] = append(opened[i], e.Open)
				}
			}
		}
		if len(opened[0]) == 0 || !slices.Equal(opened[0], opened[1]) {
			t.Errorf("machine %s: %v of the prefix, %v when the rest follows", machine, opened[0], opened[1])
		}
	}
}
