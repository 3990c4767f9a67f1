package rules

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
)

func TestTraces_FindWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, file := range traces(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".trace"), func(t *testing.T) {
			t.Parallel()
			tr := readTrace(t, file)
			events := tr.order(func(event) time.Duration { return 0 })
			want := tr.run(t, events, false)
			tr.check(t, file, want)
			for seed := range uint64(5) {
				random := rand.New(rand.NewPCG(seed, 7))
				late := int64(tr.lateness())
				shuffled := tr.order(func(event) time.Duration { return time.Duration(random.Int64N(late)) })
				same(t, fmt.Sprintf("shuffled within lateness, seed %d", seed), want, tr.run(t, shuffled, false))
			}
			same(t, "each observation doubled", want, tr.run(t, doubled(events), false))
			same(t, "each signal in a message of its own", want, tr.run(t, split(events), false))
			same(t, "cut by snapshot and restore at every position", want, tr.run(t, events, true))
		})
	}
}

func TestTraces_CoverEveryKind(t *testing.T) {
	t.Parallel()
	files := traces(t)
	if len(files) < 15 {
		t.Errorf("%d traces, want 15 or more", len(files))
	}
	seen := map[string]int{}
	for _, file := range files {
		if tr := readTrace(t, file); tr.pack != nil {
			for _, r := range tr.pack.Rules {
				seen[r.Kind]++
			}
		} else {
			seen["watcher"]++
		}
	}
	for _, k := range Kinds {
		if seen[k.Name] == 0 {
			t.Errorf("no trace shows kind %s", k.Name)
		}
	}
}

func traces(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/traces/*.trace")
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces: %v", err)
	}
	return files
}

func (tr *trace) lateness() time.Duration {
	if tr.pack == nil {
		return DefaultLateness
	}
	return max(tr.pack.Lateness, 1)
}

// order gives the events as they arrive, each row later by what jitter says.
func (tr *trace) order(jitter func(event) time.Duration) []event {
	type keyed struct {
		event
		key time.Duration
	}
	list := make([]keyed, 0, len(tr.events))
	for _, e := range tr.events {
		k := keyed{e, e.arrives}
		if !e.ordered {
			k.key += jitter(e)
		}
		list = append(list, k)
	}
	sort.SliceStable(list, func(i, j int) bool {
		if list[i].key != list[j].key {
			return list[i].key < list[j].key
		}
		return !list[i].tick && list[j].tick // a tick comes after the rows of its instant
	})
	out := make([]event, len(list))
	for i := range list {
		out[i] = list[i].event
	}
	return out
}

func doubled(events []event) []event {
	var out []event
	for _, e := range events {
		out = append(out, e)
		if e.obs != nil {
			out = append(out, e)
		}
	}
	return out
}

func split(events []event) []event {
	var out []event
	for _, e := range events {
		if e.obs == nil || e.ordered {
			out = append(out, e)
			continue
		}
		for _, v := range slices.Backward(e.obs.Values) {
			one := *e.obs
			one.Values = []observation.Value{v}
			single := e
			single.obs = &one
			out = append(out, single)
		}
	}
	return out
}

// run shows the events to a machine, with cut to a new one after each.
func (tr *trace) run(t *testing.T, events []event, cut bool) []Finding {
	t.Helper()
	m := New("m", tr.pack)
	var found []Finding
	var state []byte
	for _, e := range events {
		switch {
		case e.obs != nil:
			found = append(found, m.Observe(*e.obs)...)
		case e.tick:
			found = append(found, m.Tick(e.at, e.excused)...)
		default:
			found = append(found, m.Repaired(e.repair, e.at)...)
		}
		if cut {
			state = m.Snapshot(state[:0])
			m = New("m", tr.pack)
			if err := m.Restore(tr.pack, state); err != nil {
				t.Fatal(err)
			}
		}
	}
	return append(found, m.Flush()...)
}

func same(t *testing.T, how string, want, got []Finding) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		a, b := "nothing", "nothing"
		if i < len(want) {
			a = text(t, want[i])
		}
		if i < len(got) {
			b = text(t, got[i])
		}
		if a != b {
			t.Fatalf("%s: finding %d\n%s\nwant\n%s", how, i, b, a)
		}
	}
}

func text(t *testing.T, f Finding) string {
	t.Helper()
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// check compares what opened and closed with what the trace expects.
func (tr *trace) check(t *testing.T, file string, found []Finding) {
	t.Helper()
	var told []Finding
	severity := map[string]Severity{}
	for _, f := range found {
		if f.Change != Updated || f.Severity != severity[f.Rule] {
			told = append(told, f)
		}
		severity[f.Rule] = f.Severity
	}
	for i := range max(len(told), len(tr.expects)) {
		switch {
		case i >= len(told):
			t.Errorf("%s:%d: expected, did not come", file, tr.expects[i].line)
		case i >= len(tr.expects):
			t.Errorf("%s: not expected: %s", file, brief(told[i]))
		default:
			tr.expects[i].check(t, file, told[i])
		}
	}
}

func brief(f Finding) string {
	return fmt.Sprintf("%s of %s at %s, episode of %s, severity %s, reason %q, %+v", f.Change, f.Rule, since(f.At), since(f.OpenedAt), f.Severity, f.CloseReason, f.Evidence)
}

func since(at time.Time) string { return at.Sub(traceStart).String() }

func (e expectation) check(t *testing.T, file string, f Finding) {
	t.Helper()
	bad := f.Change != e.change || f.At.Before(e.from) || f.At.After(e.to)
	has := map[string]string{
		"rule": f.Rule, "severity": string(f.Severity), "reason": f.CloseReason, "signal": f.Evidence.Signal,
		"sign": f.Evidence.Sign, "mode": f.FailureMode, "propose": fmt.Sprint(f.Propose),
		"since": "", "deviation": fmt.Sprintf("%.0f", f.Evidence.Deviation), "cause": "",
	}
	if len(f.Evidence.Causes) > 0 {
		has["cause"] = f.Evidence.Causes[0].Signal
	}
	for key, value := range e.want {
		if key == "since" {
			at := clockTime(t.Fatalf, value)
			bad = bad || f.Evidence.Since.Sub(at).Abs() > e.to.Sub(e.from)
			continue
		}
		if h, ok := has[key]; !ok || h != value {
			bad = true
		}
	}
	if bad {
		t.Errorf("%s:%d: came %s (since %s)", file, e.line, brief(f), since(f.Evidence.Since))
	}
}
