package watchfile

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// longRows writes the rows of noisy as one value a row.
func longRows(machine string) func(int, float64, float64, float64) string {
	return func(row int, load, temp, pressure float64) string {
		at, _, _ := strings.Cut(csvRow(row, load, temp, pressure), ",")
		return fmt.Sprintf("%s,%s,load,%.2f\n%[1]s,%[2]s,temp,%.2[4]f\n%[1]s,%[2]s,pressure,%.3[5]f", machine, at, load, temp, pressure)
	}
}

const longHeader = "device,time,tag,value\n"

func TestRun_ReadsLongTablesLikeWideOnes(t *testing.T) {
	t.Parallel()
	context := Options{Context: []string{"load"}}
	want, _ := watch(t, header+noisy(1000, 600, csvRow), context)
	got, out := watch(t, longHeader+noisy(1000, 600, longRows("7")), context)
	if got.Rows != 1000 || got.Machines != 1 || !slices.Equal(got.Context, []string{"load"}) || !slices.Equal(got.Signals, []string{"temp", "pressure"}) {
		t.Errorf("%+v", got)
	}
	if len(got.Episodes) != 1 || got.Episodes[0].Opened != want.Episodes[0].Opened || got.Episodes[0].Evidence.Signal != "temp" || got.Episodes[0].Machine != "7" {
		t.Errorf("%+v\nwant %+v", got.Episodes, want.Episodes)
	}
	if n := strings.Count(out, "\n"); n != 1000 {
		t.Errorf("%d lines, want one an instant", n)
	}
}

// A signal that comes late, or seldom, joins the others; words, doubles and what is
// not asked for are left out.
func TestRun_LongTablesHoldSignalsThatComeLate(t *testing.T) {
	t.Parallel()
	text := longHeader + noisy(300, 900, longRows("7")) + strings.ReplaceAll(noisy(900, 600, func(row int, load, temp, pressure float64) string {
		if row <= 300 {
			return ""
		}
		at, _, _ := strings.Cut(csvRow(row, 0, 0, 0), ",")
		return longRows("7")(row, load, 10, pressure) + fmt.Sprintf("\n7,%s,oil,%.2f\n7,%[1]s,oil,99\n7,%[1]s,mode,auto", at, temp)
	}), "\n\n", "\n")
	s, _ := watch(t, text, Options{Context: []string{"load"}, Ignore: []string{"pressure", "temp"}})
	if !slices.Equal(s.Signals, []string{"oil"}) || len(s.Episodes) != 1 || s.Episodes[0].Evidence.Signal != "oil" || s.Episodes[0].Opened <= 600 {
		t.Errorf("%+v", s)
	}
	if notes := strings.Join(s.Notes, "\n"); !strings.Contains(notes, "signal mode holds text") || !strings.Contains(notes, "600 such doubles were left out") {
		t.Errorf("notes %s", notes)
	}
}

// What is said of a row is the same whatever follows it: the detector reads no future.
func TestRun_SaysNothingOfTheFuture(t *testing.T) {
	t.Parallel()
	row := func(name string) func(int, float64, float64, float64) string {
		return func(row int, load, temp, pressure float64) string {
			return name + "," + csvRow(row, load, temp, pressure)
		}
	}
	for name, c := range map[string]struct {
		text    string
		opts    Options
		instant int // lines
	}{
		"wide":    {header + noisy(900, 500, csvRow), Options{}, 1},
		"context": {header + noisy(900, 500, csvRow), Options{Context: []string{"load"}, Healthy: 200}, 1},
		"groups":  {"unit," + header + noisy(400, 200, row("a")) + noisy(400, 100, row("b")), Options{Group: "unit"}, 1},
		"long":    {longHeader + noisy(500, 300, longRows("7")), Options{}, 3},
		"plant":   {unpacked(t, "tep-fault04.csv.gz"), Options{}, 1},
		"engines": {unpacked(t, "cmapss-fd001.csv.gz"), Options{Group: "unit"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, whole := watch(t, c.text, c.opts)
			lines := strings.SplitAfter(c.text, "\n")
			for cut := 16; cut < len(lines)/c.instant; cut += 97 {
				_, got := watch(t, strings.Join(lines[:1+cut*c.instant], ""), c.opts)
				if !strings.HasPrefix(whole, got) || strings.Count(got, "\n") != cut {
					t.Fatalf("the first %d rows are judged otherwise when the rest follows", cut)
				}
			}
		})
	}
}

func unpacked(t *testing.T, name string) string {
	t.Helper()
	file, err := os.Open(examples + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	table, err := openTable(file, name, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i, c := range table.columns {
		if i > 0 {
			b.WriteByte(table.sep)
		}
		b.WriteString(c.name)
	}
	for _, line := range table.pending {
		b.WriteString("\n" + line.text)
	}
	rest, err := io.ReadAll(table.lines)
	if err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n" + string(rest)
}

func TestRun_ReadsTimesAsTheyAreSaidToBeWritten(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for format, text := range map[string]string{
		"epoch-s": "1770091506", "epoch-ms": "1770091506000", "epoch-us": "1770091506000000", "epoch-ns": "1770091506000000000",
		"%s": "1770091506.000", "rfc3339": "2026-02-03T05:05:06+01:00", "excel": "46056.170208333335",
		"%d/%m/%Y %H:%M:%S": "3/2/2026 4:05:06", "%Y-%m-%dT%H:%M:%S.%f%z": "2026-02-03T04:05:06.000Z", "%d %b %Y %I.%M.%S %p": "03 Feb 2026 04.05.06 AM",
		"%Y%m%d%H%M%S": "20260203040506", "02.01.2006 15h04:05": "03.02.2026 04h05:06", "2006-1-2 15:04:05": "2026-2-3 4:05:06",
	} {
		file := "when;b\n" + strings.Repeat(text+";1\n", 3)
		table, err := openTable(strings.NewReader(file), "a.csv", Options{Time: "when", TimeFormat: format})
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		row, err := table.next()
		if off := row.at.Sub(at); err != nil || off.Abs() > time.Millisecond {
			t.Errorf("%s: %s is read as %s: %v", format, text, row.at, err)
		}
	}
	s, _ := watch(t, "n,b\n1,5\n2,6\n4,7\n", Options{Time: "n", TimeFormat: "row", Every: time.Hour})
	if s.Rows != 3 || !s.Timed {
		t.Errorf("rows by number: %+v", s)
	}
}

func TestRun_SaysWhatItTookForWhat(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("1,2\n2,3\n", 6)
	for name, c := range map[string]struct {
		text string
		opts Options
		want string
	}{
		"no time":         {"a,b\n" + body, Options{}, "a.csv:2: no column of times is found: rows are taken as 1m0s apart"},
		"doubled name":    {"a,a\n" + body, Options{}, "a.csv:1: there is more than one column a: number 2 is called a_2"},
		"text":            {"time,b,who\n2026-01-01,1,Li\n2026-01-02,2,Wu\n", Options{}, `a.csv:2: column who holds text ("Li") and is not watched`},
		"label":           {"a,Anomaly\n" + body, Options{}, "a.csv:2: column Anomaly is taken for a label and not watched"},
		"machine":         {"Device,b\n" + body, Options{}, "a.csv:2: column Device is taken for the machine's name"},
		"month first":     {"time,b\n01/02/2026 10:00,1\n01/02/2026 10:05,2\n", Options{}, `"01/02/2026 10:00" is read with the month first`},
		"long":            {longHeader + "1,2026-01-01,t,1\n1,2026-01-02,t,2\n", Options{}, "each row is taken for one value: column tag names the signal, value holds its value"},
		"doubled row":     {header + csvRow(1, 1, 2, 3) + "\n" + strings.Repeat(csvRow(2, 1, 2, 3)+"\n", 3), Options{}, "a.csv:4: the same row as the one before: 2 such doubles were left out"},
		"one behind":      {header + csvRow(1, 1, 2, 3) + "\n" + csvRow(3, 1, 2, 3) + "\n" + strings.Repeat(csvRow(9, 1, 2, 4)+"\n", 9) + csvRow(8, 1, 2, 3) + "\n", Options{}, "a.csv:13: time 2026-06-01T00:08:00Z is before that of the row above: it was taken in the order of the file"},
		"bad cells":       {"a,b\n" + body + "hot,1\n1,cold\n", Options{SkipBad: true}, `a.csv:14: column a: "hot" is not a number; ignore the column if it is none, or skip what is bad: 2 such cells were taken as missing`},
		"bad rows":        {"a,b\n" + body + "1\n\"1,2\n1,2,3\n", Options{SkipBad: true}, "a.csv:14: 1 fields, the first row has 2: 3 rows were left out that could not be read"},
		"several engines": {"n,b\n" + strings.Repeat("1,1\n2,1\n3,1\n4,1\n5,1\n6,1\n7,1\n8,1\n9,1\n10,1\n11,1\n12,1\n", 2), Options{}, "a.csv:1: column n counts up and begins again 1 times: are these 2 machines"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := watch(t, c.text, c.opts)
			if !strings.Contains(strings.Join(s.Notes, "\n"), c.want) {
				t.Errorf("notes %q\nwant %s", s.Notes, c.want)
			}
		})
	}
}

// Doubled rows teach nothing and are counted, each with its line.
func TestRun_DoubledRowsChangeNothing(t *testing.T) {
	t.Parallel()
	once := noisy(1000, 600, csvRow)
	twice := noisy(1000, 600, func(row int, load, temp, pressure float64) string {
		line := csvRow(row, load, temp, pressure)
		return line + "\n" + line
	})
	want, _ := watch(t, header+once, Options{Context: []string{"load"}})
	got, _ := watch(t, header+twice, Options{Context: []string{"load"}})
	if len(got.Episodes) != 1 || !reflect.DeepEqual(got.Episodes[0].Evidence, want.Episodes[0].Evidence) || got.Rows != 2000 {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func TestRun_TrailingSeparatorsAndCommentsAreNoFault(t *testing.T) {
	t.Parallel()
	text := "# exported by a historian\n# time;load;temp;pressure\n" + noisy(1000, 600, func(row int, load, temp, pressure float64) string {
		return strings.NewReplacer(",", ";", ".", ",").Replace(csvRow(row, load, temp, pressure)) + ";"
	})
	s, _ := watch(t, text, Options{Context: []string{"load"}})
	if !s.Timed || len(s.Episodes) != 1 || s.Episodes[0].Evidence.Signal != "temp" {
		t.Errorf("%+v", s)
	}
}

func TestReport_IsOnePageThatNeedsNothingElse(t *testing.T) {
	t.Parallel()
	evil := `<script>alert("x")</script>`
	text := strings.Replace(header, "temp", evil, 1) + noisy(5_000, 3_000, csvRow)
	for language, words := range map[string][]string{
		"en": {"1 episode on 1 machine", "By earliest departure", "Would not have been raised had", "its own normal, as known at the time", `class="band"`, `class="episode"`, "prefers-color-scheme: dark"},
		"zh": {"1 台设备共 1 次偏离", "按最早偏离排序", "则不会报出", `lang="zh-CN"`},
	} {
		s, page := watch(t, text, Options{Context: []string{"load"}, Format: HTML, Language: language})
		if len(s.Episodes) != 1 {
			t.Fatalf("%+v", s.Episodes)
		}
		for _, want := range words {
			if !strings.Contains(page, want) {
				t.Errorf("%s: %q is not on the page", language, want)
			}
		}
		for _, never := range []string{"<script", "http:", "https:", "url(", "@import", "NaN", "Inf", "ZgotmplZ"} {
			if strings.Contains(page, never) {
				t.Errorf("%s: the page holds %q", language, never)
			}
		}
		if n := strings.Count(page, "<svg"); n != 3 || len(page) > 200_000 {
			t.Errorf("%d charts in %d bytes", n, len(page))
		}
	}
}

// A page of many machines and signals stays a page.
func TestReport_IsBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("unit")
	for i := range 40 {
		fmt.Fprintf(&b, ",s%d", i)
	}
	for row := range 12 {
		for unit := range 60 {
			fmt.Fprintf(&b, "\nu%d", unit)
			for i := range 40 {
				fmt.Fprintf(&b, ",%d", (row*i+unit)%17)
			}
		}
	}
	_, page := watch(t, b.String(), Options{Group: "unit", Format: HTML})
	if n := strings.Count(page, "<svg"); n != 40*30 || !strings.Contains(page, "20 more machines are not drawn") || !strings.Contains(page, "10 more signals are not drawn") {
		t.Errorf("%d charts", n)
	}
}

// million is a reader of many rows that are never all in memory.
type million struct {
	rows, next int
	line       bytes.Buffer
}

func (m *million) Read(p []byte) (int, error) {
	for m.line.Len() < len(p) && m.next <= m.rows {
		if m.next == 0 {
			m.line.WriteString("time,s0,s1,s2,s3,s4,s5,s6,s7,s8,s9\n")
		} else {
			m.line.WriteString(time.Unix(1_780_000_000+int64(m.next), 0).UTC().Format("2006-01-02 15:04:05"))
			for i := range 10 {
				fmt.Fprintf(&m.line, ",%d.%d", 50+(m.next*(7+i)+m.next*m.next)%13, (m.next*31+i)%997)
			}
			m.line.WriteByte('\n')
		}
		m.next++
	}
	return m.line.Read(p)
}

// BenchmarkRun_Million reads a million rows of ten signals, and their generation. Run
// it with -cpu 1.
func BenchmarkRun_Million(b *testing.B) {
	const rows = 1_000_000
	b.ReportAllocs()
	for b.Loop() {
		s, err := Run(b.Context(), &million{rows: rows}, "a.csv", Options{}, io.Discard)
		if err != nil || s.Rows != rows {
			b.Fatalf("%d rows: %v", s.Rows, err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
