package watchfile

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules/prognosis"
)

// lived is a table of machines that wear from new until they fail, an hour a row.
func lived(seed uint64, machines int, line func(machine, row int, heat, flow float64) string) string {
	random := rand.New(rand.NewPCG(seed, 2))
	var b strings.Builder
	for m := 1; m <= machines; m++ {
		rate := 0.006 + 0.006*random.Float64()
		for row := 1; float64(row)*rate < 1; row++ {
			wear := float64(row) * rate
			b.WriteString(line(m, row, 60+20*wear+random.NormFloat64(), 5-2*wear+0.1*random.NormFloat64()) + "\n")
		}
	}
	return b.String()
}

func plainLife(machine, _ int, heat, flow float64) string {
	return fmt.Sprintf("%d,%.3f,%.4f", machine, heat, flow)
}

func timedLife(machine, row int, heat, flow float64) string {
	at := time.Date(2026, 6, machine, 0, 0, 0, 0, time.UTC).Add(time.Duration(row-1) * time.Hour)
	return fmt.Sprintf("%s,%d,%.3f,%.4f", at.Format("2006-01-02 15:04:05"), machine, heat, flow)
}

func read(t *testing.T, f *Fleet, name, text string, opts Options) error {
	t.Helper()
	return f.Read(t.Context(), strings.NewReader(text), name, opts)
}

// plainModel and timedModel are trained once, on lives without times and with them.
var (
	plainModel = sync.OnceValues(func() (*prognosis.Model, error) {
		return trained(plainHead+lived(1, 30, plainLife), Options{Time: "none"})
	})
	timedModel = sync.OnceValues(func() (*prognosis.Model, error) { return trained(timedHead+lived(1, 30, timedLife), Options{}) })
)

const (
	plainHead = "machine,heat,flow\n"
	timedHead = "time,machine,heat,flow\n"
)

func trained(text string, opts Options) (*prognosis.Model, error) {
	var f Fleet
	if err := f.Read(context.Background(), strings.NewReader(text), "lives.csv", opts); err != nil {
		return nil, err
	}
	return prognosis.Train(f.Lives, f.Roles())
}

func learnt(t *testing.T, model func() (*prognosis.Model, error)) *prognosis.Model {
	t.Helper()
	m, err := model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRun_SaysWhatRemainsOfALife(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		head  string
		line  func(machine, row int, heat, flow float64) string
		model func() (*prognosis.Model, error)
		opts  Options
		unit  string
	}{
		{plainHead, plainLife, plainModel, Options{Time: "none", Format: Table}, "rows"},
		{timedHead, timedLife, timedModel, Options{Format: Table}, "hours"},
	} {
		c.opts.Model = learnt(t, c.model)
		young := lived(9, 1, func(_, row int, heat, flow float64) string { return c.line(9, row, heat, flow) })
		young = strings.Join(strings.SplitAfter(young, "\n")[:20], "")
		s, out := watch(t, c.head+lived(2, 3, c.line)+young, c.opts)
		for _, l := range s.Standings {
			if dead := l.Machine != "9"; !l.Lasts.Known || dead && l.left() > 12 || !dead && l.left() < 50 {
				t.Errorf("%s: machine %s, %+v", c.unit, l.Machine, l.Lasts)
			}
		}
		if len(s.Standings) != 4 || !strings.Contains(out, "remaining life") || !strings.Contains(out, c.unit+" (") {
			t.Errorf("%d machines\n%s", len(s.Standings), out)
		}
	}
}

func TestRun_SaysInEachRowWhatRemains(t *testing.T) {
	t.Parallel()
	model := learnt(t, plainModel)
	text := plainHead + lived(2, 1, plainLife)
	_, out := watch(t, text, Options{Time: "none", Model: model})
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if strings.Contains(lines[0], "remaining") || !strings.Contains(lines[40], `"remaining":{"value":`) || !strings.Contains(lines[40], `"unit":"row"`) {
		t.Errorf("%s\n%s", lines[0], lines[40])
	}
	part := strings.Join(strings.SplitAfter(text, "\n")[:60], "")
	if _, prefix := watch(t, part, Options{Time: "none", Model: model}); !strings.HasPrefix(out, prefix) {
		t.Error("of a prefix it says something else than when the rest follows")
	}
	if _, page := watch(t, text, Options{Time: "none", Model: model, Format: HTML, Language: "zh"}); !strings.Contains(page, "剩余寿命") {
		t.Error("the page does not say what remains")
	}
}

func TestRun_RefusesAModelOfOtherColumns(t *testing.T) {
	t.Parallel()
	model := learnt(t, plainModel)
	for want, c := range map[string]struct {
		text string
		opts Options
	}{
		"needs columns that are not read here: flow": {"machine,heat\n1,2\n1,3\n", Options{Time: "none", Model: model}},
		"not read here: heat":                        {"machine,heat,flow\n1,2,3\n1,3,4\n", Options{Time: "none", Model: model, Ignore: []string{"heat"}}},
		"counts ages in rows, and the file in hours": {"time,heat,flow\n2026-01-01 00:00:00,2,3\n2026-01-01 01:00:00,3,4\n", Options{Model: model}},
	} {
		if _, err := Run(t.Context(), strings.NewReader(c.text), "a.csv", c.opts, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

func TestFleet_ReadsSeveralFiles(t *testing.T) {
	t.Parallel()
	var f Fleet
	for _, name := range []string{"pump-1.csv", "dir/pump-2.csv.gz"} {
		if err := read(t, &f, name, "heat,flow\n1,2\n\n3,4\n", Options{Time: "none"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.Lives) != 2 || f.Lives[1].Machine != "pump-2" || len(f.Lives[1].Rows) != 2 || f.Lives[1].Rows[1].Age != 2 || f.Lives[1].Rows[1].Values[1] != 4 {
		t.Errorf("%+v", f.Lives)
	}
}

func TestFleet_SaysWhatIsWrongWithAFile(t *testing.T) {
	t.Parallel()
	for want, text := range map[string]string{
		"b.csv: its columns are not those": "heat,oil\n1,2\n3,4\n",
		"already, from a file before":      "heat,flow\n1,2\n3,4\n",
		"b.csv:11: column flow":            "heat,flow\n" + strings.Repeat("1,2\n", 9) + "3,x\n",
		"one value a row":                  "time,signal,value\n2026-01-01 00:00:00,heat,2\n2026-01-01 00:00:01,heat,2\n",
		"at least two rows":                "",
	} {
		var f Fleet
		if err := read(t, &f, "b.csv.gz", "heat,flow\n1,2\n3,4\n", Options{Time: "none"}); err != nil {
			t.Fatal(err)
		}
		if err := read(t, &f, "b.csv", text, Options{Time: map[bool]string{false: "none"}[strings.HasPrefix(text, "time")]}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want %q: %v", want, err)
		}
	}
	var f Fleet
	err := read(t, &f, "a.csv", "time,heat\n2026-01-02 00:00:00,1\n2026-01-01 00:00:00,2\n", Options{})
	if err == nil || !strings.Contains(err.Error(), "a.csv:3: time goes back") {
		t.Errorf("%v", err)
	}
}

// meteredLife has an hour meter, three hours a row, that did not begin at nothing.
func meteredLife(machine, row int, heat, flow float64) string {
	return fmt.Sprintf("%d,%d,%.3f,%.4f", machine, 100+3*row, heat, flow)
}

func TestRun_TakesTheAgeFromItsColumn(t *testing.T) {
	t.Parallel()
	f := Fleet{Age: "2"}
	if err := read(t, &f, "lives.csv", "machine,meter,heat,flow\n"+lived(1, 30, meteredLife), Options{Time: "none"}); err != nil {
		t.Fatal(err)
	}
	model, err := prognosis.Train(f.Lives, f.Roles())
	if err != nil {
		t.Fatal(err)
	}
	if model.Age != "meter" || model.Unit != prognosis.Hours || model.Step != 3 || len(model.Signals) != 2 {
		t.Errorf("%+v", model)
	}
	text := "machine,meter,heat,flow\n" + lived(2, 2, meteredLife)
	s, out := watch(t, text, Options{Time: "none", Format: Table, Model: model})
	if l := s.Standings[0].Lasts; !l.Known || l.Remaining > 40 || !strings.Contains(out, "hours (") || len(s.Notes) > 1 {
		t.Errorf("%+v, %q\n%s", l, s.Notes, out)
	}
	every5th := "machine,meter,heat,flow\n"
	for i, line := range strings.SplitAfter(lived(2, 1, meteredLife), "\n") {
		if i%5 == 0 {
			every5th += line
		}
	}
	if s, _ := watch(t, every5th, Options{Time: "none", Format: Table, Model: model}); !strings.Contains(strings.Join(s.Notes, "\n"), "rows of machine 1 are 15 hours apart, and those that the model was learnt from 3") {
		t.Errorf("%q", s.Notes)
	}
	back := Fleet{Age: "meter"}
	if err := read(t, &back, "b.csv", "meter,heat\n5,1\n4,2\n", Options{Time: "none"}); err == nil || !strings.Contains(err.Error(), "b.csv:3: machine 1: the age in column meter is 4 after 5") {
		t.Errorf("%v", err)
	}
	if err := read(t, &Fleet{Age: "hours"}, "b.csv", "meter,heat\n5,1\n4,2\n", Options{Time: "none"}); err == nil || !strings.Contains(err.Error(), `no column "hours"; there are: meter, heat`) {
		t.Errorf("%v", err)
	}
}
