package simulate

import (
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/rules"
)

const examples = "../../../examples/"

// played runs an example through the default watcher, as a machine without a model is
// watched, and gives what opened first on each machine, with the number of its row.
func played(t *testing.T, mapping, file string) (opened map[string]rules.Finding, row, rows map[string]int) {
	t.Helper()
	m, err := ReadMapping(examples + mapping)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ReadRecording(m, []string{examples + file})
	if err != nil {
		t.Fatal(err)
	}
	opened, row, rows = map[string]rules.Finding{}, map[string]int{}, map[string]int{}
	machines := map[string]*rules.Machine{}
	for o := range r.Observations(fleetStart) {
		if machines[o.Machine] == nil {
			machines[o.Machine] = rules.New(o.Machine, nil)
		}
		rows[o.Machine]++
		for _, f := range machines[o.Machine].Observe(o) {
			if _, before := opened[o.Machine]; f.Change == rules.Opened && !before {
				opened[o.Machine], row[o.Machine] = f, rows[o.Machine]
			}
		}
	}
	return opened, row, rows
}

func TestExamples_EnginesAreFoundBeforeTheyFailAndNotWhileHealthy(t *testing.T) {
	t.Parallel()
	opened, row, rows := played(t, "cmapss.yaml", "cmapss-fd001.csv.gz")
	if len(rows) != 4 {
		t.Fatalf("%d engines, want 4", len(rows))
	}
	for machine, life := range rows {
		at := row[machine]
		t.Logf("%s: found at flight %d of %d, %v", machine, at, life, opened[machine].Evidence.Causes)
		if at <= life/2 || at > life-20 {
			t.Errorf("%s: found at flight %d of %d; want it in the second half of its life and 20 flights ahead", machine, at, life)
		}
	}
}

func TestExamples_PlantIsFoundAfterItsFaultBegins(t *testing.T) {
	t.Parallel()
	opened, row, rows := played(t, "tep.yaml", "tep-fault04.csv.gz")
	if rows["TEP-04"] != 960 {
		t.Fatalf("rows %v, want 960 of TEP-04", rows)
	}
	if at := row["TEP-04"]; at <= 160 || at > 200 {
		t.Errorf("found at row %d; the fault begins after row 160", at)
	}
	if causes := opened["TEP-04"].Evidence.Causes; len(causes) == 0 || causes[0].Signal != "XMV_10" {
		t.Errorf("causes %v; it is the reactor's cooling water, XMV_10", causes)
	}
}

// write makes a file of a test.
func write(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRecording_KeepsTheSpacingOfRows(t *testing.T) {
	t.Parallel()
	mapping, err := parseMapping([]byte("separator: ;\ntime: when\nmachine: {column: unit, name: p-}\nsignals: {oil: 3}\n"))
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, "a.csv", "\xef\xbb\xbfwhen;unit;Oil temp\r\n2020-03-09 10:00:00;1;50\r\n2020-03-09 10:00:07;2;\r\n2020-03-09 10:01:00;1;51.5\r\n")
	r, err := ReadRecording(mapping, []string{file})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var topics, payloads []string
		var waits []time.Duration
		sent, err := r.Play(t.Context(), func(_ context.Context, topic string, payload []byte) error {
			topics, payloads = append(topics, topic), append(payloads, string(payload))
			waits = append(waits, time.Since(start))
			return nil
		}, fleetStart, 2)
		if err != nil || sent != 2 {
			t.Fatalf("%d sent, %v", sent, err)
		}
		if topics[0] != "fleet/p-1/telemetry" || payloads[0] != `{"ts":1777932600000,"values":{"oil":50}}` || payloads[1] != `{"ts":1777932660000,"values":{"oil":51.5}}` {
			t.Errorf("%q %q", topics, payloads)
		}
		if waits[0] != 0 || waits[1] != 30*time.Second {
			t.Errorf("sent after %v, want at once and after half a minute at twice the speed", waits)
		}
	})
}

func TestRecording_BadFilesAreNamedInOneLine(t *testing.T) {
	t.Parallel()
	rows := "machine: {name: m}\nrow_interval: 1m\n"
	timed := "machine: {name: m}\ntime: t\n"
	for name, c := range map[string]struct{ mapping, text, want string }{
		"empty":        {rows, "", "a.csv: holds no rows"},
		"header only":  {rows, "a,b\n", "a.csv: holds no rows"},
		"words":        {rows, "a,b\n1,2\n3,hot\n", `a.csv:3: column b: "hot" is not a number`},
		"infinite":     {rows, "a,b\n1,inf\n", `a.csv:2: column b: "inf" is not a number`},
		"ragged":       {rows, "a,b\n1,2\n3\n", "a.csv:3: 1 fields, the first line has 2"},
		"zero":         {rows, "a,b\n1,\x002\n", "a.csv:2: holds a zero byte"},
		"no column":    {rows + "ignore: [speed]\n", "a,b\n1,2\n", `a.csv:1: there is no column "speed"; there are: a, b`},
		"blank name":   {rows, "oil temp\n1\n", `a.csv:1: column "oil temp" is no name of a signal`},
		"machine":      {"machine: {column: a}\nrow_interval: 1m\n", "a,b\nx/y,2\n", `a.csv:2: machine "x/y" must have`},
		"back in time": {timed, "t,b\n2020-01-02 00:00:00,2\n2020-01-01 00:00:00,2\n", "a.csv:3: time goes back to 2020-01-01"},
		"no time":      {timed, "t,b\nyesterday,2\n", `a.csv:2: column t: "yesterday" is not a time`},
		"gzip":         {rows, "\x1f\x8bnonsense", "a.csv: is not a whole gzip file"},
		"long line":    {rows, "a,b\n1," + strings.Repeat("2", maxRecordedLine), "a.csv:2: line is longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mapping, err := parseMapping([]byte(c.mapping))
			if err != nil {
				t.Fatal(err)
			}
			_, err = ReadRecording(mapping, []string{write(t, "a.csv", c.text)})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v\nwant one line with %s", err, c.want)
			}
		})
	}
}

func TestRecording_CutGzipIsNamed(t *testing.T) {
	t.Parallel()
	var packed strings.Builder
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("a\n" + strings.Repeat("1\n", 100_000))); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	mapping, err := parseMapping([]byte("machine: {name: m}\nrow_interval: 1m\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = ReadRecording(mapping, []string{write(t, "a.csv.gz", packed.String()[:packed.Len()/2])})
	if err == nil || !strings.Contains(err.Error(), "cannot be read on") {
		t.Errorf("error %v", err)
	}
}

func TestMapping_FaultsAreNamedInOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                       "needs either time",
		"machine: {name: m}":                     "needs either time",
		"time: t\nrow_interval: 1m":              "needs either time",
		"time: t":                                "needs machine",
		"row_interval: soon\nmachine: {name: m}": `row_interval "soon" must be a duration`,
		"tyme: t":                                "tyme",
		"separator: ab\ntime: t":                 `separator "ab" must be one character`,
		"time: t\nmachine: {name: m}\nsignals: {oil temp: b}": `signal "oil temp" must have`,
		"time: [":    "",
		"time: \x00": "zero byte",
	} {
		_, err := parseMapping([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v\nwant one line with %s", text, err, want)
		}
	}
}

func TestFleet_PlaysInTimeAndStopsWhenAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := NewFleet(fleetStart, DemoFleet(fleetStart), 1)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sent, err := f.Play(ctx, func(context.Context, string, []byte) error { return nil }, Pace{Start: fleetStart, Interval: time.Hour, Speed: 3600})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("ended after %s: %v", time.Since(begin), err)
		}
		if sent < 60*20 || sent > 60*51 {
			t.Errorf("%d messages of 51 machines in 60 hours", sent)
		}
	})
}
