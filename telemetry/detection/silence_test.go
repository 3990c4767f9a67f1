package detection

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/silence"
)

// A silence file is a scenario that a service engineer can read;
// testdata/silences/README.md explains the format.
func TestSilences_AreWhatTheirFilesSay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/silences/*.trace")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	told := map[string]bool{}
	for _, file := range files {
		s := readSilences(t, file)
		for _, want := range s.want {
			for _, reason := range strings.Split(want[strings.LastIndexByte(want, ' ')+1:], ",") {
				told[reason] = true
			}
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".trace"), func(t *testing.T) {
			t.Parallel()
			whole := s.run(t, len(s.events), 0, false)
			if got, want := strings.Join(whole, "\n"), strings.Join(s.want, "\n"); got != want {
				t.Fatalf("%s came to\n%s\nnot\n%s", file, got, want)
			}
			for how, again := range map[string][]string{
				"one batch for each record": s.run(t, 1, 0, false),
				"each message doubled":      s.run(t, 50, 0, true),
				"restarts":                  s.run(t, 7, len(s.events)/11+1, false),
			} {
				if got, want := strings.Join(again, "\n"), strings.Join(whole, "\n"); got != want {
					t.Errorf("%s, %s:\n%s\nnot\n%s", file, how, got, want)
				}
			}
		})
	}
	for _, reason := range silence.Reasons() {
		if !told[string(reason)] {
			t.Errorf("no file shows %s", reason)
		}
	}
}

type silences struct {
	events []silenceEvent
	site   map[string]uuid.UUID
	via    map[string]string
	known  map[string]bool // machines that say something
	want   []string
	end    time.Duration
}

type silenceEvent struct {
	at time.Duration // when it arrives
	step
}

// run feeds the records in batches of a size, with a restart after so many records,
// and returns what is known of silences in the end.
func (s *silences) run(t *testing.T, size, restart int, doubled bool) []string {
	t.Helper()
	dir := t.TempDir()
	start := func() *Runner {
		r, err := NewRunner(Config{Fleet: NewFleet(nil), Dir: dir, Log: slog.New(slog.DiscardHandler), Position: Position{LSN: 1 << 40}})
		if err != nil {
			t.Fatal(err)
		}
		r.pos.LSN = 0 // everything is news
		return r
	}
	r, known, sinceRestart := start(), map[string]machines.Silence{}, 0
	for at := 0; at < len(s.events); {
		batch := &telemetry.Batch{From: intakelog.LSN(at)} //nolint:gosec // small
		for range min(size, len(s.events)-at) {
			e := s.events[at]
			at++
			s.put(batch, e, at, doubled)
		}
		batch.To = intakelog.LSN(at) //nolint:gosec // small
		for _, told := range r.evaluate(batch).Silences {
			known[s.name(told.MachineID)+told.Since.String()] = told
		}
		if sinceRestart += size; restart > 0 && sinceRestart >= restart {
			r.snapshot()
			r, sinceRestart = start(), 0
		}
	}
	var lines []string
	for _, k := range known {
		until := "..."
		if k.Until != nil {
			until = clockOf(*k.Until)
		}
		first := ""
		if k.FirstCause != k.Cause {
			first = " first=" + k.FirstCause
		}
		lines = append(lines, fmt.Sprintf("%s %s..%s noticed=%s %s%s %s", s.name(k.MachineID), clockOf(k.Since), until, clockOf(k.NoticedAt), k.Cause, first, strings.Join(k.Why, ",")))
	}
	sort.Strings(lines)
	return lines
}

func (s *silences) put(b *telemetry.Batch, e silenceEvent, lsn int, doubled bool) {
	at := intakelog.LSN(lsn) //nolint:gosec // small
	switch {
	case e.obs != nil:
		o := *e.obs
		o.LSN = at
		b.Observations = append(b.Observations, o)
		if doubled {
			b.Observations = append(b.Observations, o)
		}
	case e.here != nil:
		p := *e.here
		p.LSN = at
		b.Presences = append(b.Presences, p)
	case e.link != nil:
		l := *e.link
		l.LSN = at
		b.Links = append(b.Links, l)
	case e.tick != nil:
		k := *e.tick
		k.LSN = at
		b.Ticks = append(b.Ticks, k)
	}
}

var silenceStart = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) // a Monday

func machineNamed(name string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte(name)) }

func (s *silences) name(id uuid.UUID) string {
	for name := range s.known {
		if machineNamed(name) == id {
			return name
		}
	}
	return id.String()
}

// clockOf writes an instant as files do: 2d08:00, with seconds where there are some.
func clockOf(at time.Time) string {
	d := at.Sub(silenceStart)
	text := fmt.Sprintf("%02d:%02d", int(d.Hours())%24, int(d.Minutes())%60)
	if d%time.Minute != 0 {
		text += fmt.Sprintf(":%02d", int(d.Seconds())%60)
	}
	if days := int(d.Hours()) / 24; days > 0 {
		text = fmt.Sprintf("%dd%s", days, text)
	}
	return text
}

func readSilences(t *testing.T, file string) *silences {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &silences{site: map[string]uuid.UUID{}, via: map[string]string{}, known: map[string]bool{}}
	excused := map[time.Duration]bool{}
	scan := bufio.NewScanner(f)
	for n := 1; scan.Scan(); n++ {
		text, _, _ := strings.Cut(scan.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		if err := s.read(words, excused); err != nil {
			t.Fatalf("%s:%d: %v", file, n, err)
		}
	}
	for at := time.Minute; at <= s.end; at += time.Minute {
		s.events = append(s.events, silenceEvent{at, step{tick: &telemetry.Tick{At: silenceStart.Add(at), Excused: excused[at]}}})
	}
	sort.SliceStable(s.events, func(i, j int) bool { return s.events[i].at < s.events[j].at })
	sort.Strings(s.want)
	return s
}

func (s *silences) read(words []string, excused map[time.Duration]bool) error {
	switch words[0] {
	case "site":
		for _, m := range words[2:] {
			s.site[m] = machineNamed(words[1])
		}
		return nil
	case "gateway":
		for _, m := range words[2:] {
			s.via[m] = words[1]
		}
		return nil
	case "expect":
		if len(words) > 2 {
			s.want = append(s.want, strings.Join(words[1:], " "))
		}
		return nil
	case "until":
		end, err := instant(words[1])
		s.end = end
		return err
	case "days":
		return s.days(words, excused)
	}
	from, to, span := strings.Cut(words[0], "..")
	begin, err := instant(from)
	if err != nil {
		return err
	}
	if !span {
		return s.word(begin, words[1:])
	}
	end, err := instant(to)
	if err != nil {
		return err
	}
	if words[1] == "excused" {
		for at := begin; at <= end; at += time.Minute {
			excused[at] = true
		}
		return nil
	}
	return s.rows(begin, end, words[1:])
}

// days repeats a line on days of the scenario: "days 0-4,7-11 08:00..18:00 ...".
func (s *silences) days(words []string, excused map[time.Duration]bool) error {
	from, to, _ := strings.Cut(words[2], "..")
	for span := range strings.SplitSeq(words[1], ",") {
		var first, last int
		if n, _ := fmt.Sscanf(span, "%d-%d", &first, &last); n == 1 {
			last = first
		}
		for day := first; day <= last; day++ {
			line := slices.Clone(words[2:])
			line[0] = fmt.Sprintf("%dd%s..%dd%s", day, from, day, to)
			if err := s.read(line, excused); err != nil {
				return err
			}
		}
	}
	return nil
}

// rows reads "every 1m M1,M2 ignition=1 rpm=1500 [arrives=12:00] [historical] [lag=5m]".
func (s *silences) rows(begin, end time.Duration, words []string) error {
	if len(words) < 4 || words[0] != "every" {
		return fmt.Errorf("rows: every DURATION MACHINE signal=value")
	}
	every, err := time.ParseDuration(words[1])
	if err != nil {
		return err
	}
	var o observation.Observation
	arrives, lag := time.Duration(-1), time.Duration(0)
	for _, w := range words[3:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "arrives":
			arrives, err = instant(value)
		case "lag":
			lag, err = time.ParseDuration(value)
		case "historical":
			o.Flags |= observation.Historical
		default:
			v := observation.Value{Signal: key}
			v.Value, err = strconv.ParseFloat(value, 64)
			o.Values = append(o.Values, v)
		}
		if err != nil {
			return err
		}
	}
	for at := begin; at <= end; at += every {
		for m := range strings.SplitSeq(words[2], ",") {
			s.known[m] = true
			row := o
			row.Machine, row.At = m, silenceStart.Add(at)
			row.Values = slices.Clone(o.Values)
			for i := range row.Values {
				row.Values[i].Value += at.Hours() * 1e-6 // no two rows are the same
			}
			came := at + lag
			if arrives >= 0 {
				came = arrives
			}
			s.events = append(s.events, silenceEvent{came, step{obs: &telemetry.Located{MachineID: machineNamed(m), Near: s.near(m), Observation: row}}})
		}
	}
	return nil
}

func (s *silences) near(m string) telemetry.Near {
	return telemetry.Near{Site: s.site[m], Via: s.via[m]}
}

// word reads "M1 offline", "M1 offline goodbye|broken", "M1 online", "M1 link goodbye|broken", "gateway link broken".
func (s *silences) word(at time.Duration, words []string) error {
	leave := silence.Gone
	if len(words) > 2 {
		leave = map[string]silence.Leave{"goodbye": silence.TookLeave, "broken": silence.Broke}[words[2]]
	}
	switch words[1] {
	case "online", "offline":
		for m := range strings.SplitSeq(words[0], ",") {
			s.known[m] = true
			s.events = append(s.events, silenceEvent{at, step{here: &telemetry.LocatedPresence{MachineID: machineNamed(m), Machine: m, Near: s.near(m),
				Online: words[1] == "online", Leave: leave, At: silenceStart.Add(at)}}})
		}
	case "link":
		l := &telemetry.LocatedLink{Leave: leave}
		if s.known[words[0]] {
			l.Machines = []string{words[0]}
		} else {
			l.Via = words[0]
		}
		s.events = append(s.events, silenceEvent{at, step{link: l}})
	default:
		return fmt.Errorf("unknown word %q", words[1])
	}
	return nil
}

// instant reads 08:00, 08:00:30 and 2d08:00.
func instant(s string) (time.Duration, error) {
	days := 0
	if d, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.Atoi(d)
		if err != nil {
			return 0, err
		}
		days, s = n, rest
	}
	parts := strings.Split(s, ":")
	sum := time.Duration(days) * 24 * time.Hour
	for i, unit := range []time.Duration{time.Hour, time.Minute, time.Second} {
		if i < len(parts) {
			n, err := strconv.Atoi(parts[i])
			if err != nil {
				return 0, err
			}
			sum += time.Duration(n) * unit
		}
	}
	return sum, nil
}
