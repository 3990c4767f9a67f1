package watchfile

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules"
)

const examples = "../../../examples/"

// noisy is a table of two signals under a load; from row fault on, temp rises by three
// degrees a hundred rows beyond what the load explains.
func noisy(rows, fault int, line func(row int, load, temp, pressure float64) string) string {
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	load := 50.0
	for row := 1; row <= rows; row++ {
		load += 0.3*(50-load) + 8*random.NormFloat64()
		temp := 40 + 0.4*load + 0.5*random.NormFloat64()
		if row > fault {
			temp += 0.03 * float64(row-fault)
		}
		b.WriteString(line(row, load, temp, 6+0.1*random.NormFloat64()) + "\n")
	}
	return b.String()
}

func csvRow(row int, load, temp, pressure float64) string {
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(row) * time.Minute)
	return fmt.Sprintf("%s,%.2f,%.2f,%.3f", at.Format("2006-01-02 15:04:05"), load, temp, pressure)
}

const header = "time,load,temp,pressure\n"

func watch(t *testing.T, text string, opts Options) (Summary, string) {
	t.Helper()
	var out bytes.Buffer
	s, err := Run(t.Context(), strings.NewReader(text), "a.csv", opts, &out)
	if err != nil {
		t.Fatal(err)
	}
	return s, out.String()
}

func TestRun_FindsWhatLeavesItsNormal(t *testing.T) {
	t.Parallel()
	s, out := watch(t, header+noisy(1000, 600, csvRow), Options{Context: []string{"load"}})
	if s.Rows != 1000 || s.Machines != 1 || !s.Timed || len(s.Signals) != 2 || len(s.Episodes) != 1 {
		t.Fatalf("%+v", s)
	}
	e := s.Episodes[0]
	if e.Opened <= 600 || e.Opened > 760 || e.Evidence.Signal != "temp" {
		t.Errorf("opened at row %d by %s, the fault begins after row 600", e.Opened, e.Evidence.Signal)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 1000 {
		t.Fatalf("%d lines, want one a row", len(lines))
	}
	states := map[string]int{}
	for i, text := range lines {
		var l struct {
			Time    time.Time
			Row     int
			Score   *float64
			State   string
			Episode *int
			Causes  []rules.Cause
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.Row != i+1 || l.Score == nil || l.Time.IsZero() {
			t.Fatalf("line %d: %v %s", i+1, err, text)
		}
		states[l.State]++
		if open := i+1 >= e.Opened; open != (l.Episode != nil) || open != (l.State == "degraded" || l.State == "faulty") {
			t.Fatalf("line %d, episode opens in row %d: %s", i+1, e.Opened, text)
		}
	}
	if states["learning"] == 0 || states["normal"] == 0 || states["degraded"] == 0 {
		t.Errorf("states %v", states)
	}
}

func TestRun_LeavesHealthyRowsAlone(t *testing.T) {
	t.Parallel()
	for _, opts := range []Options{{}, {Context: []string{"load"}}, {Healthy: 300}} {
		if s, _ := watch(t, header+noisy(2000, 5000, csvRow), opts); len(s.Episodes) != 0 {
			t.Errorf("%+v: %+v", opts, s.Episodes)
		}
	}
}

func TestRun_TellsDecimalCommasFromSeparators(t *testing.T) {
	t.Parallel()
	text := "a;b;c\n" + strings.Repeat("1,5;2,25;3,0\n1,75;2,5;3,5\n", 5)
	if s, _ := watch(t, text, Options{}); s.Rows != 10 || len(s.Signals) != 3 {
		t.Errorf("%+v", s)
	}
}

// The same numbers in other shapes give the same episode.
func TestRun_UnderstandsTheShapesOfTables(t *testing.T) {
	t.Parallel()
	want, _ := watch(t, header+noisy(1000, 600, csvRow), Options{Context: []string{"load"}})
	plain := noisy(1000, 600, csvRow)
	shaped := func(sep string, clock func(at time.Time) string) string {
		var b strings.Builder
		for line := range strings.SplitSeq(strings.TrimSpace(plain), "\n") {
			fields := strings.Split(line, ",")
			at, err := time.Parse("2006-01-02 15:04:05", fields[0])
			if err != nil {
				t.Fatal(err)
			}
			fields[0] = clock(at)
			b.WriteString(strings.Join(fields, sep) + "\n")
		}
		return b.String()
	}
	stamp := func(layout string) func(time.Time) string {
		return func(at time.Time) string { return at.Format(layout) }
	}
	semicolon := strings.NewReplacer(",", ";")
	context := Options{Context: []string{"load"}}
	numbered := Options{Context: []string{"2"}}
	for name, c := range map[string]struct {
		text string
		opts Options
	}{
		"tabs":           {strings.ReplaceAll(header, ",", "\t") + shaped("\t", stamp(time.RFC3339)), context},
		"semicolons":     {semicolon.Replace(header) + shaped(";", stamp("02.01.2006 15:04:05")), context},
		"decimal commas": {semicolon.Replace(header) + strings.ReplaceAll(shaped(";", stamp("2006-01-02T15:04:05Z")), ".", ","), context},
		"blanks":         {strings.ReplaceAll(header, ",", " ") + shaped("  ", func(at time.Time) string { return fmt.Sprint(at.Unix()) }), context},
		"milliseconds":   {header + shaped(",", func(at time.Time) string { return fmt.Sprint(at.UnixMilli()) }), context},
		"no header":      {plain, numbered},
		"windows":        {"\xef\xbb\xbf" + strings.ReplaceAll(header+plain, "\n", "\r\n"), context},
		"quotes":         {header + shaped(",", func(at time.Time) string { return `"` + at.Format(time.RFC3339) + `"` }), context},
		"chinese":        {"时间,负载,温度,压力\n" + shaped(",", stamp("2006/1/2 15:04:05")), Options{Context: []string{"负载"}}},
		"text column":    {strings.Replace(header, "\n", ",operator\n", 1) + strings.ReplaceAll(plain, "\n", ",Zhou\n"), context},
		"gzip":           {packed(t, header+plain), context},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := watch(t, c.text, c.opts)
			if !s.Timed || s.Rows != want.Rows || len(s.Episodes) != 1 || s.Episodes[0].Opened != want.Episodes[0].Opened {
				t.Errorf("%+v\nwant %+v", s, want)
			}
			if at, wanted := s.Episodes[0].OpenedAt, want.Episodes[0].OpenedAt; !at.Equal(wanted) {
				t.Errorf("opened at %s, want %s", at, wanted)
			}
		})
	}
}

func packed(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRun_KeepsMachinesApart(t *testing.T) {
	t.Parallel()
	row := func(name string) func(int, float64, float64, float64) string {
		return func(row int, load, temp, pressure float64) string {
			return name + "," + csvRow(row, load, temp, pressure)
		}
	}
	text := "unit," + header + noisy(1000, 600, row("a")) + noisy(1000, 5000, row("b"))
	s, table := watch(t, text, Options{Group: "unit", Context: []string{"load"}, Format: Table})
	if s.Machines != 2 || len(s.Episodes) != 1 || s.Episodes[0].Machine != "a" {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(table, "temp") || !strings.HasPrefix(table, "machine") {
		t.Errorf("table %q", table)
	}
}

// A clock that is put back at the end of summer time says the same hour twice.
func TestRun_SurvivesTheEndOfSummerTime(t *testing.T) {
	t.Parallel()
	text := header + noisy(1000, 600, func(row int, load, temp, pressure float64) string {
		if row > 300 {
			row -= 60
		}
		return csvRow(row, load, temp, pressure)
	})
	if s, _ := watch(t, text, Options{Context: []string{"load"}}); len(s.Episodes) != 1 || s.Episodes[0].Opened <= 600 {
		t.Errorf("%+v", s)
	}
}

func TestRun_UsesAPackWhereOneIsGiven(t *testing.T) {
	t.Parallel()
	pack, err := rules.Parse("p.yaml", []byte("model: m\nsignals: {temp: {unit: Cel}}\nrules:\n- {id: hot, kind: threshold, title: Hot, title_zh: 热, signal: temp, above: 68, hold: 3m}\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := watch(t, header+noisy(1000, 600, csvRow), Options{Pack: pack})
	if n := len(s.Episodes); n == 0 || s.Episodes[n-1].Rule != "hot" || s.Episodes[n-1].Opened <= 600 {
		t.Errorf("%+v", s.Episodes)
	}
}

func TestRun_BadFilesAreNamedInOneLine(t *testing.T) {
	t.Parallel()
	rows := strings.Repeat("1,2\n2,3\n", 10)
	for name, c := range map[string]struct {
		text string
		opts Options
		want string
	}{
		"empty":             {"", Options{}, "a.csv:1: a table has at least two rows"},
		"header only":       {"a,b\n", Options{}, "a.csv:1: a table has at least two rows"},
		"words":             {"a,b\n" + rows + "3,hot\n", Options{}, `a.csv:22: column b: "hot" is not a number`},
		"ragged later":      {"a,b\n" + rows + "3\n", Options{}, "a.csv:22: 1 fields, the first row has 2"},
		"ragged early":      {"a,b\n1,2\n3\n" + rows, Options{}, "a.csv:3: 1 fields, the first row has 2"},
		"binary":            {"a,b\n1,\x00\n", Options{}, "a.csv:2: holds a zero byte"},
		"utf-16":            {"\xff\xfea\x00", Options{}, "a.csv:1: is UTF-16"},
		"unknown column":    {"a,b\n" + rows, Options{Signals: []string{"c"}}, `a.csv:1: there is no column "c"; there are: a, b`},
		"unknown time":      {"a,b\n" + rows, Options{Time: "when"}, `a.csv:1: there is no column "when"`},
		"time that is none": {"a,b\nx,2\ny,3\n", Options{Time: "a"}, `column a: "x" is not a time`},
		"short row, time":   {"a,b,when\n1,2\n2,3\n", Options{Time: "when"}, "2 fields, the first row has 3"},
		"nothing to watch":  {"a,b\nx,y\nz,w\n", Options{}, "a.csv: no column of numbers is left to watch"},
		"back in time":      {header + csvRow(900, 1, 2, 3) + "\n" + strings.Repeat(csvRow(901, 1, 2, 3)+"\n", 9) + csvRow(1, 1, 2, 3) + "\n", Options{}, "a.csv:12: time goes back to 2026-06-01"},
		"open quote":        {"a,b\n" + rows + "\"1,2\n", Options{}, "a.csv:22: a quote is opened"},
		"long line":         {"a,b\n" + strings.Repeat("1", maxLine+1), Options{}, "a.csv:2: line is longer than"},
		"many columns":      {strings.Repeat("1,", 300) + "1\n" + strings.Repeat("2,", 300) + "2\n", Options{}, "a.csv:1: 301 columns of numbers, at most 240"},
		"cut gzip":          {packed(t, header+noisy(1000, 600, csvRow))[:9000], Options{}, "cannot be read on: unexpected EOF"},
		"five contexts":     {"a,b,c,d,e,f\n1,2,3,4,5,6\n2,3,4,5,6,7\n", Options{Context: []string{"a", "b", "c", "d", "e"}}, "5 context columns, at most 4"},
		"gbk header":        {"\xca\xb1\xbc\xe4,\xce\xc2\xb6\xc8\n1,2\n2,3\n", Options{}, "a.csv:1: the name of column 1 is not UTF-8 (it looks like GBK)"},
		"latin-1 header":    {"time,Temp\xe9rature\n1,2\n2,3\n", Options{}, "a.csv:1: the name of column 2 is not UTF-8 (it looks like LATIN1)"},
		"gbk machine":       {"u,b\na,1\nb,2\n" + strings.Repeat("a,1\n", 9) + "\xce\xc2,1\n", Options{Group: "u"}, "a.csv:13: column u"},
		"no machine":        {"u,b\na,1\nb,2\n" + strings.Repeat("a,1\n", 9) + ",1\n", Options{Group: "u"}, `a.csv:13: column u: "" does not name a machine`},
		"grouped by none":   {"time,m,b\n" + strings.Repeat("2026-06-01 10:00,a,1\n", 9) + "2026-06-01 01:00,b,1\n", Options{}, "sort the file by time, or name the column of the machines (--group)"},
		"wrong format":      {"time,b\n2026-06-01,1\n2026-06-02,2\n", Options{Time: "time", TimeFormat: "%d.%m.%Y"}, `"2026-06-01" is not a time that is understood in the format "%d.%m.%Y"`},
		"strange format":    {"time,b\n2026-06-01,1\n2026-06-02,2\n", Options{TimeFormat: "%Q"}, "%Q is not known"},
		"no such format":    {"time,b\n2026-06-01,1\n2026-06-02,2\n", Options{TimeFormat: "iso"}, `time format "iso" names no year`},
		"no time so":        {"a,b\n2026-06-01,1\n2026-06-02,2\n", Options{TimeFormat: "epoch-s"}, `no column is named for times and holds them in the format "epoch-s"`},
		"pack of others":    {"a,b\n" + rows, Options{Pack: &rules.Pack{Model: "m", Signals: []rules.SignalSpec{{Name: "temp"}}}}, "no column is a signal of the rule pack m; its signals are: temp"},
		"long, no value":    {"time,tag,v\n2026-06-01,t,1\n2026-06-02,t,2\n", Options{SignalColumn: "tag"}, "needs both columns"},
		"long, no time":     {"tag,value\na,1\na,2\n", Options{}, "needs a column of times"},
		"long, words later": {"time,tag,value\n2026-06-01,t,1\n2026-06-02,t,2\n2026-06-03,t,hot\n", Options{}, `a.csv:4: column t: "hot" is not a number`},
		"long, by signal":   {"time,tag,value\n2026-06-01,t,1\n2026-06-02,t,2\n2026-06-01,p,2\n", Options{}, "a.csv:4: time goes back to 2026-06-01"},
		"long name":         {"u,b\n" + strings.Repeat("x", 300) + ",1\n" + strings.Repeat("x", 300) + ",2\n", Options{Group: "u"}, "machine's name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Run(t.Context(), strings.NewReader(c.text), "a.csv", c.opts, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v\nwant one line with %s", err, c.want)
			}
		})
	}
}

func TestRun_StopsWhenAsked(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, strings.NewReader(header+noisy(3000, 5000, csvRow)), "a.csv", Options{}, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestRun_Examples(t *testing.T) {
	t.Parallel()
	engines := Options{Time: "none", Group: "unit", Ignore: []string{"cycle", "altitude", "mach", "throttle"}}
	rows := map[string]int{"1": 192, "7": 259, "8": 150, "20": 234}
	for _, e := range example(t, "cmapss-fd001.csv.gz", engines).Episodes {
		if life := rows[e.Machine]; e.Number == 1 && (e.Opened <= life/2 || e.Opened > life-20) {
			t.Errorf("engine %s: found at flight %d of %d", e.Machine, e.Opened, life)
		}
		delete(rows, e.Machine)
	}
	if len(rows) > 0 {
		t.Errorf("not found: %v", rows)
	}
	plant := example(t, "tep-fault04.csv.gz", Options{Time: "none"})
	if len(plant.Episodes) == 0 || plant.Episodes[0].Opened <= 160 || plant.Episodes[0].Opened > 200 || plant.Episodes[0].Evidence.Signal != "XMV_10" {
		t.Errorf("plant: %+v; the fault of XMV_10 begins after row 160", plant.Episodes)
	}
}

func example(t *testing.T, name string, opts Options) Summary {
	t.Helper()
	file, err := os.Open(examples + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s, err := Run(t.Context(), file, name, opts, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// FuzzRun: no file ends the program, and what is wrong with one is said in one line.
func FuzzRun(f *testing.F) {
	for _, text := range []string{
		header + noisy(30, 10, csvRow), "a;b\n1,5;2\n2,5;3\n", "1 2\n3 4\n", "\"a\",b\n1,2\n2,\"3\"\n", "t,u,v\n2026-01-01,x,1\n2026-01-02,y,2\n",
		"a,b,time\n1,2\n2,3\n", "\xef\xbb\xbfa\n1\n", "时间\t温\n2006年1月2日 15:04\t1\n2006年1月2日 15:05\t2\n",
	} {
		f.Add(text, "", "")
		f.Add(text, "time", "2")
	}
	f.Fuzz(func(t *testing.T, text, clock, group string) {
		_, err := Run(t.Context(), strings.NewReader(text), "a.csv", Options{Time: clock, Group: group}, io.Discard)
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q", err)
		}
	})
}
