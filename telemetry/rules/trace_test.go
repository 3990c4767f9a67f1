package rules

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/rules/sisters"
)

// A trace is a scenario that a service engineer can read; testdata/traces/README.md
// explains the format.
type trace struct {
	pack    *Pack
	events  []event
	expects []expectation
	nothing bool

	now     time.Duration
	ticking bool
	yaml    []string // the pack's rules as they are read
	signals []string
	first   string // signal of the first rule, for the short form
	every   time.Duration
	late    bool
	start   time.Duration // of the present block
	noise   uint64
}

var traceStart = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

type event struct {
	arrives time.Duration
	ordered bool // must not be shuffled: a tick, a repair, late data
	obs     *observation.Observation
	tick    bool
	excused bool
	kin     *sisters.Cohort
	repair  string
	at      time.Time
}

type expectation struct {
	line     int
	from, to time.Time
	change   Change
	want     map[string]string
}

func readTrace(t *testing.T, file string) *trace {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr := &trace{yaml: []string{"model: trace", "signals:"}, noise: 1}
	var rules, conditions []string
	lateness := "1s"
	scan := bufio.NewScanner(f)
	for n := 1; scan.Scan(); n++ {
		text, _, _ := strings.Cut(scan.Text(), "#")
		word, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("%s:%d: %s", file, n, fmt.Sprintf(format, args...))
		}
		if strings.HasPrefix(text, "  ") && word != "" {
			tr.series(fail, strings.TrimSuffix(word, ":"), rest)
			continue
		}
		tr.endBlock()
		switch word {
		case "":
		case "lateness":
			lateness = rest
		case "signal":
			name, settings, _ := strings.Cut(rest, " ")
			unit := "1"
			if words := strings.Fields(settings); len(words) > 0 && strings.HasPrefix(words[0], "unit=") {
				unit, settings = words[0][len("unit="):], strings.Join(words[1:], " ")
			}
			tr.yaml = append(tr.yaml, fmt.Sprintf("  %s: {unit: %q%s}", name, unit, flow(settings)))
			tr.signals = append(tr.signals, name)
		case "rule":
			rules = append(rules, tr.rule(len(rules)+1, rest))
		case "condition":
			name, settings, _ := strings.Cut(rest, " ")
			conditions = append(conditions, "  "+name+": {"+strings.TrimPrefix(flow(settings), ", ")+"}")
		case "ticks":
			tr.ticking = true
		case "every", "every:":
			tr.block(fail, rest)
		case "gap":
			tr.gap(fail, rest)
		case "sisters":
			tr.kin(fail, rest)
		case "repaired":
			tr.events = append(tr.events, event{arrives: tr.now, ordered: true, repair: rest, at: traceStart.Add(tr.now)})
		case "expect":
			tr.expect(fail, n, rest)
		default:
			fail("unknown word %q", word)
		}
	}
	tr.endBlock()
	text := strings.Join(tr.yaml, "\n") + "\nlateness: " + lateness + "\nconditions:\n" + strings.Join(conditions, "\n") + "\nrules:\n" + strings.Join(rules, "\n") + "\n"
	if len(conditions) == 0 {
		text = strings.Replace(text, "conditions:\n", "", 1)
	}
	defer tr.name()
	if len(rules) > 0 {
		if tr.pack, err = Parse(file, []byte(text)); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	if len(tr.expects) == 0 && !tr.nothing {
		t.Fatalf("%s: expects nothing and does not say so", file)
	}
	return tr
}

// flow turns "a=1 b=[x,y]" into ", a: 1, b: [x,y]".
func flow(settings string) string {
	var b strings.Builder
	for s := range strings.FieldsSeq(settings) {
		key, value, _ := strings.Cut(s, "=")
		b.WriteString(", " + key + ": " + strings.ReplaceAll(strings.ReplaceAll(value, ":", ": "), ",", ", "))
	}
	return b.String()
}

func (tr *trace) rule(n int, rest string) string {
	kind, settings, _ := strings.Cut(rest, " ")
	text := flow(settings)
	if !strings.Contains(text, ", id:") {
		text += fmt.Sprintf(", id: rule-%d", n)
	}
	for s := range strings.FieldsSeq(settings) {
		name, ok := strings.CutPrefix(s, "signal=")
		if !ok {
			continue
		}
		if tr.first == "" {
			tr.first = name
		}
		if !contains(tr.signals, name) {
			tr.yaml = append(tr.yaml, fmt.Sprintf("  %s: {unit: \"1\"}", name))
			tr.signals = append(tr.signals, name)
		}
	}
	return "  - {kind: " + kind + ", title: t, title_zh: 题" + text + "}"
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// block begins rows: "every 1m: values" or "every 1m" with a line for each signal.
func (tr *trace) block(fail func(string, ...any), rest string) {
	head, values, short := strings.Cut(rest, ":")
	words := strings.Fields(head)
	every, ok := duration(words[0])
	if !ok {
		fail("every %q", head)
	}
	tr.every, tr.late, tr.start = every, false, tr.now
	if len(words) == 3 && words[1] == "late" { // every 1m late 2h
		back, ok := duration(words[2])
		if !ok {
			fail("late %q", words[2])
		}
		tr.late, tr.start = true, tr.now-back
	}
	if short {
		tr.series(fail, tr.first, values)
	}
}

// series adds one signal's values to the rows of the present block.
func (tr *trace) series(fail func(string, ...any), signal, values string) {
	at, end := tr.start, tr.start
	for _, s := range tr.values(fail, values) {
		if v := s.level + s.slope*tr.get(at, s.of); !math.IsNaN(v) {
			tr.put(at, signal, v)
		}
		at += tr.every
		end = at
	}
	if !tr.late && end > tr.now {
		tr.now = end
	}
}

// put adds a value to the row of an instant.
func (tr *trace) put(at time.Duration, signal string, v float64) {
	for i := len(tr.events) - 1; i >= 0; i-- {
		o := tr.events[i].obs
		if o == nil || tr.events[i].ordered != tr.late {
			continue
		}
		if o.At.Equal(traceStart.Add(at)) {
			o.Values = append(o.Values, observation.Value{Signal: signal, Value: v})
			return
		}
		if o.At.Before(traceStart.Add(at)) {
			break
		}
	}
	arrives := at
	if tr.late {
		arrives = tr.now
	}
	e := event{arrives: arrives, ordered: tr.late, obs: &observation.Observation{Machine: "m", At: traceStart.Add(at)}}
	e.obs.Values = []observation.Value{{Signal: signal, Value: v}}
	tr.events = append(tr.events, e)
}

// get is a signal's value in the row of an instant; 0 for no signal.
func (tr *trace) get(at time.Duration, signal string) float64 {
	if signal == "" {
		return 0
	}
	for i := len(tr.events) - 1; i >= 0; i-- {
		if o := tr.events[i].obs; o != nil && o.At.Equal(traceStart.Add(at)) {
			v, _ := o.Get(signal)
			return v
		}
	}
	return math.NaN()
}

// endBlock adds the ticks that the time has come to.
func (tr *trace) endBlock() { tr.ticks(false) }

func (tr *trace) ticks(excused bool) {
	if !tr.ticking {
		return
	}
	last := time.Duration(0)
	for _, e := range tr.events {
		if e.tick && e.arrives > last {
			last = e.arrives
		}
	}
	for at := last + time.Minute; at <= tr.now; at += time.Minute {
		tr.events = append(tr.events, event{arrives: at, ordered: true, tick: true, excused: excused, at: traceStart.Add(at)})
	}
}

// gap lets time pass without rows: "gap 2h", "gap 2h excused".
func (tr *trace) gap(fail func(string, ...any), rest string) {
	length, how, _ := strings.Cut(rest, " ")
	d, ok := duration(length)
	if !ok {
		fail("gap %q", length)
	}
	tr.now += d
	tr.ticks(how == "excused")
}

// kin lets cohorts come, one each quarter of an hour from here on: "sisters 8
// temp=0..5~0.3 load=0~1 x40" are forty of eight machines, whose middle goes from 0 to 5.
func (tr *trace) kin(fail func(string, ...any), rest string) {
	words := strings.Fields(rest)
	machines, err := strconv.Atoi(words[0])
	if err != nil {
		fail("machines %q", words[0])
	}
	count := 1
	if last := words[len(words)-1]; strings.HasPrefix(last, "x") {
		count, _ = strconv.Atoi(last[1:])
		words = words[:len(words)-1]
	}
	for i := range count {
		at := tr.now + time.Duration(i)*sisters.Step
		c := &sisters.Cohort{Of: "trace", At: traceStart.Add(at)}
		for _, word := range words[1:] {
			signal, value, _ := strings.Cut(word, "=")
			from, to, spread, _ := tr.value(fail, value)
			crowd := sisters.Crowd{Machines: machines, Middle: from + (to-from)*float64(i)/float64(max(count-1, 1)), Spread: spread}
			ranks := sisters.Ranks{Machines: machines}
			for k := range ranks.Marks {
				ranks.Marks[k] = float32(math.Abs(crowd.Middle) + spread*float64(k)/4)
			}
			c.Points = append(c.Points, sisters.Point{Subject: sisters.Subject{Signal: signal}, Crowd: crowd, Ranks: ranks})
		}
		tr.events = append(tr.events, event{arrives: at, ordered: true, kin: c, at: c.At})
	}
}

// name gives the cohorts the rules that they are about: all of them.
func (tr *trace) name() {
	hashes := []string{watcherRule.hash}
	if tr.pack != nil {
		hashes = tr.pack.layout.hashes
	}
	for _, e := range tr.events {
		if e.kin == nil {
			continue
		}
		points := e.kin.Points
		e.kin.Points = nil
		for _, hash := range hashes {
			for _, p := range points {
				p.Rule = hash
				e.kin.Points = append(e.kin.Points, p)
			}
		}
		slices.SortFunc(e.kin.Points, func(a, b sisters.Point) int { return a.Compare(b.Subject) })
	}
}

// sample is one value of a series: level, and slope times another signal of the row.
type sample struct {
	level, slope float64
	of           string
}

// values reads numbers, "90 x15" repeats, "60..70 x30" ramps, "60~0.5 x100" noise,
// "60+0.1*load x100" what depends on another signal, "-" nothing.
func (tr *trace) values(fail func(string, ...any), text string) []sample {
	var out []sample
	words := strings.Fields(strings.ReplaceAll(text, "|", " "))
	for i := 0; i < len(words); i++ {
		word, count := words[i], 1
		repeated := i+1 < len(words) && strings.HasPrefix(words[i+1], "x")
		if repeated {
			n, err := strconv.Atoi(words[i+1][1:])
			if err != nil {
				fail("count %q", words[i+1])
			}
			count = n
			i++
		}
		from, to, sigma, s := tr.value(fail, word)
		for j := range count {
			s.level = from
			if count > 1 {
				s.level += (to - from) * float64(j) / float64(count-1)
			}
			s.level += sigma * tr.gauss()
			out = append(out, s)
		}
	}
	return out
}

func (tr *trace) value(fail func(string, ...any), word string) (from, to, sigma float64, s sample) {
	if word == "-" {
		return math.NaN(), math.NaN(), 0, s
	}
	parse := func(text string) float64 {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			fail("value %q", word)
		}
		return v
	}
	word, depends, ok := strings.Cut(word, "+")
	if ok {
		slope, of, _ := strings.Cut(depends, "*")
		s.slope, s.of = parse(slope), of
	}
	level, noise, noisy := strings.Cut(word, "~")
	if noisy {
		sigma = parse(noise)
	}
	a, b, ramp := strings.Cut(level, "..")
	from = parse(a)
	to = from
	if ramp {
		to = parse(b)
	}
	return from, to, sigma, s
}

// gauss is the same noise in each run: twelve uniform numbers of a fixed sequence.
func (tr *trace) gauss() float64 {
	sum := 0.0
	for range 12 {
		tr.noise = tr.noise*6364136223846793005 + 1442695040888963407
		sum += float64(tr.noise>>11) / (1 << 53)
	}
	return sum - 6
}

// expect reads "00:18 open severity=warning", "1d02:00..1d03:00 open", "nothing".
func (tr *trace) expect(fail func(string, ...any), line int, rest string) {
	words := strings.Fields(rest)
	if len(words) == 1 && words[0] == "nothing" {
		tr.nothing = true
		return
	}
	if len(words) < 2 {
		fail("expect TIME open|close|rise [key=value]")
	}
	from, to, span := strings.Cut(words[0], "..")
	e := expectation{line: line, from: clockTime(fail, from), want: map[string]string{}}
	if e.to = e.from; span {
		e.to = clockTime(fail, to)
	}
	switch words[1] {
	case "open":
		e.change = Opened
	case "close":
		e.change = Closed
	case "rise":
		e.change = Updated
	default:
		fail("expect %q", words[1])
	}
	for _, w := range words[2:] {
		key, value, _ := strings.Cut(w, "=")
		e.want[key] = value
	}
	tr.expects = append(tr.expects, e)
}

// clockTime reads 00:18, 00:18:30 and 2d03:00.
func clockTime(fail func(string, ...any), s string) time.Time {
	days := 0
	if d, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.Atoi(d)
		if err != nil {
			fail("time %q", s)
		}
		days, s = n, rest
	}
	parts := strings.Split(s, ":")
	seconds := 0
	for i, unit := range []int{3600, 60, 1} {
		if i < len(parts) {
			n, err := strconv.Atoi(parts[i])
			if err != nil {
				fail("time %q", s)
			}
			seconds += n * unit
		}
	}
	return traceStart.Add(time.Duration(days)*24*time.Hour + time.Duration(seconds)*time.Second)
}
