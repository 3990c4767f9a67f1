package rules

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

func TestTraces_FindWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, file := range traces(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".trace"), func(t *testing.T) {
			t.Parallel()
			tr := readTrace(t, file)
			events := tr.order(tr.events, prompt)
			want := tr.run(t, events, never)
			tr.check(t, file, want)
			same(t, "each observation doubled", want, tr.run(t, doubled(events, always), never))
			same(t, "each signal in a message of its own", want, tr.run(t, split(events), never))
			same(t, "cut by snapshot and restore at every position", want, tr.run(t, events, always))
		})
	}
}

// TestTraces_FindTheSameInAnyOrder plays the traces 200 times, with TEST_FULL=1 a thousand, each time in
// another order within the lateness, with doubles, with each restart that a run may
// have, at every record in some: what is found is the same to the byte.
func TestTraces_FindTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	times := longform.Choose(200, 1_000)
	files := traces(t)
	moved := 0
	for n, file := range files {
		tr := readTrace(t, file)
		tr.forgive()
		events := tr.order(tr.events, prompt)
		want := tr.run(t, events, never)
		for seed := n; seed < times; seed += len(files) {
			random := rand.New(rand.NewPCG(uint64(seed), 7)) //nolint:gosec // not negative
			some := doubled(tr.events, func() bool { return random.IntN(4) == 0 })
			shuffled := tr.order(some, func(event) time.Duration { return time.Duration(random.Int64N(int64(tr.lateness()))) })
			for i := 1; i < len(shuffled); i++ {
				if shuffled[i].obs != nil && shuffled[i-1].obs != nil && shuffled[i].obs.At.Before(shuffled[i-1].obs.At) {
					moved++
				}
			}
			got := tr.run(t, shuffled, func() bool { return seed%8 == 0 || random.IntN(50) == 0 })
			same(t, fmt.Sprintf("%s in another order, seed %d", file, seed), want, got)
		}
	}
	if moved < 50*times {
		t.Errorf("only %d rows came before an older one", moved)
	}
}

func always() bool               { return true }
func never() bool                { return false }
func prompt(event) time.Duration { return 0 }

// forgive lets rows come ten rows late, where nothing is tied to a place among them.
func (tr *trace) forgive() {
	var rows []time.Duration
	for _, e := range tr.events {
		if e.ordered && !e.tick && e.kin == nil {
			return
		}
		if e.obs != nil {
			rows = append(rows, e.arrives)
		}
	}
	least := time.Hour
	for i := 1; i < len(rows); i++ {
		if apart := rows[i] - rows[i-1]; apart > 0 {
			least = min(least, apart)
		}
	}
	if tr.pack != nil {
		tr.pack.Lateness = max(tr.pack.Lateness, 10*least)
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

// order gives events as they arrive, each row later by what jitter says.
func (*trace) order(events []event, jitter func(event) time.Duration) []event {
	type keyed struct {
		event
		key time.Duration
	}
	list := make([]keyed, 0, len(events))
	for _, e := range events {
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
		clock := func(e event) bool { return e.tick || e.kin != nil }
		return !clock(list[i].event) && clock(list[j].event) // they come after the rows of their instant
	})
	out := make([]event, len(list))
	for i := range list {
		out[i] = list[i].event
	}
	return out
}

func doubled(events []event, twice func() bool) []event {
	var out []event
	for _, e := range events {
		out = append(out, e)
		if (e.obs != nil || e.kin != nil) && twice() {
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

// run shows the events to a machine, to a new one after each where cut says so.
func (tr *trace) run(t *testing.T, events []event, cut func() bool) []Finding {
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
		case e.kin != nil:
			found = append(found, m.Beside(e.kin, e.at)...)
		default:
			found = append(found, m.Repaired(e.repair, e.at)...)
		}
		if cut() {
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
		if e := f.Evidence; f.Change == Updated && e.Kind == "deviation" && math.Abs(e.Deviation) < releaseShare*e.Limit {
			t.Errorf("%s: news of a fault that is within its normal again: %s", file, brief(f))
		}
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
		"sisters": "", "percentile": "", "since": "", "deviation": fmt.Sprintf("%.0f", f.Evidence.Deviation), "cause": "",
	}
	if len(f.Evidence.Causes) > 0 {
		has["cause"] = f.Evidence.Causes[0].Signal
	}
	if s := f.Evidence.Sisters; s != nil {
		has["sisters"], has["percentile"] = strconv.Itoa(s.Machines), fmt.Sprintf("%.0f", *f.Evidence.SisterPercentile)
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
