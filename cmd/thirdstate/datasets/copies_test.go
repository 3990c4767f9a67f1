package datasets

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/telemetry/rules/scoring"
	"github.com/thirdstate/thirdstate/telemetry/rules/watchfile"
)

func TestTwisted_ChangesTheRowsAndKnowsWhichTheyWere(t *testing.T) {
	t.Parallel()
	const table = "timestamp,value\n2014-04-04 00:00:00,1\n2014-04-04 00:05:00,2\n2014-04-04 00:10:00,3\n"
	rows := func(list ...[2]int) func(int) (int, bool) { // times, and 1 = late, of each row
		return func(row int) (int, bool) { return list[row-1][0], list[row-1][1] == 1 }
	}
	for name, c := range map[string]struct {
		twist  twist
		rows   func(int) (int, bool)
		text   string
		origin []int
	}{
		"as it is": {twist{}, nil, table, []int{1, 2, 3}},
		"values": {
			twist{cells: func(column int, v float64) float64 { return 10*v + float64(column) }}, nil,
			"timestamp,value\n2014-04-04 00:00:00,11\n2014-04-04 00:05:00,21\n2014-04-04 00:10:00,31\n", []int{1, 2, 3},
		},
		"times": {
			twist{times: 3600e9}, nil,
			"timestamp,value\n2014-04-04 01:00:00,1\n2014-04-04 01:05:00,2\n2014-04-04 01:10:00,3\n", []int{1, 2, 3},
		},
		"dropped, doubled": {
			twist{}, rows([2]int{0}, [2]int{2}, [2]int{1}),
			"timestamp,value\n2014-04-04 00:05:00,2\n2014-04-04 00:05:00,2\n2014-04-04 00:10:00,3\n", []int{2, 2, 3},
		},
		"late": {
			twist{}, rows([2]int{1, 1}, [2]int{1}, [2]int{1, 1}),
			"timestamp,value\n2014-04-04 00:00:00,2\n2014-04-04 00:05:00,1\n2014-04-04 00:10:00,3\n", []int{2, 1, 3},
		},
	} {
		if c.rows != nil {
			c.twist.rows = func(row int, _ func() float64) (int, bool) { return c.rows(row) }
		}
		r, err := run{name: name, open: in(table), truth: only(scoring.Record{End: 4})}.twisted(c.twist)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(t, r); got != c.text || !reflect.DeepEqual(r.origin["1"], c.origin) {
			t.Errorf("%s: %q with rows %v, want %q with %v", name, got, r.origin["1"], c.text, c.origin)
		}
		if last := r.back("1", len(c.origin)+1); last != 4 {
			t.Errorf("%s: behind the last row is row %d, want 4", name, last)
		}
	}
}

func TestTwisted_KeepsMachinesApartAndHealthyRowsHealthy(t *testing.T) {
	t.Parallel()
	half := twist{rows: func(row int, _ func() float64) (int, bool) { return row % 2, false }}
	r, err := run{open: in("7 1 5\n7 2 5\n8 1 5\n8 2 5\n8 3 5\n"), opts: watchfile.Options{Group: "1"}}.twisted(half)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := text(t, r), "7 1 5\n8 1 5\n8 3 5\n"; got != want || !reflect.DeepEqual(r.origin, map[string][]int{"7": {1}, "8": {1, 3}}) {
		t.Errorf("%q with rows %v, want %q", got, r.origin, want)
	}
	r, err = run{open: in("1\n2\n3\n4\n5\n"), opts: watchfile.Options{Healthy: 3}}.twisted(half)
	if err != nil || r.opts.Healthy != 2 {
		t.Errorf("%d healthy rows of the copy, %v; want 2 of rows 1, 3, 5", r.opts.Healthy, err)
	}
}

// The fixture's faults are large: they are found on each copy, and the figures of a copy
// that changes nothing are those of the table.
func TestMeasureCopies_FindsTheSameOnCopies(t *testing.T) {
	t.Parallel()
	copies, err := MeasureCopies(t.Context(), fixture())
	if err != nil {
		t.Fatal(err)
	}
	same, err := figures()
	if err != nil {
		t.Fatal(err)
	}
	plain := map[string]float64{}
	for _, l := range same.Lines {
		plain[l.Set+": "+l.Figure] = l.Watcher
	}
	for _, l := range copies.Lines {
		if want := plain[l.Set+": "+l.Figure]; l.Values[0] != want || l.Values[1] != want {
			t.Errorf("%s: %s: as it is %v, with another gain %v, want %v", l.Set, l.Figure, l.Values[0], l.Values[1], want)
		}
		if strings.HasPrefix(l.Figure, "attacks found") && slices.Min(l.Values) < 100 {
			t.Errorf("%s: %s: %v", l.Set, l.Figure, l.Values)
		}
	}
	var out bytes.Buffer
	if err := copies.Print(&out, false); err != nil || !strings.Contains(out.String(), "half the rate") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
